//! A consumer in a group, against a scripted coordinator.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use klamm_client::{CommitError, Consumer, ConsumerConfig, ErrorCode, Event, GroupOffset, TopicPartition};
use klamm_protocol::messages::join_group_response::JoinGroupResponseMember;
use klamm_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use klamm_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use klamm_protocol::messages::{
    FetchResponse, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupResponse,
    MetadataRequest, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchResponse, SyncGroupRequest,
    SyncGroupResponse,
};
use klamm_protocol::{ApiKey, Uuid};

use crate::fake_broker::{FakeCluster, Incoming, Reply, TOPIC, TOPIC_ID, metadata};

/// The leader epoch that was committed with the offset.
pub(crate) const COMMITTED_EPOCH: i32 = 3;

/// A coordinator with one member, whose committed offset is 42, and which rebalances once.
#[derive(Default)]
struct Coordinator {
    rebalances: Mutex<usize>,
}

impl Coordinator {
    fn reply(&self, request: &Incoming) -> Option<Reply> {
        match request.key {
            ApiKey::JoinGroup => Some(join(request, 1)),
            ApiKey::SyncGroup => Some(sync(request)),
            ApiKey::Heartbeat => Some(self.heartbeat()),
            ApiKey::OffsetFetch => Some(offset_fetch()),
            ApiKey::OffsetCommit => Some(offset_commit(ErrorCode::NONE)),
            ApiKey::LeaveGroup => Some(Reply::answer(LeaveGroupResponse::default())),
            ApiKey::Fetch => Some(Reply::answer(FetchResponse::default())),
            _ => None,
        }
    }

    fn heartbeat(&self) -> Reply {
        let mut rebalances = self.rebalances.lock().expect("no panic");
        *rebalances += 1;
        let error_code = if *rebalances == 1 { ErrorCode::REBALANCE_IN_PROGRESS } else { ErrorCode::NONE };
        Reply::answer(HeartbeatResponse { error_code, ..Default::default() })
    }
}

/// Asks for the name first, then makes the member the leader of itself.
fn join(request: &Incoming, generation_id: i32) -> Reply {
    let request: JoinGroupRequest<'_> = request.decode();
    if request.member_id.is_empty() {
        let error_code = ErrorCode::MEMBER_ID_REQUIRED;
        return Reply::answer(JoinGroupResponse {
            error_code,
            member_id: "m".into(),
            protocol_name: None,
            ..Default::default()
        });
    }
    let metadata = request.protocols[0].metadata.clone().into_owned();
    Reply::answer(JoinGroupResponse {
        generation_id,
        protocol_type: Some("consumer".into()),
        protocol_name: Some(request.protocols[0].name.to_string().into()),
        leader: "m".into(),
        member_id: "m".into(),
        members: vec![JoinGroupResponseMember {
            member_id: "m".into(),
            metadata: metadata.into(),
            ..Default::default()
        }],
        ..Default::default()
    })
}

/// Gives the leader's own assignment back.
fn sync(request: &Incoming) -> Reply {
    let request: SyncGroupRequest<'_> = request.decode();
    let assignment = request.assignments.first().map(|a| a.assignment.clone().into_owned());
    Reply::answer(SyncGroupResponse {
        assignment: assignment.unwrap_or_default().into(),
        ..Default::default()
    })
}

pub(crate) fn offset_fetch() -> Reply {
    let partition = OffsetFetchResponsePartitions {
        committed_offset: 42,
        committed_leader_epoch: COMMITTED_EPOCH,
        ..Default::default()
    };
    let topic =
        OffsetFetchResponseTopics { name: TOPIC.into(), topic_id: TOPIC_ID, partitions: vec![partition] };
    let group = OffsetFetchResponseGroup { topics: vec![topic], ..Default::default() };
    Reply::answer(OffsetFetchResponse { groups: vec![group], ..Default::default() })
}

fn offset_commit(error_code: ErrorCode) -> Reply {
    let partition = OffsetCommitResponsePartition { error_code, ..Default::default() };
    let topic =
        OffsetCommitResponseTopic { name: TOPIC.into(), topic_id: TOPIC_ID, partitions: vec![partition] };
    Reply::answer(OffsetCommitResponse { topics: vec![topic], ..Default::default() })
}

fn consumer(cluster: &FakeCluster, settings: &[(&str, &str)]) -> Consumer {
    let servers = cluster.bootstrap();
    let base = [
        ("bootstrap.servers", servers.as_str()),
        ("group.id", "g"),
        ("retry.backoff.ms", "1"),
        ("heartbeat.interval.ms", "5"),
    ];
    let config = ConsumerConfig::from_properties(base.into_iter().chain(settings.iter().copied()));
    Consumer::new(config.expect("valid")).expect("valid")
}

#[tokio::test]
async fn a_member_joins_is_rebalanced_and_leaves() {
    let coordinator = Coordinator::default();
    let cluster = FakeCluster::start(1, 1, move |request| coordinator.reply(request)).await;
    let mut consumer = consumer(&cluster, &[]);
    consumer.subscribe([TOPIC]).expect("a group");
    let mine = vec![TopicPartition::new(TOPIC, 0)];
    let mut events = Vec::new();
    for _ in 0..3 {
        events.push(consumer.next().await.expect("an event"));
    }
    let shown: Vec<String> = events.iter().map(|event| format!("{event:?}")).collect();
    let expected =
        [Event::Assigned(mine.clone()), Event::Revoked(mine.clone()), Event::Assigned(mine.clone())];
    assert_eq!(shown, expected.map(|event| format!("{event:?}")));
    assert_eq!(consumer.assignment(), mine);
    consumer.close().await.expect("left");
    let joins = cluster.received(ApiKey::JoinGroup);
    let members: Vec<String> =
        joins.iter().map(|r| r.decode::<JoinGroupRequest<'_>>().member_id.into_owned()).collect();
    assert_eq!(members, ["", "m", "m"]);
    assert_eq!(cluster.received(ApiKey::LeaveGroup).len(), 1);
}

#[tokio::test]
async fn commits_carry_the_members_name_and_generation() {
    let coordinator = Coordinator { rebalances: Mutex::new(1) };
    let cluster = FakeCluster::start(1, 1, move |request| coordinator.reply(request)).await;
    let mut consumer = consumer(&cluster, &[("enable.auto.commit", "false")]);
    consumer.subscribe([TOPIC]).expect("a group");
    let assigned = consumer.next().await.expect("an event");
    assert!(matches!(assigned, Event::Assigned(_)), "{assigned:?}");
    let partition = TopicPartition::new(TOPIC, 0);
    let committed = consumer.committed(std::slice::from_ref(&partition)).await.expect("answered");
    let offset = GroupOffset { leader_epoch: Some(COMMITTED_EPOCH), ..GroupOffset::new(42) };
    assert_eq!(committed, BTreeMap::from([(partition.clone(), offset)]));
    consumer.commit_offsets(&[(partition, GroupOffset::new(50))].into()).await.expect("committed");
    let sent = cluster.received(ApiKey::OffsetCommit);
    let request: OffsetCommitRequest<'_> = sent[0].decode();
    assert_eq!((&*request.member_id, request.generation_id_or_member_epoch), ("m", 1));
    assert_eq!(request.topics[0].partitions[0].committed_offset, 50);
}

/// The member loses its place while its commit is tried again; then the partition may be another's, also in a generation of the
/// same number, which a coordinator that was restarted gives out.
#[tokio::test]
async fn a_commit_is_not_tried_again_once_the_partitions_are_lost() {
    let coordinator = Coordinator { rebalances: Mutex::new(1) };
    let joins = AtomicI32::new(0);
    let cluster = FakeCluster::start(1, 1, move |request| match request.key {
        ApiKey::JoinGroup => {
            let is_named = !request.decode::<JoinGroupRequest<'_>>().member_id.is_empty();
            joins.fetch_add(i32::from(is_named), Ordering::Relaxed);
            Some(join(request, 1))
        }
        ApiKey::OffsetCommit if joins.load(Ordering::Relaxed) < 2 => {
            Some(offset_commit(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS))
        }
        ApiKey::Heartbeat if joins.load(Ordering::Relaxed) < 2 => {
            let error_code = ErrorCode::UNKNOWN_MEMBER_ID;
            Some(Reply::answer(HeartbeatResponse { error_code, ..Default::default() }))
        }
        _ => coordinator.reply(request),
    })
    .await;
    let mut consumer = consumer(&cluster, &[("enable.auto.commit", "false")]);
    consumer.subscribe([TOPIC]).expect("a group");
    let assigned = consumer.next().await.expect("an event");
    assert!(matches!(assigned, Event::Assigned(_)), "{assigned:?}");
    let offsets = [(TopicPartition::new(TOPIC, 0), GroupOffset::new(50))].into();
    let refused = consumer.commit_offsets(&offsets).await.expect_err("lost");
    assert!(matches!(refused, CommitError::Refused { code: ErrorCode::ILLEGAL_GENERATION, .. }), "{refused}");
}

/// A subscription to a topic that only the other member reads.
fn other_member() -> JoinGroupResponseMember<'static> {
    let subscription = [&[0, 0, 0, 0, 0, 1, 0, 5][..], b"other", &[0xff; 4]].concat();
    JoinGroupResponseMember { member_id: "n".into(), metadata: subscription.into(), ..Default::default() }
}

/// The leader assigns them all, and so looks after them all.
#[tokio::test]
async fn the_leader_notices_a_topic_that_only_another_member_reads() {
    let coordinator = Coordinator { rebalances: Mutex::new(1) };
    let asked = AtomicI32::new(0);
    let cluster = FakeCluster::start(1, 1, move |request| match request.key {
        ApiKey::JoinGroup if !request.decode::<JoinGroupRequest<'_>>().member_id.is_empty() => {
            let joining: JoinGroupRequest<'_> = request.decode();
            let metadata = joining.protocols[0].metadata.clone().into_owned();
            let own = JoinGroupResponseMember {
                member_id: "m".into(),
                metadata: metadata.into(),
                ..Default::default()
            };
            Some(Reply::answer(JoinGroupResponse {
                generation_id: 1,
                protocol_type: Some("consumer".into()),
                protocol_name: Some(joining.protocols[0].name.to_string().into()),
                leader: "m".into(),
                member_id: "m".into(),
                members: vec![own, other_member()],
                ..Default::default()
            }))
        }
        ApiKey::Metadata => {
            let asks: MetadataRequest<'_> = request.decode();
            let is_asked = asks.topics.iter().flatten().any(|topic| topic.name.as_deref() == Some("other"));
            let mut response = metadata(&request.ports, 1, |_| (1, 0));
            // It is created after the first assignment.
            if is_asked && asked.fetch_add(1, Ordering::Relaxed) > 0 {
                let mut other = response.topics[0].clone();
                (other.name, other.topic_id) = (Some("other".into()), Uuid::from_u128(2));
                response.topics.push(other);
            }
            Some(Reply::answer(response))
        }
        _ => coordinator.reply(request),
    })
    .await;
    let mut consumer = consumer(&cluster, &[("enable.auto.commit", "false"), ("metadata.max.age.ms", "20")]);
    consumer.subscribe([TOPIC]).expect("a group");
    for expected in ["Assigned", "Revoked", "Assigned"] {
        let event = format!("{:?}", consumer.next().await.expect("an event"));
        assert!(event.starts_with(expected), "{event}");
    }
}

/// The member is forgotten and does not get back into the group.
#[tokio::test]
async fn who_is_no_member_any_more_commits_nothing() {
    let coordinator = Coordinator { rebalances: Mutex::new(1) };
    let is_lost = AtomicBool::new(false);
    let cluster = FakeCluster::start(1, 1, move |request| match request.key {
        ApiKey::Heartbeat => {
            is_lost.store(true, Ordering::Relaxed);
            let error_code = ErrorCode::UNKNOWN_MEMBER_ID;
            Some(Reply::answer(HeartbeatResponse { error_code, ..Default::default() }))
        }
        ApiKey::JoinGroup if is_lost.load(Ordering::Relaxed) => Some(Reply::Silence),
        _ => coordinator.reply(request),
    })
    .await;
    let mut consumer = consumer(&cluster, &[("enable.auto.commit", "false")]);
    consumer.subscribe([TOPIC]).expect("a group");
    let assigned = consumer.next().await.expect("an event");
    assert!(matches!(assigned, Event::Assigned(_)), "{assigned:?}");
    while !consumer.assignment().is_empty() {
        tokio::task::yield_now().await;
    }
    let is_refused = |result| {
        matches!(result, Err(CommitError::Refused { code: ErrorCode::ILLEGAL_GENERATION, partition: None }))
    };
    assert!(is_refused(consumer.commit().await), "nobody has told the application of the loss");
    let lost = consumer.next().await.expect("an event");
    assert!(matches!(lost, Event::Lost(_)), "{lost:?}");
    let offsets = [(TopicPartition::new(TOPIC, 0), GroupOffset::new(50))].into();
    assert!(is_refused(consumer.commit_offsets(&offsets).await), "not in the name of nobody");
    consumer.commit().await.expect("there is nothing to commit");
    assert!(cluster.received(ApiKey::OffsetCommit).is_empty());
}
