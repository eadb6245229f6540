//! Offsets as they are in the log, those of open transactions aside.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::store::{CommittedOffset, GroupOffsets, OffsetStore};

/// The producer id of a record outside any transaction.
const NO_PRODUCER_ID: i64 = -1;

/// Producers with an open transaction, by topic and partition.
type OpenTransactions = BTreeMap<Box<str>, BTreeMap<i32, BTreeSet<i64>>>;

/// All offsets of a shard.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Offsets {
    pub(super) committed: OffsetStore,
    /// By producer id: what its open transaction will commit.
    pending: BTreeMap<i64, OffsetStore>,
    /// By group: where transactions are open.
    open: HashMap<Arc<str>, OpenTransactions>,
}

impl Offsets {
    /// The committed offsets of a group; none where it has none.
    pub(crate) fn group(&self, group_id: &str) -> Option<&GroupOffsets> {
        self.committed.group(group_id)
    }

    /// Whether a transaction will decide about this partition's offset.
    pub(crate) fn is_open(&self, group_id: &str, topic: &str, partition: i32) -> bool {
        let topics = self.open.get(group_id);
        topics
            .and_then(|topics| topics.get(topic))
            .is_some_and(|partitions| partitions.contains_key(&partition))
    }

    pub(crate) fn has_open(&self, group_id: &str) -> bool {
        self.open.contains_key(group_id)
    }

    /// The partitions of a group that open transactions will decide about.
    pub(super) fn open_partitions(&self, group_id: &str) -> impl Iterator<Item = (&str, i32)> {
        let topics = self.open.get(group_id).into_iter().flatten();
        topics.flat_map(|(topic, partitions)| partitions.keys().map(move |partition| (&**topic, *partition)))
    }

    pub(super) fn pending_stores(&self) -> impl Iterator<Item = &OffsetStore> {
        self.pending.values()
    }

    /// Applies the record of a committed offset.
    pub(crate) fn put(
        &mut self,
        producer_id: i64,
        group_id: &str,
        topic: &str,
        partition: i32,
        offset: CommittedOffset,
    ) {
        if producer_id == NO_PRODUCER_ID {
            return self.committed.put(group_id, topic, partition, offset);
        }
        self.pending.entry(producer_id).or_default().put(group_id, topic, partition, offset);
        let topics = self.open.entry(group_id.into()).or_default();
        topics.entry(topic.into()).or_default().entry(partition).or_default().insert(producer_id);
    }

    /// Applies a tombstone: the offset is gone, and so is what open transactions would have put there.
    pub(crate) fn remove(&mut self, group_id: &str, topic: &str, partition: i32) {
        self.committed.remove(group_id, topic, partition);
        for producer_id in self.close(group_id, topic, partition) {
            if let Some(pending) = self.pending.get_mut(&producer_id) {
                pending.remove(group_id, topic, partition);
            }
        }
    }

    /// Applies the marker that ends a producer's transaction.
    pub(crate) fn end_transaction(&mut self, producer_id: i64, is_commit: bool) {
        let Some(pending) = self.pending.remove(&producer_id) else { return };
        for (group_id, topics) in pending.groups() {
            for (topic, partitions) in topics {
                for (partition, offset) in partitions {
                    self.close_for(group_id, topic, *partition, producer_id);
                    if is_commit {
                        self.settle(group_id, topic, *partition, offset);
                    }
                }
            }
        }
    }

    /// Makes an offset count, unless a later record already has its place.
    fn settle(&mut self, group_id: &str, topic: &str, partition: i32, offset: &CommittedOffset) {
        let present = self.committed.get(group_id, topic, partition);
        if present.is_none_or(|present| present.record_offset < offset.record_offset) {
            self.committed.put(group_id, topic, partition, offset.clone());
        }
    }

    fn close_for(&mut self, group_id: &str, topic: &str, partition: i32, producer_id: i64) {
        let producers = self.open.get_mut(group_id).and_then(|topics| topics.get_mut(topic));
        let Some(producers) = producers.and_then(|partitions| partitions.get_mut(&partition)) else { return };
        producers.remove(&producer_id);
        if producers.is_empty() {
            self.close(group_id, topic, partition);
        }
    }

    /// Forgets that transactions are open for this partition; gives their producers.
    fn close(&mut self, group_id: &str, topic: &str, partition: i32) -> BTreeSet<i64> {
        let Some(topics) = self.open.get_mut(group_id) else { return BTreeSet::new() };
        let Some(partitions) = topics.get_mut(topic) else { return BTreeSet::new() };
        let producers = partitions.remove(&partition).unwrap_or_default();
        if partitions.is_empty() {
            topics.remove(topic);
        }
        if topics.is_empty() {
            self.open.remove(group_id);
        }
        producers
    }

    /// Checks the invariants of this module.
    ///
    /// # Panics
    /// If one does not hold.
    pub(crate) fn check_invariants(&self) {
        assert!(self.committed.is_tight(), "an offset map is kept empty");
        assert!(self.pending.values().all(OffsetStore::is_tight), "a pending offset map is kept empty");
        let mut open = 0;
        for (group_id, topics) in &self.open {
            for (topic, partitions) in topics {
                for (partition, producers) in partitions {
                    open += producers.len();
                    for producer_id in producers {
                        let pending = self.pending.get(producer_id);
                        let waits = pending.and_then(|store| store.get(group_id, topic, *partition));
                        assert!(
                            waits.is_some(),
                            "{group_id} {topic}-{partition} has no offset of {producer_id}"
                        );
                    }
                }
            }
        }
        let stores = self.pending.values().flat_map(|store| store.groups());
        let pending: usize = stores.flat_map(|(_, topics)| topics.values()).map(BTreeMap::len).sum();
        assert_eq!(open, pending, "an offset waits for a transaction that is not open");
    }
}
