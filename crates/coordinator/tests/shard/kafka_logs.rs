//! Logs that Kafka 4.4 wrote, replayed: groups of all kinds, transactions and tombstones.

use klamm_coordinator::{GroupSettings, Moment, RequestContext, RequestId, Response, Shard, partition_for};
use klamm_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use klamm_protocol::messages::{
    JoinGroupRequest, ListGroupsRequest, join_group_request::JoinGroupRequestProtocol,
};
use klamm_records::{ControlType, RecordIter, batches};

/// A shard that has replayed `__consumer_offsets-N`, as a broker does when it becomes its leader.
fn replay(partition: i32) -> (Shard, i64) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/golden/files");
    let file = format!("{folder}/__consumer_offsets-{partition}/00000000000000000000.log");
    let bytes = std::fs::read(file).expect("the golden log");
    let mut shard = Shard::new(GroupSettings::default());
    shard.start_loading();
    let mut end_offset = 0;
    for batch in batches(&bytes) {
        let batch = batch.expect("a whole batch");
        let header = batch.header();
        let producer_id = if header.attributes.is_transactional() { header.producer_id } else { -1 };
        for record in RecordIter::new(header, batch.body()) {
            let record = record.expect("a whole record");
            if header.attributes.is_control() {
                let is_commit = ControlType::of(&record) == Ok(ControlType::Commit);
                shard.replay_marker(record.offset, producer_id, is_commit);
            } else {
                let key = record.key.expect("a key");
                shard.replay_bytes(record.offset, producer_id, key, record.value).expect("a known record");
            }
            shard.check_invariants();
            end_offset = record.offset + 1;
        }
    }
    shard.finish_loading(end_offset, NOW);
    shard.check_invariants();
    (shard, end_offset)
}

/// A moment after what the logs tell.
const NOW: Moment = Moment { monotonic_ms: 1_795_361_200_000, wall_ms: 1_795_361_200_000 };

fn context(request: u64) -> RequestContext<'static> {
    RequestContext {
        request: RequestId(request),
        api_version: 9,
        client_id: "c",
        client_host: "/127.0.0.1",
        now: NOW,
    }
}

/// Every offset of a group, as text.
fn offsets(shard: &mut Shard, group_id: &str) -> Vec<String> {
    let request = OffsetFetchRequestGroup {
        group_id: group_id.into(),
        topics: None,
        ..OffsetFetchRequestGroup::default()
    };
    let step = shard.offset_fetch(&context(1), &request, true);
    let [answer] = &step.answers[..] else { panic!("one answer") };
    let Response::OffsetFetch(group) = &answer.response else { panic!("an answer to a fetch") };
    let topics = group.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|at| {
            let metadata = at.metadata.as_deref().unwrap_or("null");
            let (index, offset, epoch) = (at.partition_index, at.committed_offset, at.committed_leader_epoch);
            format!("{}-{index}={offset}@{epoch} {metadata:?} {}", topic.name, at.error_code)
        })
    });
    topics.collect()
}

fn groups(shard: &Shard) -> Vec<String> {
    let listed = shard.list_groups(&ListGroupsRequest::default()).expect("an active shard");
    listed.iter().map(|it| format!("{} {:?} {}", it.group_id, it.protocol_type, it.group_state)).collect()
}

#[test]
fn partition_0_is_as_kafka_left_it() {
    let (mut shard, end_offset) = replay(0);
    assert_eq!(end_offset, 125);
    let expected = [
        "join-1 \"consumer\" Empty",
        "join-3 \"consumer\" Empty",
        "join-5 \"consumer\" Empty",
        "join-7 \"consumer\" Empty",
        "join-9 \"consumer\" Empty",
        "leave-4 \"consumer\" Empty",
        "simple \"\" Empty",
        "sync-0 \"consumer\" Empty",
        "sync-2 \"consumer\" Empty",
        "sync-4 \"consumer\" Empty",
        "tx-group \"\" Empty",
    ];
    assert_eq!(groups(&shard), expected);
    // Within a transaction that was committed.
    assert_eq!(offsets(&mut shard, "tx-group"), ["codecs-0=3@0 \"m\" NONE"]);
}

#[test]
fn partition_1_is_as_kafka_left_it() {
    let (mut shard, end_offset) = replay(1);
    assert_eq!(end_offset, 133);
    let expected = [
        "java-classic \"consumer\" Empty",
        "join-0 \"consumer\" Empty",
        "join-2 \"consumer\" Empty",
        "join-4 \"consumer\" Empty",
        "join-6 \"consumer\" Empty",
        "join-8 \"consumer\" Empty",
        "leave-5 \"consumer\" Empty",
        "sync-1 \"consumer\" Empty",
        "sync-3 \"consumer\" Empty",
        "sync-5 \"consumer\" Empty",
        "txng \"\" Empty",
    ];
    assert_eq!(groups(&shard), expected);
    assert_eq!(offsets(&mut shard, "sync-1"), ["golden-0=10@0 \"\" NONE"]);
    assert_eq!(offsets(&mut shard, "java-classic"), ["codecs-0=16@0 \"\" NONE", "txn-0=14@0 \"\" NONE"]);
    let of_consumer = ["txn-0=14@0 \"\" NONE", "words-0=0@-1 \"\" NONE", "words-1=0@-1 \"\" NONE"];
    assert_eq!(offsets(&mut shard, "java-consumer"), of_consumer);
    // Seven transactions, the fourth, second and sixth of them aborted: the last commit counts.
    assert_eq!(offsets(&mut shard, "txng"), ["golden-0=6@0 \"txn\" NONE"]);
}

#[test]
fn every_group_is_in_its_partition() {
    for partition in 0..2 {
        let (shard, _) = replay(partition);
        let listed = shard.list_groups(&ListGroupsRequest::default()).expect("an active shard");
        assert!(listed.iter().all(|group| partition_for(&group.group_id, 2) == partition));
    }
}

#[test]
fn a_group_of_another_kind_is_not_described_as_classic() {
    let (shard, _) = replay(1);
    let described = shard.describe_group("java-consumer", 6);
    assert_eq!(described.error_code.to_string(), "GROUP_ID_NOT_FOUND");
    assert_eq!(described.error_message.as_deref(), Some("Group java-consumer is not a classic group."));
}

#[test]
fn classic_members_may_not_join_a_share_group_but_may_take_over_an_empty_consumer_group() {
    let (mut shard, _) = replay(1);
    let join = |group_id: &'static str| JoinGroupRequest {
        group_id: group_id.into(),
        session_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".into(), metadata: vec![0, 0].into() }],
        ..JoinGroupRequest::default()
    };
    let code = |step: &klamm_coordinator::Step<'_>| match &step.answers[..] {
        [answer] => match &answer.response {
            Response::JoinGroup(response) => response.error_code.to_string(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let step = shard.join_group(&context(1), &join("share-1"), 1);
    assert_eq!((code(&step).as_str(), step.write), ("INCONSISTENT_GROUP_PROTOCOL", None));

    let mut step = shard.join_group(&context(2), &join("consumer-0"), 2);
    assert_eq!(code(&step), "MEMBER_ID_REQUIRED");
    let write = step.write.take().expect("the group changes its kind");
    let kinds: Vec<_> =
        write.records.iter().map(|record| (record.key.key(), record.value.is_some())).collect();
    // The target assignment's metadata and the group itself are all that was left of it.
    assert_eq!(kinds, [(6, false), (3, false), (2, true)]);
    shard.appended(write, 133, Moment::default());
    shard.check_invariants();
    assert_eq!(shard.describe_group("consumer-0", 6).group_state, "Empty");
}

#[test]
fn a_record_of_an_unknown_kind_is_left_alone_and_a_broken_one_is_an_error() {
    let mut shard = Shard::new(GroupSettings::default());
    shard.start_loading();
    assert_eq!(shard.replay_bytes(0, -1, &[0x70, 0], Some(&[1, 2, 3])), Ok(()));
    assert!(shard.replay_bytes(1, -1, &[0, 1, 0, 9], None).is_err());
}
