//! Offsets beyond the flows: transactions as they are replayed, many at once, and old records.

use crate::driver::{Driver, Event};
use klamm_coordinator::{GroupSettings, Moment, Response, Shard};
use klamm_protocol::Uuid;
use klamm_protocol::coordinator_record::{GroupKey, GroupValue};
use klamm_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use klamm_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use klamm_protocol::messages::{
    LegacyOffsetCommitKey, LegacyOffsetCommitValue, OffsetCommitKey, OffsetCommitRequest, OffsetCommitValue,
};

const NO_PRODUCER: i64 = -1;

fn replay(shard: &mut Shard, record_offset: i64, producer_id: i64, offset: Option<i64>) {
    let key = GroupKey::from(OffsetCommitKey { group: "g".into(), topic: "t".into(), partition: 0 });
    let value =
        offset.map(|offset| GroupValue::from(OffsetCommitValue { offset, ..OffsetCommitValue::default() }));
    shard.replay(record_offset, producer_id, &key, value.as_ref());
    shard.check_invariants();
}

/// The offset of `t-0` as a fetch sees it: `(offset, error)`.
fn fetch(driver: &mut Driver, require_stable: bool) -> (i64, String) {
    let context = driver.context(9, "");
    let request = OffsetFetchRequestGroup {
        group_id: "g".into(),
        topics: Some(vec![OffsetFetchRequestTopics {
            name: "t".into(),
            partition_indexes: vec![0],
            ..OffsetFetchRequestTopics::default()
        }]),
        ..OffsetFetchRequestGroup::default()
    };
    let answer =
        driver.shard.offset_fetch(&context, &request, require_stable).answers.pop().expect("an answer");
    let Response::OffsetFetch(group) = answer.response else { panic!("an answer to a fetch") };
    let at = &group.topics[0].partitions[0];
    (at.committed_offset, at.error_code.to_string())
}

/// What is in the log, each with its producer.
enum Entry {
    /// A committed offset, or its tombstone.
    Offset(i64, Option<i64>),
    /// The end of a transaction, committed or not.
    Marker(i64, bool),
}

struct Case {
    name: &'static str,
    log: Vec<Entry>,
    /// What a fetch that requires stable offsets sees.
    stable: (i64, &'static str),
    /// What one that does not sees.
    unstable: i64,
}

#[test]
fn transactions_count_when_their_marker_says_so() {
    use Entry::{Marker, Offset};
    let case = |name, log, stable, unstable| Case { name, log, stable, unstable };
    let undecided = (-1, "UNSTABLE_OFFSET_COMMIT");
    let plain = |offset| Offset(NO_PRODUCER, offset);
    let cases = [
        case("open", vec![Offset(7, Some(1))], undecided, -1),
        case("open over an older one", vec![plain(Some(1)), Offset(7, Some(2))], undecided, 1),
        case("committed", vec![Offset(7, Some(1)), Marker(7, true)], (1, "NONE"), 1),
        case("aborted", vec![Offset(7, Some(1)), Marker(7, false)], (-1, "NONE"), -1),
        case("one of two open", vec![Offset(7, Some(1)), Offset(8, Some(2)), Marker(8, true)], undecided, 2),
        case(
            "the later record counts",
            vec![Offset(7, Some(1)), Offset(8, Some(2)), Marker(8, true), Marker(7, true)],
            (2, "NONE"),
            2,
        ),
        case(
            "a plain one is later",
            vec![Offset(7, Some(1)), plain(Some(2)), Marker(7, true)],
            (2, "NONE"),
            2,
        ),
        case("a tombstone", vec![Offset(7, Some(1)), plain(None), Marker(7, true)], (-1, "NONE"), -1),
        case("a marker of nothing", vec![plain(Some(1)), Marker(7, true)], (1, "NONE"), 1),
    ];
    for Case { name, log, stable, unstable } in cases {
        let mut driver = Driver::new(GroupSettings::default());
        driver.shard = Shard::new(GroupSettings::default());
        driver.shard.start_loading();
        let end_offset = log.len() as i64;
        for (record_offset, entry) in (0..).zip(log) {
            match entry {
                Offset(producer_id, offset) => replay(&mut driver.shard, record_offset, producer_id, offset),
                Marker(producer_id, is_commit) => {
                    driver.shard.replay_marker(record_offset, producer_id, is_commit);
                    driver.shard.check_invariants();
                }
            }
        }
        driver.shard.finish_loading(end_offset, Moment::default());
        assert_eq!(fetch(&mut driver, true), (stable.0, stable.1.to_owned()), "{name}");
        assert_eq!(
            fetch(&mut driver, false),
            (unstable, "NONE".to_owned()),
            "{name}, not required to be stable"
        );
    }
}

#[test]
fn the_oldest_kind_of_record_is_read_too() {
    let mut driver = Driver::new(GroupSettings::default());
    driver.shard = Shard::new(GroupSettings::default());
    driver.shard.start_loading();
    let key = GroupKey::from(LegacyOffsetCommitKey { group: "g".into(), topic: "t".into(), partition: 0 });
    let value = LegacyOffsetCommitValue { offset: 5, metadata: "m".into(), commit_timestamp: 1 };
    driver.shard.replay(0, NO_PRODUCER, &key, Some(&GroupValue::from(value)));
    driver.shard.finish_loading(1, Moment::default());
    assert_eq!(fetch(&mut driver, true), (5, "NONE".to_owned()));
}

fn commit_many(driver: &mut Driver, partitions: i32) {
    let partition = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_metadata: None,
        ..OffsetCommitRequestPartition::default()
    };
    let request = OffsetCommitRequest {
        group_id: "g".into(),
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            topic_id: Uuid::from_u128(1),
            partitions: (0..partitions).map(partition).collect(),
        }],
        ..OffsetCommitRequest::default()
    };
    let context = driver.context(9, "");
    let step = driver.shard.offset_commit(&context, &request);
    driver.drive(step, &mut Vec::new());
}

fn tombstones(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Logged(_, record) if record.value.is_none())).count()
}

#[test]
fn many_offsets_go_in_slices_and_a_failed_slice_comes_back() {
    let partitions = 20_000;
    let mut driver = Driver::new(GroupSettings::default());
    commit_many(&mut driver, partitions);
    driver.shard.topics_deleted(&[(Uuid::from_u128(1), "t")], Moment::default());

    let first = driver.shard.on_timer(Moment::default());
    let records = first.write.as_ref().map_or(0, |write| write.records.len());
    assert!((1_000..partitions as usize).contains(&records), "{records} in one slice");
    driver.next_append_error = Some(klamm_protocol::ErrorCode::NOT_ENOUGH_REPLICAS);
    driver.drive(first, &mut Vec::new());

    // Not at once, or an unwilling log would keep the broker busy.
    let mut events = Vec::new();
    driver.run_timers(&mut events);
    assert_eq!(tombstones(&events), 0);
    driver.advance(10_000, &mut events);
    assert_eq!(tombstones(&events), partitions as usize);
    assert_eq!(fetch(&mut driver, true).0, -1);
}

#[test]
fn a_topic_of_the_same_name_keeps_its_offsets() {
    let mut driver = Driver::new(GroupSettings::default());
    commit_many(&mut driver, 1);
    driver.shard.topics_deleted(&[(Uuid::from_u128(2), "t"), (Uuid::from_u128(1), "u")], Moment::default());
    let mut events = Vec::new();
    driver.run_timers(&mut events);
    assert_eq!(tombstones(&events), 0);
    assert_eq!(fetch(&mut driver, true).0, 0);
}
