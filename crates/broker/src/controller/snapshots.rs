//! When a metadata snapshot is due, and taking it.

use klamm_config::BrokerConfig;
use klamm_metadata::MetadataImage;
use klamm_metadata::log_batch::LogBatch;
use klamm_metadata::snapshot::{QuorumRecords, Snapshot, SnapshotId};
use klamm_quorum::Quorum;

use super::driver::DriverError;
use super::metadata_log::MetadataLog;

/// Counts what came since the last snapshot, against `metadata.log.max.record.bytes.between.snapshots` and
/// `metadata.log.max.snapshot.interval.ms`.
pub(crate) struct SnapshotPolicy {
    pub(crate) bytes_max: u64,
    pub(crate) interval_ms: i64,
    /// `metadata.max.retention.bytes`: beyond it, what a snapshot replaces is deleted.
    pub(crate) retention_bytes: u64,
    /// The log end that the bytes are counted from, as the log's size at that time.
    size_at_last: u64,
    last_ms: i64,
    has_new: bool,
}

impl SnapshotPolicy {
    pub(crate) fn new(config: &BrokerConfig, log: &MetadataLog, now_ms: i64) -> Self {
        Self {
            bytes_max: config.metadata_log_max_record_bytes_between_snapshots.max(1) as u64,
            interval_ms: config.metadata_log_max_snapshot_interval_ms,
            retention_bytes: u64::try_from(config.metadata_max_retention_bytes).unwrap_or(u64::MAX),
            size_at_last: log.log().size(),
            last_ms: now_ms,
            has_new: false,
        }
    }

    /// A batch was committed.
    pub(super) fn note(&mut self, _batch: &LogBatch) {
        self.has_new = true;
    }

    /// Writes a snapshot of what is committed, if one is due, and forgets what it replaces.
    pub(super) fn take_if_due(
        &mut self,
        log: &MetadataLog,
        quorum: &mut Quorum,
        image: &MetadataImage,
        now_ms: i64,
    ) -> Result<(), DriverError> {
        let grown = log.log().size().saturating_sub(self.size_at_last);
        let is_old = self.interval_ms > 0 && now_ms - self.last_ms >= self.interval_ms;
        let is_due = grown >= self.bytes_max || is_old;
        if !self.has_new || !is_due {
            return Ok(());
        }
        let provenance = image.provenance;
        let id = SnapshotId { end_offset: provenance.last_offset + 1, epoch: provenance.last_epoch };
        let kraft_version = quorum.kraft_version();
        let voters = (kraft_version > 0).then(|| quorum.current_voters().to_record());
        let snapshot = Snapshot {
            last_contained_log_timestamp_ms: provenance.last_timestamp_ms,
            quorum: QuorumRecords { kraft_version, voters },
            records: image.to_records(),
        };
        log.save_snapshot(id, &snapshot.encode(id, now_ms, image.metadata_version())?)?;
        if log.log().size() > self.retention_bytes {
            log.delete_before(id, now_ms)?;
        }
        quorum.on_snapshot_written(id, log.log().log_start_offset());
        (self.size_at_last, self.last_ms, self.has_new) = (log.log().size(), now_ms, false);
        Ok(())
    }
}
