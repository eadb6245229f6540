//! Snapshots of the metadata log: files named by where they end, holding the records that rebuild the image there.
//!
//! A snapshot is a control batch with the header (and, from `kraft.version` 1 on, that level and the voters), batches of metadata
//! records, and a control batch with the footer; offsets count from 0. One without its footer was not finished.

use std::fmt;

use klamm_protocol::EncodeError;
use klamm_protocol::control_record::ControlRecord;
use klamm_protocol::messages::{
    FeatureLevelRecord, KRaftVersionRecord, SnapshotFooterRecord, SnapshotHeaderRecord, VotersRecord,
};
use klamm_protocol::metadata_record::MetadataRecord;
use klamm_records::{Batch, BatchError, batches};
use thiserror::Error;

use crate::features::bootstrap_levels;
use crate::log_batch::{
    BatchContents, LogBatchError, decode_batch, encode_control_batch, encode_metadata_batch,
};
use crate::metadata_version::MetadataVersion;

/// Metadata records a batch of a snapshot holds at most.
const RECORDS_PER_BATCH: usize = 4096;

/// Where a snapshot ends: it replaces all records before `end_offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId {
    /// Offset after the last record it contains.
    pub end_offset: i64,
    /// Leader epoch of the last record it contains.
    pub epoch: i32,
}

impl SnapshotId {
    /// The snapshot that formatting writes, with the cluster's first records in it.
    pub const BOOTSTRAP: Self = Self { end_offset: 0, epoch: 0 };

    /// The id in a file name, if it is a snapshot's.
    pub fn from_file_name(name: &str) -> Option<Self> {
        let (end_offset, epoch) = name.strip_suffix(".checkpoint")?.split_once('-')?;
        let digits =
            |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(end_offset, 20) || !digits(epoch, 10) {
            return None;
        }
        Some(Self { end_offset: end_offset.parse().ok()?, epoch: epoch.parse().ok()? })
    }
}

/// The file name, as in `00000000000000000289-0000000001.checkpoint`.
impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}-{:010}.checkpoint", self.end_offset, self.epoch)
    }
}

/// What the quorum keeps in a snapshot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuorumRecords {
    /// The level of `kraft.version`; 0 is not written.
    pub kraft_version: i16,
    /// The voters, where the log keeps them.
    pub voters: Option<VotersRecord<'static>>,
}

/// A decoded snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Append time of the last record it contains, in milliseconds.
    pub last_contained_log_timestamp_ms: i64,
    /// The quorum's part.
    pub quorum: QuorumRecords,
    /// The metadata records, in order.
    pub records: Vec<MetadataRecord<'static>>,
}

/// A file that is not a whole snapshot.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// Its batches cannot be read.
    #[error("byte {position}: {source}")]
    Batch {
        /// Where the batch begins.
        position: usize,
        /// What is wrong.
        source: BatchError,
    },
    /// A batch's records cannot be read.
    #[error(transparent)]
    Records(#[from] LogBatchError),
    /// It does not begin with a header.
    #[error("it does not begin with a snapshot header")]
    NoHeader,
    /// It does not end with a footer: writing it was not finished.
    #[error("it does not end with a snapshot footer")]
    NoFooter,
}

impl Snapshot {
    /// The snapshot that formatting a folder writes as [`SnapshotId::BOOTSTRAP`]: the features a cluster at `version` starts with.
    pub fn bootstrap(version: MetadataVersion, now_ms: i64, quorum: QuorumRecords) -> Self {
        let levels = bootstrap_levels(version).into_iter();
        let record = |(name, feature_level): (&'static str, i16)| {
            MetadataRecord::FeatureLevel(FeatureLevelRecord { name: name.into(), feature_level })
        };
        Self { last_contained_log_timestamp_ms: now_ms, quorum, records: levels.map(record).collect() }
    }

    /// The snapshot's bytes, written at `now_ms`, with records in the versions of `version`.
    pub fn encode(
        &self,
        id: SnapshotId,
        now_ms: i64,
        version: MetadataVersion,
    ) -> Result<Vec<u8>, EncodeError> {
        let header = self.header_records();
        let mut bytes = encode_control_batch(0, id.epoch, now_ms, &header)?;
        let mut offset = header.len() as i64;
        for records in self.records.chunks(RECORDS_PER_BATCH) {
            bytes.extend(encode_metadata_batch(offset, id.epoch, now_ms, records, version)?);
            offset += records.len() as i64;
        }
        let footer = ControlRecord::SnapshotFooter(SnapshotFooterRecord { version: 0 });
        bytes.extend(encode_control_batch(offset, id.epoch, now_ms, &[footer])?);
        Ok(bytes)
    }

    /// Reads a whole snapshot, checking each batch's CRC.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut snapshot = None;
        let mut finished = false;
        let mut position = 0;
        for batch in batches(bytes) {
            let broken = |source| SnapshotError::Batch { position, source };
            let batch = batch.map_err(broken)?;
            batch.check_crc().map_err(broken)?;
            position += batch.bytes().len();
            match (decode_batch(&batch)?.contents, &mut snapshot) {
                (BatchContents::Control(records), None) => snapshot = Some(Self::from_header(records)?),
                (BatchContents::Metadata(records), Some(snapshot)) if !finished => {
                    snapshot.records.extend(records);
                }
                (BatchContents::Control(records), Some(_)) if !finished => {
                    finished = matches!(records.as_slice(), [ControlRecord::SnapshotFooter(_)]);
                }
                (_, None) => return Err(SnapshotError::NoHeader),
                _ => return Err(SnapshotError::NoFooter),
            }
        }
        if !finished || position != bytes.len() {
            return Err(SnapshotError::NoFooter);
        }
        snapshot.ok_or(SnapshotError::NoHeader)
    }

    /// The append time of the last record that a snapshot contains, in milliseconds, as its first batch says; none if that is no header.
    pub fn timestamp_of(first: &Batch<'_>) -> Option<i64> {
        match decode_batch(first).ok()?.contents {
            BatchContents::Control(records) => {
                Self::from_header(records).ok().map(|snapshot| snapshot.last_contained_log_timestamp_ms)
            }
            BatchContents::Metadata(_) => None,
        }
    }

    fn header_records(&self) -> Vec<ControlRecord> {
        let last_contained_log_timestamp = self.last_contained_log_timestamp_ms;
        let header = SnapshotHeaderRecord { version: 0, last_contained_log_timestamp };
        let mut records = vec![ControlRecord::SnapshotHeader(header)];
        if self.quorum.kraft_version > 0 {
            let level = KRaftVersionRecord { version: 0, kraft_version: self.quorum.kraft_version };
            records.push(ControlRecord::KRaftVersion(level));
        }
        records.extend(self.quorum.voters.clone().map(ControlRecord::Voters));
        records
    }

    fn from_header(records: Vec<ControlRecord>) -> Result<Self, SnapshotError> {
        let mut records = records.into_iter();
        let Some(ControlRecord::SnapshotHeader(header)) = records.next() else {
            return Err(SnapshotError::NoHeader);
        };
        let mut quorum = QuorumRecords::default();
        for record in records {
            match record {
                ControlRecord::KRaftVersion(record) => quorum.kraft_version = record.kraft_version,
                ControlRecord::Voters(record) => quorum.voters = Some(record),
                _ => return Err(SnapshotError::NoHeader),
            }
        }
        Ok(Self {
            last_contained_log_timestamp_ms: header.last_contained_log_timestamp,
            quorum,
            records: Vec::new(),
        })
    }
}
