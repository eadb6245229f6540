//! Offsets by group, topic and partition.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use klamm_protocol::Uuid;
use klamm_protocol::messages::OffsetCommitValue;

/// One committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommittedOffset {
    pub(crate) offset: i64,
    /// −1 where the committer did not tell.
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: Box<str>,
    pub(crate) commit_timestamp_ms: i64,
    /// When it expires, for commits that said so themselves (OffsetCommit 2–4).
    pub(crate) expire_timestamp_ms: Option<i64>,
    /// The topic it was committed for; zero where that is not known.
    pub(crate) topic_id: Uuid,
    /// Where its record is in the log.
    pub(crate) record_offset: i64,
}

impl CommittedOffset {
    pub(crate) fn of(record_offset: i64, value: &OffsetCommitValue<'_>) -> Self {
        Self {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata.as_ref().into(),
            commit_timestamp_ms: value.commit_timestamp,
            expire_timestamp_ms: (value.expire_timestamp != -1).then_some(value.expire_timestamp),
            topic_id: value.topic_id,
            record_offset,
        }
    }
}

/// The offsets of one group.
pub(crate) type GroupOffsets = BTreeMap<Box<str>, BTreeMap<i32, CommittedOffset>>;

/// Offsets by group. Lookups by group hash; what is listed is listed in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct OffsetStore {
    groups: HashMap<Arc<str>, GroupOffsets>,
}

impl OffsetStore {
    pub(super) fn group(&self, group_id: &str) -> Option<&GroupOffsets> {
        self.groups.get(group_id)
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = (&Arc<str>, &GroupOffsets)> {
        self.groups.iter()
    }

    pub(super) fn get(&self, group_id: &str, topic: &str, partition: i32) -> Option<&CommittedOffset> {
        self.groups.get(group_id)?.get(topic)?.get(&partition)
    }

    /// Stores an offset. The names are copied only where they are new.
    pub(super) fn put(&mut self, group_id: &str, topic: &str, partition: i32, offset: CommittedOffset) {
        let topics = match self.groups.get_mut(group_id) {
            Some(topics) => topics,
            None => self.groups.entry(group_id.into()).or_default(),
        };
        let partitions = match topics.get_mut(topic) {
            Some(partitions) => partitions,
            None => topics.entry(topic.into()).or_default(),
        };
        partitions.insert(partition, offset);
    }

    pub(super) fn remove(&mut self, group_id: &str, topic: &str, partition: i32) {
        let Some(topics) = self.groups.get_mut(group_id) else { return };
        let Some(partitions) = topics.get_mut(topic) else { return };
        partitions.remove(&partition);
        if partitions.is_empty() {
            topics.remove(topic);
        }
        if topics.is_empty() {
            self.groups.remove(group_id);
        }
    }

    /// Whether no map is kept empty.
    pub(super) fn is_tight(&self) -> bool {
        self.groups.values().all(|topics| !topics.is_empty() && topics.values().all(|it| !it.is_empty()))
    }
}
