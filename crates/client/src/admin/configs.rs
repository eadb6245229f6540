//! Settings of topics, brokers, groups: describing and changing them.

use klamm_protocol::messages::describe_configs_request::DescribeConfigsResource;
use klamm_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use klamm_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use klamm_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};

use super::{Admin, AdminError, Outcomes, Refusal, owned};

/// What has settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceType {
    /// A topic.
    Topic,
    /// A broker; without a name, the default of all brokers.
    Broker,
    /// A broker's log levels.
    BrokerLogger,
    /// A client metrics subscription.
    ClientMetrics,
    /// A group.
    Group,
}

impl ResourceType {
    const CODES: [(Self, i8); 5] = [
        (Self::Topic, 2),
        (Self::Broker, 4),
        (Self::BrokerLogger, 8),
        (Self::ClientMetrics, 16),
        (Self::Group, 32),
    ];

    fn code(self) -> i8 {
        Self::CODES.iter().find(|(kind, _)| *kind == self).map_or(0, |(_, code)| *code)
    }

    fn from_code(code: i8) -> Option<Self> {
        Self::CODES.iter().find(|(_, known)| *known == code).map(|(kind, _)| *kind)
    }
}

/// One thing that has settings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResource {
    /// What it is.
    pub kind: ResourceType,
    /// Its name: a topic's, a group's, a broker's id, or empty for the default of all brokers.
    pub name: String,
}

impl ConfigResource {
    /// A topic's settings.
    pub fn topic(name: impl Into<String>) -> Self {
        Self { kind: ResourceType::Topic, name: name.into() }
    }

    /// A broker's settings; `None` for the default of all brokers.
    pub fn broker(id: Option<i32>) -> Self {
        Self { kind: ResourceType::Broker, name: id.map_or(String::new(), |id| id.to_string()) }
    }

    /// A group's settings.
    pub fn group(name: impl Into<String>) -> Self {
        Self { kind: ResourceType::Group, name: name.into() }
    }

    /// Settings of one broker are asked of and told to that broker itself.
    fn broker_id(&self) -> Option<i32> {
        let own = matches!(self.kind, ResourceType::Broker | ResourceType::BrokerLogger);
        self.name.parse().ok().filter(|_| own)
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set for the topic.
    DynamicTopic,
    /// Set for the broker while running.
    DynamicBroker,
    /// Set for all brokers while running.
    DynamicDefaultBroker,
    /// From the broker's settings file.
    StaticBroker,
    /// Kafka's default.
    Default,
    /// A broker's log level.
    DynamicBrokerLogger,
    /// Set for the client metrics subscription.
    ClientMetrics,
    /// Set for the group.
    Group,
    /// Something newer than this client.
    Unknown(i8),
}

impl ConfigSource {
    fn from_code(code: i8) -> Self {
        match code {
            1 => Self::DynamicTopic,
            2 => Self::DynamicBroker,
            3 => Self::DynamicDefaultBroker,
            4 => Self::StaticBroker,
            5 => Self::Default,
            6 => Self::DynamicBrokerLogger,
            7 => Self::ClientMetrics,
            8 => Self::Group,
            code => Self::Unknown(code),
        }
    }
}

/// One of the values a setting could take, the effective one first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The setting it comes from.
    pub name: String,
    /// The value; hidden if sensitive.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: ConfigSource,
}

/// A setting with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The setting.
    pub name: String,
    /// The value; hidden if sensitive.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: ConfigSource,
    /// Whether the value is kept from view.
    pub is_sensitive: bool,
    /// Whether it can only be changed in the settings file.
    pub is_read_only: bool,
    /// What else it could be, the effective value first.
    pub synonyms: Vec<ConfigSynonym>,
    /// What it means, if asked for.
    pub documentation: Option<String>,
}

impl ConfigEntry {
    /// Whether somebody has set it, rather than it being Kafka's default.
    pub fn is_set(&self) -> bool {
        self.source != ConfigSource::Default
    }
}

/// How a setting changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigChange {
    /// It gets this value.
    Set(String),
    /// It goes back to what applies without it.
    Delete,
    /// A list gets these items more.
    Append(String),
    /// A list loses these items.
    Subtract(String),
}

/// A setting and its change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterConfig {
    /// The setting.
    pub name: String,
    /// The change.
    pub change: ConfigChange,
}

impl Admin {
    /// The settings of these resources; with documentation where wanted.
    pub async fn describe_configs(
        &self,
        resources: &[ConfigResource],
        include_documentation: bool,
    ) -> Result<Outcomes<ConfigResource, Vec<ConfigEntry>>, AdminError> {
        let mut all = Vec::new();
        for (broker, resources) in by_broker(resources) {
            let resource = |resource: &&ConfigResource| DescribeConfigsResource {
                resource_type: resource.kind.code(),
                resource_name: resource.name.clone().into(),
                configuration_keys: None,
            };
            let request = DescribeConfigsRequest {
                resources: resources.iter().map(resource).collect(),
                include_synonyms: true,
                include_documentation,
            };
            let response = match broker {
                Some(id) => self.cluster.call_broker(id, &request).await?,
                None => self.cluster.call_any(&request).await?,
            };
            all.extend(response.results.into_iter().filter_map(described));
        }
        Ok(all)
    }

    /// Changes settings one by one, leaving the others as they are.
    pub async fn alter_configs(
        &self,
        changes: &[(ConfigResource, Vec<AlterConfig>)],
        validate_only: bool,
    ) -> Result<Outcomes<ConfigResource, ()>, AdminError> {
        let resources: Vec<ConfigResource> = changes.iter().map(|(resource, _)| resource.clone()).collect();
        let mut all = Vec::new();
        for (broker, group) in by_broker(&resources) {
            let chosen = changes.iter().filter(|(resource, _)| group.contains(&resource));
            let request =
                IncrementalAlterConfigsRequest { resources: chosen.map(alteration).collect(), validate_only };
            let response = match broker {
                Some(id) => self.cluster.call_broker(id, &request).await?,
                None => self.cluster.call_any(&request).await?,
            };
            all.extend(response.responses.into_iter().filter_map(|r| {
                let kind = ResourceType::from_code(r.resource_type)?;
                let resource = ConfigResource { kind, name: r.resource_name.into_owned() };
                Some((resource, Refusal::check(r.error_code, r.error_message)))
            }));
        }
        Ok(all)
    }
}

/// The resources by whom to ask: a certain broker, or any.
fn by_broker(resources: &[ConfigResource]) -> Vec<(Option<i32>, Vec<&ConfigResource>)> {
    let mut groups: std::collections::BTreeMap<Option<i32>, Vec<&ConfigResource>> = Default::default();
    for resource in resources {
        groups.entry(resource.broker_id()).or_default().push(resource);
    }
    groups.into_iter().collect()
}

fn alteration((resource, changes): &(ConfigResource, Vec<AlterConfig>)) -> AlterConfigsResource<'_> {
    let config = |alter: &'_ AlterConfig| {
        let (config_operation, value) = match &alter.change {
            ConfigChange::Set(value) => (0, Some(value.clone().into())),
            ConfigChange::Delete => (1, None),
            ConfigChange::Append(value) => (2, Some(value.clone().into())),
            ConfigChange::Subtract(value) => (3, Some(value.clone().into())),
        };
        AlterableConfig { name: alter.name.clone().into(), config_operation, value }
    };
    AlterConfigsResource {
        resource_type: resource.kind.code(),
        resource_name: resource.name.as_str().into(),
        configs: changes.iter().map(config).collect(),
    }
}

fn described(
    result: DescribeConfigsResult<'_>,
) -> Option<(ConfigResource, Result<Vec<ConfigEntry>, Refusal>)> {
    let kind = ResourceType::from_code(result.resource_type)?;
    let resource = ConfigResource { kind, name: result.resource_name.into_owned() };
    let checked = Refusal::check(result.error_code, result.error_message);
    Some((resource, checked.map(|()| result.configs.into_iter().map(entry).collect())))
}

fn entry(config: DescribeConfigsResourceResult<'_>) -> ConfigEntry {
    let synonyms = config.synonyms.into_iter().map(|synonym| ConfigSynonym {
        name: synonym.name.into_owned(),
        value: owned(synonym.value),
        source: ConfigSource::from_code(synonym.source),
    });
    ConfigEntry {
        name: config.name.into_owned(),
        value: owned(config.value),
        source: ConfigSource::from_code(config.config_source),
        is_sensitive: config.is_sensitive,
        is_read_only: config.read_only,
        synonyms: synonyms.collect(),
        documentation: owned(config.documentation),
    }
}
