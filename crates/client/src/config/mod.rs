//! The clients' settings, under the names Kafka's Java clients give them.
//!
//! Each setting stands once, in the table of the struct that holds its value; parsing, error messages, the
//! list of names and "did you mean" all derive from the tables. A value is checked when it is set, so that a
//! config struct in hand is a usable one; what depends on two settings is checked by `validate`.

mod client;
mod consumer;
mod parse;
mod producer;

pub use client::{AdminConfig, ClientConfig};
pub use consumer::{AutoOffsetReset, ConsumerConfig, IsolationLevel};
pub use producer::{Acks, ProducerConfig};

/// A setting that cannot be used as given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No setting of this client has this name.
    #[error("unknown setting `{name}`{}", hint(nearest))]
    Unknown {
        /// The name as given.
        name: String,
        /// The known name that looks most like it, if one is close.
        nearest: Option<&'static str>,
    },
    /// The value does not fit the setting.
    #[error("setting `{name}` cannot be `{value}`: {reason}")]
    Invalid {
        /// The setting.
        name: &'static str,
        /// The value as given.
        value: String,
        /// What a value must look like.
        reason: String,
    },
    /// A setting without which the client cannot work was not given.
    #[error("setting `{name}` is required")]
    Missing {
        /// The setting.
        name: &'static str,
    },
    /// Two settings exclude each other.
    #[error("setting `{name}` does not go with `{other}`: {reason}")]
    Conflict {
        /// The setting to change.
        name: &'static str,
        /// The setting it collides with.
        other: &'static str,
        /// Why.
        reason: &'static str,
    },
}

fn hint(nearest: &Option<&'static str>) -> String {
    nearest.map_or(String::new(), |name| format!("; did you mean `{name}`?"))
}

/// One row of a settings table: the name and how its value enters the struct.
struct Setting<C> {
    name: &'static str,
    set: fn(&mut C, &str) -> Result<(), String>,
}

/// Settings of the Java clients that have no meaning here, or none yet: accepted with a warning.
const WITHOUT_EFFECT: &[&str] = &[
    "client.dns.lookup",
    "client.rack",
    "enable.metrics.push",
    "interceptor.classes",
    "key.deserializer",
    "key.serializer",
    "metadata.max.idle.ms",
    "metadata.recovery.rebootstrap.trigger.ms",
    "metadata.recovery.strategy",
    "metric.reporters",
    "metrics.num.samples",
    "metrics.recording.level",
    "metrics.sample.window.ms",
    "partitioner.adaptive.partitioning.enable",
    "partitioner.availability.timeout.ms",
    "receive.buffer.bytes",
    "send.buffer.bytes",
    "socket.connection.setup.timeout.max.ms",
    "value.deserializer",
    "value.serializer",
];

/// Sets `name` by the first of the tables that knows it.
fn set_in<C>(config: &mut C, tables: &[&[Setting<C>]], name: &str, value: &str) -> Result<(), ConfigError> {
    let rows = || tables.iter().flat_map(|table| table.iter());
    if let Some(row) = rows().find(|row| row.name == name) {
        return (row.set)(config, value.trim()).map_err(|reason| ConfigError::Invalid {
            name: row.name,
            value: value.to_owned(),
            reason,
        });
    }
    if WITHOUT_EFFECT.contains(&name) {
        tracing::warn!(setting = name, "this setting has no effect");
        return Ok(());
    }
    Err(ConfigError::Unknown { name: name.to_owned(), nearest: nearest(name, rows().map(|row| row.name)) })
}

/// The candidate with the smallest edit distance, if it is near enough to be a typing error.
fn nearest(name: &str, candidates: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    candidates
        .map(|candidate| (edit_distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len() / 3)
        .min()
        .map(|(_, candidate)| candidate)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_what_is_wrong() {
        let cases = [
            ("linger.m", "5", "unknown setting `linger.m`; did you mean `linger.ms`?"),
            ("zzz", "5", "unknown setting `zzz`"),
            ("linger.ms", "soon", "setting `linger.ms` cannot be `soon`: expected a whole number"),
            ("linger.ms", "-1", "setting `linger.ms` cannot be `-1`: expected at least 0"),
            ("acks", "2", "setting `acks` cannot be `2`: expected one of all, -1, 0, 1"),
            (
                "enable.idempotence",
                "yes",
                "setting `enable.idempotence` cannot be `yes`: expected true or false",
            ),
            (
                "bootstrap.servers",
                "a:1,b",
                "setting `bootstrap.servers` cannot be `a:1,b`: `b` is not host:port",
            ),
        ];
        for (name, value, message) in cases {
            let error = ProducerConfig::default().set(name, value).expect_err(name);
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn properties_become_typed_values() {
        let config = ProducerConfig::from_properties([
            ("bootstrap.servers", "a:9092, [::1]:9093"),
            ("linger.ms", "20"),
            ("compression.type", "zstd"),
            ("acks", "all"),
            ("client.id", "me"),
        ])
        .expect("valid");
        assert_eq!(config.client.bootstrap_servers, [("a".to_owned(), 9092), ("::1".to_owned(), 9093)]);
        assert_eq!((config.linger_ms, config.acks), (20, Acks::All));
        assert_eq!(config.client.client_id, "me");

        let consumer = ConsumerConfig::from_properties([
            ("bootstrap.servers", "a:9092"),
            ("group.id", "g"),
            ("isolation.level", "read_committed"),
            ("auto.offset.reset", "by_duration:PT1H30M"),
        ])
        .expect("valid");
        assert_eq!(consumer.group_id.as_deref(), Some("g"));
        assert_eq!(consumer.isolation_level, IsolationLevel::ReadCommitted);
        assert_eq!(consumer.auto_offset_reset, AutoOffsetReset::ByDuration { ms: 5_400_000 });
    }

    #[test]
    fn what_depends_on_two_settings_is_checked_together() {
        let missing = ProducerConfig::from_properties([("linger.ms", "1")]).expect_err("no servers");
        assert_eq!(missing, ConfigError::Missing { name: "bootstrap.servers" });
        let conflict = ProducerConfig::from_properties([
            ("bootstrap.servers", "a:1"),
            ("enable.idempotence", "true"),
            ("acks", "1"),
        ])
        .expect_err("idempotence needs acks=all");
        assert!(matches!(conflict, ConfigError::Conflict { name: "acks", .. }), "{conflict}");
        // Not asked for explicitly, idempotence gives way, as it does in the Java client.
        let config =
            ProducerConfig::from_properties([("bootstrap.servers", "a:1"), ("acks", "1")]).expect("valid");
        assert!(!config.idempotent());
    }

    #[test]
    fn names_are_unique_and_near_names_are_found() {
        for names in [ProducerConfig::names(), ConsumerConfig::names(), AdminConfig::names()] {
            let mut sorted = names.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), names.len());
        }
        assert_eq!(edit_distance("kitten", "sitting"), 3);
    }
}
