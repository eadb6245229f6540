//! Changes at run time: which are refused, why, and what is written.
//!
//! A line of `data/altered.txt` is a change that a Kafka 4.4.0 was asked for, one after the other: type and name of the
//! resource, operation, setting, value, and `ok` or `refused`.

use klamm_config::alter::{self, AlterError, Change, Edit, Operation, Resource};
use klamm_config::{Layers, TopicConfig, Values};

const KAFKA: &str = include_str!("data/altered.txt");

/// Where Klamm differs on purpose: it refuses names that do not exist, does not read regular expressions, and leaves
/// what features of the metadata log forbid to the controller.
const DIFFERENT: &[(&str, &str)] =
    &[("no.such", "ok"), ("min.insync.replicas", "refused"), ("match", "refused")];

#[derive(Default)]
struct Cluster {
    cluster: Values,
    broker: Values,
    topic: Values,
    group: Values,
    metrics: Values,
}

impl Cluster {
    fn layers(&self) -> Layers {
        let file = values(&[("num.network.threads", "4")]);
        Layers::new(file).unwrap().with_dynamic(&self.cluster, &self.broker).0
    }

    fn change(&mut self, kind: &str, name: &str, change: Change<'_>) -> Result<Vec<Edit>, AlterError> {
        let layers = self.layers();
        let defaults = TopicConfig::defaults(&layers);
        let (resource, values) = match (kind, name) {
            ("BROKER", "") => (Resource::ClusterDefault(&layers), &mut self.cluster),
            ("BROKER", _) => (Resource::Broker(&layers), &mut self.broker),
            ("TOPIC", _) => (Resource::Topic(&defaults), &mut self.topic),
            ("GROUP", _) => (Resource::Group(&layers), &mut self.group),
            _ => (Resource::ClientMetrics, &mut self.metrics),
        };
        let edits = alter::incremental(resource, values, &[change])?;
        *values = alter::apply(values, &edits);
        Ok(edits)
    }
}

fn values(entries: &[(&str, &str)]) -> Values {
    entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn operation(name: &str) -> Operation {
    let code = ["SET", "DELETE", "APPEND", "SUBTRACT"].iter().position(|known| *known == name).unwrap();
    Operation::from_code(code as i8).unwrap()
}

#[test]
fn kafkas_decisions_are_ours() {
    let topic = values(&[("cleanup.policy", "compact,delete"), ("segment.bytes", "2097152")]);
    let mut cluster = Cluster { topic, ..Cluster::default() };
    for line in KAFKA.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let [kind, resource, op, name, value, expected] = fields[..] else { panic!("{line}") };
        let change = Change { name, operation: operation(op), value: Some(value) };
        let result = cluster.change(kind, resource, change);
        if !DIFFERENT.contains(&(name, expected)) {
            assert_eq!(if result.is_ok() { "ok" } else { "refused" }, expected, "{line}: {result:?}");
        }
    }
    assert_eq!(cluster.broker["log.cleanup.policy"], "delete,compact");
}

fn refused(kind: &str, resource: &str, op: Operation, name: &str, value: &str) -> String {
    let change = Change { name, operation: op, value: Some(value) };
    Cluster::default().change(kind, resource, change).unwrap_err().to_string()
}

#[test]
fn a_refusal_says_what_to_do() {
    let cases = [
        (
            "BROKER",
            "1",
            "num.partitons",
            "5",
            "there is no setting num.partitons; did you mean num.partitions?",
        ),
        (
            "BROKER",
            "1",
            "num.partitions",
            "5",
            "num.partitions cannot change while the broker runs: set it in the broker's file and restart it",
        ),
        (
            "BROKER",
            "1",
            "listeners",
            "PLAINTEXT://:1",
            "listeners cannot change while the broker runs: set it in the broker's file and restart it",
        ),
        (
            "BROKER",
            "",
            "cordoned.log.dirs",
            "*",
            "cordoned.log.dirs can only be set for one broker: name the broker's id",
        ),
        (
            "BROKER",
            "1",
            "ssl.keystore.type",
            "PEM",
            "ssl.keystore.type can change while the broker runs only for a listener: \
             listener.name.<listener>.ssl.keystore.type",
        ),
        (
            "BROKER",
            "",
            "num.io.threads",
            "17",
            "num.io.threads can change by no more than a factor of two at a time: from 4 to 16",
        ),
        ("BROKER", "", "log.retention.ms", "0", "log.retention.ms must be -1 or at least 1"),
        ("TOPIC", "t", "retention.hs", "1", "there is no setting retention.hs; did you mean retention.ms?"),
        (
            "TOPIC",
            "t",
            "retention.ms",
            "-2",
            "Invalid value -2 for configuration retention.ms: must be at least -1",
        ),
        (
            "TOPIC",
            "t",
            "max.compaction.lag.ms",
            "x",
            "Invalid value x for configuration max.compaction.lag.ms: \
             must be a whole number from -9223372036854775808 to 9223372036854775807",
        ),
        (
            "TOPIC",
            "t",
            "remote.storage.enable",
            "true",
            "remote.storage.enable cannot be true: this broker has no tiered storage",
        ),
        (
            "GROUP",
            "g",
            "consumer.session.timeout.ms",
            "70000",
            "consumer.session.timeout.ms (70000) must be at most 60000, the broker's group.consumer.max.session.timeout.ms",
        ),
        (
            "GROUP",
            "g",
            "streams.num.standby.replicas",
            "3",
            "streams.num.standby.replicas (3) must be at most 2, the broker's group.streams.max.standby.replicas",
        ),
        (
            "GROUP",
            "g",
            "streams.assignor.name",
            "x",
            "streams.assignor.name is x, but group.streams.assignors are sticky",
        ),
        (
            "GROUP",
            "g",
            "errors.deadletterqueue.topic.name",
            "__x",
            "errors.deadletterqueue.topic.name (__x) must not start with __, as internal topics do",
        ),
    ];
    for (kind, resource, name, value, expected) in cases {
        assert_eq!(refused(kind, resource, Operation::Set, name, value), expected);
    }
    let not_a_list = refused("TOPIC", "t", Operation::Append, "retention.ms", "1");
    assert_eq!(not_a_list, "retention.ms is not a list: it can only be set or deleted");
    let long =
        refused("TOPIC", "t", Operation::Set, "leader.replication.throttled.replicas", &"0:1,".repeat(9000));
    assert_eq!(long, "the value of leader.replication.throttled.replicas is longer than 32767 bytes");
}

#[test]
fn values_that_do_not_go_together_are_refused() {
    let defaults = TopicConfig::defaults(&Layers::default());
    let current = values(&[("min.compaction.lag.ms", "10")]);
    let change = Change { name: "max.compaction.lag.ms", operation: Operation::Set, value: Some("5") };
    let error = alter::incremental(Resource::Topic(&defaults), &current, &[change]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "min.compaction.lag.ms (10) must not be greater than max.compaction.lag.ms (5)"
    );
    let layers = Layers::default();
    let heartbeat =
        Change { name: "share.heartbeat.interval.ms", operation: Operation::Set, value: Some("15000") };
    let current = values(&[("share.session.timeout.ms", "15000")]);
    let error = alter::incremental(Resource::Group(&layers), &current, &[heartbeat]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "share.session.timeout.ms must be greater than share.heartbeat.interval.ms"
    );
}

#[test]
fn lists_grow_and_shrink_without_duplicates() {
    let defaults = TopicConfig::defaults(&Layers::default());
    let cases = [
        (None, Operation::Append, "compact", "delete,compact"),
        (Some("compact"), Operation::Append, "delete, compact", "compact,delete"),
        (Some("compact,delete"), Operation::Subtract, "compact", "delete"),
        (None, Operation::Subtract, "delete", ""),
        (Some(""), Operation::Append, "compact", "compact"),
    ];
    for (before, operation, value, expected) in cases {
        let current = before.map(|value| values(&[("cleanup.policy", value)])).unwrap_or_default();
        let change = Change { name: "cleanup.policy", operation, value: Some(value) };
        let edits = alter::incremental(Resource::Topic(&defaults), &current, &[change]).unwrap();
        assert_eq!(edits, [Edit { name: "cleanup.policy".to_owned(), value: Some(expected.to_owned()) }]);
    }
}

#[test]
fn replacing_deletes_the_rest() {
    let defaults = TopicConfig::defaults(&Layers::default());
    let current = values(&[("flush.ms", "1"), ("retention.ms", "2"), ("segment.ms", "3")]);
    let settings = [("retention.ms", Some("2")), ("segment.ms", Some("4"))];
    let edits = alter::replace(Resource::Topic(&defaults), &current, &settings).unwrap();
    assert_eq!(alter::apply(&current, &edits), values(&[("retention.ms", "2"), ("segment.ms", "4")]));
    assert_eq!(edits.len(), 2, "what stays needs no edit: {edits:?}");
    let null = alter::replace(Resource::Topic(&defaults), &current, &[("segment.ms", None)]).unwrap_err();
    assert_eq!(null.to_string(), "segment.ms has no value; delete it to go back to its default");
    let twice = [("segment.ms", Some("1")), ("segment.ms", Some("2"))];
    let twice = alter::replace(Resource::Topic(&defaults), &current, &twice).unwrap_err();
    assert_eq!(twice.to_string(), "segment.ms is changed twice in one request");
}

#[test]
fn a_brokers_unchanged_value_is_written_again() {
    let layers = Layers::default();
    let current = values(&[("num.io.threads", "8")]);
    let change = Change { name: "num.io.threads", operation: Operation::Set, value: Some("8") };
    assert_eq!(alter::incremental(Resource::Broker(&layers), &current, &[change]).unwrap().len(), 1);
    let defaults = TopicConfig::defaults(&layers);
    let current = values(&[("flush.ms", "8")]);
    let change = Change { name: "flush.ms", operation: Operation::Set, value: Some("8") };
    assert_eq!(alter::incremental(Resource::Topic(&defaults), &current, &[change]).unwrap(), []);
}
