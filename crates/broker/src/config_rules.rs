//! What the controller must know of settings, told from the one table.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_config::alter::{self, Change, Operation, Resource};
use klamm_config::setting::{Kind, Scope};
use klamm_config::{Layers, TopicConfig, Values, describe, table};
use klamm_controller::{ConfigChanges, ConfigRules, EffectiveConfig};
use klamm_metadata::configs::{ConfigMap, ConfigResource, ConfigResourceType, ConfigsImage};

/// The rules of a node with these settings in its file.
pub(crate) struct NodeConfigRules {
    layers: Layers,
}

impl NodeConfigRules {
    pub(crate) fn new(layers: Layers) -> Self {
        Self { layers }
    }
}

fn scope(kind: ConfigResourceType) -> Option<Scope> {
    match kind {
        ConfigResourceType::Topic => Some(Scope::Topic),
        ConfigResourceType::Broker => Some(Scope::Broker),
        ConfigResourceType::Group => Some(Scope::Group),
        ConfigResourceType::ClientMetrics => Some(Scope::ClientMetrics),
        ConfigResourceType::BrokerLogger | ConfigResourceType::Other(_) => None,
    }
}

impl ConfigRules for NodeConfigRules {
    /// Against what all brokers have in common, and for one broker's settings against its own.
    fn validate(
        &self,
        stored: &ConfigsImage,
        resource: &ConfigResource,
        changes: &ConfigChanges,
    ) -> Result<(), String> {
        let stored = |resource: &ConfigResource| values(stored.of(resource).into_iter().flatten());
        let current = stored(resource);
        let is_one_broker = resource.kind == ConfigResourceType::Broker && !resource.name.is_empty();
        let own = if is_one_broker { current.clone() } else { Values::new() };
        let (layers, _) = self.layers.with_dynamic(&stored(&ConfigResource::all_brokers()), &own);
        let defaults = TopicConfig::defaults(&layers);
        let altered = match resource.kind {
            ConfigResourceType::Topic => Resource::Topic(&defaults),
            ConfigResourceType::Broker if is_one_broker => Resource::Broker(&layers),
            ConfigResourceType::Broker => Resource::ClusterDefault(&layers),
            ConfigResourceType::Group => Resource::Group(&layers),
            ConfigResourceType::ClientMetrics => Resource::ClientMetrics,
            ConfigResourceType::BrokerLogger | ConfigResourceType::Other(_) => {
                return Err(format!("resources of type {} have no settings", resource.kind.code()));
            }
        };
        let changes: Vec<_> = changes.iter().map(change).collect();
        alter::incremental(altered, &current, &changes).map(|_| ()).map_err(|error| error.to_string())
    }

    fn is_list(&self, kind: ConfigResourceType, name: &str) -> bool {
        let setting = scope(kind).and_then(|scope| table::find(scope, name));
        setting.is_some_and(|setting| setting.kind == Kind::List)
    }

    fn static_value(&self, kind: ConfigResourceType, name: &str) -> Option<String> {
        let entries = match kind {
            ConfigResourceType::Topic => describe::topic(&self.layers, &Values::new()),
            ConfigResourceType::Group => describe::group(&self.layers, &Values::new()),
            ConfigResourceType::ClientMetrics => describe::client_metrics(&Values::new()),
            _ => describe::broker(&self.layers),
        };
        entries.into_iter().find(|entry| entry.name == name).and_then(|entry| entry.value)
    }

    fn effective_topic_configs(
        &self,
        overrides: &BTreeMap<Arc<str>, Arc<str>>,
        node: &ConfigMap,
        cluster: &ConfigMap,
    ) -> Vec<EffectiveConfig> {
        let (layers, _) = self.layers.with_dynamic(&values(cluster.iter()), &values(node.iter()));
        let entries = describe::topic(&layers, &values(overrides.iter()));
        let effective = entries.into_iter().map(|entry| EffectiveConfig {
            source: entry.source.code(),
            read_only: entry.read_only,
            is_sensitive: entry.sensitive,
            value: entry.value,
            name: entry.name,
        });
        effective.collect()
    }
}

fn change<'c>((name, value): (&'c Arc<str>, &'c Option<Arc<str>>)) -> Change<'c> {
    let operation = if value.is_some() { Operation::Set } else { Operation::Delete };
    Change { name, operation, value: value.as_deref() }
}

/// Settings as the table takes them.
pub(crate) fn values<'a>(settings: impl Iterator<Item = (&'a Arc<str>, &'a Arc<str>)>) -> Values {
    settings.map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use klamm_metadata::{MetadataDelta, MetadataImage, MetadataRecord};
    use klamm_protocol::messages::ConfigRecord;

    use super::*;

    const TOPIC: (i8, &str) = (2, "t");
    const OTHER_TOPIC: (i8, &str) = (2, "other");
    const ALL: (i8, &str) = (4, "");
    const BROKER: (i8, &str) = (4, "1");
    const GROUP: (i8, &str) = (32, "g");

    /// A resource's type and name, and a setting's name and value.
    type Stored = ((i8, &'static str), (&'static str, &'static str));

    fn stored(settings: &[Stored]) -> ConfigsImage {
        let mut image = MetadataImage::default();
        for &((resource_type, resource), (name, value)) in settings {
            let record = ConfigRecord {
                resource_type,
                resource_name: resource.into(),
                name: name.into(),
                value: Some(value.into()),
            };
            image.replay(&MetadataRecord::Config(record), &mut MetadataDelta::default()).unwrap();
        }
        image.configs
    }

    fn is_accepted(stored: &ConfigsImage, resource: (i8, &str), name: &str, value: Option<&str>) -> bool {
        let resource =
            ConfigResource { kind: ConfigResourceType::from_code(resource.0), name: resource.1.into() };
        let changes = ConfigChanges::from([(name.into(), value.map(Into::into))]);
        NodeConfigRules::new(Layers::default()).validate(stored, &resource, &changes).is_ok()
    }

    #[test]
    fn changes_are_checked_against_what_is_set_now() {
        let stored = stored(&[
            (ALL, ("num.io.threads", "16")),
            (ALL, ("log.cleaner.max.compaction.lag.ms", "1000")),
            (BROKER, ("num.network.threads", "12")),
            (TOPIC, ("min.compaction.lag.ms", "10")),
        ]);
        let cases = [
            (ALL, ("num.io.threads", "32"), true),
            (ALL, ("num.io.threads", "33"), false),
            (ALL, ("num.io.threads", "7"), false),
            (BROKER, ("num.io.threads", "32"), true),
            (BROKER, ("num.network.threads", "24"), true),
            (BROKER, ("num.network.threads", "3"), false),
            (ALL, ("num.network.threads", "6"), true),
            (TOPIC, ("max.compaction.lag.ms", "11"), true),
            (TOPIC, ("max.compaction.lag.ms", "9"), false),
            (OTHER_TOPIC, ("max.compaction.lag.ms", "9"), true),
            (OTHER_TOPIC, ("min.compaction.lag.ms", "1001"), false),
        ];
        for (resource, (name, value), accepted) in cases {
            let got = is_accepted(&stored, resource, name, Some(value));
            assert_eq!(got, accepted, "{resource:?} {name}={value}");
        }
    }

    #[test]
    fn unknown_names_that_are_stored_block_no_other_change() {
        let unknown = ("of.another.release", "1");
        let stored = stored(&[TOPIC, ALL, BROKER, GROUP].map(|resource| (resource, unknown)));
        let known = [
            (TOPIC, ("retention.ms", "5")),
            (ALL, ("num.io.threads", "9")),
            (BROKER, ("num.io.threads", "9")),
            (GROUP, ("consumer.session.timeout.ms", "50000")),
        ];
        for (resource, (name, value)) in known {
            assert!(is_accepted(&stored, resource, name, Some(value)), "{resource:?} {name}={value}");
            assert!(is_accepted(&stored, resource, unknown.0, None), "{resource:?}: removed");
            assert!(!is_accepted(&stored, resource, unknown.0, Some("2")), "{resource:?}: set anew");
        }
    }
}
