//! What a run of records changed, for those who keep state of their own beside the image.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
