//! Whose settings: a topic's, a broker's, a group's, or those of all brokers; and how changes to them are said.

use clap::Args;
use klamm_client::{AlterConfig, ConfigChange, ConfigEntry, ConfigResource, ConfigSource, ResourceType};
use klamm_config::load::Note;
use klamm_config::setting::Scope;
use klamm_config::table;

/// Exactly one of these says whose settings are meant.
#[derive(Args, Debug)]
#[group(id = "resource", required = true, multiple = false)]
#[command(next_help_heading = "Whose settings (one of)")]
pub(crate) struct Resource {
    /// A topic's
    #[arg(short, long, value_name = "NAME")]
    topic: Option<String>,

    /// One broker's
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i32).range(0..))]
    broker: Option<i32>,

    /// The cluster's: defaults for all brokers
    #[arg(long)]
    cluster: bool,

    /// A group's
    #[arg(short, long, value_name = "NAME")]
    group: Option<String>,
}

impl Resource {
    pub(crate) fn resource(&self) -> ConfigResource {
        match (&self.topic, &self.group) {
            (Some(topic), _) => ConfigResource::topic(topic),
            (_, Some(group)) => ConfigResource::group(group),
            _ => ConfigResource::broker(self.broker),
        }
    }
}

/// How people call it.
pub(crate) fn name_of(resource: &ConfigResource) -> String {
    match (resource.kind, resource.name.as_str()) {
        (ResourceType::Topic, name) => format!("topic {name}"),
        (ResourceType::Broker, "") => "cluster".to_owned(),
        (ResourceType::Broker, id) => format!("broker {id}"),
        (ResourceType::BrokerLogger, id) => format!("loggers of broker {id}"),
        (ResourceType::ClientMetrics, name) => format!("client metrics {name}"),
        (ResourceType::Group, name) => format!("group {name}"),
    }
}

/// Whether the value was set for this very thing while the cluster ran.
pub(crate) fn is_own(resource: &ConfigResource, entry: &ConfigEntry) -> bool {
    let own = match (resource.kind, resource.name.as_str()) {
        (ResourceType::Topic, _) => ConfigSource::DynamicTopic,
        (ResourceType::Broker, "") => ConfigSource::DynamicDefaultBroker,
        (ResourceType::Broker, _) => ConfigSource::DynamicBroker,
        (ResourceType::BrokerLogger, _) => ConfigSource::DynamicBrokerLogger,
        (ResourceType::ClientMetrics, _) => ConfigSource::ClientMetrics,
        (ResourceType::Group, _) => ConfigSource::Group,
    };
    entry.source == own
}

/// Where a value comes from, in a word or two.
pub(crate) fn source_text(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::DynamicTopic => "topic",
        ConfigSource::DynamicBroker => "broker",
        ConfigSource::DynamicDefaultBroker => "cluster",
        ConfigSource::StaticBroker => "broker's file",
        ConfigSource::Default => "default",
        ConfigSource::DynamicBrokerLogger => "logger",
        ConfigSource::ClientMetrics => "client metrics",
        ConfigSource::Group => "group",
        ConfigSource::Unknown(_) => "unknown",
    }
}

/// The value, or why there is none to see.
pub(crate) fn shown_value(entry: &ConfigEntry) -> &str {
    match &entry.value {
        Some(value) => value,
        None if entry.is_sensitive => "(hidden)",
        None => "(none)",
    }
}

pub(crate) fn set(name: &str, value: &str) -> AlterConfig {
    AlterConfig { name: name.to_owned(), change: ConfigChange::Set(value.to_owned()) }
}

pub(crate) fn delete(name: &str) -> AlterConfig {
    AlterConfig { name: name.to_owned(), change: ConfigChange::Delete }
}

/// Says which of these settings Klamm's brokers accept without acting on them.
pub(crate) fn warn_of_no_effect<'a>(kind: ResourceType, names: impl IntoIterator<Item = &'a str>) {
    for name in names {
        if let Some(note) = no_effect(kind, name) {
            tracing::warn!("{name} {note}");
        }
    }
}

fn no_effect(kind: ResourceType, name: &str) -> Option<Note> {
    let scope = match kind {
        ResourceType::Topic => Scope::Topic,
        ResourceType::Broker => Scope::Broker,
        ResourceType::Group => Scope::Group,
        ResourceType::ClientMetrics => Scope::ClientMetrics,
        ResourceType::BrokerLogger => return None,
    };
    table::find(scope, name).and_then(Note::of)
}

/// A change that was made, for its report.
pub(crate) fn describe_change(alter: &AlterConfig) -> String {
    match &alter.change {
        ConfigChange::Set(value) => format!("{}={value}", alter.name),
        ConfigChange::Delete => format!("{} deleted", alter.name),
        ConfigChange::Append(value) => format!("{} has {value} more", alter.name),
        ConfigChange::Subtract(value) => format!("{} has {value} less", alter.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_without_effect_are_told_from_those_with_one() {
        let cases = [
            (ResourceType::Broker, "log.cleaner.threads", Some(Note::NotImplemented)),
            (ResourceType::Broker, "num.io.threads", Some(Note::Moot)),
            (ResourceType::Broker, "log.retention.ms", None),
            (ResourceType::Topic, "retention.ms", None),
            (ResourceType::Topic, "no.such.setting", None),
        ];
        for (kind, name, expected) in cases {
            assert_eq!(no_effect(kind, name), expected, "{name}");
        }
    }
}
