//! The checkpoints of one log directory.
//!
//! They are keyed by the partition's name alone, and so an entry must be gone before another log takes the name: it would cut a
//! recovery short, or take the new log's records for deleted ones.
//!
//! Several threads write them. Who does holds the lock from gathering the offsets until they are written, so that what was gathered
//! later is never replaced by what was gathered earlier.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::LogDirectory;
use crate::checkpoint::{
    CLEANER_OFFSET_CHECKPOINT, LOG_START_OFFSET_CHECKPOINT, OffsetCheckpoint, RECOVERY_POINT_CHECKPOINT,
    REPLICATION_OFFSET_CHECKPOINT, read_offsets, write_offsets,
};
use crate::config::LogConfig;
use crate::disk::Disk;
use crate::error::StorageError;
use crate::log::LogOpening;
use crate::names::TopicPartition;

/// The right to write a directory's checkpoints.
pub(super) struct Checkpoints<'d> {
    path: &'d Path,
    /// The checkpoint of compaction as it was written last.
    compacted_to: MutexGuard<'d, OffsetCheckpoint>,
}

impl LogDirectory {
    /// Waits for whoever writes the checkpoints now.
    pub(super) fn checkpoints(&self) -> Checkpoints<'_> {
        Checkpoints { path: self.path(), compacted_to: self.compacted_to.lock() }
    }
}

impl Checkpoints<'_> {
    pub(super) fn write_recovery_points(
        &self,
        disk: &dyn Disk,
        of: &OffsetCheckpoint,
    ) -> Result<(), StorageError> {
        write_offsets(disk, &self.path.join(RECOVERY_POINT_CHECKPOINT), of)
    }

    /// Lowers one log's recovery point. Writes only where it is higher.
    pub(super) fn lower_recovery_point(
        &self,
        disk: &dyn Disk,
        partition: &TopicPartition,
        offset: i64,
    ) -> Result<(), StorageError> {
        let mut known = load(disk, &self.path.join(RECOVERY_POINT_CHECKPOINT))?;
        match known.get_mut(partition).filter(|known| **known > offset) {
            Some(known) => *known = offset,
            None => return Ok(()),
        }
        self.write_recovery_points(disk, &known)
    }

    pub(super) fn write_log_starts(
        &self,
        disk: &dyn Disk,
        of: &OffsetCheckpoint,
    ) -> Result<(), StorageError> {
        write_offsets(disk, &self.path.join(LOG_START_OFFSET_CHECKPOINT), of)
    }

    pub(super) fn write_high_watermarks(
        &self,
        disk: &dyn Disk,
        of: &OffsetCheckpoint,
    ) -> Result<(), StorageError> {
        write_offsets(disk, &self.path.join(REPLICATION_OFFSET_CHECKPOINT), of)
    }

    /// Writes up to where logs are compacted, unless that is what was written last.
    pub(super) fn write_compacted_to(
        &mut self,
        disk: &dyn Disk,
        of: OffsetCheckpoint,
    ) -> Result<(), StorageError> {
        if *self.compacted_to != of {
            write_offsets(disk, &self.path.join(CLEANER_OFFSET_CHECKPOINT), &of)?;
            *self.compacted_to = of;
        }
        Ok(())
    }

    /// Removes the entries of logs that are gone. Writes only where there are some.
    pub(super) fn forget(
        &mut self,
        disk: &dyn Disk,
        is_gone: impl Fn(&TopicPartition) -> bool,
    ) -> Result<(), StorageError> {
        let files = [RECOVERY_POINT_CHECKPOINT, LOG_START_OFFSET_CHECKPOINT, REPLICATION_OFFSET_CHECKPOINT];
        for path in files.map(|name| self.path.join(name)) {
            let known = load(disk, &path)?;
            if let Some(kept) = without(&known, &is_gone) {
                write_offsets(disk, &path, &kept)?;
            }
        }
        match without(&load(disk, &self.path.join(CLEANER_OFFSET_CHECKPOINT))?, &is_gone) {
            Some(kept) => self.write_compacted_to(disk, kept),
            None => Ok(()),
        }
    }

    /// What the checkpoints say. A damaged one costs only time: it is taken for missing, and logs are verified from their beginning.
    pub(super) fn load(&mut self, disk: &dyn Disk) -> Result<Offsets, StorageError> {
        let read = |name| load(disk, &self.path.join(name));
        let offsets = Offsets {
            recovery_points: read(RECOVERY_POINT_CHECKPOINT)?,
            log_starts: read(LOG_START_OFFSET_CHECKPOINT)?,
            high_watermarks: read(REPLICATION_OFFSET_CHECKPOINT)?,
            compacted_to: read(CLEANER_OFFSET_CHECKPOINT)?,
        };
        self.compacted_to.clone_from(&offsets.compacted_to);
        Ok(offsets)
    }
}

fn load(disk: &dyn Disk, path: &Path) -> Result<OffsetCheckpoint, StorageError> {
    match read_offsets(disk, path) {
        Err(error) if error.is_damage() => {
            tracing::warn!(%error, "the checkpoint is not used");
            Ok(OffsetCheckpoint::new())
        }
        other => other,
    }
}

/// What is left without the logs that are gone; `None` when there is nothing of them.
fn without(known: &OffsetCheckpoint, is_gone: impl Fn(&TopicPartition) -> bool) -> Option<OffsetCheckpoint> {
    let kept = known.iter().filter(|(name, _)| !is_gone(name)).map(|(name, offset)| (name.clone(), *offset));
    let kept: OffsetCheckpoint = kept.collect();
    (kept.len() < known.len()).then_some(kept)
}

/// What the checkpoints of a directory say.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    pub(super) recovery_points: OffsetCheckpoint,
    pub(super) log_starts: OffsetCheckpoint,
    pub(super) high_watermarks: OffsetCheckpoint,
    pub(super) compacted_to: OffsetCheckpoint,
}

impl Offsets {
    pub(super) fn opening(
        &self,
        partition: &TopicPartition,
        dir: PathBuf,
        config: Arc<LogConfig>,
        was_clean: bool,
        now_ms: i64,
    ) -> LogOpening {
        let of = |offsets: &OffsetCheckpoint| offsets.get(partition).copied().unwrap_or(0);
        let (log_start_offset, recovery_point) = (of(&self.log_starts), of(&self.recovery_points));
        LogOpening { dir, config, log_start_offset, recovery_point, was_clean, is_contiguous: false, now_ms }
    }
}
