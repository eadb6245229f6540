//! Nodes join, hand on what only the controller can do, leave, and die.

use std::time::Duration;

use klamm_protocol::ErrorCode;
use klamm_protocol::messages::create_topics_request::CreatableTopic;
use klamm_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use klamm_protocol::messages::{
    CreateTopicsRequest, DescribeClusterRequest, DescribeQuorumRequest, MetadataRequest,
    UnregisterBrokerRequest, UnregisterControllerRequest,
};

use crate::cluster::{Cluster, Role, eventually};

const THREE: &[Role] = &[Role::Both, Role::Both, Role::Both];
const SPLIT: &[Role] = &[Role::Controller, Role::Broker, Role::Broker];

#[test]
fn three_combined_nodes_find_each_other() {
    let cluster = Cluster::started(THREE);
    for id in 1..=3 {
        eventually("all brokers are alive", || cluster.alive(id) == [1, 2, 3]);
    }
    let controller = cluster.active_controller(1);
    assert!((1..=3).contains(&controller));
}

#[test]
fn brokers_and_a_controller_apart() {
    let cluster = Cluster::started(SPLIT);
    for id in 2..=3 {
        eventually("both brokers are alive", || cluster.alive(id) == [2, 3]);
    }
}

/// The ids of the controllers that are registered, as one of them knows it.
fn controllers(cluster: &Cluster, asked: i32) -> Vec<i32> {
    let request = DescribeClusterRequest { endpoint_type: 2, ..Default::default() };
    let response = cluster.ask_controller(asked, &request, 2);
    response.brokers.iter().map(|node| node.broker_id).collect()
}

#[test]
fn a_controller_is_forgotten_when_it_is_asked_for() {
    let mut cluster = Cluster::started(THREE);
    eventually("all controllers are registered", || controllers(&cluster, 1) == [1, 2, 3]);
    cluster.kill(3);
    let gone = UnregisterControllerRequest { controller_id: 3 };
    assert_eq!(cluster.ask(1, &gone, 0).error_code, ErrorCode::NONE);
    eventually("it is gone", || (1..=2).all(|id| controllers(&cluster, id) == [1, 2]));
    let active = cluster.active_controller(1);
    let again = cluster.ask_controller(active, &gone, 0);
    assert_eq!(again.error_code, ErrorCode::CONTROLLER_ID_NOT_REGISTERED);
    let other = cluster.ask_controller(3 - active, &gone, 0);
    assert_eq!(other.error_code, ErrorCode::NOT_CONTROLLER);
}

#[test]
fn a_broker_that_finds_no_controller_gives_up_when_its_time_is_over() {
    for (roles, alone) in [(THREE, 1), (SPLIT, 2)] {
        let mut cluster = Cluster::new(roles, &["initial.broker.registration.timeout.ms=300"]);
        cluster.begin(alone);
        let expected = format!(
            "broker {alone} could not register within 300 ms (initial.broker.registration.timeout.ms): \
             no active controller answered"
        );
        let refusal = cluster.refusal(alone);
        assert!(refusal.starts_with(&expected), "{refusal}");
    }
}

#[test]
fn any_broker_makes_a_topic() {
    let cluster = Cluster::started(THREE);
    for (by, name) in [(1, "one"), (2, "two"), (3, "three")] {
        assert_eq!(cluster.create_topic(by, name, 3), ErrorCode::NONE);
        assert_eq!(cluster.create_topic(by, name, 3), ErrorCode::TOPIC_ALREADY_EXISTS);
    }
    for id in 1..=3 {
        eventually("all topics are known", || cluster.metadata(id).topics.len() == 3);
    }
}

/// A broker that has registered gets replicas while it is not yet ready. They are no strays, though the image that it has when it looks
/// for those may be the one before them.
#[test]
fn replicas_that_are_placed_on_a_starting_broker_stay() {
    let mut cluster = Cluster::new(SPLIT, &[]);
    cluster.start_all(&[1, 2]);
    cluster.begin(3);
    let mut made = 0;
    while !cluster.has_become_ready(3) {
        let topic = CreatableTopic {
            name: format!("t{made}").into(),
            num_partitions: 20,
            replication_factor: 2,
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
        match cluster.ask(2, &request, 7).topics[0].error_code {
            ErrorCode::NONE => made += 1,
            error_code => assert_eq!(error_code, ErrorCode::INVALID_REPLICATION_FACTOR),
        }
    }
    let is_replica = |name: &String| name.starts_with('t');
    eventually("all replicas are there", || {
        cluster.folders(3).iter().filter(|name| is_replica(name)).count() == 20 * made
    });
    let folders = cluster.folders(3);
    let strays: Vec<_> = folders.iter().filter(|name| name.ends_with("-stray")).collect();
    assert!(strays.is_empty(), "{strays:?}");
}

/// Its epoch is stale from then on, whatever it waits for.
#[test]
fn a_broker_that_is_unregistered_while_it_starts_registers_again() {
    let mut cluster = Cluster::new(SPLIT, &[]);
    cluster.start_all(&[1, 2]);
    cluster.begin(3);
    let mut forgotten = 0;
    while forgotten < 3 && !cluster.has_become_ready(3) {
        let request = UnregisterBrokerRequest { broker_id: 3 };
        match cluster.ask(2, &request, 0).error_code {
            ErrorCode::NONE => forgotten += 1,
            error_code => assert_eq!(error_code, ErrorCode::BROKER_ID_NOT_REGISTERED),
        }
    }
    assert!(forgotten > 0, "it was registered before it was ready");
    eventually("it is alive", || cluster.alive(2) == [2, 3]);
}

#[test]
fn a_topic_that_is_asked_for_is_there_at_once() {
    let cluster = Cluster::started(SPLIT);
    for (id, name) in [(2, "two"), (3, "three")] {
        let topic = klamm_protocol::messages::metadata_request::MetadataRequestTopic {
            name: Some(name.into()),
            ..Default::default()
        };
        let request = MetadataRequest {
            topics: Some(vec![topic]),
            allow_auto_topic_creation: true,
            ..MetadataRequest::default()
        };
        assert_eq!(cluster.ask(id, &request, 12).topics[0].error_code, ErrorCode::NONE);
    }
}

#[test]
fn a_controller_that_is_not_active_says_so() {
    let cluster = Cluster::started(THREE);
    let active = cluster.active_controller(1);
    let standby = (1..=3).find(|id| *id != active).unwrap();
    let topic =
        CreatableTopic { name: "t".into(), num_partitions: 1, replication_factor: 1, ..Default::default() };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 1000, ..Default::default() };
    let refused = cluster.ask_controller(standby, &request, 7);
    assert_eq!(refused.topics[0].error_code, ErrorCode::NOT_CONTROLLER);
    assert_eq!(cluster.ask_controller(active, &request, 7).topics[0].error_code, ErrorCode::NONE);
}

/// Kafka's session timeout, 9 s, has not passed by then.
#[test]
fn a_killed_broker_is_fenced_at_once() {
    let mut cluster = Cluster::started(SPLIT);
    eventually("both brokers are alive", || cluster.alive(2) == [2, 3]);
    cluster.kill(3);
    let took = eventually("the killed one is fenced", || cluster.alive(2) == [2]);
    assert!(took < Duration::from_secs(3), "{took:?}");
    let fenced: Vec<_> =
        cluster.describe(2).brokers.iter().filter(|b| b.is_fenced).map(|b| b.broker_id).collect();
    assert_eq!(fenced, [3]);
    cluster.start_all(&[3]);
    eventually("it is back", || cluster.alive(2) == [2, 3]);
}

#[test]
fn a_killed_broker_can_start_again_at_once() {
    let mut cluster = Cluster::started(SPLIT);
    for _ in 0..3 {
        cluster.kill(3);
        let began = std::time::Instant::now();
        cluster.start_all(&[3]);
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
    eventually("it is back", || cluster.alive(2) == [2, 3]);
}

#[test]
fn a_killed_controller_takes_its_broker_along() {
    let mut cluster = Cluster::started(THREE);
    eventually("all brokers are alive", || cluster.alive(1).len() == 3);
    let dead = cluster.active_controller(1);
    let left: Vec<i32> = (1..=3).filter(|id| *id != dead).collect();
    cluster.kill(dead);
    let took = eventually("the killed one is fenced", || cluster.alive(left[0]) == left);
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(cluster.create_topic(left[1], "after", 2), ErrorCode::NONE);
    cluster.start_all(&[dead]);
    eventually("it is back", || cluster.alive(left[0]) == [1, 2, 3]);
}

#[test]
fn a_broker_that_stops_hands_its_leaderships_over() {
    let mut cluster = Cluster::started(SPLIT);
    eventually("both brokers are alive", || cluster.alive(2) == [2, 3]);
    assert_eq!(cluster.create_topic(2, "t", 2), ErrorCode::NONE);
    eventually("it is known", || cluster.metadata(2).topics.len() == 1);
    let leader = cluster.metadata(2).topics[0].partitions[0].leader_id;
    let other = 5 - leader;
    let took = cluster.stop(leader);
    assert!(took < Duration::from_millis(1500), "it waited for a heartbeat of the other: {took:?}");
    let partition = cluster.metadata(other).topics[0].partitions[0].clone();
    assert_eq!((partition.leader_id, partition.error_code), (other, ErrorCode::NONE));
    assert_eq!(cluster.alive(other), [other]);
    cluster.start_all(&[leader]);
    eventually("it is back", || cluster.alive(other) == [2, 3]);
}

#[test]
fn all_nodes_stop_and_start_again() {
    let mut cluster = Cluster::started(THREE);
    assert_eq!(cluster.create_topic(1, "kept", 3), ErrorCode::NONE);
    for id in 1..=3 {
        cluster.stop(id);
    }
    cluster.start_all(&[1, 2, 3]);
    eventually("all brokers are alive", || cluster.alive(2) == [1, 2, 3]);
    assert_eq!(cluster.metadata(3).topics.len(), 1);
}

/// Nodes can tell a metadata log that stands still from one in which nothing happens.
#[test]
fn metadata_goes_on_while_nothing_happens() {
    let cluster = Cluster::started(&[Role::Controller, Role::Broker]);
    let high_watermark = || {
        let partition = PartitionData { partition_index: 0 };
        let topic = TopicData { topic_name: "__cluster_metadata".into(), partitions: vec![partition] };
        let request = DescribeQuorumRequest { topics: vec![topic] };
        cluster.ask_controller(1, &request, 2).topics[0].partitions[0].high_watermark
    };
    eventually("the broker is alive", || cluster.alive(2) == [2]);
    let before = high_watermark();
    eventually("records that change nothing are written", || high_watermark() >= before + 5);
}
