//! Voters added, removed and updated while the quorum works (KIP-853).

use klamm_quorum::{ReplicaKey, VoterChangeError};

use crate::network::{Network, voter};

fn elected(ids: &[i32], voters: &[i32], seed: u64) -> Network {
    let mut network = Network::dynamic(ids, voters, seed);
    network.run_until(10_000, |network| network.leader().is_some());
    network.run(2_000);
    network
}

fn voters(network: &Network, id: i32) -> Vec<i32> {
    network.quorum(id).current_voters().ids().collect()
}

fn commit(network: &mut Network) {
    let wanted = network.committed_count() + 1;
    network.run_until(10_000, |network| network.leader().is_some());
    assert!(network.append());
    network.run_until(10_000, |network| network.committed_count() >= wanted);
}

#[test]
fn one_voter_grows_to_three_and_survives_the_first() {
    for seed in 0..10 {
        let mut network = elected(&[1, 2, 3], &[1], seed);
        for id in [2, 3] {
            network.change_voters(|quorum, now_ms| quorum.add_voter(now_ms, voter(id))).unwrap();
            network.run(2_000);
        }
        network.ids().into_iter().for_each(|id| assert_eq!(voters(&network, id), [1, 2, 3]));
        network.crash(1);
        commit(&mut network);
        network.start(1);
        network.run(5_000);
        assert_eq!(voters(&network, 1), [1, 2, 3], "found in its own log");
    }
}

#[test]
fn a_leader_that_led_alone_for_long_leads_on_with_two() {
    let mut network = elected(&[1, 2], &[1], 1);
    network.run(60_000);
    let epoch = network.quorum(1).epoch();
    network.change_voters(|quorum, now_ms| quorum.add_voter(now_ms, voter(2))).unwrap();
    commit(&mut network);
    assert_eq!((network.leader(), network.quorum(1).epoch()), (Some(1), epoch));
}

#[test]
fn a_removed_voter_does_not_vote_itself_back_after_all_restarted() {
    for seed in 0..30 {
        let mut network = elected(&[1, 2, 3], &[1, 2, 3], seed);
        let removed = ReplicaKey::of_id(1 + seed as i32 % 3);
        network.change_voters(|quorum, now_ms| quorum.remove_voter(now_ms, removed)).unwrap();
        network.run_until(20_000, |network| network.leader().is_some_and(|id| id != removed.id));
        commit(&mut network);
        network.run(2_000);
        let ids = network.ids();
        ids.iter().for_each(|&id| network.crash(id));
        // The removed one is first, and none of them knows yet what is committed.
        network.start(removed.id);
        network.run(network_wait(seed));
        ids.iter().filter(|&&id| id != removed.id).for_each(|&id| network.start(id));
        network.run(10_000);
        commit(&mut network);
        for id in ids {
            assert!(!voters(&network, id).contains(&removed.id), "seed {seed}, node {id}");
        }
    }
}

/// Up to two election timeouts.
fn network_wait(seed: u64) -> i64 {
    (seed as i64 * 67) % 2_000
}

#[test]
fn a_removed_voter_that_is_gone_is_described_for_five_minutes() {
    let mut network = elected(&[1, 2], &[1, 2], 1);
    let left = network.leader().unwrap();
    let removed = ReplicaKey::of_id(3 - left);
    network.change_voters(|quorum, now_ms| quorum.remove_voter(now_ms, removed)).unwrap();
    network.run(2_000);
    network.crash(removed.id);
    let observers = |network: &Network| {
        let described = network.quorum(left).describe(network.now_ms).unwrap();
        described.observers.iter().map(|observer| observer.key.id).collect::<Vec<_>>()
    };
    network.run(299_000);
    assert_eq!(observers(&network), [removed.id]);
    network.run(2_000);
    assert!(observers(&network).is_empty());
}

#[test]
fn another_directory_of_a_removed_voter_starts_with_nothing() {
    let mut network = elected(&[1, 2, 3], &[1, 2, 3], 4);
    let leader = network.leader().unwrap();
    let other = network.ids().into_iter().find(|&id| id != leader).unwrap();
    let in_directory = |number| ReplicaKey::new(other, klamm_protocol::Uuid::from_u128(number));
    let node = |number| klamm_quorum::VoterNode { key: in_directory(number), ..voter(other) };
    network.change_voters(|quorum, now_ms| quorum.update_voter(now_ms, node(1))).unwrap();
    network.run(2_000);
    network.crash(other);
    network.change_voters(|quorum, now_ms| quorum.remove_voter(now_ms, in_directory(1))).unwrap();
    network.run(2_000);
    let added = network.change_voters(|quorum, now_ms| quorum.add_voter(now_ms, node(2)));
    assert_eq!(added, Err(VoterChangeError::NotCaughtUp(other)));
}

#[test]
fn a_leader_that_removes_itself_hands_over() {
    for seed in 0..10 {
        let mut network = elected(&[1, 2, 3], &[1, 2, 3], seed);
        let old = network.leader().unwrap();
        network.change_voters(|quorum, now_ms| quorum.remove_voter(now_ms, ReplicaKey::of_id(old))).unwrap();
        network.run_until(10_000, |network| network.leader().is_some_and(|id| id != old));
        commit(&mut network);
        network.run(5_000);
        assert!(!voters(&network, old).contains(&old));
        assert_eq!(
            network.quorum(old).leader_id(),
            network.leader(),
            "it observes from here on: {:?}",
            network.quorum(old)
        );
        network.crash(old);
        commit(&mut network);
    }
}

#[test]
fn changes_that_are_refused() {
    use VoterChangeError as E;
    let mut network = elected(&[1, 2, 3], &[1, 2], 1);
    let leader = network.leader().unwrap();
    let add = |network: &mut Network, id| {
        network.change_voters(|quorum, now_ms| quorum.add_voter(now_ms, voter(id)))
    };
    assert_eq!(add(&mut network, leader), Err(E::AlreadyVoter(leader)));
    assert_eq!(add(&mut network, 9), Err(E::NotCaughtUp(9)));
    let old_software = |network: &mut Network| {
        let node = klamm_quorum::VoterNode { kraft_versions: (0, 0), ..voter(3) };
        network.change_voters(|quorum, now_ms| quorum.add_voter(now_ms, node))
    };
    assert_eq!(old_software(&mut network), Err(E::KRaftVersion(3)));
    assert!(add(&mut network, 3).is_ok());
    assert_eq!(add(&mut network, 4), Err(E::Pending), "one change at a time");
    let remove = |network: &mut Network, id| {
        network.change_voters(|quorum, now_ms| quorum.remove_voter(now_ms, ReplicaKey::of_id(id)))
    };
    network.run(2_000);
    assert_eq!(remove(&mut network, 9), Err(E::NoSuchVoter(9)));
    let mut alone = elected(&[1], &[1], 1);
    assert_eq!(remove(&mut alone, 1), Err(E::LastVoter));
    let mut fixed = Network::of(&[1], 1);
    fixed.run(100);
    assert_eq!(remove(&mut fixed, 1), Err(E::StaticVoters));
}

#[test]
fn a_change_that_was_not_committed_is_taken_back() {
    for seed in 0..10 {
        let mut network = elected(&[1, 2, 3, 4], &[1, 2, 3], seed);
        let old = network.leader().unwrap();
        network.cut_off.push(old);
        network.change_voters(|quorum, now_ms| quorum.add_voter(now_ms, voter(4))).unwrap();
        assert_eq!(voters(&network, old), [1, 2, 3, 4], "in force at once");
        network.run_until(10_000, |network| network.leader().is_some_and(|id| id != old));
        commit(&mut network);
        network.cut_off.clear();
        network.run(10_000);
        assert_eq!(voters(&network, old), [1, 2, 3], "truncated with its record");
    }
}

#[test]
fn chaos_with_voter_changes() {
    for seed in 0..20 {
        let ids = [1, 2, 3, 4, 5];
        let mut network = Network::dynamic(&ids, &[1, 2, 3], seed);
        network.loss = 15;
        for _ in 0..200 {
            let id = ids[network.draw(5) as usize];
            match network.draw(12) {
                0 if network.is_up(id) => network.crash(id),
                0..=2 if !network.is_up(id) => network.start(id),
                3 if network.cut_off.is_empty() => network.cut_off.push(id),
                4 => network.cut_off.clear(),
                5..=6 => _ = network.change_voters(|quorum, now_ms| quorum.add_voter(now_ms, voter(id))),
                7 => {
                    let key = ReplicaKey::of_id(id);
                    _ = network.change_voters(|quorum, now_ms| quorum.remove_voter(now_ms, key));
                }
                8..=10 => _ = network.append(),
                _ => {}
            }
            let ms = 1 + network.draw(400) as i64;
            network.run(ms);
        }
        network.cut_off.clear();
        network.loss = 0;
        for id in ids {
            if !network.is_up(id) {
                network.start(id);
            }
        }
        network.run(10_000);
        commit(&mut network);
    }
}
