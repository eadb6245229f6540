//! The life of a cluster of one node: formatted, registered, topics created, stopped, started again.

use crate::cluster::{Cluster, directory, registration, topic};
use klamm_metadata::partition::NO_LEADER;
use klamm_metadata::{MetadataRecord, MetadataVersion};
use klamm_protocol::messages::create_topics_request::CreatableTopicConfig;
use klamm_protocol::messages::delete_topics_request::DeleteTopicState;
use klamm_protocol::messages::delete_topics_response::DeletableTopicResult;
use klamm_protocol::messages::{
    AllocateProducerIdsRequest, BrokerRegistrationRequest, ControllerRegistrationRequest,
    CreateTopicsRequest, DeleteTopicsRequest,
};
use klamm_protocol::{ErrorCode, Uuid};

#[test]
fn a_fresh_cluster_writes_kafkas_first_records() {
    let cluster = Cluster::formatted(MetadataVersion::LATEST);
    let image = cluster.controller.image();
    let levels: Vec<_> = image.features.iter().collect();
    assert_eq!(
        levels,
        [
            ("eligible.leader.replicas.version", 1),
            ("group.version", 1),
            ("metadata.version", 33),
            ("share.version", 2),
            ("streams.version", 1),
            ("transaction.version", 2),
        ]
    );
    // Begin, six levels, min.insync.replicas, end.
    assert_eq!(cluster.next_offset, 10);
    assert_eq!(&*image.configs.iter().next().unwrap().1["min.insync.replicas"], "1");
}

#[test]
fn from_registration_to_a_topic_that_has_a_leader() {
    let mut cluster = Cluster::formatted(MetadataVersion::LATEST);
    let request = ControllerRegistrationRequest { controller_id: 1, ..Default::default() };
    let response = cluster.decide(|controller, _| controller.register_controller(&request));
    assert_eq!(response.error_code, ErrorCode::NONE);

    let epoch = cluster.register(&registration(1, 7)).unwrap();
    assert_eq!(epoch, 11, "the offset of the record that registers it");
    let behind = cluster.heartbeat(1, |request| request.current_metadata_offset = epoch - 1);
    assert!(behind.is_fenced && !behind.is_caught_up);
    assert!(!cluster.heartbeat(1, |_| {}).is_fenced);

    let config = CreatableTopicConfig { name: "cleanup.policy".into(), value: Some("compact".into()) };
    let mut wanted = topic("events", -1, -1);
    wanted.configs.push(config);
    let request = CreateTopicsRequest { topics: vec![wanted], ..Default::default() };
    let (response, records) =
        cluster.decide_with_records(|controller, step| controller.create_topics(step, &request, &|_| true));
    let result = &response.topics[0];
    assert_eq!(
        (result.error_code, result.num_partitions, result.replication_factor),
        (ErrorCode::NONE, 2, 1)
    );
    assert_eq!(result.configs.as_ref().unwrap()[0].value.as_deref(), Some("compact"));
    let kinds: Vec<_> = records.iter().map(MetadataRecord::key).collect();
    assert_eq!(kinds, [2, 4, 3, 3], "topic, config, two partitions");

    let partition = cluster.partition("events", 1);
    assert_eq!((partition.leader, &*partition.isr, &*partition.replicas), (1, &[1][..], &[1][..]));
    assert_eq!(*partition.directories, [directory(1)]);
    assert_eq!(cluster.topic("events").id, result.topic_id);
    assert_eq!(result.topic_id.0[6] >> 4, 4, "a random id of version 4");
}

#[test]
fn a_clean_stop_leaves_the_replica_eligible_and_a_start_elects_it() {
    let mut cluster = Cluster::with_brokers(&[1]);
    cluster.create(vec![topic("t", 1, 1)]);
    let first = cluster.heartbeat(1, |request| request.want_shut_down = true);
    assert!(!first.should_shut_down && !first.is_fenced, "leaders have to be moved away first");
    let stopped = cluster.partition("t", 0);
    assert_eq!((stopped.leader, &*stopped.isr, &*stopped.elr), (NO_LEADER, &[][..], &[1][..]));
    let second = cluster.heartbeat(1, |request| request.want_shut_down = true);
    assert!(second.should_shut_down && second.is_fenced);

    cluster.start_broker(1);
    let started = cluster.partition("t", 0);
    assert_eq!(
        (started.leader, &*started.isr, &*started.elr, started.leader_epoch),
        (1, &[1][..], &[][..], 2)
    );
}

#[test]
fn a_crash_of_the_only_replica_is_recovered_from_as_its_last_leader() {
    let mut cluster = Cluster::with_brokers(&[1]);
    cluster.create(vec![topic("t", 1, 1)]);
    cluster.now_ms += 10_000;
    let crashed = BrokerRegistrationRequest { previous_broker_epoch: -1, ..registration(1, 99) };
    cluster.register(&crashed).unwrap();
    let down = cluster.partition("t", 0);
    assert_eq!(
        (down.leader, &*down.isr, &*down.elr, &*down.last_known_elr),
        (NO_LEADER, &[][..], &[][..], &[1][..])
    );
    cluster.heartbeat(1, |_| {});
    let back = cluster.partition("t", 0);
    assert_eq!((back.leader, &*back.isr, &*back.last_known_elr), (1, &[1][..], &[][..]));
    assert_eq!(back.leader_recovery_state.code(), 1, "until the leader confirms it");
}

#[test]
fn registrations_that_are_refused() {
    let mut cluster = Cluster::with_brokers(&[1, 2]);
    let base = || registration(3, 5);
    let reserved = Uuid::from_u128(99);
    let mut old_features = base();
    old_features.features.retain(|feature| feature.name != "share.version");
    let mut no_metadata_version = base();
    no_metadata_version.features.clear();
    let cases = [
        (
            BrokerRegistrationRequest { cluster_id: "another".into(), ..base() },
            ErrorCode::INCONSISTENT_CLUSTER_ID,
        ),
        (registration(1, 999), ErrorCode::DUPLICATE_BROKER_REGISTRATION),
        (
            BrokerRegistrationRequest { is_migrating_zk_broker: true, ..base() },
            ErrorCode::BROKER_ID_NOT_REGISTERED,
        ),
        (BrokerRegistrationRequest { log_dirs: vec![], ..base() }, ErrorCode::INVALID_REGISTRATION),
        (BrokerRegistrationRequest { log_dirs: vec![reserved], ..base() }, ErrorCode::INVALID_REGISTRATION),
        (
            BrokerRegistrationRequest { log_dirs: vec![directory(2)], ..base() },
            ErrorCode::INVALID_REGISTRATION,
        ),
        (
            BrokerRegistrationRequest { log_dirs: vec![directory(3); 2], ..base() },
            ErrorCode::INVALID_REGISTRATION,
        ),
        (old_features, ErrorCode::UNSUPPORTED_VERSION),
        (no_metadata_version, ErrorCode::INVALID_REGISTRATION),
    ];
    for (request, code) in cases {
        assert_eq!(cluster.register(&request), Err(code), "{request:?}");
    }
    cluster.now_ms += 9_001;
    assert!(cluster.register(&registration(1, 999)).is_ok(), "the other incarnation's session is over");
}

#[test]
fn amending_a_registration_keeps_epoch_and_state() {
    let mut cluster = Cluster::with_brokers(&[1]);
    let broker = cluster.controller.image().cluster.broker(1).unwrap().clone();
    let again = BrokerRegistrationRequest { incarnation_id: broker.incarnation_id, ..registration(1, 0) };
    assert_eq!(cluster.register(&again), Ok(broker.epoch));
    assert!(!cluster.controller.image().cluster.broker(1).unwrap().fenced);
}

#[test]
fn producer_ids_come_in_blocks() {
    let mut cluster = Cluster::with_brokers(&[1]);
    let request = AllocateProducerIdsRequest { broker_id: 1, broker_epoch: cluster.epoch(1).unwrap() };
    for start in [0, 1000, 2000] {
        let response = cluster.decide(|controller, _| controller.allocate_producer_ids(&request));
        assert_eq!((response.producer_id_start, response.producer_id_len), (start, 1000));
    }
    let stale = AllocateProducerIdsRequest { broker_epoch: 0, ..request };
    let response = cluster.decide(|controller, _| controller.allocate_producer_ids(&stale));
    assert_eq!(response.error_code, ErrorCode::STALE_BROKER_EPOCH);
}

fn to_delete(name: Option<&'static str>, topic_id: Uuid) -> DeleteTopicState<'static> {
    DeleteTopicState { name: name.map(Into::into), topic_id }
}

/// The answers' names and codes, and the topics that are left.
fn delete(
    cluster: &mut Cluster,
    topics: Vec<DeleteTopicState<'static>>,
) -> (Vec<(Option<String>, i16)>, Vec<String>) {
    let request = DeleteTopicsRequest { topics, ..Default::default() };
    let response = cluster.decide(|controller, _| controller.delete_topics(&request));
    let answer = |result: &DeletableTopicResult<'_>| {
        (result.name.as_ref().map(|name| name.to_string()), result.error_code.0)
    };
    let left = cluster.controller.image().topics.iter().map(|topic| topic.name.to_string()).collect();
    (response.responses.iter().map(answer).collect(), left)
}

#[test]
fn topics_are_deleted_by_name_and_by_id() {
    let mut cluster = Cluster::with_brokers(&[1]);
    cluster.create(vec![topic("a.b", 1, 1), topic("c", 1, 1), topic("d", 1, 1)]);
    let id = cluster.topic("c").id;
    let cases = [
        (to_delete(Some("a.b"), Uuid::ZERO), (Some("a.b"), 0)),
        (to_delete(None, id), (Some("c"), 0)),
        (to_delete(None, Uuid([5; 16])), (None, 100)),
        (to_delete(Some("nope"), Uuid::ZERO), (Some("nope"), 3)),
        (to_delete(Some("d"), id), (Some("d"), 42)),
        (to_delete(None, Uuid::ZERO), (None, 42)),
    ];
    let (topics, expected): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    let (answers, left) = delete(&mut cluster, topics);
    let answers: Vec<_> = answers.iter().map(|(name, code)| (name.as_deref(), *code)).collect();
    assert_eq!((answers, left), (expected, vec!["d".to_owned()]));
    let again = cluster.create(vec![topic("a_b", 1, 1)]);
    assert_eq!(again.topics[0].error_code, ErrorCode::NONE, "the name it collided with is gone");
}

#[test]
fn a_topic_named_twice_is_answered_once_and_stays() {
    // Topics by name or, after a #, by id; the answers.
    type Case = (&'static [&'static str], &'static [(Option<&'static str>, i16)]);
    let cases: [Case; 5] = [
        (&["a", "b", "a", "a"], &[(Some("a"), 42), (Some("b"), 0)]),
        (&["#a", "#a", "#b"], &[(None, 42), (Some("b"), 0)]),
        (&["#a", "b", "a"], &[(Some("b"), 0), (Some("a"), 42)]),
        (&["a", "#a", "#b"], &[(Some("a"), 42), (Some("b"), 0)]),
        (&["#a", "a", "#a", "b"], &[(None, 42), (Some("a"), 42), (Some("b"), 0)]),
    ];
    for (given, expected) in cases {
        let mut cluster = Cluster::with_brokers(&[1]);
        cluster.create(vec![topic("a", 1, 1), topic("b", 1, 1)]);
        let naming = |given: &&'static str| match given.strip_prefix('#') {
            Some(name) => to_delete(None, cluster.topic(name).id),
            None => to_delete(Some(given), Uuid::ZERO),
        };
        let topics = given.iter().map(naming).collect();
        let (answers, left) = delete(&mut cluster, topics);
        let answers: Vec<_> = answers.iter().map(|(name, code)| (name.as_deref(), *code)).collect();
        assert_eq!((answers.as_slice(), left), (expected, vec!["a".to_owned()]), "{given:?}");
    }
}
