//! When a metadata snapshot is due, and taking it on a helper thread.

use std::sync::Arc;

use klamm_config::BrokerConfig;
use klamm_metadata::MetadataImage;
use klamm_metadata::log_batch::LogBatch;
use klamm_metadata::snapshot::{QuorumRecords, Snapshot, SnapshotId};
use klamm_quorum::{Quorum, VoterSet};

use super::driver::DriverError;
use super::metadata_log::MetadataLog;

/// How often files of deleted segments are looked for.
const REMOVAL_INTERVAL_MS: i64 = 10_000;

/// Counts what came since the last snapshot, against `metadata.log.max.record.bytes.between.snapshots` and
/// `metadata.log.max.snapshot.interval.ms`.
pub(crate) struct SnapshotPolicy {
    pub(crate) bytes_max: u64,
    pub(crate) interval_ms: i64,
    pub(crate) retention: Retention,
    /// The log end that the bytes are counted from, as the log's size at that time.
    size_at_last: u64,
    last_ms: i64,
    has_new: bool,
    next_removal_ms: i64,
}

/// When what a snapshot replaces is deleted: log and snapshots before it.
#[derive(Clone, Copy)]
pub(crate) struct Retention {
    /// `metadata.max.retention.bytes`: once both have more.
    bytes: u64,
    /// `metadata.max.retention.ms`: once the oldest snapshot is older.
    ms: Option<i64>,
}

/// Work for a helper thread.
pub(super) struct SnapshotJob {
    log: Arc<MetadataLog>,
    /// None where only files of deleted segments are removed.
    snapshot: Option<DueSnapshot>,
    timestamp_ms: i64,
}

struct DueSnapshot {
    image: MetadataImage,
    quorum: QuorumRecords,
    retention: Retention,
}

/// A snapshot that is complete on disk.
pub(super) struct WrittenSnapshot {
    pub(super) id: SnapshotId,
    /// Where the log begins now.
    pub(super) log_start_offset: i64,
}

impl SnapshotPolicy {
    pub(crate) fn new(config: &BrokerConfig, log: &MetadataLog, now_ms: i64) -> Self {
        Self {
            bytes_max: config.metadata_log_max_record_bytes_between_snapshots.max(1) as u64,
            interval_ms: config.metadata_log_max_snapshot_interval_ms,
            retention: Retention {
                bytes: u64::try_from(config.metadata_max_retention_bytes).unwrap_or(u64::MAX),
                ms: Some(config.metadata_max_retention_ms).filter(|ms| *ms >= 0),
            },
            size_at_last: log.log().size(),
            last_ms: now_ms,
            has_new: false,
            next_removal_ms: now_ms + REMOVAL_INTERVAL_MS,
        }
    }

    /// A batch was committed.
    pub(super) fn note(&mut self, _batch: &LogBatch) {
        self.has_new = true;
    }

    /// What is to be done on disk now: a snapshot of what is committed, files to be removed, or nothing. The two times are the one for
    /// intervals and the one that is written down.
    pub(super) fn next_job(
        &mut self,
        log: Arc<MetadataLog>,
        quorum: &Quorum,
        image: &MetadataImage,
        (now_ms, timestamp_ms): (i64, i64),
    ) -> Option<SnapshotJob> {
        let snapshot = self.is_due(&log, now_ms).then(|| {
            (self.size_at_last, self.last_ms, self.has_new) = (log.log().size(), now_ms, false);
            let end_offset = image.provenance.last_offset + 1;
            let kraft_version = quorum.kraft_version_before(end_offset);
            let voters = quorum.voters_before(end_offset).filter(|_| kraft_version > 0);
            let quorum = QuorumRecords { kraft_version, voters: voters.map(VoterSet::to_record) };
            DueSnapshot { image: image.clone(), quorum, retention: self.retention }
        });
        let removes = now_ms >= self.next_removal_ms;
        if removes {
            self.next_removal_ms = now_ms + REMOVAL_INTERVAL_MS;
        }
        (removes || snapshot.is_some()).then_some(SnapshotJob { log, snapshot, timestamp_ms })
    }

    fn is_due(&self, log: &MetadataLog, now_ms: i64) -> bool {
        let grown = log.log().size().saturating_sub(self.size_at_last);
        let is_old = self.interval_ms > 0 && now_ms - self.last_ms >= self.interval_ms;
        self.has_new && (grown >= self.bytes_max || is_old)
    }
}

impl SnapshotJob {
    /// Writes the snapshot, and forgets what it replaces.
    pub(super) fn run(self) -> Result<Option<WrittenSnapshot>, DriverError> {
        let Self { log, snapshot, timestamp_ms } = self;
        let written = match snapshot {
            Some(due) => Some(due.write(&log, timestamp_ms)?),
            None => None,
        };
        log.remove_deleted_files(timestamp_ms)?;
        Ok(written)
    }
}

impl DueSnapshot {
    fn write(self, log: &MetadataLog, timestamp_ms: i64) -> Result<WrittenSnapshot, DriverError> {
        let Self { image, quorum, retention } = self;
        let provenance = image.provenance;
        let id = SnapshotId { end_offset: provenance.last_offset + 1, epoch: provenance.last_epoch };
        let snapshot = Snapshot {
            last_contained_log_timestamp_ms: provenance.last_timestamp_ms,
            quorum,
            records: image.to_records(),
        };
        log.save_snapshot(id, &snapshot.encode(id, timestamp_ms, image.metadata_version())?)?;
        if retention.is_exceeded(log, timestamp_ms)? {
            log.delete_before(id, timestamp_ms)?;
        }
        Ok(WrittenSnapshot { id, log_start_offset: log.log().log_start_offset() })
    }
}

impl Retention {
    fn is_exceeded(&self, log: &MetadataLog, timestamp_ms: i64) -> Result<bool, DriverError> {
        let bytes = log.snapshot_bytes()?;
        let oldest_ms = log.oldest_snapshot_ms()?.unwrap_or(timestamp_ms);
        let is_old = self.ms.is_some_and(|ms| timestamp_ms.saturating_sub(oldest_ms) > ms);
        Ok(is_old || bytes.saturating_add(log.log().size()) > self.bytes)
    }
}
