//! The controller's state, and how records change it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use klamm_metadata::cluster::BrokerRegistration;
use klamm_metadata::features::VersionRange;
use klamm_metadata::partition::Partition;
use klamm_metadata::{ApplyError, MetadataDelta, MetadataImage, MetadataRecord, Topic, TopicIdPartition};
use klamm_protocol::{ErrorCode, Uuid};

use crate::configs::ConfigRules;
use crate::heartbeats::Heartbeats;
use crate::index::PartitionIndex;
use crate::partition_change::ChangeRules;
use crate::refusal::Refusal;
use klamm_metadata::topic_name::collision_key;

/// What a controller is started with.
#[derive(Clone, Debug, PartialEq)]
pub struct ControllerConfig {
    /// This node.
    pub node_id: i32,
    /// The cluster brokers must belong to.
    pub cluster_id: String,
    /// `num.partitions`.
    pub default_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// `broker.session.timeout.ms`.
    pub session_timeout_ms: i64,
    /// Leader elections one balancing step makes at most.
    pub elections_per_step_max: usize,
    /// The feature levels this node supports.
    pub features: BTreeMap<String, VersionRange>,
    /// Nodes of the quorum: all of them have to support a feature before it is raised.
    pub quorum_node_ids: BTreeSet<i32>,
}

/// What a decision may not know by itself.
pub struct Step<'a> {
    /// The time in milliseconds, on the clock that the sessions of brokers are measured by: one that is never set.
    pub now_ms: i64,
    /// The offset the decision's first record will get.
    pub next_offset: i64,
    /// Source of random numbers.
    pub random: &'a mut dyn FnMut() -> u64,
}

/// Where and when a record was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its offset.
    pub offset: i64,
    /// Its batch's timestamp, by the wall clock.
    pub timestamp_ms: i64,
    /// The time on the clock of [`Step::now_ms`].
    pub now_ms: i64,
}

/// What follows from a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision<R> {
    /// To be appended in one batch, all or none.
    pub records: Vec<MetadataRecord<'static>>,
    /// To be sent once the records are committed.
    pub response: R,
}

impl<R> Decision<R> {
    pub(crate) fn new(records: Vec<MetadataRecord<'static>>, response: R) -> Self {
        Self { records, response }
    }

    /// A response that nothing has to be written for.
    pub(crate) fn nothing(response: R) -> Self {
        Self { records: Vec::new(), response }
    }
}

impl Step<'_> {
    /// A random id of version 4 whose text does not begin with a dash, which command lines would take for a flag.
    pub(crate) fn random_id(&mut self) -> Uuid {
        loop {
            let bits = u128::from((self.random)()) << 64 | u128::from((self.random)());
            let versioned = bits & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
            let id = Uuid::from_u128(versioned);
            if !id.to_string().starts_with('-') {
                return id;
            }
        }
    }
}

/// The controller of a node that leads the quorum.
pub struct Controller {
    pub(crate) config: ControllerConfig,
    pub(crate) rules: Arc<dyn ConfigRules>,
    /// With every record applied, committed or not.
    pub(crate) image: MetadataImage,
    pub(crate) index: PartitionIndex,
    pub(crate) heartbeats: Heartbeats,
    /// Topics by the form in which names collide.
    pub(crate) collisions: BTreeMap<String, BTreeSet<Arc<str>>>,
    /// Where in the log each broker's newest registration is.
    pub(crate) registration_offsets: BTreeMap<i32, i64>,
}

impl Controller {
    /// A controller that takes over at `image`. Each registered broker gets a whole session from `now_ms` on.
    pub fn new(
        config: ControllerConfig,
        rules: Arc<dyn ConfigRules>,
        image: MetadataImage,
        now_ms: i64,
    ) -> Self {
        let mut heartbeats = Heartbeats::default();
        for broker in image.cluster.brokers() {
            heartbeats.begin(broker.id, broker.epoch, now_ms, false);
        }
        let mut controller = Self {
            index: PartitionIndex::of(&image),
            registration_offsets: image.cluster.brokers().map(|broker| (broker.id, broker.epoch)).collect(),
            collisions: BTreeMap::new(),
            config,
            rules,
            heartbeats,
            image: image.clone(),
        };
        image.topics.iter().for_each(|topic| controller.index_name(topic));
        controller
    }

    /// The metadata with every record applied so far, committed or not.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// Takes note of who votes on the metadata log from now on.
    pub fn follow_voters(&mut self, node_ids: BTreeSet<i32>) {
        self.config.quorum_node_ids = node_ids;
    }

    /// Applies a record. An error leaves the state as it was; the log then holds what this software cannot follow, and the node has to stop.
    pub fn apply(&mut self, appended: Appended, record: &MetadataRecord<'_>) -> Result<(), ApplyError> {
        let before = self.image.clone();
        let mut delta = MetadataDelta::default();
        self.image.replay(record, &mut delta)?;
        self.image.provenance.last_offset = appended.offset;
        self.image.provenance.last_timestamp_ms = appended.timestamp_ms;
        self.follow_topics(&before, &delta);
        self.follow_brokers(&before, &delta, appended, record);
        Ok(())
    }

    /// Panics where state that follows from the image does not; for tests and simulation.
    pub fn check_invariants(&self) {
        self.image.check_invariants();
        assert_eq!(self.index, PartitionIndex::of(&self.image));
        let names: usize = self.collisions.values().map(BTreeSet::len).sum();
        assert_eq!(
            names,
            self.image.topics.iter().filter(|topic| collision_key(&topic.name).is_some()).count()
        );
        let sessions: Vec<_> = self.heartbeats.iter().map(|(id, session)| (id, session.epoch)).collect();
        let brokers: Vec<_> = self.image.cluster.brokers().map(|broker| (broker.id, broker.epoch)).collect();
        assert_eq!(sessions, brokers);
        assert!(self.registration_offsets.keys().eq(brokers.iter().map(|(id, _)| id)));
    }

    pub(crate) fn topic(&self, name: &str) -> Result<&Arc<Topic>, Refusal> {
        self.image.topics.by_name(name).ok_or_else(|| {
            Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("there is no topic '{name}'"))
        })
    }

    pub(crate) fn partition<'t>(&self, topic: &'t Topic, index: i32) -> Result<&'t Arc<Partition>, Refusal> {
        topic.partition(index).ok_or_else(|| {
            let message = format!("topic '{}' has no partition {index}", topic.name);
            Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message)
        })
    }

    /// The broker, if the request comes from its present incarnation.
    pub(crate) fn broker_of_epoch(&self, id: i32, epoch: i64) -> Result<&Arc<BrokerRegistration>, Refusal> {
        let stale = |message| Refusal::new(ErrorCode::STALE_BROKER_EPOCH, message);
        let broker = self.image.cluster.broker(id);
        let broker = broker.ok_or_else(|| stale(format!("broker {id} is not registered")))?;
        if broker.epoch != epoch {
            return Err(stale(format!("broker {id} has epoch {}, not {epoch}", broker.epoch)));
        }
        Ok(broker)
    }

    /// Whether a broker is registered, unfenced and not shutting down.
    pub(crate) fn is_active(&self, broker_id: i32) -> bool {
        self.image.cluster.broker(broker_id).is_some_and(|broker| broker.is_active())
    }

    /// Whether a broker may lead the partition, given that `is_active` says which brokers live.
    pub(crate) fn may_lead(&self, partition: &Partition, broker_id: i32, is_active: bool) -> bool {
        let Some(broker) = self.image.cluster.broker(broker_id) else { return false };
        let directory = partition.directory(broker_id);
        is_active && directory.is_some_and(|directory| broker.has_online_directory(directory))
    }

    /// Calls `decide` with what a change of this partition has to know.
    pub(crate) fn with_rules<T>(
        &self,
        topic: &Topic,
        is_acceptable_leader: &dyn Fn(i32) -> bool,
        decide: impl FnOnce(&ChangeRules<'_>) -> T,
    ) -> T {
        decide(&ChangeRules {
            version: self.image.metadata_version(),
            elr_enabled: self.image.features.eligible_leader_replicas_enabled(),
            min_isr: self.effective_min_isr(topic),
            is_acceptable_leader,
            default_directory: &|id| self.default_directory(id),
        })
    }

    /// The directory a new replica on a broker starts with.
    pub(crate) fn default_directory(&self, broker_id: i32) -> Uuid {
        use klamm_metadata::directory_id::{MIGRATING, UNASSIGNED};
        if !self.image.metadata_version().supports_directory_assignment() {
            return MIGRATING;
        }
        self.image.cluster.broker(broker_id).map_or(UNASSIGNED, |broker| broker.default_directory())
    }

    fn index_name(&mut self, topic: &Topic) {
        if let Some(key) = collision_key(&topic.name) {
            self.collisions.entry(key).or_default().insert(topic.name.clone());
        }
    }

    fn forget_name(&mut self, topic: &Topic) {
        let Some(key) = collision_key(&topic.name) else { return };
        if let Some(names) = self.collisions.get_mut(&key) {
            names.remove(&topic.name);
            if names.is_empty() {
                self.collisions.remove(&key);
            }
        }
    }

    fn follow_topics(&mut self, before: &MetadataImage, delta: &MetadataDelta) {
        for topic in delta.deleted_topics.values() {
            self.forget_name(topic);
            for (partition, old) in topic.partitions() {
                self.index.update(TopicIdPartition { topic_id: topic.id, partition }, Some(old), None);
            }
        }
        let created = delta.created_topics.iter().filter_map(|&id| self.image.topics.by_id(id).cloned());
        created.collect::<Vec<_>>().iter().for_each(|topic| self.index_name(topic));
        for &id in &delta.changed_partitions {
            let (old, new) = (before.topics.partition(id), self.image.topics.partition(id));
            self.index.update(id, old.map(AsRef::as_ref), new.map(AsRef::as_ref));
        }
    }

    fn follow_brokers(
        &mut self,
        before: &MetadataImage,
        delta: &MetadataDelta,
        appended: Appended,
        record: &MetadataRecord<'_>,
    ) {
        for &id in &delta.brokers {
            let Some(broker) = self.image.cluster.broker(id) else {
                self.heartbeats.end(id);
                self.registration_offsets.remove(&id);
                continue;
            };
            if before.cluster.broker(id).is_none_or(|old| old.epoch != broker.epoch) {
                self.heartbeats.begin(id, broker.epoch, appended.now_ms, true);
            }
            if matches!(record, MetadataRecord::RegisterBroker(_)) {
                self.registration_offsets.insert(id, appended.offset);
            }
            let was_fenced = before.cluster.broker(id).is_none_or(|old| old.fenced);
            if let Some(session) = self.heartbeats.get_mut(id).filter(|_| broker.fenced && !was_fenced) {
                session.shutdown_offset = None;
                session.is_alive = false;
            }
        }
    }
}
