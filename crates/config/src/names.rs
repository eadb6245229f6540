//! Names in a broker's settings that are not simply in the table: for one listener, for a plugin, gone, mistyped.

use crate::setting::{Scope, Setting};
use crate::table;

/// What a name in a broker's settings stands for.
#[derive(Debug, Clone, Copy)]
pub enum Name {
    /// A row of the table.
    Known(&'static Setting),
    /// A row of the table, for one listener: `listener.name.<listener>.<setting>`, for some also
    /// `listener.name.<listener>.<mechanism>.<setting>`.
    OfListener(&'static Setting),
    /// A setting that a plugin of Kafka's would read.
    OfPlugin,
    /// A setting that Kafka had before 4.0.
    Removed,
    /// None that exists; perhaps this one was meant.
    Unknown(Option<&'static str>),
}

/// Settings that may also name a SASL mechanism.
const PER_MECHANISM: &[&str] = &[
    "sasl.jaas.config",
    "sasl.login.callback.handler.class",
    "sasl.login.class",
    "sasl.server.callback.handler.class",
    "connections.max.reauth.ms",
];

const PLUGIN_NAMES: &[&str] = &["super.users", "allow.everyone.if.no.acl.found"];

const PLUGIN_PREFIXES: &[&str] = &[
    "config.providers.",
    "confluent.",
    "metrics.jmx.",
    "remote.log.metadata.admin.",
    "remote.log.metadata.common.client.",
    "remote.log.metadata.consumer.",
    "remote.log.metadata.producer.",
    "rlmm.config.",
    "rsm.config.",
];

const REMOVED_NAMES: &[&str] = &[
    "auto.include.jmx.reporter",
    "broker.id.generation.enable",
    "control.plane.listener.name",
    "controlled.shutdown.max.retries",
    "controlled.shutdown.retry.backoff.ms",
    "group.coordinator.new.enable",
    "group.share.enable",
    "group.share.max.groups",
    "inter.broker.protocol.version",
    "log.message.downconversion.enable",
    "log.message.format.version",
    "log.message.timestamp.difference.max.ms",
    "metadata.log.max.record.bytes",
    "offsets.commit.required.acks",
    "reserved.broker.max.id",
];

const REMOVED_PREFIXES: &[&str] = &["password.encoder.", "zookeeper."];

/// What `name` stands for in a broker's settings.
pub fn classify(name: &str) -> Name {
    let has_prefix = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if let Some(setting) = table::find(Scope::Broker, name) {
        Name::Known(setting)
    } else if let Some(setting) = listener_setting(name) {
        Name::OfListener(setting)
    } else if PLUGIN_NAMES.contains(&name) || has_prefix(PLUGIN_PREFIXES) {
        Name::OfPlugin
    } else if REMOVED_NAMES.contains(&name) || has_prefix(REMOVED_PREFIXES) {
        Name::Removed
    } else {
        Name::Unknown(table::nearest(Scope::Broker, name))
    }
}

/// The setting that a name of the table, or a name for one listener, stands for.
pub(crate) fn setting_of(name: &str) -> Option<&'static Setting> {
    match classify(name) {
        Name::Known(setting) | Name::OfListener(setting) => Some(setting),
        Name::OfPlugin | Name::Removed | Name::Unknown(_) => None,
    }
}

fn listener_setting(name: &str) -> Option<&'static Setting> {
    let (_listener, rest) = name.strip_prefix("listener.name.")?.split_once('.')?;
    table::find(Scope::Broker, rest).or_else(|| {
        let (_mechanism, rest) = rest.split_once('.')?;
        table::find(Scope::Broker, rest).filter(|setting| PER_MECHANISM.contains(&setting.name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str) -> String {
        match classify(name) {
            Name::Known(setting) => setting.name.to_owned(),
            Name::OfListener(setting) => format!("listener: {}", setting.name),
            Name::OfPlugin => "plugin".to_owned(),
            Name::Removed => "removed".to_owned(),
            Name::Unknown(nearest) => format!("unknown: {nearest:?}"),
        }
    }

    #[test]
    fn names_are_told_apart() {
        let cases = [
            ("num.partitions", "num.partitions"),
            ("listener.name.external.ssl.keystore.location", "listener: ssl.keystore.location"),
            ("listener.name.external.max.connections", "listener: max.connections"),
            ("listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config", "listener: sasl.jaas.config"),
            ("listener.name.sasl_ssl.plain.ssl.protocol", "unknown: None"),
            ("listener.name.x", "unknown: None"),
            ("super.users", "plugin"),
            ("rsm.config.bucket", "plugin"),
            (
                "rlmm.config.remote.log.metadata.topic.min.isr",
                "rlmm.config.remote.log.metadata.topic.min.isr",
            ),
            ("zookeeper.connect", "removed"),
            ("inter.broker.protocol.version", "removed"),
            ("num.partitons", "unknown: Some(\"num.partitions\")"),
            ("retention.ms", "unknown: None"),
        ];
        for (name, expected) in cases {
            assert_eq!(shown(name), expected, "{name}");
        }
    }
}
