//! The checkpoints that hold one offset for each partition of a log directory.

use std::collections::BTreeMap;
use std::path::Path;

use super::CheckpointLine;
use crate::disk::Disk;
use crate::error::StorageError;
use crate::names::TopicPartition;

/// Up to where each log is known to be on the device.
pub(crate) const RECOVERY_POINT_CHECKPOINT: &str = "recovery-point-offset-checkpoint";
/// Where each log begins, for those that do not begin with their first segment.
pub(crate) const LOG_START_OFFSET_CHECKPOINT: &str = "log-start-offset-checkpoint";
/// The high watermarks.
pub(crate) const REPLICATION_OFFSET_CHECKPOINT: &str = "replication-offset-checkpoint";
/// Up to where each log is compacted.
pub(crate) const CLEANER_OFFSET_CHECKPOINT: &str = "cleaner-offset-checkpoint";

/// An offset for each partition.
pub type OffsetCheckpoint = BTreeMap<TopicPartition, i64>;

struct Line(TopicPartition, i64);

impl CheckpointLine for Line {
    fn parse(fields: &[&str]) -> Option<Self> {
        let [topic, partition, offset] = fields else { return None };
        Some(Self(TopicPartition::new(*topic, partition.parse().ok()?), offset.parse().ok()?))
    }

    fn write(&self, out: &mut String) {
        out.push_str(&format!("{} {} {}", self.0.topic, self.0.partition, self.1));
    }
}

/// Reads an offset checkpoint; empty when there is no such file.
pub fn read_offsets(disk: &dyn Disk, path: &Path) -> Result<OffsetCheckpoint, StorageError> {
    let lines = super::read::<Line>(disk, path)?.unwrap_or_default();
    Ok(lines.into_iter().map(|line| (line.0, line.1)).collect())
}

/// Replaces an offset checkpoint; durable on return.
pub(crate) fn write_offsets(
    disk: &dyn Disk,
    path: &Path,
    offsets: &OffsetCheckpoint,
) -> Result<(), StorageError> {
    let lines: Vec<Line> =
        offsets.iter().map(|(partition, offset)| Line(partition.clone(), *offset)).collect();
    super::write(disk, path, &lines, true)
}
