//! What is known of the cluster: sans-IO. An immutable picture; an answer makes the next one out of it.
//!
//! Invariants:
//! - Within one topic id a partition's leader epoch never goes back: an answer of a broker that lags behind does not
//!   undo what is known (KIP-320). Another topic id is another topic.
//! - A topic that the cluster says does not exist is not in the picture.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use klamm_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use klamm_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use klamm_protocol::messages::{DescribeClusterResponse, MetadataResponse};
use klamm_protocol::{ErrorCode, Uuid};

/// A broker, as clients reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Its id.
    pub id: i32,
    /// The host it advertises.
    pub host: String,
    /// The port it advertises.
    pub port: u16,
    /// `broker.rack`.
    pub rack: Option<String>,
}

/// A partition and its replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its index.
    pub index: i32,
    /// The broker that leads it, if one does.
    pub leader: Option<i32>,
    /// The leader's epoch; −1 where the broker is too old to say.
    pub leader_epoch: i32,
    /// The brokers that hold it, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Those of them that are in sync.
    pub isr: Vec<i32>,
    /// Those of them that are offline.
    pub offline: Vec<i32>,
}

/// A topic and its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// Its id; zero where the broker is too old to say.
    pub id: Uuid,
    /// Whether it is one of Kafka's own.
    pub is_internal: bool,
    /// Its partitions, by index.
    pub partitions: Vec<Partition>,
}

/// A picture of the cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metadata {
    pub(crate) brokers: BTreeMap<i32, Broker>,
    /// Whom to send changes to: any broker a KRaft broker likes, the active controller where controllers were asked.
    pub(crate) controller: Option<i32>,
    topics: HashMap<Arc<str>, Arc<Topic>>,
    names: HashMap<Uuid, Arc<str>>,
    /// Why a topic that was asked for is not in `topics`.
    errors: HashMap<Arc<str>, ErrorCode>,
    /// Counts answers, so that one can tell whether there was one since.
    pub(crate) generation: u64,
    pub(crate) fetched_at_ms: i64,
}

impl Metadata {
    pub(crate) fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics.values()
    }

    pub(crate) fn topic_name(&self, id: Uuid) -> Option<&Arc<str>> {
        self.names.get(&id)
    }

    /// Why the last answer had nothing on a topic.
    pub(crate) fn topic_error(&self, name: &str) -> Option<ErrorCode> {
        self.errors.get(name).copied()
    }

    pub(crate) fn partition(&self, topic: &str, partition: i32) -> Option<&Partition> {
        self.topics.get(topic)?.partitions.get(usize::try_from(partition).ok()?)
    }

    /// The leader of a partition, if it is a broker that is known.
    pub(crate) fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        self.partition(topic, partition)?.leader.filter(|id| self.brokers.contains_key(id))
    }

    /// The next picture. With `all_topics`, what the answer does not name does not exist.
    #[must_use]
    pub(crate) fn updated(&self, response: &MetadataResponse<'_>, all_topics: bool, now_ms: i64) -> Self {
        let mut next = Self {
            brokers: response.brokers.iter().map(|b| (b.node_id, broker(b))).collect(),
            controller: (response.controller_id >= 0).then_some(response.controller_id),
            topics: if all_topics { HashMap::new() } else { self.topics.clone() },
            names: HashMap::new(),
            errors: HashMap::new(),
            generation: self.generation + 1,
            fetched_at_ms: now_ms,
        };
        for topic in &response.topics {
            next.set_topic(topic, self);
        }
        next.names = next
            .topics
            .values()
            .filter(|topic| !topic.id.is_zero())
            .map(|topic| (topic.id, Arc::clone(&topic.name)))
            .collect();
        next
    }

    /// The next picture where controllers were asked, who know of each other and nothing of topics.
    #[must_use]
    pub(crate) fn of_controllers(&self, response: &DescribeClusterResponse<'_>, now_ms: i64) -> Self {
        Self {
            brokers: response.brokers.iter().map(|b| (b.broker_id, controller(b))).collect(),
            controller: (response.controller_id >= 0).then_some(response.controller_id),
            generation: self.generation + 1,
            fetched_at_ms: now_ms,
            ..Self::default()
        }
    }

    fn set_topic(&mut self, topic: &MetadataResponseTopic<'_>, before: &Self) {
        let known_name = topic.name.as_deref().map(Arc::from);
        let Some(name) = known_name.or_else(|| before.topic_name(topic.topic_id).cloned()) else { return };
        if topic.error_code.is_error() {
            self.topics.remove(&name);
            self.errors.insert(name, topic.error_code);
            return;
        }
        let known = before.topics.get(&name).filter(|known| known.id == topic.topic_id);
        let mut partitions: Vec<Partition> = topic.partitions.iter().map(partition).collect();
        partitions.sort_by_key(|partition| partition.index);
        for partition in &mut partitions {
            let known = known.and_then(|topic| topic.partitions.get(usize::try_from(partition.index).ok()?));
            if let Some(known) = known.filter(|known| known.leader_epoch > partition.leader_epoch) {
                *partition = known.clone();
            }
        }
        let topic =
            Topic { name: Arc::clone(&name), id: topic.topic_id, is_internal: topic.is_internal, partitions };
        self.topics.insert(name, Arc::new(topic));
    }

    /// The next picture after a broker has named a partition's leader in its answer (KIP-951).
    #[must_use]
    pub(crate) fn with_leader(&self, topic: &str, index: i32, leader: i32, epoch: i32) -> Option<Self> {
        let known = self.partition(topic, index)?;
        if epoch <= known.leader_epoch || !self.brokers.contains_key(&leader) {
            return None;
        }
        let mut next = self.clone();
        let topic = Arc::make_mut(next.topics.get_mut(topic)?);
        let partition = topic.partitions.get_mut(usize::try_from(index).ok()?)?;
        (partition.leader, partition.leader_epoch) = (Some(leader), epoch);
        Some(next)
    }
}

fn broker(broker: &klamm_protocol::messages::metadata_response::MetadataResponseBroker<'_>) -> Broker {
    Broker {
        id: broker.node_id,
        host: broker.host.to_string(),
        port: u16::try_from(broker.port).unwrap_or_default(),
        rack: broker.rack.as_ref().map(ToString::to_string),
    }
}

fn controller(controller: &DescribeClusterBroker<'_>) -> Broker {
    Broker {
        id: controller.broker_id,
        host: controller.host.to_string(),
        port: u16::try_from(controller.port).unwrap_or_default(),
        rack: controller.rack.as_ref().map(ToString::to_string),
    }
}

fn partition(partition: &MetadataResponsePartition) -> Partition {
    Partition {
        index: partition.partition_index,
        leader: (partition.leader_id >= 0).then_some(partition.leader_id),
        leader_epoch: partition.leader_epoch,
        replicas: partition.replica_nodes.clone(),
        isr: partition.isr_nodes.clone(),
        offline: partition.offline_replicas.clone(),
    }
}

#[cfg(test)]
mod tests {
    use klamm_protocol::messages::metadata_response::MetadataResponseBroker;

    use super::*;

    fn response(id: u128, leader: i32, epoch: i32) -> MetadataResponse<'static> {
        let broker =
            |node_id| MetadataResponseBroker { node_id, host: "h".into(), port: 9092, ..Default::default() };
        MetadataResponse {
            brokers: vec![broker(1), broker(2)],
            topics: vec![MetadataResponseTopic {
                name: Some("t".into()),
                topic_id: Uuid::from_u128(id),
                partitions: vec![MetadataResponsePartition {
                    leader_id: leader,
                    leader_epoch: epoch,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    #[test]
    fn a_leader_epoch_never_goes_back_unless_the_topic_is_another() {
        let table = [
            // topic id, leader, epoch in the answer → the leader believed
            (7, 1, 5, Some(1)),
            (7, 2, 4, Some(1)),
            (7, 2, 6, Some(2)),
            (7, -1, 7, None),
            (8, 1, 0, Some(1)),
            (8, 3, 1, None),
        ];
        let mut metadata = Metadata::default();
        for (id, leader, epoch, believed) in table {
            metadata = metadata.updated(&response(id, leader, epoch), false, 0);
            assert_eq!(metadata.leader("t", 0), believed, "id {id} leader {leader} epoch {epoch}");
        }
        assert_eq!(metadata.topic_name(Uuid::from_u128(7)), None);
        assert_eq!(metadata.topic_name(Uuid::from_u128(8)).map(|n| &**n), Some("t"));
    }

    #[test]
    fn missing_topics_are_errors_and_leave_the_picture() {
        let metadata = Metadata::default().updated(&response(7, 1, 1), false, 0);
        let mut gone = response(0, 1, 1);
        gone.topics[0].error_code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        let metadata = metadata.updated(&gone, false, 0);
        assert!(metadata.topic("t").is_none());
        assert_eq!(metadata.topic_error("t"), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    }

    #[test]
    fn a_named_leader_is_taken_if_it_is_newer() {
        let metadata = Metadata::default().updated(&response(7, 1, 5), false, 0);
        assert!(metadata.with_leader("t", 0, 2, 5).is_none());
        let next = metadata.with_leader("t", 0, 2, 6).expect("newer");
        assert_eq!(next.leader("t", 0), Some(2));
        assert!(metadata.with_leader("t", 1, 2, 6).is_none(), "no such partition");
    }
}
