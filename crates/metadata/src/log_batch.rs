//! Batches of the metadata log and of its snapshots.
//!
//! A batch holds either metadata records or control records of the quorum, never both. Metadata records have no key; a control
//! record's key names its type, and the first field of its value is the version the rest is in.

use klamm_protocol::control_record::ControlRecord;
use klamm_protocol::metadata_record::MetadataRecord;
use klamm_protocol::{DecodeError, EncodeError};
use klamm_records::{Batch, BatchBuilder, DecompressLimits, NewRecord, Record, RecordError, RecordIter};
use thiserror::Error;

use crate::metadata_version::MetadataVersion;

/// What one batch of the metadata log holds.
#[derive(Clone, Debug, PartialEq)]
pub enum BatchContents {
    /// Changes of the cluster's metadata.
    Metadata(Vec<MetadataRecord<'static>>),
    /// The quorum's own records.
    Control(Vec<ControlRecord>),
}

/// One decoded batch.
#[derive(Clone, Debug, PartialEq)]
pub struct LogBatch {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Offset of the last record.
    pub last_offset: i64,
    /// Epoch of the leader that appended it.
    pub leader_epoch: i32,
    /// Append time in milliseconds.
    pub timestamp_ms: i64,
    /// Its records.
    pub contents: BatchContents,
}

/// A batch that is not one of a metadata log.
#[derive(Debug, Error)]
pub enum LogBatchError {
    /// The batch's records cannot be read.
    #[error("batch at offset {offset}: {source}")]
    Record {
        /// Base offset of the batch.
        offset: i64,
        /// What is wrong.
        source: RecordError,
    },
    /// A record's contents cannot be read.
    #[error("record at offset {offset}: {source}")]
    Decode {
        /// Offset of the record.
        offset: i64,
        /// What is wrong.
        source: DecodeError,
    },
    /// A metadata record needs a value, a control record key and value.
    #[error("record at offset {offset} has no {part}")]
    Missing {
        /// Offset of the record.
        offset: i64,
        /// `key` or `value`.
        part: &'static str,
    },
}

/// The version a metadata record is written in at `version`: as old as what it says allows, as Kafka's controller does.
pub fn record_version(record: &MetadataRecord<'_>, version: MetadataVersion) -> i16 {
    match record {
        MetadataRecord::RegisterBroker(_) => version.register_broker_record_version(),
        MetadataRecord::Partition(_) | MetadataRecord::PartitionChange(_) => {
            version.partition_record_version()
        }
        MetadataRecord::BrokerRegistrationChange(change) if change.cordoned_log_dirs.is_some() => 3,
        MetadataRecord::BrokerRegistrationChange(change) if !change.log_dirs.is_empty() => 2,
        MetadataRecord::BrokerRegistrationChange(change) if change.in_controlled_shutdown != 0 => 1,
        _ => 0,
    }
}

/// A batch of metadata records, each in the version that belongs to `version`, or to the level that a record before it sets.
pub fn encode_metadata_batch(
    base_offset: i64,
    leader_epoch: i32,
    timestamp_ms: i64,
    records: &[MetadataRecord<'_>],
    mut version: MetadataVersion,
) -> Result<Vec<u8>, EncodeError> {
    let mut batch = BatchBuilder::new(base_offset).partition_leader_epoch(leader_epoch);
    for record in records {
        version = level_set_by(record).unwrap_or(version);
        let value = record.to_bytes(record_version(record, version))?;
        batch.append(&NewRecord { timestamp: timestamp_ms, value: Some(&value), ..NewRecord::default() });
    }
    Ok(batch.build())
}

fn level_set_by(record: &MetadataRecord<'_>) -> Option<MetadataVersion> {
    match record {
        MetadataRecord::FeatureLevel(level) if level.name == MetadataVersion::FEATURE_NAME => {
            MetadataVersion::from_level(level.feature_level).ok()
        }
        _ => None,
    }
}

/// A batch of control records.
pub fn encode_control_batch(
    base_offset: i64,
    leader_epoch: i32,
    timestamp_ms: i64,
    records: &[ControlRecord],
) -> Result<Vec<u8>, EncodeError> {
    let mut batch = BatchBuilder::new(base_offset).partition_leader_epoch(leader_epoch).control(true);
    for record in records {
        let (key, value) = (record.key_bytes(), record.value_bytes()?);
        let (key, value) = (Some(key.as_slice()), Some(value.as_slice()));
        batch.append(&NewRecord { timestamp: timestamp_ms, key, value, ..NewRecord::default() });
    }
    Ok(batch.build())
}

/// Decodes a batch of the metadata log or of a snapshot.
pub fn decode_batch(batch: &Batch<'_>) -> Result<LogBatch, LogBatchError> {
    let header = batch.header();
    let contents = if header.attributes.is_control() {
        BatchContents::Control(decode_records(batch, decode_control_record)?)
    } else {
        BatchContents::Metadata(decode_records(batch, decode_metadata_record)?)
    };
    Ok(LogBatch {
        base_offset: header.base_offset,
        last_offset: header.last_offset(),
        leader_epoch: header.partition_leader_epoch,
        timestamp_ms: header.max_timestamp,
        contents,
    })
}

fn decode_records<T>(
    batch: &Batch<'_>,
    decode: fn(&Record<'_>) -> Result<T, LogBatchError>,
) -> Result<Vec<T>, LogBatchError> {
    let broken = |source| LogBatchError::Record { offset: batch.header().base_offset, source };
    let body = batch.decompress(DecompressLimits::default()).map_err(broken)?;
    RecordIter::new(batch.header(), &body).map(|record| decode(&record.map_err(broken)?)).collect()
}

fn decode_metadata_record(record: &Record<'_>) -> Result<MetadataRecord<'static>, LogBatchError> {
    let offset = record.offset;
    let value = record.value.ok_or(LogBatchError::Missing { offset, part: "value" })?;
    let decoded = MetadataRecord::decode(value);
    decoded.map(MetadataRecord::into_static).map_err(|source| LogBatchError::Decode { offset, source })
}

fn decode_control_record(record: &Record<'_>) -> Result<ControlRecord, LogBatchError> {
    let offset = record.offset;
    let key = record.key.ok_or(LogBatchError::Missing { offset, part: "key" })?;
    let value = record.value.ok_or(LogBatchError::Missing { offset, part: "value" })?;
    ControlRecord::decode(key, value).map_err(|source| LogBatchError::Decode { offset, source })
}
