//! AlterConfigs and IncrementalAlterConfigs.

use klamm_metadata::MetadataRecord;
use klamm_metadata::configs::{ConfigResource, ConfigResourceType};
use klamm_protocol::ErrorCode;
use klamm_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use klamm_protocol::messages::incremental_alter_configs_request as incremental;
use klamm_protocol::messages::{AlterConfigsRequest, IncrementalAlterConfigsRequest};

use crate::cluster::{Cluster, topic};

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

fn alter(
    cluster: &mut Cluster,
    resource: (i8, &'static str),
    changes: &[(&'static str, i8, Option<&'static str>)],
) -> (ErrorCode, Vec<MetadataRecord<'static>>) {
    let config = |&(name, config_operation, value): &(&'static str, i8, Option<&'static str>)| {
        incremental::AlterableConfig { name: name.into(), config_operation, value: value.map(Into::into) }
    };
    let resource = incremental::AlterConfigsResource {
        resource_type: resource.0,
        resource_name: resource.1.into(),
        configs: changes.iter().map(config).collect(),
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    let (response, records) =
        cluster.decide_with_records(|controller, _| controller.incremental_alter_configs(&request, true));
    (response.responses[0].error_code, records)
}

fn value(cluster: &Cluster, resource: (i8, &str), name: &str) -> Option<String> {
    let kind = ConfigResourceType::from_code(resource.0);
    let resource = ConfigResource { kind, name: resource.1.into() };
    cluster.controller.image().configs.get(&resource, name).map(|value| value.to_string())
}

const TOPIC: (i8, &str) = (2, "t");
const CLUSTER: (i8, &str) = (4, "");
const BROKER: (i8, &str) = (4, "1");

fn cluster() -> Cluster {
    let mut cluster = Cluster::with_brokers(&[1]);
    cluster.create(vec![topic("t", 1, 1)]);
    cluster
}

#[test]
fn settings_one_by_one() {
    use ErrorCode as E;
    let mut cluster = cluster();
    let policy = "cleanup.policy";
    // What is done, its answer, how many records, the policy afterwards.
    let cases = [
        ((policy, SET, Some("compact")), E::NONE, 1, Some("compact")),
        ((policy, SET, Some("compact")), E::NONE, 0, Some("compact")),
        ((policy, APPEND, Some("delete,compact")), E::NONE, 1, Some("compact,delete")),
        ((policy, SUBTRACT, Some("compact")), E::NONE, 1, Some("delete")),
        ((policy, DELETE, None), E::NONE, 1, None),
        ((policy, APPEND, Some("compact")), E::NONE, 1, Some("delete,compact")),
        (("retention.ms", APPEND, Some("1")), E::INVALID_CONFIG, 0, Some("delete,compact")),
        ((policy, SET, None), E::INVALID_REQUEST, 0, Some("delete,compact")),
        ((policy, 9, Some("x")), E::INVALID_REQUEST, 0, Some("delete,compact")),
        (("bad.name", SET, Some("x")), E::INVALID_CONFIG, 0, Some("delete,compact")),
    ];
    for (change, code, count, after) in cases {
        let (got, records) = alter(&mut cluster, TOPIC, &[change]);
        assert_eq!((got, records.len()), (code, count), "{change:?}");
        assert_eq!(value(&cluster, TOPIC, policy).as_deref(), after, "{change:?}");
    }
}

#[test]
fn resources_that_cannot_be_altered() {
    use ErrorCode as E;
    let mut cluster = cluster();
    let cases = [
        ((2, "nope"), E::UNKNOWN_TOPIC_OR_PARTITION),
        ((4, "7"), E::BROKER_ID_NOT_REGISTERED),
        ((4, "seven"), E::INVALID_REQUEST),
        ((8, "1"), E::INVALID_CONFIG),
        ((8, "2"), E::INVALID_REQUEST),
        ((8, "one"), E::INVALID_REQUEST),
        ((0, "x"), E::INVALID_REQUEST),
        ((16, "subscription"), E::NONE),
        ((32, "group"), E::NONE),
        (BROKER, E::NONE),
        (CLUSTER, E::NONE),
    ];
    for (resource, code) in cases {
        assert_eq!(alter(&mut cluster, resource, &[("x", SET, Some("1"))]).0, code, "{resource:?}");
    }
    let twice = alter(&mut cluster, TOPIC, &[("x", SET, Some("1")), ("x", DELETE, None)]);
    assert_eq!(twice.0, E::INVALID_REQUEST);
}

#[test]
fn loggers_are_their_nodes_own() {
    use ErrorCode as E;
    let mut cluster = cluster();
    let logger = "org.apache.kafka";
    let cases: [(&[_], _); 6] = [
        (&[], E::NONE),
        (&[(logger, SET, Some("DEBUG"))], E::INVALID_CONFIG),
        (&[(logger, DELETE, None)], E::INVALID_CONFIG),
        (&[(logger, APPEND, Some("DEBUG"))], E::INVALID_REQUEST),
        (&[(logger, 9, Some("DEBUG"))], E::INVALID_REQUEST),
        (&[(logger, SET, Some("DEBUG")), (logger, DELETE, None)], E::INVALID_REQUEST),
    ];
    for (changes, code) in cases {
        assert_eq!(alter(&mut cluster, (8, "1"), changes), (code, vec![]), "{changes:?}");
    }
}

#[test]
fn resources_given_twice_are_refused_each_time_and_stay() {
    let mut cluster = cluster();
    let incremental = |(resource_type, name): (i8, &'static str)| incremental::AlterConfigsResource {
        resource_type,
        resource_name: name.into(),
        configs: vec![incremental::AlterableConfig {
            name: "a".into(),
            config_operation: SET,
            value: Some("1".into()),
        }],
    };
    let whole = |(resource_type, name): (i8, &'static str)| AlterConfigsResource {
        resource_type,
        resource_name: name.into(),
        configs: vec![AlterableConfig { name: "a".into(), value: Some("1".into()) }],
    };
    let given = [TOPIC, BROKER, TOPIC];
    let expected = [ErrorCode::INVALID_REQUEST, ErrorCode::NONE, ErrorCode::INVALID_REQUEST];
    let request =
        IncrementalAlterConfigsRequest { resources: given.map(incremental).into(), ..Default::default() };
    let response = cluster.decide(|controller, _| controller.incremental_alter_configs(&request, true));
    assert!(response.responses.iter().map(|result| result.error_code).eq(expected));
    let request = AlterConfigsRequest { resources: given.map(whole).into(), ..Default::default() };
    let response = cluster.decide(|controller, _| controller.alter_configs(&request, true));
    assert!(response.responses.iter().map(|result| result.error_code).eq(expected));
    let values = [TOPIC, BROKER].map(|resource| value(&cluster, resource, "a"));
    assert_eq!(values.each_ref().map(Option::as_deref), [None, Some("1")]);
}

#[test]
fn replacing_needs_every_name_once_and_with_a_value() {
    let mut cluster = cluster();
    type Setting = (&'static str, Option<&'static str>);
    let cases: [(&[Setting], _); 3] = [
        (&[("a", Some("1")), ("b", Some("2")), ("a", Some("3"))], ErrorCode::INVALID_REQUEST),
        (&[("a", None)], ErrorCode::INVALID_REQUEST),
        (&[("a", Some("1")), ("b", Some("2"))], ErrorCode::NONE),
    ];
    for (settings, code) in cases {
        let config =
            |&(name, value): &Setting| AlterableConfig { name: name.into(), value: value.map(Into::into) };
        let configs = settings.iter().map(config).collect();
        let resource = AlterConfigsResource { resource_type: 2, resource_name: "t".into(), configs };
        let request = AlterConfigsRequest { resources: vec![resource], ..Default::default() };
        let response = cluster.decide(|controller, _| controller.alter_configs(&request, true));
        assert_eq!(response.responses[0].error_code, code, "{settings:?}");
        assert_eq!(value(&cluster, TOPIC, "a").is_some(), code == ErrorCode::NONE, "{settings:?}");
    }
}

#[test]
fn a_brokers_settings_are_written_even_unchanged() {
    let mut cluster = cluster();
    for _ in 0..2 {
        let (code, records) = alter(&mut cluster, BROKER, &[("ssl.keystore.location", SET, Some("/k"))]);
        assert_eq!((code, records.len()), (ErrorCode::NONE, 1));
    }
}

#[test]
fn min_insync_replicas_and_eligible_leader_replicas() {
    use ErrorCode as E;
    let mut cluster = cluster();
    let name = "min.insync.replicas";
    let (code, records) = alter(&mut cluster, TOPIC, &[(name, SET, Some("1"))]);
    assert_eq!(code, E::NONE);
    assert!(matches!(&records[1], MetadataRecord::ClearElr(clear) if clear.topic_name == "t"));
    let (code, records) = alter(&mut cluster, CLUSTER, &[(name, SET, Some("2"))]);
    assert_eq!(code, E::NONE);
    assert!(matches!(&records[1], MetadataRecord::ClearElr(clear) if clear.topic_name.is_empty()));
    assert_eq!(alter(&mut cluster, CLUSTER, &[(name, DELETE, None)]).0, E::INVALID_CONFIG);
    assert_eq!(alter(&mut cluster, BROKER, &[(name, SET, Some("2"))]).0, E::INVALID_CONFIG);
}

/// Kafka forgets them there too, and nobody is elected cleanly any more.
#[test]
fn a_new_minimum_does_not_take_the_eligible_leaders_from_a_partition_without_a_leader() {
    let name = "min.insync.replicas";
    for resource in [TOPIC, CLUSTER] {
        let mut cluster = Cluster::with_brokers(&[1, 2]);
        cluster.create_assigned("t", &[&[1, 2]]);
        alter(&mut cluster, resource, &[(name, SET, Some("2"))]);
        for id in [1, 2] {
            cluster.heartbeat(id, |request| request.want_fence = true);
        }
        let known = |cluster: &Cluster| {
            let now = cluster.partition("t", 0);
            (now.leader, now.isr.to_vec(), now.elr.to_vec(), now.last_known_elr.to_vec())
        };
        let leaderless = (-1, vec![], vec![1, 2], vec![2]);
        assert_eq!(known(&cluster), leaderless);
        alter(&mut cluster, resource, &[(name, SET, Some("1"))]);
        assert_eq!(known(&cluster), leaderless);
        cluster.heartbeat(1, |_| {});
        assert_eq!(known(&cluster), (1, vec![1], vec![], vec![]), "1 may commit alone from here on");
        cluster.heartbeat(1, |request| request.want_fence = true);
        cluster.heartbeat(2, |_| {});
        assert_eq!(known(&cluster), (-1, vec![], vec![1], vec![1]), "what 2 may lack");
    }
}

#[test]
fn a_value_too_long_for_the_protocol() {
    let mut cluster = cluster();
    let value: &'static str = "x".repeat(40_000).leak();
    assert_eq!(alter(&mut cluster, TOPIC, &[("x", SET, Some(value))]).0, ErrorCode::INVALID_CONFIG);
}

#[test]
fn replacing_all_settings() {
    let mut cluster = cluster();
    alter(&mut cluster, TOPIC, &[("a", SET, Some("1")), ("b", SET, Some("2"))]);
    let config = |name: &'static str, value: &'static str| AlterableConfig {
        name: name.into(),
        value: Some(value.into()),
    };
    let resource = AlterConfigsResource {
        resource_type: 2,
        resource_name: "t".into(),
        configs: vec![config("b", "2"), config("c", "3")],
    };
    let mut request = AlterConfigsRequest { resources: vec![resource], validate_only: true };
    for (validate_only, expected) in
        [(true, [Some("1"), Some("2"), None]), (false, [None, Some("2"), Some("3")])]
    {
        request.validate_only = validate_only;
        let response = cluster.decide(|controller, _| controller.alter_configs(&request, true));
        assert_eq!(response.responses[0].error_code, ErrorCode::NONE);
        let values = ["a", "b", "c"].map(|name| value(&cluster, TOPIC, name));
        assert_eq!(values.each_ref().map(Option::as_deref), expected);
    }
}

#[test]
fn only_a_broker_adds_cordoned_directories() {
    let mut cluster = cluster();
    let request = |value: &'static str| {
        let config = incremental::AlterableConfig {
            name: "cordoned.log.dirs".into(),
            config_operation: SET,
            value: Some(value.into()),
        };
        let resource = incremental::AlterConfigsResource {
            resource_type: 4,
            resource_name: "1".into(),
            configs: vec![config],
        };
        IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() }
    };
    let cases = [
        ("/a,/b", false, ErrorCode::INVALID_CONFIG),
        ("/a,/b", true, ErrorCode::NONE),
        ("/b", false, ErrorCode::NONE),
        ("/a", false, ErrorCode::INVALID_CONFIG),
    ];
    for (paths, forwarded, code) in cases {
        let request = request(paths);
        let response =
            cluster.decide(|controller, _| controller.incremental_alter_configs(&request, forwarded));
        assert_eq!(response.responses[0].error_code, code, "{paths} {forwarded}");
    }
}
