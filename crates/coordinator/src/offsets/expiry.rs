//! Which offsets may go, and the scans that look for them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use klamm_protocol::Uuid;

use super::store::CommittedOffset;
use super::transactions::Offsets;
use crate::bounds::SCAN_SLICE_BYTES_MAX;
use crate::record::CoordinatorRecord;

/// What a tombstone takes in a batch beside its names, rounded up.
const RECORD_OVERHEAD_BYTES: usize = 32;

/// From when on the retention time of a group's offsets runs (KIP-211).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// Never, as things are: the group's members may come back for them.
    Never,
    /// From when the group lost its last member.
    Since(i64),
    /// From each offset's commit.
    SinceCommit,
}

/// What an offset's age is measured with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExpiryClock {
    pub(crate) expiry: Expiry,
    pub(crate) now_ms: i64,
    pub(crate) retention_ms: i64,
}

impl ExpiryClock {
    fn has_expired(self, offset: &CommittedOffset) -> bool {
        let since_ms = match self.expiry {
            Expiry::Never => return false,
            Expiry::Since(since_ms) => since_ms,
            Expiry::SinceCommit => offset.commit_timestamp_ms,
        };
        match offset.expire_timestamp_ms {
            Some(expire_ms) => self.now_ms >= expire_ms,
            None => self.now_ms.saturating_sub(since_ms) >= self.retention_ms,
        }
    }
}

/// A topic that is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeletedTopic {
    pub(crate) id: Uuid,
    pub(crate) name: Box<str>,
}

/// A walk over all groups, done in slices.
#[derive(Debug)]
pub(crate) struct Scan {
    /// When it was asked for; it is due since then.
    pub(crate) since_ms: i64,
    pub(crate) remaining: VecDeque<Arc<str>>,
    /// What to remove everywhere; none to remove what has expired.
    pub(crate) deleted_topics: Option<Vec<DeletedTopic>>,
}

/// The tombstones of one slice of a scan.
#[derive(Debug, Default)]
pub(crate) struct Tombstones {
    pub(crate) records: Vec<CoordinatorRecord<'static>>,
    bytes: usize,
}

impl Tombstones {
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= SCAN_SLICE_BYTES_MAX
    }

    pub(crate) fn push_group(&mut self, group_id: &str, records: Vec<CoordinatorRecord<'static>>) {
        self.bytes += records.len() * (group_id.len() + RECORD_OVERHEAD_BYTES);
        self.records.extend(records);
    }

    fn push(&mut self, group_id: &str, topic: &str, partition: i32) {
        self.bytes += group_id.len() + topic.len() + RECORD_OVERHEAD_BYTES;
        self.records.push(CoordinatorRecord::offset_tombstone(group_id, topic, partition));
    }
}

impl Offsets {
    /// Deletes the expired offsets of a group, until the slice is full. True when the group then has none, those of
    /// open transactions included.
    pub(crate) fn expire(
        &self,
        group_id: &str,
        clock: ExpiryClock,
        is_subscribed: impl Fn(&str) -> bool,
        tombstones: &mut Tombstones,
    ) -> bool {
        let mut all_expired = !self.has_open(group_id);
        for (topic, partitions) in self.group(group_id).into_iter().flatten() {
            let in_use = is_subscribed(topic);
            for (index, offset) in partitions {
                let expires = !in_use && clock.has_expired(offset) && !self.is_open(group_id, topic, *index);
                if expires && !tombstones.is_full() {
                    tombstones.push(group_id, topic, *index);
                } else {
                    all_expired = false;
                }
            }
        }
        all_expired
    }

    /// Deletes a group's offsets of topics that are no more, until the slice is full. Offsets of a topic of the same
    /// name and another id stay.
    pub(crate) fn forget_topics(
        &self,
        group_id: &str,
        deleted: &[DeletedTopic],
        tombstones: &mut Tombstones,
    ) {
        let stores = std::iter::once(&self.committed).chain(self.pending_stores());
        let groups: Vec<_> = stores.filter_map(|store| store.group(group_id)).collect();
        for topic in deleted {
            let partitions = groups.iter().filter_map(|topics| topics.get(&topic.name)).flatten();
            let gone = partitions.filter(|(_, at)| at.topic_id == Uuid::ZERO || at.topic_id == topic.id);
            let indexes: BTreeSet<i32> = gone.map(|(index, _)| *index).collect();
            for index in indexes {
                if !tombstones.is_full() {
                    tombstones.push(group_id, &topic.name, index);
                }
            }
        }
    }
}
