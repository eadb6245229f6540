//! Dynamic settings: altered as a whole or one by one, always checked as they would be afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use klamm_metadata::configs::{ConfigMap, ConfigResource, ConfigResourceType, ConfigsImage};
use klamm_metadata::{MetadataRecord, Topic, TopicIdPartition};
use klamm_protocol::ErrorCode;
use klamm_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use klamm_protocol::messages::incremental_alter_configs_request::AlterableConfig;
use klamm_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementalResponse;
use klamm_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, ClearElrRecord, ConfigRecord, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, PartitionChangeRecord,
};

use crate::partition_change::unchanged;
use crate::refusal::{Refusal, error_fields};
use crate::repeated::repeated;
use crate::state::{Controller, Decision};

const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";
const UNCLEAN_LEADER_ELECTION: &str = "unclean.leader.election.enable";
const CORDONED_LOG_DIRS: &str = "cordoned.log.dirs";
/// Longest value that old versions of the protocol can carry.
const VALUE_LEN_MAX: usize = i16::MAX as usize;

/// The rules of settings that the controller does not know itself: what is valid, what is a list, what holds where nothing is set.
pub trait ConfigRules: Send + Sync {
    /// Checks changes to what is `stored` for the resource; the message says what is wrong. Names that are stored and do not change are not
    /// in the way, even if nobody knows them any more.
    fn validate(
        &self,
        stored: &ConfigsImage,
        resource: &ConfigResource,
        changes: &ConfigChanges,
    ) -> Result<(), String>;

    /// Whether the setting is a list, so that entries can be appended and subtracted.
    fn is_list(&self, kind: ConfigResourceType, name: &str) -> bool;

    /// What holds where no dynamic setting does: from this node's file, or the built-in default.
    fn static_value(&self, kind: ConfigResourceType, name: &str) -> Option<String>;

    /// All settings of a topic with these overrides, and where each comes from; for the response to CreateTopics.
    fn effective_topic_configs(
        &self,
        overrides: &BTreeMap<Arc<str>, Arc<str>>,
        node: &ConfigMap,
        cluster: &ConfigMap,
    ) -> Vec<EffectiveConfig>;
}

/// One setting in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveConfig {
    /// Its name.
    pub name: String,
    /// Its value; none where it is a secret or not set.
    pub value: Option<String>,
    /// Whether it cannot be altered.
    pub read_only: bool,
    /// Where it comes from, as DescribeConfigs numbers it: 1 topic, 2 broker, 3 cluster, 4 file, 5 default.
    pub source: i8,
    /// Whether the value is a secret.
    pub is_sensitive: bool,
}

/// Settings by name: a value, or none to remove it.
pub type ConfigChanges = BTreeMap<Arc<str>, Option<Arc<str>>>;

type Records = Vec<MetadataRecord<'static>>;

/// What IncrementalAlterConfigs does to a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Set,
    Delete,
    Append,
    Subtract,
}

impl Controller {
    /// Replaces all settings of each resource: what is not named is removed. `forwarded` says whether a broker has checked the request.
    pub fn alter_configs(
        &self,
        request: &AlterConfigsRequest<'_>,
        forwarded: bool,
    ) -> Decision<AlterConfigsResponse<'static>> {
        let mut records = Vec::new();
        let mut response = AlterConfigsResponse::default();
        let ambiguous = repeated(request.resources.iter().map(|it| (it.resource_type, &*it.resource_name)));
        for wanted in &request.resources {
            let resource = resource(wanted.resource_type, &wanted.resource_name);
            let settings = wanted.configs.iter();
            let settings: Vec<_> =
                settings.map(|config| (config.name.as_ref(), config.value.as_deref())).collect();
            let result = match ambiguous.contains(&(wanted.resource_type, &*wanted.resource_name)) {
                true => Err(twice(&resource)),
                false => self.replace_configs(&resource, &settings, forwarded),
            };
            let (error_code, error_message) = error_fields(&result);
            records.extend(result.unwrap_or_default());
            response.responses.push(AlterConfigsResourceResponse {
                error_code,
                error_message,
                resource_type: wanted.resource_type,
                resource_name: wanted.resource_name.to_string().into(),
            });
        }
        self.finish_alteration(records, request.validate_only, response)
    }

    /// Sets, removes, appends to and subtracts from settings one by one. `forwarded` says whether a broker has checked the request.
    pub fn incremental_alter_configs(
        &self,
        request: &IncrementalAlterConfigsRequest<'_>,
        forwarded: bool,
    ) -> Decision<IncrementalAlterConfigsResponse<'static>> {
        let mut records = Vec::new();
        let mut response = IncrementalAlterConfigsResponse::default();
        let ambiguous = repeated(request.resources.iter().map(|it| (it.resource_type, &*it.resource_name)));
        for wanted in &request.resources {
            let resource = resource(wanted.resource_type, &wanted.resource_name);
            let result = match ambiguous.contains(&(wanted.resource_type, &*wanted.resource_name)) {
                true => Err(twice(&resource)),
                false => self.change_configs(&resource, &wanted.configs, forwarded),
            };
            let (error_code, error_message) = error_fields(&result);
            records.extend(result.unwrap_or_default());
            response.responses.push(IncrementalResponse {
                error_code,
                error_message,
                resource_type: wanted.resource_type,
                resource_name: wanted.resource_name.to_string().into(),
            });
        }
        self.finish_alteration(records, request.validate_only, response)
    }

    fn finish_alteration<R>(&self, mut records: Records, validate_only: bool, response: R) -> Decision<R> {
        if validate_only {
            return Decision::nothing(response);
        }
        records.extend(self.clear_elr_records(&records));
        Decision::new(records, response)
    }

    fn replace_configs(
        &self,
        resource: &ConfigResource,
        settings: &[(&str, Option<&str>)],
        forwarded: bool,
    ) -> Result<Records, Refusal> {
        let mut changes: ConfigChanges =
            self.configs_of(resource).keys().map(|name| (name.clone(), None)).collect();
        check_names_differ(settings.iter().map(|(name, _)| *name))?;
        for &(name, value) in settings {
            let value = value.ok_or_else(|| needs_value(name))?;
            changes.insert(name.into(), Some(value.into()));
        }
        self.check_exists(resource)?;
        self.config_records(resource, changes, forwarded)
    }

    fn change_configs(
        &self,
        resource: &ConfigResource,
        configs: &[AlterableConfig<'_>],
        forwarded: bool,
    ) -> Result<Records, Refusal> {
        check_names_differ(configs.iter().map(|config| config.name.as_ref()))?;
        if resource.kind == ConfigResourceType::BrokerLogger {
            return self.check_logger_changes(&resource.name, configs).map(|()| Records::new());
        }
        let mut changes = ConfigChanges::new();
        for config in configs {
            changes.insert(config.name.as_ref().into(), self.changed_value(resource, config)?);
        }
        self.check_exists(resource)?;
        self.config_records(resource, changes, forwarded)
    }

    /// The value an operation leaves; none where it removes the setting.
    fn changed_value(
        &self,
        resource: &ConfigResource,
        config: &AlterableConfig<'_>,
    ) -> Result<Option<Arc<str>>, Refusal> {
        let name = config.name.as_ref();
        let operation = Operation::from_code(config.config_operation)
            .ok_or_else(|| invalid_request(format!("unknown operation {}", config.config_operation)))?;
        if operation == Operation::Delete {
            return Ok(None);
        }
        let value = config.value.as_deref();
        let value = value.ok_or_else(|| needs_value(name))?;
        if operation == Operation::Set {
            return Ok(Some(value.into()));
        }
        if !self.rules.is_list(resource.kind, name) {
            let message = format!("'{name}' is not a list: nothing can be appended or subtracted");
            return Err(Refusal::new(ErrorCode::INVALID_CONFIG, message));
        }
        let current = self.image.configs.get(resource, name).map(|value| value.to_string());
        let current = current.or_else(|| self.rules.static_value(resource.kind, name)).unwrap_or_default();
        Ok(Some(operation.on_list(&current, value).into()))
    }

    /// A node's loggers are its own: their levels are not in the log, and end with the process (KIP-412). Here they are fixed while
    /// a node runs, so none can be changed.
    fn check_logger_changes(&self, node: &str, configs: &[AlterableConfig<'_>]) -> Result<(), Refusal> {
        let id = node.parse::<i32>().map_err(|_| invalid_request(format!("'{node}' is not a node id")))?;
        if id != self.config.node_id {
            let message = format!(
                "loggers of node {id} are altered on that node; this is node {}",
                self.config.node_id
            );
            return Err(invalid_request(message));
        }
        let Some(config) = configs.first() else { return Ok(()) };
        if !matches!(Operation::from_code(config.config_operation), Some(Operation::Set | Operation::Delete))
        {
            return Err(invalid_request("a logger's level can be set and deleted, nothing else".to_owned()));
        }
        let message = format!("node {id} has no logger '{}' whose level can change", config.name);
        Err(Refusal::new(ErrorCode::INVALID_CONFIG, message))
    }

    /// Checks what the resource would be set to, and yields the records that change something. A broker's settings are written even where they
    /// are the same: it may have to read a file again that they name (KAFKA-14136).
    pub(crate) fn config_records(
        &self,
        resource: &ConfigResource,
        mut changes: ConfigChanges,
        forwarded: bool,
    ) -> Result<Records, Refusal> {
        let current = self.configs_of(resource);
        let always = resource.kind == ConfigResourceType::Broker;
        changes.retain(|name, value| always || current.get(name) != value.as_ref());
        for (name, value) in &changes {
            self.check_change(resource, name, value.as_deref(), forwarded)?;
        }
        let invalid = |message| Refusal::new(ErrorCode::INVALID_CONFIG, message);
        self.rules.validate(&self.image.configs, resource, &changes).map_err(invalid)?;
        let record =
            |(name, value): (&Arc<str>, &Option<Arc<str>>)| config_record(resource, name, value.as_deref());
        Ok(changes.iter().map(record).collect())
    }

    /// What no table of settings knows: rules that depend on features and on who asks.
    fn check_change(
        &self,
        resource: &ConfigResource,
        name: &str,
        value: Option<&str>,
        forwarded: bool,
    ) -> Result<(), Refusal> {
        let invalid = |message: String| Err(Refusal::new(ErrorCode::INVALID_CONFIG, message));
        if value.is_some_and(|value| value.len() > VALUE_LEN_MAX) {
            return invalid(format!("the value of '{name}' is longer than {VALUE_LEN_MAX} bytes"));
        }
        if resource.kind != ConfigResourceType::Broker {
            return Ok(());
        }
        match name {
            MIN_INSYNC_REPLICAS if self.image.features.eligible_leader_replicas_enabled() => {
                if !resource.name.is_empty() {
                    return invalid(format!(
                        "'{name}' cannot differ between brokers while eligible leader replicas are enabled"
                    ));
                }
                if value.is_none() {
                    return invalid(format!(
                        "the cluster's '{name}' cannot be removed while eligible leader replicas are enabled"
                    ));
                }
                Ok(())
            }
            CORDONED_LOG_DIRS => self.check_cordoning(resource, value, forwarded),
            _ => Ok(()),
        }
    }

    /// Only the broker knows its directories' paths: a request that did not come through it may take entries away, not add any (KIP-1066).
    fn check_cordoning(
        &self,
        resource: &ConfigResource,
        value: Option<&str>,
        forwarded: bool,
    ) -> Result<(), Refusal> {
        let invalid = |message: &str| Err(Refusal::new(ErrorCode::INVALID_CONFIG, message));
        if !self.image.metadata_version().supports_cordoned_log_dirs() {
            return invalid("log directories can be cordoned from metadata.version 4.3-IV0 on");
        }
        let paths = |text: &str| -> BTreeSet<String> {
            text.split(',').map(|path| path.trim().to_owned()).filter(|path| !path.is_empty()).collect()
        };
        let current = self.image.configs.get(resource, CORDONED_LOG_DIRS);
        let current = current.map(|value| paths(value)).unwrap_or_default();
        let adds = !paths(value.unwrap_or_default()).is_subset(&current);
        if adds && !forwarded {
            return invalid("log directories are cordoned through their broker, not through a controller");
        }
        Ok(())
    }

    fn check_exists(&self, resource: &ConfigResource) -> Result<(), Refusal> {
        match resource.kind {
            ConfigResourceType::Topic => self.topic(&resource.name).map(|_| ()),
            ConfigResourceType::Broker if !resource.name.is_empty() => {
                let id = resource
                    .name
                    .parse::<i32>()
                    .map_err(|_| invalid_request(format!("'{}' is not a broker id", resource.name)))?;
                let is_known = self.image.cluster.broker(id).is_some()
                    || self.image.cluster.controller(id).is_some()
                    || self.config.quorum_node_ids.contains(&id);
                if is_known {
                    return Ok(());
                }
                let message = format!("node {id} is not registered");
                Err(Refusal::new(ErrorCode::BROKER_ID_NOT_REGISTERED, message))
            }
            ConfigResourceType::Broker | ConfigResourceType::ClientMetrics | ConfigResourceType::Group => {
                Ok(())
            }
            _ => Err(invalid_request(format!(
                "settings of type {} cannot be altered here",
                resource.kind.code()
            ))),
        }
    }

    /// Changing `min.insync.replicas` changes what "eligible" means, so what was remembered under the old value is forgotten (KIP-966), but
    /// where nobody leads: nothing is committed there, so it stays true, and without it nobody could be elected any more.
    pub(crate) fn clear_elr_records(&self, records: &[MetadataRecord<'_>]) -> Records {
        if !self.image.features.eligible_leader_replicas_enabled() {
            return Vec::new();
        }
        let topics = records.iter().filter_map(|record| match record {
            MetadataRecord::Config(config) if config.name == MIN_INSYNC_REPLICAS => {
                let is_topic = config.resource_type == ConfigResourceType::Topic.code();
                Some(if is_topic { config.resource_name.to_string() } else { String::new() })
            }
            _ => None,
        });
        let topics: Vec<String> = topics.collect();
        let kept: Vec<_> =
            self.index.leaderless().iter().filter_map(|&id| self.kept_elr(id, &topics)).collect();
        let clear = |topic: String| MetadataRecord::ClearElr(ClearElrRecord { topic_name: topic.into() });
        topics.into_iter().map(clear).chain(kept).collect()
    }

    /// Says again whom a partition of these topics may elect; the name of all topics is empty.
    fn kept_elr(&self, id: TopicIdPartition, topics: &[String]) -> Option<MetadataRecord<'static>> {
        let topic = self.image.topics.by_id(id.topic_id)?;
        let partition = topic.partition(id.partition)?;
        let is_cleared = topics.iter().any(|name| name.is_empty() || **name == *topic.name);
        let some = |ids: &[i32]| (!ids.is_empty()).then(|| ids.to_vec());
        let kept = PartitionChangeRecord {
            eligible_leader_replicas: some(&partition.elr),
            last_known_elr: some(&partition.last_known_elr),
            ..unchanged(id)
        };
        (is_cleared && kept != unchanged(id)).then_some(MetadataRecord::PartitionChange(kept))
    }

    /// In-sync replicas a partition of the topic needs, never more than it has replicas.
    pub(crate) fn effective_min_isr(&self, topic: &Topic) -> usize {
        let text = self.topic_setting(&topic.name, MIN_INSYNC_REPLICAS);
        let min_isr = text.and_then(|text| text.parse().ok()).unwrap_or(1);
        topic.partition(0).map_or(min_isr, |partition| partition.replicas.len().min(min_isr))
    }

    /// Whether a leader may be elected that is not in sync.
    pub(crate) fn unclean_election_enabled(&self, topic: &Topic) -> bool {
        self.topic_setting(&topic.name, UNCLEAN_LEADER_ELECTION).is_some_and(|value| value == "true")
    }

    fn topic_setting(&self, topic: &str, name: &str) -> Option<String> {
        let layers = [
            ConfigResource::topic(topic),
            ConfigResource::broker(self.config.node_id),
            ConfigResource::all_brokers(),
        ];
        let dynamic = layers.iter().find_map(|resource| self.image.configs.get(resource, name));
        dynamic
            .map(|value| value.to_string())
            .or_else(|| self.rules.static_value(ConfigResourceType::Topic, name))
    }

    pub(crate) fn configs_of(&self, resource: &ConfigResource) -> ConfigMap {
        self.image.configs.of(resource).cloned().unwrap_or_default()
    }
}

impl Operation {
    fn from_code(code: i8) -> Option<Self> {
        [Self::Set, Self::Delete, Self::Append, Self::Subtract].get(usize::try_from(code).ok()?).copied()
    }

    /// The list with these entries taken away, or with those added that it does not have.
    fn on_list(self, list: &str, entries: &str) -> String {
        let list = list.split(',').filter(|entry| !entry.is_empty());
        let kept: Vec<&str> = if self == Self::Subtract {
            let gone: BTreeSet<&str> = entries.split(',').collect();
            list.filter(|entry| !gone.contains(entry)).collect()
        } else {
            let mut present: BTreeSet<&str> = list.clone().collect();
            list.chain(entries.split(',').filter(|entry| present.insert(entry))).collect()
        };
        kept.join(",")
    }
}

fn resource(kind: i8, name: &str) -> ConfigResource {
    ConfigResource { kind: ConfigResourceType::from_code(kind), name: name.into() }
}

fn config_record(resource: &ConfigResource, name: &str, value: Option<&str>) -> MetadataRecord<'static> {
    MetadataRecord::Config(ConfigRecord {
        resource_type: resource.kind.code(),
        resource_name: resource.name.to_string().into(),
        name: name.to_owned().into(),
        value: value.map(|value| value.to_owned().into()),
    })
}

fn invalid_request(message: String) -> Refusal {
    Refusal::new(ErrorCode::INVALID_REQUEST, message)
}

fn needs_value(name: &str) -> Refusal {
    invalid_request(format!("'{name}' needs a value"))
}

fn check_names_differ<'r>(names: impl Iterator<Item = &'r str>) -> Result<(), Refusal> {
    match repeated(names).first() {
        Some(name) => Err(invalid_request(format!("'{name}' is altered twice in one request"))),
        None => Ok(()),
    }
}

fn twice(resource: &ConfigResource) -> Refusal {
    invalid_request(format!("'{}' is there twice in one request", resource.name))
}
