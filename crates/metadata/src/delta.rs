//! What a run of records changed, for those who keep state of their own beside the image.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use klamm_protocol::Uuid;

use crate::configs::ConfigResource;
use crate::image::MetadataImage;
use crate::partition::Partition;
use crate::security::{QuotaEntity, ScramKey};
use crate::topics::{Topic, TopicIdPartition};

/// Names what differs between two images; the values themselves are in the images.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetadataDelta {
    /// Topics that are new.
    pub created_topics: BTreeSet<Uuid>,
    /// Topics that are gone, as they were.
    pub deleted_topics: BTreeMap<Uuid, Arc<Topic>>,
    /// Partitions that are new or differ, those of created topics included and those of deleted topics not.
    pub changed_partitions: BTreeSet<TopicIdPartition>,
    /// Resources with a setting that changed, was added or removed; topics that are gone included.
    pub configs: BTreeSet<ConfigResource>,
    /// Brokers registered, changed or unregistered.
    pub brokers: BTreeSet<i32>,
    /// Controllers registered, changed or unregistered.
    pub controllers: BTreeSet<i32>,
    /// Features whose finalized level was set.
    pub features: BTreeSet<String>,
    /// Whether a block of producer ids was handed out.
    pub producer_ids: bool,
    /// SCRAM credentials set or removed.
    pub scram: BTreeSet<ScramKey>,
    /// Access control entries added or removed, by id.
    pub acls: BTreeSet<Uuid>,
    /// Entities with a quota set or removed.
    pub client_quotas: BTreeSet<QuotaEntity>,
    /// Delegation tokens set or removed, by id.
    pub delegation_tokens: BTreeSet<Arc<str>>,
}

/// What a delta asks of one broker's replicas.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LocalReplicaChanges {
    /// Partitions the broker no longer holds, with the topic's name; whether the whole topic is gone.
    pub removed: Vec<RemovedReplica>,
    /// Partitions the broker now leads, or still leads with other replicas, in-sync replicas or epochs.
    pub leaders: Vec<LocalReplica>,
    /// Partitions the broker now follows, or still follows with something changed.
    pub followers: Vec<LocalReplica>,
}

/// A replica that this broker no longer holds.
#[derive(Clone, Debug, PartialEq)]
pub struct RemovedReplica {
    /// The partition.
    pub id: TopicIdPartition,
    /// Its topic's name.
    pub topic: Arc<str>,
    /// Whether the topic was deleted, rather than the replica moved away.
    pub topic_deleted: bool,
}

/// A replica of this broker that is new or differs.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalReplica {
    /// The partition.
    pub id: TopicIdPartition,
    /// Its topic's name.
    pub topic: Arc<str>,
    /// The partition as it is now.
    pub partition: Arc<Partition>,
    /// Whether the replica is new, or the leader epoch rose.
    pub new_leader_epoch: bool,
}

impl MetadataDelta {
    /// What differs between two images that no records lie between, as when a snapshot replaces what was there. What both share is not
    /// looked at.
    pub fn between(old: &MetadataImage, new: &MetadataImage) -> Self {
        let features: [BTreeSet<_>; 2] = [old, new].map(|image| image.features.iter().collect());
        let changed = features[0].symmetric_difference(&features[1]);
        let mut delta = Self {
            configs: old.configs.differing(&new.configs),
            brokers: differing(&old.cluster.brokers, &new.cluster.brokers),
            controllers: differing(&old.cluster.controllers, &new.cluster.controllers),
            features: changed.map(|(name, _)| (*name).to_owned()).collect(),
            producer_ids: old.next_producer_id != new.next_producer_id,
            scram: differing(&old.scram.credentials, &new.scram.credentials),
            acls: differing(&old.acls.entries, &new.acls.entries),
            client_quotas: differing(&old.client_quotas.entities, &new.client_quotas.entities),
            delegation_tokens: differing(&old.delegation_tokens.tokens, &new.delegation_tokens.tokens),
            ..Self::default()
        };
        let gone = old.topics.iter().filter(|topic| new.topics.by_id(topic.id).is_none());
        delta.deleted_topics = gone.map(|topic| (topic.id, topic.clone())).collect();
        for topic in new.topics.iter() {
            delta.add_topic(old.topics.by_id(topic.id), topic);
        }
        delta
    }

    fn add_topic(&mut self, old: Option<&Arc<Topic>>, new: &Arc<Topic>) {
        if old.is_some_and(|old| Arc::ptr_eq(old, new)) {
            return;
        }
        let topic_id = new.id;
        if old.is_none() {
            self.created_topics.insert(topic_id);
        }
        let differs = |index: i32, partition| {
            old.and_then(|old| old.partition(index)).is_none_or(|old| old != partition)
        };
        let changed = new.partitions().filter(|&(index, partition)| differs(index, partition));
        self.changed_partitions
            .extend(changed.map(|(partition, _)| TopicIdPartition { topic_id, partition }));
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What changed for the replicas of one broker between `old` and `new`, the two images this delta lies between.
    pub fn local_changes(
        &self,
        old: &MetadataImage,
        new: &MetadataImage,
        broker_id: i32,
    ) -> LocalReplicaChanges {
        let mut changes = LocalReplicaChanges::default();
        for topic in self.deleted_topics.values() {
            let held = topic.partitions().filter(|(_, partition)| partition.replicas.contains(&broker_id));
            changes.removed.extend(held.map(|(index, _)| RemovedReplica {
                id: TopicIdPartition { topic_id: topic.id, partition: index },
                topic: topic.name.clone(),
                topic_deleted: true,
            }));
        }
        for &id in &self.changed_partitions {
            let Some(topic) = new.topics.by_id(id.topic_id) else { continue };
            let Some(partition) = topic.partition(id.partition) else { continue };
            changes.add(id, topic, old.topics.partition(id), partition, broker_id);
        }
        changes
    }
}

impl LocalReplicaChanges {
    fn add(
        &mut self,
        id: TopicIdPartition,
        topic: &Topic,
        old: Option<&Arc<Partition>>,
        partition: &Arc<Partition>,
        broker_id: i32,
    ) {
        let held = old.filter(|old| old.replicas.contains(&broker_id));
        if !partition.replicas.contains(&broker_id) {
            if held.is_some() {
                self.removed.push(RemovedReplica { id, topic: topic.name.clone(), topic_deleted: false });
            }
            return;
        }
        let new_leader_epoch = held.is_none_or(|old| old.leader_epoch != partition.leader_epoch);
        let replica =
            LocalReplica { id, topic: topic.name.clone(), partition: partition.clone(), new_leader_epoch };
        if partition.leader == broker_id {
            self.leaders.push(replica);
        } else {
            self.followers.push(replica);
        }
    }
}

/// Keys that only one of the maps has, or that the two hold different values of.
pub(crate) fn differing<K: Ord + Clone, V: PartialEq>(old: &OrdMap<K, V>, new: &OrdMap<K, V>) -> BTreeSet<K> {
    let key = |item| match item {
        DiffItem::Add(key, _) | DiffItem::Remove(key, _) => K::clone(key),
        DiffItem::Update { new: (key, _), .. } => K::clone(key),
    };
    old.diff(new).map(key).collect()
}
