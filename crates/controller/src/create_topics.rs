//! CreateTopics: names, numbers or assignments, and settings checked for each topic by itself; what is wrong with one does not stop the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_metadata::configs::ConfigResource;
use klamm_metadata::partition::Partition;
use klamm_metadata::{MetadataRecord, TopicIdPartition};
use klamm_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use klamm_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use klamm_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse, TopicRecord};
use klamm_protocol::{ErrorCode, Uuid};

use crate::RECORDS_PER_DECISION_MAX;
use crate::placement::{PlacementError, UsableBroker, place};
use crate::refusal::{Refusal, error_fields};
use crate::repeated::first_of_each;
use crate::state::{Controller, Decision, Step};
use klamm_metadata::topic_name::{collision_key, reason_invalid};

type Records = Vec<MetadataRecord<'static>>;

/// The log of cluster metadata, which has a topic's name and is none.
const CLUSTER_METADATA: &str = "__cluster_metadata";

/// Names that earlier topics of the same request take, by what they collide in.
type TakenNames = BTreeMap<String, String>;

impl Controller {
    /// Creates topics. `may_describe` says whose settings the client may see.
    pub fn create_topics(
        &self,
        step: &mut Step<'_>,
        request: &CreateTopicsRequest<'_>,
        may_describe: &dyn Fn(&str) -> bool,
    ) -> Decision<CreateTopicsResponse<'static>> {
        let mut records = Vec::new();
        let mut response = CreateTopicsResponse::default();
        let mut taken = TakenNames::new();
        let topics = first_of_each(&request.topics, |topic| topic.name.as_ref());
        let too_many = self.partitions_wanted(&topics) > RECORDS_PER_DECISION_MAX;
        for (wanted, is_repeated) in topics {
            let result = if is_repeated {
                let message = format!("topic '{}' is there twice in one request", wanted.name);
                Err(Refusal::new(ErrorCode::INVALID_REQUEST, message))
            } else if wanted.name == CLUSTER_METADATA {
                let message =
                    format!("{CLUSTER_METADATA} is the log of cluster metadata, not a topic to create");
                Err(Refusal::new(ErrorCode::INVALID_REQUEST, message))
            } else if too_many {
                let message = format!("one request creates at most {RECORDS_PER_DECISION_MAX} partitions");
                Err(Refusal::new(ErrorCode::POLICY_VIOLATION, message))
            } else {
                self.create_topic(step, wanted, &taken, may_describe)
            };
            response.topics.push(match result {
                Ok((topic_records, result)) => {
                    if let Some(key) = collision_key(&wanted.name) {
                        taken.insert(key, wanted.name.to_string());
                    }
                    records.extend(topic_records);
                    result
                }
                Err(refusal) => refused(&wanted.name, refusal),
            });
        }
        if request.validate_only {
            records.clear();
        }
        Decision::new(records, response)
    }

    fn create_topic(
        &self,
        step: &mut Step<'_>,
        wanted: &CreatableTopic<'_>,
        taken: &TakenNames,
        may_describe: &dyn Fn(&str) -> bool,
    ) -> Result<(Records, CreatableTopicResult<'static>), Refusal> {
        self.check_name(&wanted.name, taken)?;
        let overrides = overrides(wanted)?;
        let changes = overrides.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
        let resource = ConfigResource::topic(wanted.name.as_ref());
        let mut config_records = self.config_records(&resource, changes, true)?;
        config_records.extend(self.clear_elr_records(&config_records));
        let partitions = self.initial_partitions(step, wanted)?;
        let topic_id = self.unused_topic_id(step);
        let result = self.created(wanted, topic_id, &partitions, &overrides, may_describe(&wanted.name));
        let topic = TopicRecord { name: wanted.name.to_string().into(), topic_id };
        let mut records = vec![MetadataRecord::Topic(topic)];
        records.extend(config_records);
        records.extend(self.partition_records(topic_id, 0, &partitions));
        Ok((records, result))
    }

    fn check_name(&self, name: &str, taken: &TakenNames) -> Result<(), Refusal> {
        if let Some(reason) = reason_invalid(name) {
            return Err(Refusal::new(ErrorCode::INVALID_TOPIC_EXCEPTION, reason));
        }
        if self.image.topics.by_name(name).is_some() {
            let message = format!("topic '{name}' already exists");
            return Err(Refusal::new(ErrorCode::TOPIC_ALREADY_EXISTS, message));
        }
        let Some(key) = collision_key(name) else { return Ok(()) };
        let existing = self.collisions.get(&key).and_then(|names| names.first()).map(|name| name.to_string());
        match existing.or_else(|| taken.get(&key).cloned()) {
            Some(other) => {
                let message =
                    format!("topic '{name}' collides with '{other}': metric names cannot tell '.' from '_'");
                Err(Refusal::new(ErrorCode::INVALID_TOPIC_EXCEPTION, message))
            }
            None => Ok(()),
        }
    }

    fn initial_partitions(
        &self,
        step: &mut Step<'_>,
        wanted: &CreatableTopic<'_>,
    ) -> Result<Vec<Partition>, Refusal> {
        if !wanted.assignments.is_empty() {
            return self.assigned_partitions(wanted);
        }
        if wanted.replication_factor < -1 || wanted.replication_factor == 0 {
            let message = "the replication factor has to be above 0, or -1 for the default";
            return Err(Refusal::new(ErrorCode::INVALID_REPLICATION_FACTOR, message));
        }
        if wanted.num_partitions < -1 || wanted.num_partitions == 0 {
            let message = "the number of partitions has to be above 0, or -1 for the default";
            return Err(Refusal::new(ErrorCode::INVALID_PARTITIONS, message));
        }
        let count = or_default(wanted.num_partitions, self.config.default_partitions);
        let replicas = match wanted.replication_factor {
            -1 => self.config.default_replication_factor,
            given => given,
        };
        self.place_partitions(step, count as usize, replicas as usize)
    }

    /// New partitions wherever there is room.
    pub(crate) fn place_partitions(
        &self,
        step: &mut Step<'_>,
        count: usize,
        replicas: usize,
    ) -> Result<Vec<Partition>, Refusal> {
        let placed = place(&self.usable_brokers(), count, replicas, step.random).map_err(|error| {
            let reason = match error {
                PlacementError::NoLiveBroker => {
                    "all brokers are fenced, or have all their log directories cordoned".to_owned()
                }
                PlacementError::TooFewBrokers { brokers } => {
                    format!("there are only {brokers} brokers for new replicas")
                }
            };
            let message = format!("cannot place {replicas} replicas: {reason}");
            Refusal::new(ErrorCode::INVALID_REPLICATION_FACTOR, message)
        })?;
        placed.into_iter().map(|replicas| self.new_partition(replicas)).collect::<Option<_>>().ok_or_else(
            || {
                let message = "all brokers are fenced or shutting down";
                Refusal::new(ErrorCode::INVALID_REPLICATION_FACTOR, message)
            },
        )
    }

    fn usable_brokers(&self) -> Vec<UsableBroker> {
        let brokers = self.image.cluster.brokers();
        let usable = brokers
            .filter(|broker| broker.has_uncordoned_directory() && (broker.fenced || broker.is_active()));
        usable
            .map(|broker| UsableBroker { id: broker.id, rack: broker.rack.clone(), fenced: broker.fenced })
            .collect()
    }

    fn assigned_partitions(&self, wanted: &CreatableTopic<'_>) -> Result<Vec<Partition>, Refusal> {
        if wanted.replication_factor != -1 || wanted.num_partitions != -1 {
            let message =
                "with replicas assigned by hand, replication factor and number of partitions have to be -1";
            return Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
        }
        let mut by_index: BTreeMap<i32, &CreatableReplicaAssignment> = BTreeMap::new();
        for assignment in &wanted.assignments {
            if by_index.insert(assignment.partition_index, assignment).is_some() {
                let message = format!("partition {} is assigned twice", assignment.partition_index);
                return Err(invalid_assignment(message));
            }
        }
        if !by_index.keys().copied().eq(0..by_index.len() as i32) {
            return Err(invalid_assignment("partitions have to be numbered from 0 without a gap".to_owned()));
        }
        let replication_factor = wanted.assignments[0].broker_ids.len();
        let partition = |(index, assignment): (i32, &CreatableReplicaAssignment)| {
            self.assigned_partition(index, &assignment.broker_ids, replication_factor)
        };
        by_index.into_iter().map(partition).collect()
    }

    /// A new partition on brokers chosen by hand.
    pub(crate) fn assigned_partition(
        &self,
        index: i32,
        replicas: &[i32],
        replication_factor: usize,
    ) -> Result<Partition, Refusal> {
        self.check_assignment(replicas, Some(replication_factor))?;
        self.new_partition(replicas.to_vec()).ok_or_else(|| {
            invalid_assignment(format!(
                "all brokers assigned to partition {index} are fenced or shutting down"
            ))
        })
    }

    /// Checks replicas chosen by hand.
    pub(crate) fn check_assignment(&self, replicas: &[i32], count: Option<usize>) -> Result<(), Refusal> {
        if replicas.is_empty() {
            return Err(invalid_assignment("a partition is assigned no replica".to_owned()));
        }
        for (index, &id) in replicas.iter().enumerate() {
            let Some(broker) = self.image.cluster.broker(id) else {
                return Err(invalid_assignment(format!("broker {id} is not registered")));
            };
            if !broker.has_uncordoned_directory() {
                return Err(invalid_assignment(format!("all log directories of broker {id} are cordoned")));
            }
            if replicas[..index].contains(&id) {
                return Err(invalid_assignment(format!("broker {id} is assigned to one partition twice")));
            }
        }
        match count {
            Some(count) if count != replicas.len() => Err(invalid_assignment(format!(
                "a partition is assigned {} replicas, others {count}",
                replicas.len()
            ))),
            _ => Ok(()),
        }
    }

    /// A partition with these replicas, those that live in sync; none where none lives.
    fn new_partition(&self, replicas: Vec<i32>) -> Option<Partition> {
        let isr: Box<[i32]> = replicas.iter().copied().filter(|&id| self.is_active(id)).collect();
        Some(Partition {
            leader: *isr.first()?,
            directories: replicas.iter().map(|&id| self.default_directory(id)).collect(),
            replicas: replicas.into(),
            isr,
            ..Partition::default()
        })
    }

    pub(crate) fn partition_records(
        &self,
        topic_id: Uuid,
        first: i32,
        partitions: &[Partition],
    ) -> impl Iterator<Item = MetadataRecord<'static>> {
        let version = self.image.metadata_version();
        let ids = (first..).map(move |partition| TopicIdPartition { topic_id, partition });
        ids.zip(partitions).map(move |(id, partition)| {
            MetadataRecord::Partition(partition.to_record(id.topic_id, id.partition, version))
        })
    }

    fn created(
        &self,
        wanted: &CreatableTopic<'_>,
        topic_id: Uuid,
        partitions: &[Partition],
        overrides: &BTreeMap<Arc<str>, Arc<str>>,
        may_describe: bool,
    ) -> CreatableTopicResult<'static> {
        let result = CreatableTopicResult {
            name: wanted.name.to_string().into(),
            topic_id,
            error_message: None,
            ..CreatableTopicResult::default()
        };
        if !may_describe {
            let topic_config_error_code = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
            return CreatableTopicResult { topic_config_error_code, ..result };
        }
        let node = self.configs_of(&ConfigResource::broker(self.config.node_id));
        let cluster = self.configs_of(&ConfigResource::all_brokers());
        let effective = self.rules.effective_topic_configs(overrides, &node, &cluster);
        let config = |config: crate::EffectiveConfig| CreatableTopicConfigs {
            name: config.name.into(),
            value: config.value.map(Into::into),
            read_only: config.read_only,
            config_source: config.source,
            is_sensitive: config.is_sensitive,
        };
        CreatableTopicResult {
            num_partitions: partitions.len() as i32,
            replication_factor: partitions[0].replicas.len() as i16,
            configs: Some(effective.into_iter().map(config).collect()),
            ..result
        }
    }

    fn unused_topic_id(&self, step: &mut Step<'_>) -> Uuid {
        loop {
            let id = step.random_id();
            if self.image.topics.by_id(id).is_none() {
                return id;
            }
        }
    }

    fn partitions_wanted(&self, topics: &[(&CreatableTopic<'_>, bool)]) -> usize {
        let wanted = |topic: &CreatableTopic<'_>| match topic.assignments.len() {
            0 => or_default(topic.num_partitions, self.config.default_partitions).max(0) as usize,
            assigned => assigned,
        };
        let once = topics.iter().filter(|(_, is_repeated)| !is_repeated);
        once.map(|(topic, _)| wanted(topic)).fold(0, usize::saturating_add)
    }
}

/// −1 asks for the default.
fn or_default(given: i32, default: i32) -> i32 {
    if given == -1 { default } else { given }
}

fn overrides(wanted: &CreatableTopic<'_>) -> Result<BTreeMap<Arc<str>, Arc<str>>, Refusal> {
    let setting = |config: &klamm_protocol::messages::create_topics_request::CreatableTopicConfig<'_>| {
        let value = config.value.as_deref().ok_or_else(|| {
            Refusal::new(ErrorCode::INVALID_CONFIG, format!("'{}' needs a value", config.name))
        })?;
        Ok((config.name.as_ref().into(), value.into()))
    };
    wanted.configs.iter().map(setting).collect()
}

fn invalid_assignment(message: String) -> Refusal {
    Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message)
}

fn refused(name: &str, refusal: Refusal) -> CreatableTopicResult<'static> {
    let (error_code, error_message) = error_fields::<()>(&Err(refusal));
    CreatableTopicResult { name: name.to_owned().into(), error_code, error_message, ..Default::default() }
}
