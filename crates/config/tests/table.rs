//! The table against Kafka's own definitions.
//!
//! A line of `data/kafka-4.4.0.txt` is scope, name, type, default (`=value`, `<null>` or `<required>`), validator, mode,
//! whether it is internal, and the broker's name of a topic's or group's setting; read from Kafka 4.4.0's `ConfigDef`s.

use std::collections::BTreeSet;

use klamm_config::setting::{Default, Mode, Scope, Setting, Shown};
use klamm_config::table::{self, SECTIONS};
use klamm_config::validity::Validity;

const KAFKA: &str = include_str!("data/kafka-4.4.0.txt");

fn scope(name: &str) -> Scope {
    match name {
        "broker" => Scope::Broker,
        "topic" => Scope::Topic,
        "group" => Scope::Group,
        _ => Scope::ClientMetrics,
    }
}

fn default(setting: &Setting) -> String {
    match setting.default {
        Default::Required => "<required>".to_owned(),
        Default::Null => "<null>".to_owned(),
        Default::Value(_) => format!("={}", setting.default_value().to_text().unwrap()),
    }
}

fn mode(setting: &Setting) -> &'static str {
    match setting.mode {
        Mode::ReadOnly => "read-only",
        Mode::PerBroker => "per-broker",
        Mode::ClusterWide => "cluster-wide",
        Mode::PerResource => "",
    }
}

/// Bounds and words as Kafka's validators print them; what they print of lists and special forms says little.
fn validity(setting: &Setting) -> Option<String> {
    match setting.validity {
        Validity::AtLeast(min) => Some(format!("Range [{min},...]")),
        Validity::Between(100, 3_600_000) => Some(String::new()),
        Validity::Between(min, max) => Some(format!("Range [{min},...,{max}]")),
        Validity::Fraction(min, max) => Some(format!("Range [{min},...,{max}]")),
        Validity::OneOf(words) => Some(format!("ValidString [{}]", words.join(", "))),
        Validity::ListOf(words) | Validity::SomeOf(words) => {
            Some(format!("ValidList [{}]", words.join(", ")))
        }
        Validity::GzipLevel => Some("LambdaValidator [1,...,9] or -1".to_owned()),
        _ => None,
    }
}

#[test]
fn every_setting_of_kafka_is_as_kafka_defines_it() {
    for line in KAFKA.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let setting =
            table::find(scope(fields[0]), fields[1]).unwrap_or_else(|| panic!("{} is missing", fields[1]));
        let internal = if setting.shown == Shown::Internal { "internal" } else { "" };
        let broker_name = setting.broker_name.unwrap_or_default();
        let seen = [setting.kind.name(), &default(setting), mode(setting), internal, broker_name];
        assert_eq!(seen, [fields[2], fields[3], fields[5], fields[6], fields[7]], "{}", fields[1]);
        match validity(setting) {
            Some(validity) => assert_eq!(validity, fields[4], "{}", fields[1]),
            None => assert!(!fields[4].starts_with("Range"), "{}: {}", fields[1], fields[4]),
        }
    }
}

#[test]
fn the_table_adds_only_settings_of_its_own() {
    let kafka: BTreeSet<_> = KAFKA.lines().map(|line| line.split('\t').nth(1).unwrap()).collect();
    for setting in SECTIONS.iter().flat_map(|section| section.settings) {
        assert!(kafka.contains(setting.name) != setting.name.starts_with("klamm."), "{}", setting.name);
    }
    let public = |scope| {
        let public =
            table::all(scope).filter(|s| s.shown != Shown::Internal && !s.name.starts_with("klamm."));
        public.count()
    };
    let counts = [Scope::Broker, Scope::Topic, Scope::Group, Scope::ClientMetrics].map(public);
    assert_eq!(counts, [360, 37, 21, 3]);
}

#[test]
fn every_row_is_sound() {
    let mut names = BTreeSet::new();
    for section in SECTIONS {
        for setting in section.settings {
            let name = setting.name;
            assert!(names.insert((section.scope, name)), "{name} is there twice");
            assert!(setting.doc.ends_with('.'), "{name}: {}", setting.doc);
            if let Some(text) = setting.default_text() {
                setting.parse(text).unwrap_or_else(|error| panic!("default: {error}"));
            }
            for other in setting.fallback.map(|(other, _)| other).into_iter().chain(setting.broker_name) {
                assert!(table::find(Scope::Broker, other).is_some(), "{name} names {other}");
            }
        }
    }
}

#[test]
fn values_are_refused_with_what_is_allowed() {
    let cases = [
        ("num.partitions", "0", "must be at least 1"),
        ("num.partitions", "x", "must be a whole number from -2147483648 to 2147483647"),
        ("num.partitions", "99999999999", "must be a whole number from -2147483648 to 2147483647"),
        ("offsets.topic.replication.factor", "40000", "must be a whole number from -32768 to 32767"),
        (
            "log.retention.bytes",
            "1k",
            "must be a whole number from -9223372036854775808 to 9223372036854775807",
        ),
        ("compression.gzip.level", "0", "must be from 1 to 9, or -1"),
        ("compression.type", "brotli", "must be one of uncompressed, zstd, lz4, snappy, gzip, producer"),
        ("log.cleaner.min.cleanable.ratio", "1.5", "must be from 0 to 1"),
        ("log.cleaner.min.cleanable.ratio", "NaN", "must be from 0 to 1"),
        ("log.cleaner.min.cleanable.ratio", "half", "must be a number"),
        ("auto.create.topics.enable", "yes", "must be true or false"),
        ("log.cleanup.policy", "delete,", "entries of the list must not be empty"),
        ("log.cleanup.policy", "nope", "must be a list of any of compact, delete, or empty"),
        ("process.roles", "", "must be a list of at least one of broker, controller"),
        ("log.dirs", "", "must be given, not empty"),
        ("controller.quorum.voters", "1@h", "must be a list of id@host:port"),
        ("controller.quorum.bootstrap.servers", "h", "must be a list of host:port"),
        ("max.connections.per.ip.overrides", "h", "must be a list of host:count"),
        (
            "group.consumer.migration.policy",
            "x",
            "must be one of DISABLED, DOWNGRADE, UPGRADE, BIDIRECTIONAL (in any case)",
        ),
    ];
    for (name, value, reason) in cases {
        let error = table::find(Scope::Broker, name).unwrap().parse(value).unwrap_err();
        assert_eq!(error.to_string(), format!("Invalid value {value} for configuration {name}: {reason}"));
    }
}

#[test]
fn values_are_read_as_kafka_reads_them() {
    let cases = [
        ("num.partitions", " 5 ", "5"),
        ("num.partitions", "+5", "5"),
        ("auto.create.topics.enable", " TRUE ", "true"),
        ("log.cleanup.policy", "delete, compact", "delete,compact"),
        ("log.cleanup.policy", "delete,delete", "delete"),
        ("log.cleanup.policy", "", ""),
        ("log.cleaner.min.cleanable.ratio", "1", "1.0"),
        ("group.consumer.migration.policy", "Upgrade", "Upgrade"),
    ];
    for (name, text, expected) in cases {
        let value = table::find(Scope::Broker, name).unwrap().parse(text).unwrap();
        assert_eq!(value.to_text().as_deref(), Some(expected), "{name}={text}");
    }
}

#[test]
fn a_password_is_not_repeated_in_an_error() {
    let setting =
        Setting { validity: Validity::NotEmpty, ..*table::find(Scope::Broker, "ssl.key.password").unwrap() };
    assert_eq!(
        setting.parse("").unwrap_err().to_string(),
        "Invalid value [hidden] for configuration ssl.key.password: must be given, not empty"
    );
}
