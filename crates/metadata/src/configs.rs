//! Dynamic settings of topics, brokers, groups and the like, as the metadata log holds them: text by name, not yet interpreted.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::OrdMap;

use crate::delta::differing;

/// What kind of thing a setting belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigResourceType {
    /// A topic, by name.
    Topic,
    /// A broker, by id; the empty name is the default of all brokers.
    Broker,
    /// A broker's loggers; never in the metadata log.
    BrokerLogger,
    /// Subscriptions to client metrics (KIP-714).
    ClientMetrics,
    /// A group (KIP-848).
    Group,
    /// A code that this software does not know, kept as it is.
    Other(i8),
}

impl ConfigResourceType {
    /// The code in records and requests.
    pub fn code(self) -> i8 {
        match self {
            Self::Topic => 2,
            Self::Broker => 4,
            Self::BrokerLogger => 8,
            Self::ClientMetrics => 16,
            Self::Group => 32,
            Self::Other(code) => code,
        }
    }

    /// The type with this code.
    pub fn from_code(code: i8) -> Self {
        match code {
            2 => Self::Topic,
            4 => Self::Broker,
            8 => Self::BrokerLogger,
            16 => Self::ClientMetrics,
            32 => Self::Group,
            other => Self::Other(other),
        }
    }
}

/// The thing a setting belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResource {
    /// Its kind.
    pub kind: ConfigResourceType,
    /// Its name; empty for the default of all brokers or groups.
    pub name: Arc<str>,
}

impl ConfigResource {
    /// A topic's settings.
    pub fn topic(name: impl Into<Arc<str>>) -> Self {
        Self { kind: ConfigResourceType::Topic, name: name.into() }
    }

    /// One broker's settings.
    pub fn broker(id: i32) -> Self {
        Self { kind: ConfigResourceType::Broker, name: id.to_string().into() }
    }

    /// The settings of all brokers, which one broker's own come before.
    pub fn all_brokers() -> Self {
        Self { kind: ConfigResourceType::Broker, name: "".into() }
    }
}

/// Settings of one resource by name.
pub type ConfigMap = OrdMap<Arc<str>, Arc<str>>;

/// All dynamic settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfigsImage {
    /// A resource without settings is absent.
    resources: OrdMap<ConfigResource, ConfigMap>,
}

impl ConfigsImage {
    /// A resource's settings; none where it has no dynamic ones.
    pub fn of(&self, resource: &ConfigResource) -> Option<&ConfigMap> {
        self.resources.get(resource)
    }

    /// One setting of a resource.
    pub fn get(&self, resource: &ConfigResource, name: &str) -> Option<&Arc<str>> {
        self.of(resource)?.get(name)
    }

    /// Every resource with its settings, ordered.
    pub fn iter(&self) -> impl Iterator<Item = (&ConfigResource, &ConfigMap)> + '_ {
        self.resources.iter()
    }

    /// Resources whose settings are not the same in `other`.
    pub(crate) fn differing(&self, other: &Self) -> BTreeSet<ConfigResource> {
        differing(&self.resources, &other.resources)
    }

    /// Sets or, without a value, removes one setting.
    pub(crate) fn set(&mut self, resource: ConfigResource, name: &str, value: Option<&str>) {
        let mut settings = self.resources.get(&resource).cloned().unwrap_or_default();
        match value {
            Some(value) => _ = settings.insert(name.into(), value.into()),
            None => _ = settings.remove(name),
        }
        if settings.is_empty() {
            self.resources.remove(&resource);
        } else {
            self.resources.insert(resource, settings);
        }
    }

    /// Removes all settings of a resource; whether there were any.
    pub(crate) fn remove(&mut self, resource: &ConfigResource) -> bool {
        self.resources.remove(resource).is_some()
    }
}
