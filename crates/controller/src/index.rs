//! Which partitions a broker or a directory is concerned with, so that no decision has to look at all of them.

use std::collections::{BTreeMap, BTreeSet};

use klamm_metadata::partition::Partition;
use klamm_metadata::{MetadataImage, TopicIdPartition, directory_id};
use klamm_protocol::Uuid;

type Partitions = BTreeSet<TopicIdPartition>;

/// Follows from the topics alone; kept beside them as they change.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PartitionIndex {
    in_sync: BTreeMap<i32, Partitions>,
    eligible: BTreeMap<i32, Partitions>,
    led: BTreeMap<i32, Partitions>,
    in_directory: BTreeMap<Uuid, Partitions>,
    leaderless: Partitions,
    imbalanced: Partitions,
    reassigning: Partitions,
}

impl PartitionIndex {
    /// The index of all partitions of an image.
    pub(crate) fn of(image: &MetadataImage) -> Self {
        let mut index = Self::default();
        for topic in image.topics.iter() {
            for (partition, now) in topic.partitions() {
                index.update(TopicIdPartition { topic_id: topic.id, partition }, None, Some(now));
            }
        }
        index
    }

    /// Accounts for one partition that was created, changed or removed.
    pub(crate) fn update(&mut self, id: TopicIdPartition, old: Option<&Partition>, new: Option<&Partition>) {
        if let Some(old) = old {
            self.change(id, old, remove);
        }
        if let Some(new) = new {
            self.change(id, new, insert);
        }
    }

    /// Partitions with the broker in their ISR.
    pub(crate) fn in_sync(&self, broker_id: i32) -> Partitions {
        self.in_sync.get(&broker_id).cloned().unwrap_or_default()
    }

    /// Partitions with the broker among their eligible leader replicas.
    pub(crate) fn eligible(&self, broker_id: i32) -> Partitions {
        self.eligible.get(&broker_id).cloned().unwrap_or_default()
    }

    /// Partitions that keep a replica in the directory.
    pub(crate) fn in_directory(&self, directory: Uuid) -> Partitions {
        self.in_directory.get(&directory).cloned().unwrap_or_default()
    }

    /// Whether the broker leads any partition.
    pub(crate) fn has_leaderships(&self, broker_id: i32) -> bool {
        self.led.contains_key(&broker_id)
    }

    /// Partitions that nobody leads.
    pub(crate) fn leaderless(&self) -> &Partitions {
        &self.leaderless
    }

    /// Partitions whose leader is not their first replica.
    pub(crate) fn imbalanced(&self) -> &Partitions {
        &self.imbalanced
    }

    /// Partitions whose replicas are being changed.
    pub(crate) fn reassigning(&self) -> &Partitions {
        &self.reassigning
    }

    fn change(
        &mut self,
        id: TopicIdPartition,
        partition: &Partition,
        apply: fn(&mut Partitions, TopicIdPartition),
    ) {
        let each = |map: &mut BTreeMap<i32, Partitions>, brokers: &[i32]| {
            for &broker in brokers {
                change_entry(map, broker, id, apply);
            }
        };
        each(&mut self.in_sync, &partition.isr);
        each(&mut self.eligible, &partition.elr);
        for &directory in &partition.directories {
            if !directory_id::is_reserved(directory) {
                change_entry(&mut self.in_directory, directory, id, apply);
            }
        }
        if partition.has_leader() {
            change_entry(&mut self.led, partition.leader, id, apply);
        } else {
            apply(&mut self.leaderless, id);
        }
        if !partition.has_preferred_leader() {
            apply(&mut self.imbalanced, id);
        }
        if partition.is_reassigning() {
            apply(&mut self.reassigning, id);
        }
    }
}

fn insert(set: &mut Partitions, id: TopicIdPartition) {
    set.insert(id);
}

fn remove(set: &mut Partitions, id: TopicIdPartition) {
    set.remove(&id);
}

fn change_entry<K: Ord + Copy>(
    map: &mut BTreeMap<K, Partitions>,
    key: K,
    id: TopicIdPartition,
    apply: fn(&mut Partitions, TopicIdPartition),
) {
    let set = map.entry(key).or_default();
    apply(set, id);
    if set.is_empty() {
        map.remove(&key);
    }
}
