//! Raising `kraft.version` while the quorum works (KIP-853).

use klamm_protocol::Uuid;
use klamm_quorum::{KRaftVersionError, ReplicaKey, VoterChangeError, VoterNode};

use crate::network::{Network, voter};

fn elected(seed: u64) -> Network {
    let mut network = Network::of(&[1, 2, 3], seed);
    network.run_until(10_000, |network| network.leader().is_some());
    network.run(500);
    network
}

fn in_directory(id: i32) -> VoterNode {
    VoterNode { key: ReplicaKey::new(id, Uuid::from_u128(100 + id as u128)), ..voter(id) }
}

fn others(network: &Network) -> Vec<i32> {
    network.ids().into_iter().filter(|id| Some(*id) != network.leader()).collect()
}

fn describe(network: &mut Network, node: VoterNode) -> Result<i64, VoterChangeError> {
    network.change_voters(|quorum, now_ms| quorum.update_voter(now_ms, node))
}

#[test]
fn the_level_is_raised_once_every_voter_has_said_that_it_supports_it() {
    for seed in 0..10 {
        let mut network = elected(seed);
        let leader = network.leader().unwrap();
        let [one, two] = others(&network)[..] else { panic!("two follow") };
        let end_offset = network.quorum(leader).log().end_offset;
        assert_eq!(network.raise_kraft_version(1), Err(KRaftVersionError::Unheard(one)));
        describe(&mut network, in_directory(one)).unwrap();
        describe(&mut network, VoterNode { kraft_versions: (0, 0), ..in_directory(two) }).unwrap();
        assert_eq!(network.raise_kraft_version(1), Err(KRaftVersionError::Unsupported(two)));
        describe(&mut network, in_directory(two)).unwrap();
        assert_eq!(network.quorum(leader).check_kraft_version(1), Ok(()));
        assert_eq!(network.quorum(leader).log().end_offset, end_offset, "nothing was written");
        assert_eq!(network.raise_kraft_version(1), Ok(()));
        assert_eq!(network.raise_kraft_version(1), Ok(()), "it is at that level");
        assert_eq!(network.quorum(leader).log().end_offset, end_offset + 2, "the level and the voters");
        assert_eq!(network.raise_kraft_version(0), Err(KRaftVersionError::Downgrade(1)));
        network.run(2_000);
        for id in network.ids() {
            let voters = network.quorum(id).current_voters();
            assert_eq!(voters.get(one).unwrap().key, in_directory(one).key, "seed {seed}");
        }
        network.crash(leader);
        network.start(leader);
        network.run(5_000);
        for id in network.ids() {
            let quorum = network.quorum(id);
            assert_eq!((quorum.kraft_version(), quorum.current_voters().len()), (1, 3));
            assert_eq!(quorum.high_watermark(), quorum.log().end_offset, "seed {seed}");
        }
        let removed = ReplicaKey::of_id(two);
        network.change_voters(|quorum, now_ms| quorum.remove_voter(now_ms, removed)).unwrap();
        network.run_until(10_000, |network| network.quorum(one).current_voters().len() == 2);
    }
}

#[test]
fn a_new_leader_has_to_be_told_again() {
    let mut network = elected(1);
    for id in others(&network) {
        describe(&mut network, in_directory(id)).unwrap();
    }
    let old = network.leader().unwrap();
    network.crash(old);
    network.run_until(10_000, |network| network.leader().is_some_and(|id| id != old));
    network.run(500);
    let unheard = others(&network)[0];
    assert_eq!(network.raise_kraft_version(1), Err(KRaftVersionError::Unheard(unheard)));
}

#[test]
fn a_level_that_was_not_committed_is_taken_back() {
    let mut network = elected(2);
    for id in others(&network) {
        describe(&mut network, in_directory(id)).unwrap();
    }
    let old = network.leader().unwrap();
    network.cut_off.push(old);
    network.raise_kraft_version(1).unwrap();
    assert_eq!(network.quorum(old).kraft_version(), 1, "in force at once");
    network.run_until(10_000, |network| network.leader().is_some_and(|id| id != old));
    assert!(network.append());
    network.cut_off.clear();
    network.run(10_000);
    for id in network.ids() {
        assert_eq!(network.quorum(id).kraft_version(), 0);
        assert!(network.quorum(id).current_voters().iter().all(|voter| voter.key.directory_id.is_none()));
    }
}

#[test]
fn descriptions_that_are_refused() {
    let mut network = elected(3);
    let leader = network.leader().unwrap();
    assert_eq!(describe(&mut network, in_directory(9)), Err(VoterChangeError::NoSuchVoter(9)));
    assert_eq!(describe(&mut network, in_directory(leader)), Err(VoterChangeError::NoSuchVoter(leader)));
    let other = others(&network)[0];
    let newer = VoterNode { kraft_versions: (1, 2), ..in_directory(other) };
    assert_eq!(describe(&mut network, newer), Err(VoterChangeError::KRaftVersion(other)));
}
