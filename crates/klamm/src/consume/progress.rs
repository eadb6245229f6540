//! How far there is to go: the ends that partitions had at the start, and which have been reached.

use std::collections::{BTreeMap, BTreeSet};

use klamm_client::TopicPartition;

/// Partitions and the offsets at which to stop.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Progress {
    ends: BTreeMap<TopicPartition, i64>,
    open: BTreeSet<TopicPartition>,
}

impl Progress {
    /// Partitions that end at 0 are empty, and done from the start.
    pub(crate) fn towards(ends: BTreeMap<TopicPartition, i64>) -> Self {
        let open = ends.iter().filter(|(_, end)| **end > 0).map(|(partition, _)| partition.clone()).collect();
        Self { ends, open }
    }

    /// Where to stop in a partition, if anywhere.
    pub(crate) fn end(&self, partition: &TopicPartition) -> Option<i64> {
        self.ends.get(partition).copied()
    }

    /// Everything before `next_offset` has been seen.
    pub(crate) fn reached(&mut self, partition: &TopicPartition, next_offset: i64) {
        if self.end(partition).is_some_and(|end| next_offset >= end) {
            self.open.remove(partition);
        }
    }

    /// Whether every one of these partitions has been read to its end.
    pub(crate) fn is_done<'p>(&self, partitions: impl IntoIterator<Item = &'p TopicPartition>) -> bool {
        partitions.into_iter().all(|partition| !self.open.contains(partition))
    }

    pub(crate) fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.ends.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn done_when_every_partition_has_reached_its_end() {
        let [a, b, empty] = [0, 1, 2].map(|partition| TopicPartition::new("t", partition));
        let ends = [(a.clone(), 10), (b.clone(), 5), (empty.clone(), 0)];
        let mut progress = Progress::towards(ends.into());
        assert!(progress.is_done([&empty]) && !progress.is_done([&a]));
        progress.reached(&a, 9);
        assert!(!progress.is_done([&a]));
        progress.reached(&a, 10);
        assert!(progress.is_done([&a, &empty]) && !progress.is_done([&a, &b]));
        progress.reached(&b, 77);
        assert!(progress.is_done([&a, &b, &empty]));
        assert_eq!(progress.end(&b), Some(5));
        assert_eq!(progress.end(&TopicPartition::new("other", 0)), None);
    }
}
