//! Which leader epoch wrote from which offset on (KIP-101, KIP-279), kept in `leader-epoch-checkpoint`.
//!
//! Epochs and start offsets both ascend strictly. The checkpoint may lag behind by epochs whose first batch is
//! above the recovery point: recovery finds those again in the batches. It never lags behind a truncation.

use std::path::Path;

use crate::checkpoint::{self, CheckpointLine};
use crate::disk::Disk;
use crate::error::StorageError;

/// The name of the checkpoint file.
pub const LEADER_EPOCH_CHECKPOINT: &str = "leader-epoch-checkpoint";

/// An epoch and the offset of the first record of its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: i32,
    /// Where it begins.
    pub start_offset: i64,
}

/// The largest known epoch at or below one that was asked for, and where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The epoch.
    pub epoch: i32,
    /// Start of the next epoch, or the log end for the latest.
    pub end_offset: i64,
}

impl CheckpointLine for EpochStart {
    fn parse(fields: &[&str]) -> Option<Self> {
        let [epoch, start_offset] = fields else { return None };
        let entry = Self { epoch: epoch.parse().ok()?, start_offset: start_offset.parse().ok()? };
        (entry.epoch >= 0 && entry.start_offset >= 0).then_some(entry)
    }

    fn write(&self, out: &mut String) {
        out.push_str(&format!("{} {}", self.epoch, self.start_offset));
    }
}

/// The epochs of a partition.
#[derive(Debug, Default)]
pub(crate) struct LeaderEpochs {
    entries: Vec<EpochStart>,
    unsaved: bool,
}

impl LeaderEpochs {
    /// What the checkpoint says; `None` when there is no such file.
    pub(crate) fn load(disk: &dyn Disk, path: &Path) -> Result<Option<Self>, StorageError> {
        let Some(entries) = checkpoint::read::<EpochStart>(disk, path)? else { return Ok(None) };
        let ascending = |pair: &[EpochStart]| {
            pair[0].epoch < pair[1].epoch && pair[0].start_offset <= pair[1].start_offset
        };
        if !entries.windows(2).all(ascending) {
            return Err(StorageError::damaged("read", path, "epochs do not ascend"));
        }
        Ok(Some(Self { entries, unsaved: false }))
    }

    /// Writes the checkpoint if it is behind.
    pub(crate) fn save(&mut self, disk: &dyn Disk, path: &Path, sync: bool) -> Result<(), StorageError> {
        if self.unsaved {
            checkpoint::write(disk, path, &self.entries, sync)?;
            self.unsaved = false;
        }
        Ok(())
    }

    pub(crate) fn entries(&self) -> &[EpochStart] {
        &self.entries
    }

    pub(crate) fn latest(&self) -> Option<EpochStart> {
        self.entries.last().copied()
    }

    pub(crate) fn earliest(&self) -> Option<EpochStart> {
        self.entries.first().copied()
    }

    /// Notes that `epoch` begins at `start_offset`. Entries that contradict it, from a history that was cut off, go.
    pub(crate) fn assign(&mut self, epoch: i32, start_offset: i64) {
        if epoch < 0
            || self.latest().is_some_and(|last| last.epoch == epoch && last.start_offset <= start_offset)
        {
            return;
        }
        while self.latest().is_some_and(|last| last.epoch >= epoch || last.start_offset >= start_offset) {
            self.entries.pop();
        }
        self.entries.push(EpochStart { epoch, start_offset });
        self.unsaved = true;
    }

    /// Forgets epochs that begin at `end_offset` or later; whether there were any.
    pub(crate) fn truncate_from_end(&mut self, end_offset: i64) -> bool {
        let kept = self.entries.partition_point(|entry| entry.start_offset < end_offset);
        let changed = kept < self.entries.len();
        self.entries.truncate(kept);
        self.unsaved |= changed;
        changed
    }

    /// Forgets epochs that end at or before `start_offset`; the one that contains it begins there now.
    pub(crate) fn truncate_from_start(&mut self, start_offset: i64) -> bool {
        let below = self.entries.partition_point(|entry| entry.start_offset <= start_offset);
        let Some(containing) = below.checked_sub(1) else { return false };
        if containing == 0 && self.entries[0].start_offset == start_offset {
            return false;
        }
        self.entries.drain(..containing);
        self.entries[0].start_offset = start_offset;
        self.unsaved = true;
        true
    }

    pub(crate) fn clear(&mut self) {
        self.unsaved |= !self.entries.is_empty();
        self.entries.clear();
    }

    /// Answers OffsetsForLeaderEpoch; `None` when nothing is known of such an epoch.
    pub(crate) fn end_offset_for(&self, epoch: i32, log_end_offset: i64) -> Option<EpochEnd> {
        let latest = self.latest()?;
        if epoch < 0 || epoch > latest.epoch {
            return None;
        }
        if epoch == latest.epoch {
            return Some(EpochEnd { epoch, end_offset: log_end_offset });
        }
        let above = self.entries.partition_point(|entry| entry.epoch <= epoch);
        // Below the first known epoch the records are gone; the follower may go on where the log begins.
        let epoch = above.checked_sub(1).map_or(epoch, |n| self.entries[n].epoch);
        Some(EpochEnd { epoch, end_offset: self.entries[above].start_offset })
    }

    /// The epoch whose leader wrote the record at `offset`.
    pub(crate) fn epoch_for_offset(&self, offset: i64) -> Option<i32> {
        let above = self.entries.partition_point(|entry| entry.start_offset <= offset);
        above.checked_sub(1).map(|n| self.entries[n].epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
        let mut epochs = LeaderEpochs::default();
        entries.iter().for_each(|(epoch, start)| epochs.assign(*epoch, *start));
        epochs
    }

    fn pairs(epochs: &LeaderEpochs) -> Vec<(i32, i64)> {
        epochs.entries.iter().map(|entry| (entry.epoch, entry.start_offset)).collect()
    }

    #[test]
    fn assignments_that_contradict_older_ones_replace_them() {
        assert_eq!(pairs(&epochs(&[(0, 0), (1, 10), (1, 20)])), [(0, 0), (1, 10)]);
        assert_eq!(pairs(&epochs(&[(0, 0), (1, 10), (3, 10)])), [(0, 0), (3, 10)]);
        assert_eq!(pairs(&epochs(&[(0, 0), (2, 10), (4, 20), (1, 15)])), [(0, 0), (1, 15)]);
        assert_eq!(pairs(&epochs(&[(-1, 0)])), []);
    }

    #[test]
    fn the_end_of_an_epoch_is_the_start_of_the_next() {
        let known = epochs(&[(2, 10), (4, 20), (5, 30)]);
        let end = |epoch| known.end_offset_for(epoch, 40).map(|end| (end.epoch, end.end_offset));
        let table = [
            (-1, None),
            (0, Some((0, 10))),
            (2, Some((2, 20))),
            (3, Some((2, 20))),
            (4, Some((4, 30))),
            (5, Some((5, 40))),
            (6, None),
        ];
        for (epoch, expected) in table {
            assert_eq!(end(epoch), expected, "epoch {epoch}");
        }
        assert_eq!(epochs(&[]).end_offset_for(0, 40), None);
    }

    #[test]
    fn truncation_cuts_both_ends() {
        let mut known = epochs(&[(0, 0), (1, 10), (2, 20)]);
        assert!(!known.truncate_from_end(21));
        assert!(known.truncate_from_end(20));
        assert_eq!(pairs(&known), [(0, 0), (1, 10)]);
        assert!(known.truncate_from_start(15));
        assert_eq!(pairs(&known), [(1, 15)]);
        assert!(!known.truncate_from_start(5));
        assert_eq!(known.epoch_for_offset(14), None);
        assert_eq!(known.epoch_for_offset(99), Some(1));
    }
}
