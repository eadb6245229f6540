//! Three and five voters: elections, replication, failover, cut-off leaders, and chaos from many seeds.

use crate::network::Network;

fn elected(ids: &[i32], seed: u64) -> Network {
    let mut network = Network::of(ids, seed);
    network.run_until(10_000, |network| network.leader().is_some());
    network
}

fn append_and_commit(network: &mut Network, count: usize) {
    let wanted = network.committed_count() + count;
    for _ in 0..count {
        assert!(network.append());
    }
    network.run_until(5_000, |network| network.committed_count() >= wanted);
}

#[test]
fn three_voters_elect_a_leader_and_commit() {
    for seed in 0..20 {
        let mut network = elected(&[1, 2, 3], seed);
        append_and_commit(&mut network, 50);
        network.run(1_000);
        let leader = network.leader().unwrap();
        for id in network.ids() {
            assert_eq!(network.quorum(id).leader_id(), Some(leader));
            assert_eq!(network.quorum(id).high_watermark(), network.quorum(leader).high_watermark());
        }
    }
}

#[test]
fn a_quiet_quorum_keeps_its_leader() {
    let mut network = elected(&[1, 2, 3], 7);
    let (leader, epoch) = (network.leader(), network.quorum(1).epoch());
    network.run(60_000);
    assert_eq!((network.leader(), network.quorum(1).epoch()), (leader, epoch));
}

#[test]
fn a_leader_that_crashes_is_replaced_and_comes_back_as_a_follower() {
    for seed in 0..20 {
        let mut network = elected(&[1, 2, 3], seed);
        append_and_commit(&mut network, 10);
        let old = network.leader().unwrap();
        network.crash(old);
        // Long before the fetch timeout, for its process is known to be gone.
        network.run_until(1_500, |network| network.leader().is_some());
        append_and_commit(&mut network, 10);
        network.start(old);
        let wanted = network.quorum(network.leader().unwrap()).high_watermark();
        network.run_until(5_000, |network| network.quorum(old).high_watermark() >= wanted);
        assert_ne!(network.leader(), Some(old));
    }
}

#[test]
fn a_leader_that_is_cut_off_resigns_and_what_it_alone_had_is_truncated() {
    for seed in 0..20 {
        let mut network = elected(&[1, 2, 3], seed);
        append_and_commit(&mut network, 5);
        let old = network.leader().unwrap();
        network.cut_off.push(old);
        for _ in 0..5 {
            assert!(network.append());
        }
        let others_lead = |network: &Network| network.leader().is_some_and(|id| id != old);
        network.run_until(10_000, others_lead);
        assert!(
            !network.quorum(old).is_leader()
                || network.quorum(old).epoch() < network.quorum(network.leader().unwrap()).epoch()
        );
        append_and_commit(&mut network, 5);
        network.cut_off.clear();
        let leader = network.leader().unwrap();
        let wanted = network.quorum(leader).high_watermark();
        network.run_until(10_000, |network| network.quorum(old).high_watermark() >= wanted);
        assert_eq!(network.quorum(old).log().epochs, network.quorum(leader).log().epochs);
    }
}

#[test]
fn a_follower_that_was_cut_off_does_not_disturb_the_leader() {
    let mut network = elected(&[1, 2, 3], 3);
    let leader = network.leader().unwrap();
    let epoch = network.quorum(leader).epoch();
    let follower = network.ids().into_iter().find(|&id| id != leader).unwrap();
    network.cut_off.push(follower);
    network.run(30_000);
    network.cut_off.clear();
    network.run(10_000);
    assert_eq!(
        (network.leader(), network.quorum(leader).epoch()),
        (Some(leader), epoch),
        "pre-votes raise no epoch"
    );
}

#[test]
fn a_minority_commits_nothing() {
    let mut network = elected(&[1, 2, 3], 5);
    append_and_commit(&mut network, 3);
    let leader = network.leader().unwrap();
    for id in network.ids() {
        if id != leader {
            network.crash(id);
        }
    }
    let before = network.committed_count();
    network.append();
    network.run(10_000);
    assert_eq!(network.committed_count(), before);
    assert_eq!(network.leader(), None, "a leader without quorum resigns");
}

/// Crashes, restarts, cuts, losses and appends at random. The network checks at each step that epochs have one leader, that all commit the
/// same, and each machine's own invariants; at the end, with all healed, the quorum goes on.
#[test]
fn chaos() {
    for seed in 0..30 {
        let ids: &[i32] = if seed % 3 == 0 { &[1, 2, 3, 4, 5] } else { &[1, 2, 3] };
        let mut network = Network::of(ids, seed);
        network.loss = 10;
        for _ in 0..120 {
            let id = ids[network.draw(ids.len() as u64) as usize];
            match network.draw(10) {
                0 if network.is_up(id) => network.crash(id),
                0..=2 if !network.is_up(id) => network.start(id),
                3 if network.cut_off.is_empty() => network.cut_off.push(id),
                4 => network.cut_off.clear(),
                5..=8 => _ = network.append(),
                _ => {}
            }
            let ms = 1 + network.draw(400) as i64;
            network.run(ms);
        }
        network.cut_off.clear();
        network.loss = 0;
        for &id in ids {
            if !network.is_up(id) {
                network.start(id);
            }
        }
        network.run(10_000);
        network.run_until(20_000, |network| network.leader().is_some());
        append_and_commit(&mut network, 3);
    }
}

#[test]
fn one_seed_is_one_history() {
    let history = |seed| {
        let mut network = elected(&[1, 2, 3], seed);
        append_and_commit(&mut network, 20);
        (network.now_ms, network.leader(), network.committed_count())
    };
    assert_eq!(history(11), history(11));
}
