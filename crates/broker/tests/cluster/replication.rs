//! Records on three brokers: acknowledged ones outlive their leader, and replicas become equal again.

use std::collections::BTreeSet;

use klamm_protocol::ErrorCode;
use klamm_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use klamm_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use klamm_protocol::messages::{
    AlterPartitionReassignmentsRequest, DeleteRecordsRequest, UnregisterBrokerRequest,
};

use crate::cluster::eventually;
use crate::replicated::{ALL, LEADER, Replicated};

#[test]
fn acknowledged_records_outlive_their_leader() {
    let mut replicated = Replicated::new("2");
    let mut expected: Vec<String> = (0..50).map(|n| format!("before {n}")).collect();
    for value in &expected {
        replicated.produce_until_acknowledged(1, value);
    }
    let old = replicated.leader(1);
    let witness = old % 3 + 1;
    replicated.cluster.kill(old);
    eventually("another one leads", || {
        let leader = replicated.leader(witness);
        leader > 0 && leader != old
    });
    for n in 0..50 {
        let value = format!("after {n}");
        replicated.produce_until_acknowledged(witness, &value);
        expected.push(value);
    }
    let new = replicated.leader(witness);
    let mut found = replicated.values(new);
    // A record whose acknowledgement was lost may be there twice.
    found.dedup();
    assert_eq!(found, expected);
    replicated.cluster.start_all(&[old]);
    replicated.settles();
    let mut found = replicated.values(old);
    found.dedup();
    assert_eq!(found, expected);
}

/// Kills the leader with records that the followers have not fetched yet. Returns it, and one of those that are left.
fn leader_dies_ahead(replicated: &mut Replicated) -> (i32, i32) {
    replicated.produce_until_acknowledged(1, "everywhere");
    replicated.settles();
    let old = replicated.leader(1);
    let witness = old % 3 + 1;
    let large = "x".repeat(900_000);
    for n in 0..20 {
        replicated.produce(old, LEADER, &[format!("{n}{large}")]).unwrap();
    }
    replicated.cluster.kill(old);
    eventually("another one leads", || ![old, -1].contains(&replicated.leader(witness)));
    (old, witness)
}

/// What the followers had not fetched yet when the leader died is only in its log, and goes when it comes back.
#[test]
fn a_leader_that_comes_back_follows_the_new_one() {
    let mut replicated = Replicated::new("1");
    let (old, witness) = leader_dies_ahead(&mut replicated);
    replicated.produce_until_acknowledged(witness, "without it");
    replicated.cluster.start_all(&[old]);
    replicated.settles();
    for id in 1..=3 {
        let found = replicated.values(id);
        assert_eq!(found.first().map(String::as_str), Some("everywhere"), "node {id}");
        assert_eq!(found.last().map(String::as_str), Some("without it"), "node {id}");
    }
}

#[test]
fn too_few_replicas_take_no_records_that_all_are_to_have() {
    let mut replicated = Replicated::new("3");
    replicated.produce_until_acknowledged(1, "with all");
    let leader = replicated.leader(1);
    let killed = leader % 3 + 1;
    replicated.cluster.kill(killed);
    eventually("two are in sync", || replicated.seen(leader).is_some_and(|seen| seen.isr.len() == 2));
    let value = ["with two".to_owned()];
    eventually("a record for all is refused", || {
        replicated.produce(leader, ALL, &value) == Err(ErrorCode::NOT_ENOUGH_REPLICAS)
    });
    assert!(replicated.produce(leader, LEADER, &value).is_ok());
    let seen = replicated.values(leader);
    assert_eq!(seen.last().map(String::as_str), Some("with all"), "it is not committed");
    replicated.cluster.start_all(&[killed]);
    replicated.settles();
    eventually("it is committed", || replicated.values(leader).last().is_some_and(|last| last == "with two"));
}

#[test]
fn a_replica_that_is_not_wanted_leaves_and_comes_again() {
    let replicated = Replicated::new("1");
    replicated.produce_until_acknowledged(1, "before");
    replicated.settles();
    for replicas in [vec![2, 3], vec![1], vec![1, 2, 3]] {
        reassign(&replicated, &replicas);
        let wanted: BTreeSet<i32> = replicas.iter().copied().collect();
        let gone = (1..=3).filter(|id| !wanted.contains(id));
        for id in gone {
            let answer = replicated.fetch(id, 0, "");
            assert_eq!(answer.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER, "node {id}");
            assert!(wanted.contains(&answer.current_leader.leader_id), "node {id}");
        }
        replicated.produce_until_acknowledged(1, &format!("{replicas:?}"));
    }
    replicated.settles();
    let mut found = replicated.values(3);
    found.dedup();
    assert_eq!(found, ["before", "[2, 3]", "[1]", "[1, 2, 3]"]);
}

/// Puts the partition on these nodes, and waits until every node knows that it is there.
pub(crate) fn reassign(replicated: &Replicated, replicas: &[i32]) {
    let partition = ReassignablePartition { replicas: Some(replicas.to_vec()), ..Default::default() };
    let topic = ReassignableTopic { name: "t".into(), partitions: vec![partition] };
    let request =
        AlterPartitionReassignmentsRequest { timeout_ms: 10_000, topics: vec![topic], ..Default::default() };
    assert_eq!(replicated.cluster.ask(1, &request, 1).error_code, ErrorCode::NONE);
    let wanted = replicas.iter().copied().collect();
    for id in 1..=3 {
        eventually("the replicas have moved", || {
            let seen = replicated.seen(id);
            seen.is_some_and(|seen| seen.isr == wanted && wanted.contains(&seen.leader))
        });
    }
}

#[test]
fn consumers_are_sent_to_a_replica_in_their_rack() {
    let replicated = Replicated::new("1");
    replicated.produce_until_acknowledged(1, "a");
    replicated.settles();
    let leader = replicated.leader(1);
    let near = leader % 3 + 1;
    let rack = ["", "rack1", "rack2", "rack3"][near as usize];
    let sent_on = replicated.fetch(leader, 0, rack);
    assert_eq!((sent_on.error_code, sent_on.preferred_read_replica), (ErrorCode::NONE, near));
    let stays = replicated.fetch(leader, 0, ["", "rack1", "rack2", "rack3"][leader as usize]);
    assert_eq!(stays.preferred_read_replica, -1);
    assert!(stays.records.is_some_and(|records| !records.is_empty()));
    assert_eq!(replicated.fetch(leader, 0, "elsewhere").preferred_read_replica, -1);
    let read = replicated.fetch(near, 0, rack);
    assert_eq!((read.error_code, read.preferred_read_replica), (ErrorCode::NONE, -1));
    assert!(read.records.is_some_and(|records| !records.is_empty()));
}

#[test]
fn deleted_records_are_deleted_everywhere() {
    let replicated = Replicated::new("1");
    for n in 0..5 {
        replicated.produce_until_acknowledged(1, &n.to_string());
    }
    replicated.settles();
    delete_records(&replicated, 1, 3);
    for id in 1..=3 {
        assert_eq!(replicated.fetch(id, 2, "").error_code, ErrorCode::OFFSET_OUT_OF_RANGE, "node {id}");
        assert_eq!(replicated.fetch(id, 3, "").log_start_offset, 3, "node {id}");
    }
}

/// Has the records before an offset deleted, when they are committed.
fn delete_records(replicated: &Replicated, witness: i32, offset: i64) {
    let leader = replicated.leader(witness);
    eventually("they are committed", || replicated.fetch(leader, 0, "").high_watermark >= offset);
    let partition = DeleteRecordsPartition { partition_index: 0, offset };
    let topic = DeleteRecordsTopic { name: "t".into(), partitions: vec![partition] };
    let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 30_000 };
    let response = replicated.cluster.ask(leader, &request, 2);
    let answer = &response.topics[0].partitions[0];
    assert_eq!((answer.error_code, answer.low_watermark), (ErrorCode::NONE, offset));
}

/// What is deleted ends in the middle of a batch: a new replica gets that batch whole, and has the same log start.
#[test]
fn a_new_replica_begins_in_the_middle_of_a_batch() {
    let replicated = Replicated::new("1");
    let values: Vec<String> = (0..5).map(|n| n.to_string()).collect();
    replicated.produce(replicated.leader(1), ALL, &values).unwrap();
    replicated.settles();
    delete_records(&replicated, 1, 3);
    reassign(&replicated, &[replicated.leader(1)]);
    reassign(&replicated, &[1, 2, 3]);
    for id in 1..=3 {
        eventually("it has what the leader has", || replicated.fetch(id, 3, "").log_start_offset == 3);
        assert_eq!(replicated.fetch(id, 2, "").error_code, ErrorCode::OFFSET_OUT_OF_RANGE, "node {id}");
    }
    replicated.settles();
}

/// The same for one that has records of another history there: they are deleted, or go.
#[test]
fn a_diverged_replica_goes_on_in_the_middle_of_a_batch() {
    let mut replicated = Replicated::new("1");
    let (old, witness) = leader_dies_ahead(&mut replicated);
    let new = replicated.leader(witness);
    let values: Vec<String> = (0..30).map(|n| n.to_string()).collect();
    let mut base_offset = -1;
    eventually("it takes records", || {
        replicated.produce(new, LEADER, &values).is_ok_and(|offset| {
            base_offset = offset;
            true
        })
    });
    delete_records(&replicated, witness, base_offset + 3);
    replicated.cluster.start_all(&[old]);
    replicated.settles();
    for id in 1..=3 {
        let found = replicated.fetch(id, base_offset + 3, "");
        assert_eq!(
            (found.error_code, found.log_start_offset),
            (ErrorCode::NONE, base_offset + 3),
            "node {id}"
        );
        assert_eq!(found.high_watermark, base_offset + 30, "node {id}");
    }
}

/// It is alive, and the lead that it had goes to another one while the metadata does not know it.
#[test]
fn a_leader_that_was_unregistered_follows_when_it_is_registered_again() {
    let replicated = Replicated::new("1");
    replicated.produce_until_acknowledged(1, "a");
    let old = replicated.leader(1);
    let request = UnregisterBrokerRequest { broker_id: old };
    assert_eq!(replicated.cluster.ask(old, &request, 0).error_code, ErrorCode::NONE);
    let witness = old % 3 + 1;
    eventually("another one leads", || ![old, -1].contains(&replicated.leader(witness)));
    replicated.settles();
    let refused = replicated.produce(old, LEADER, &["lost".to_owned()]);
    assert!(
        replicated.leader(old) == old || refused == Err(ErrorCode::NOT_LEADER_OR_FOLLOWER),
        "{refused:?}"
    );
}
