//! Replicas of several topics that have, or had, one name.
//!
//! A directory that was offline while a topic was deleted comes back with what it has of it, and the name may be another topic's by then.
//! Which topic is meant the metadata says: until it did, all are kept, and those that are not chosen go aside, and not away.

use klamm_protocol::Uuid;

use super::{LogDirs, Replica};
use crate::names::TopicPartition;

impl LogDirs {
    /// Makes this topic's replica the partition's, if loading found one. The one that was it so far is kept beside it.
    pub fn choose(&self, partition: &TopicPartition, topic_id: Uuid) {
        let _changing = self.changing.lock();
        let mut namesakes = self.namesakes.write();
        let Some(others) = namesakes.get_mut(partition) else { return };
        let chosen = others.iter().position(|other| other.topic_id == Some(topic_id));
        if let Some(chosen) = chosen.map(|index| others.swap_remove(index)) {
            others.extend(self.replicas.write().insert(partition.clone(), chosen));
        }
    }

    /// Gives those that were not chosen Kafka's `-stray` names, under which they are never loaded and never removed. What the disk refuses
    /// stays for the next start.
    pub fn set_namesakes_aside(&self, is_meant: impl Fn(&TopicPartition) -> bool, now_ms: i64) {
        let mut namesakes = self.namesakes.write();
        let meant: Vec<_> = namesakes.extract_if(.., |partition, _| is_meant(partition)).collect();
        drop(namesakes);
        for (partition, others) in meant {
            for other in others.iter().filter(|other| other.directory.is_online()) {
                let dir = other.log.dir();
                tracing::warn!("{} is of another topic of its name, and is set aside", dir.display());
                if let Err(error) = self.keep_as_stray(&partition, other, now_ms) {
                    tracing::error!(%error, "it is not set aside");
                }
            }
        }
    }

    /// Takes a replica in that was loaded. Of two copies of one topic's replica the one that is not needed is returned.
    pub(super) fn add_replica(&self, partition: &TopicPartition, replica: Replica) -> Option<Replica> {
        let mut namesakes = self.namesakes.write();
        let mut replicas = self.replicas.write();
        let mut known =
            replicas.get_mut(partition).into_iter().chain(namesakes.get_mut(partition).into_iter().flatten());
        if let Some(known) = known.find(|known| known.topic_id == replica.topic_id) {
            return Some(keep_better(known, replica));
        }
        if replicas.contains_key(partition) {
            namesakes.entry(partition.clone()).or_default().push(replica);
        } else {
            replicas.insert(partition.clone(), replica);
        }
        None
    }
}

/// Returns the one that is not kept.
pub(super) fn keep_better(kept: &mut Replica, mut other: Replica) -> Replica {
    if rank(&other) >= rank(kept) {
        std::mem::swap(kept, &mut other);
    }
    other
}

/// Of two copies of a replica the one is kept that has more of the latest leader's records, lacks none in the middle, and knows more of
/// what was deleted.
fn rank(replica: &Replica) -> (Option<i32>, i64, bool, i64) {
    let log = &replica.log;
    (log.latest_epoch(), log.log_end_offset(), log.gap().is_none(), log.log_start_offset())
}
