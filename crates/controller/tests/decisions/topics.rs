//! What CreateTopics and CreatePartitions accept and refuse.

use klamm_metadata::MetadataVersion;
use klamm_protocol::ErrorCode;
use klamm_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use klamm_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use klamm_protocol::messages::{CreatePartitionsRequest, CreateTopicsRequest};

use crate::cluster::{Cluster, assigned, topic};

fn with_config(name: &str, config: &'static str, value: Option<&'static str>) -> CreatableTopic<'static> {
    let mut wanted = topic(name, 1, 1);
    wanted.configs.push(CreatableTopicConfig { name: config.into(), value: value.map(Into::into) });
    wanted
}

#[test]
fn each_topic_is_judged_by_itself() {
    use ErrorCode as E;
    let mut cluster = Cluster::with_brokers(&[1, 2, 3]);
    cluster.create(vec![topic("taken", 1, 1), topic("a.b", 1, 1)]);
    let mut both = assigned("both", &[&[1]]);
    both.num_partitions = 1;
    let mut gap = assigned("gap", &[&[1], &[2]]);
    gap.assignments[1].partition_index = 2;
    let mut twice = assigned("twice", &[&[1], &[2]]);
    twice.assignments[1].partition_index = 0;
    let cases = [
        (topic("good", 3, 3), E::NONE),
        (topic("defaults", -1, -1), E::NONE),
        (assigned("placed", &[&[1, 2], &[2, 3]]), E::NONE),
        (topic("taken", 1, 1), E::TOPIC_ALREADY_EXISTS),
        (topic("a_b", 1, 1), E::INVALID_TOPIC_EXCEPTION),
        (topic("with space", 1, 1), E::INVALID_TOPIC_EXCEPTION),
        (topic("", 1, 1), E::INVALID_TOPIC_EXCEPTION),
        (topic("x1", 0, 1), E::INVALID_PARTITIONS),
        (topic("x2", -2, 1), E::INVALID_PARTITIONS),
        (topic("x3", 1, 0), E::INVALID_REPLICATION_FACTOR),
        (topic("x4", 1, 4), E::INVALID_REPLICATION_FACTOR),
        (both, E::INVALID_REQUEST),
        (gap, E::INVALID_REPLICA_ASSIGNMENT),
        (twice, E::INVALID_REPLICA_ASSIGNMENT),
        (assigned("x5", &[&[1, 1]]), E::INVALID_REPLICA_ASSIGNMENT),
        (assigned("x6", &[&[]]), E::INVALID_REPLICA_ASSIGNMENT),
        (assigned("x7", &[&[9]]), E::INVALID_REPLICA_ASSIGNMENT),
        (assigned("x8", &[&[1], &[1, 2]]), E::INVALID_REPLICA_ASSIGNMENT),
        (with_config("x9", "bad.value", Some("1")), E::INVALID_CONFIG),
        (with_config("x10", "cleanup.policy", None), E::INVALID_CONFIG),
        (topic("__cluster_metadata", 1, 1), E::INVALID_REQUEST),
        (topic("new.one", 1, 1), E::NONE),
        (topic("new_one", 1, 1), E::INVALID_TOPIC_EXCEPTION),
    ];
    let (topics, codes): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    let names: Vec<_> = topics.iter().map(|topic| topic.name.to_string()).collect();
    let response = cluster.create(topics);
    for ((result, code), name) in response.topics.iter().zip(codes).zip(names) {
        assert_eq!(
            (result.error_code, result.name.as_ref()),
            (code, name.as_str()),
            "{:?}",
            result.error_message
        );
        assert_eq!(result.error_message.is_none(), code == E::NONE, "{name}");
    }
    let names: Vec<_> =
        cluster.controller.image().topics.iter().map(|topic| topic.name.to_string()).collect();
    assert_eq!(names, ["a.b", "defaults", "good", "new.one", "placed", "taken"]);
    assert_eq!(cluster.topic("good").partition_count(), 3);
    assert_eq!(*cluster.partition("placed", 1).replicas, [2, 3]);
}

#[test]
fn a_name_given_twice_is_answered_once_and_creates_nothing() {
    let mut cluster = Cluster::with_brokers(&[1]);
    let twice = vec![topic("a", 1, 1), topic("b", 1, 1), topic("a", 2, 1), topic("a", 20_000, 1)];
    let response = cluster.create(twice);
    let answers: Vec<_> =
        response.topics.iter().map(|result| (result.name.as_ref(), result.error_code)).collect();
    assert_eq!(answers, [("a", ErrorCode::INVALID_REQUEST), ("b", ErrorCode::NONE)]);
    let image = cluster.controller.image();
    assert!(image.topics.by_name("a").is_none() && image.topics.by_name("b").is_some());
}

#[test]
fn a_topic_that_is_to_grow_twice_grows_not_at_all() {
    let mut cluster = Cluster::with_brokers(&[1]);
    cluster.create(vec![topic("a", 1, 1), topic("b", 1, 1)]);
    let grow =
        |name: &'static str, count| CreatePartitionsTopic { name: name.into(), count, assignments: None };
    let topics = vec![grow("a", 2), grow("b", 2), grow("a", 3)];
    let request = CreatePartitionsRequest { topics, ..Default::default() };
    let response = cluster.decide(|controller, step| controller.create_partitions(step, &request));
    let answers: Vec<_> =
        response.results.iter().map(|result| (result.name.as_ref(), result.error_code)).collect();
    assert_eq!(answers, [("a", ErrorCode::INVALID_REQUEST), ("b", ErrorCode::NONE)]);
    assert_eq!(["a", "b"].map(|name| cluster.topic(name).partition_count()), [1, 2]);
}

#[test]
fn validating_writes_nothing() {
    let mut cluster = Cluster::with_brokers(&[1]);
    let request =
        CreateTopicsRequest { topics: vec![topic("t", 1, 1)], validate_only: true, ..Default::default() };
    let (response, records) =
        cluster.decide_with_records(|controller, step| controller.create_topics(step, &request, &|_| true));
    assert_eq!((response.topics[0].error_code, records.len()), (ErrorCode::NONE, 0));
}

#[test]
fn settings_are_shown_only_to_those_who_may_describe_the_topic() {
    let mut cluster = Cluster::with_brokers(&[1]);
    let request = CreateTopicsRequest { topics: vec![topic("t", 1, 1)], ..Default::default() };
    let response = cluster.decide(|controller, step| controller.create_topics(step, &request, &|_| false));
    let result = &response.topics[0];
    assert_eq!(result.topic_config_error_code, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    assert_eq!((result.num_partitions, result.replication_factor), (-1, -1));
}

#[test]
fn too_many_partitions_for_one_request() {
    let mut cluster = Cluster::with_brokers(&[1]);
    let response = cluster.create(vec![topic("a", 9_999, 1), topic("b", 2, 1)]);
    assert!(response.topics.iter().all(|result| result.error_code == ErrorCode::POLICY_VIOLATION));
}

#[test]
fn nobody_alive_means_no_topic() {
    let mut cluster = Cluster::formatted(MetadataVersion::LATEST);
    let response = cluster.create(vec![topic("t", 1, 1)]);
    assert_eq!(response.topics[0].error_code, ErrorCode::INVALID_REPLICATION_FACTOR);
}

#[test]
fn old_levels_get_old_records() {
    let mut cluster = Cluster::formatted(MetadataVersion::from_name("3.6").unwrap());
    cluster.start_broker(1);
    cluster.create(vec![topic("t", 1, 1)]);
    assert!(cluster.partition("t", 0).directories[0].is_zero());
    cluster.heartbeat(1, |request| request.want_shut_down = true);
    let stopped = cluster.partition("t", 0);
    assert_eq!(
        (stopped.leader, &*stopped.isr),
        (-1, &[1][..]),
        "the last in-sync replica stays where there is no ELR"
    );
}

#[test]
fn topics_grow() {
    use ErrorCode as E;
    let mut cluster = Cluster::with_brokers(&[1, 2]);
    cluster.create_assigned("t", &[&[1, 2]]);
    let grow = |name: &'static str, count, assignments: Option<&[&[i32]]>| {
        let to = |ids: &&[i32]| CreatePartitionsAssignment { broker_ids: ids.to_vec() };
        let assignments = assignments.map(|all| all.iter().map(to).collect());
        CreatePartitionsTopic { name: name.into(), count, assignments }
    };
    let cases = [
        (grow("t", 1, None), E::INVALID_PARTITIONS),
        (grow("t", 0, None), E::INVALID_PARTITIONS),
        (grow("t", -5, None), E::INVALID_PARTITIONS),
        (grow("nope", 2, None), E::UNKNOWN_TOPIC_OR_PARTITION),
        (grow("t", 3, Some(&[&[1, 2]])), E::INVALID_REPLICA_ASSIGNMENT),
        (grow("t", 2, Some(&[&[1]])), E::INVALID_REPLICA_ASSIGNMENT),
        (grow("t", 20_000, None), E::POLICY_VIOLATION),
        (grow("t", 2, Some(&[&[2, 1]])), E::NONE),
        (grow("t", 4, None), E::NONE),
    ];
    for (wanted, code) in cases {
        let request = CreatePartitionsRequest { topics: vec![wanted], ..Default::default() };
        let response = cluster.decide(|controller, step| controller.create_partitions(step, &request));
        assert_eq!(response.results[0].error_code, code, "{:?}", response.results[0]);
    }
    assert_eq!(cluster.topic("t").partition_count(), 4);
    assert_eq!(cluster.partition("t", 1).leader, 2);
    assert_eq!(cluster.partition("t", 3).replicas.len(), 2, "as many replicas as partition 0");
}
