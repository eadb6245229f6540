//! What the controller must know of settings, told from the one table.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_config::alter::{self, Resource};
use klamm_config::setting::{Kind, Scope};
use klamm_config::{Layers, TopicConfig, Values, describe, table};
use klamm_controller::{ConfigRules, EffectiveConfig};
use klamm_metadata::configs::{ConfigMap, ConfigResource, ConfigResourceType};

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
    fn validate(
        &self,
        resource: &ConfigResource,
        settings: &BTreeMap<Arc<str>, Arc<str>>,
    ) -> Result<(), String> {
        let defaults = TopicConfig::defaults(&self.layers);
        let altered = match resource.kind {
            ConfigResourceType::Topic => Resource::Topic(&defaults),
            ConfigResourceType::Broker if resource.name.is_empty() => Resource::ClusterDefault(&self.layers),
            ConfigResourceType::Broker => Resource::Broker(&self.layers),
            ConfigResourceType::Group => Resource::Group(&self.layers),
            ConfigResourceType::ClientMetrics => Resource::ClientMetrics,
            ConfigResourceType::BrokerLogger | ConfigResourceType::Other(_) => {
                return Err(format!("resources of type {} have no settings", resource.kind.code()));
            }
        };
        let settings: Vec<_> = settings.iter().map(|(name, value)| (&**name, Some(&**value))).collect();
        alter::replace(altered, &Values::new(), &settings).map(|_| ()).map_err(|error| error.to_string())
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

/// Settings as the table takes them.
pub(crate) fn values<'a>(settings: impl Iterator<Item = (&'a Arc<str>, &'a Arc<str>)>) -> Values {
    settings.map(|(name, value)| (name.to_string(), value.to_string())).collect()
}
