//! Validation of what producers send, as the leader of a partition does it before the append.
//!
//! A batch is taken over as it came unless the topic's codec is another one or its offsets are not 0 to n−1;
//! then it is rebuilt. Every record is looked at, as Kafka does, but none is kept: those of compressed batches
//! are decompressed in passing.

mod rebuild;

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;

use crate::stream::{Scan, Summary, compression};
use crate::{
    AcceptedBatch, Batch, BatchError, BatchHeader, Codec, Compression, DecompressLimits, NO_TIMESTAMP,
    RecordError, RecordIter, TimestampType, batches,
};

/// What a topic and a request demand of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProduceRules {
    /// Largest batch in bytes: `max.message.bytes`.
    pub max_message_bytes: usize,
    /// Who sets timestamps: `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// How far back a CreateTime timestamp may lie, in milliseconds: `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// How far ahead a CreateTime timestamp may lie, in milliseconds: `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// Whether `cleanup.policy` includes compaction: every record needs a key then.
    pub compacted: bool,
    /// The codec of the stored batch; none keeps the producer's (`compression.type=producer`).
    pub codec: Option<Codec>,
    /// Whether the request's version knows zstd (Produce 7 and later).
    pub zstd_allowed: bool,
    /// Bounds of decompression.
    pub limits: DecompressLimits,
    /// The time, in milliseconds.
    pub now_ms: i64,
}

/// Why a partition's records are refused. The Kafka error that belongs to each is named with it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProduceError {
    /// There is no complete batch (INVALID_RECORD).
    #[error("there is no complete record batch")]
    NoBatch,
    /// There is more than one batch (INVALID_RECORD).
    #[error("there is more than one record batch")]
    SeveralBatches,
    /// The batch is of an old format (INVALID_RECORD).
    #[error("batch has magic {0}, only magic 2 may be produced")]
    OldMagic(i8),
    /// The bytes are no batch, or were changed under way (CORRUPT_MESSAGE).
    #[error(transparent)]
    Corrupt(BatchError),
    /// The batch, or what it became when rebuilt, is too large (MESSAGE_TOO_LARGE).
    #[error("batch of {size} bytes exceeds the maximum of {max}")]
    TooLarge {
        /// Size of the batch in bytes.
        size: usize,
        /// `max.message.bytes`.
        max: usize,
    },
    /// The request's version does not know zstd (UNSUPPORTED_COMPRESSION_TYPE).
    #[error("this version of the request does not allow zstd")]
    ZstdNotAllowed,
    /// A header field is not what a producer may send (INVALID_RECORD).
    #[error("batch header is invalid: {0}")]
    Header(&'static str),
    /// The records are not what the header promises (INVALID_RECORD), or cannot be decompressed
    /// (UNKNOWN_SERVER_ERROR).
    #[error(transparent)]
    Records(RecordError),
    /// Some records break the topic's rules (INVALID_TIMESTAMP if any does so by its timestamp, else INVALID_RECORD).
    /// Of very many, the first thousand are listed.
    #[error("{} records of the batch are refused, the first: {}", .0.len(), .0[0])]
    Refused(Vec<RefusedRecord>),
}

/// A record that breaks a topic's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedRecord {
    /// Position of the record in its batch, from 0.
    pub index: i32,
    /// The rule it breaks.
    pub reason: RefusalReason,
}

/// The rule that a record breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    /// A compacted topic needs keys.
    NoKey,
    /// The timestamp, in milliseconds, is too far from the broker's time.
    TimestampOutOfRange(i64),
    /// Only the broker may say LogAppendTime.
    LogAppendTime,
}

impl RefusalReason {
    /// Whether it makes the whole batch INVALID_TIMESTAMP.
    pub fn is_timestamp(self) -> bool {
        self != Self::NoKey
    }
}

impl fmt::Display for RefusedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}: ", self.index)?;
        match self.reason {
            RefusalReason::NoKey => f.write_str("compacted topic cannot accept message without key"),
            RefusalReason::TimestampOutOfRange(timestamp) => {
                write!(f, "timestamp {timestamp} is out of range")
            }
            RefusalReason::LogAppendTime => {
                f.write_str("producers may not set the timestamp type to LogAppendTime")
            }
        }
    }
}

/// Checks a partition's records of a Produce request: exactly one batch, which is returned as it is to be stamped and
/// appended. Bytes of a partial batch behind it are left out, as Kafka does.
pub fn validate_produce<'a>(
    bytes: &'a [u8],
    rules: &ProduceRules,
) -> Result<AcceptedBatch<'a>, ProduceError> {
    let batch = only_batch(bytes)?;
    check_header(&batch, rules)?;
    let source = compression(batch.header()).map_err(ProduceError::Records)?;
    let target = rules.codec.unwrap_or(Codec::new(source));
    if target.compression() != source {
        return rebuild::recompress(&batch, target, rules);
    }
    let checked = check_records(&batch, rules)?;
    if !checked.consecutive {
        return rebuild::rewrite(&batch, target, rules);
    }
    let mut accepted = AcceptedBatch::new(*batch.header(), Cow::Borrowed(batch.bytes()));
    let max_timestamp = match rules.timestamp_type {
        TimestampType::CreateTime => checked.max_timestamp,
        TimestampType::LogAppendTime => rules.now_ms,
    };
    accepted.set_max_timestamp(rules.timestamp_type, max_timestamp);
    Ok(accepted)
}

fn only_batch(bytes: &[u8]) -> Result<Batch<'_>, ProduceError> {
    let mut batches = batches(bytes);
    let batch = batches.next().ok_or(ProduceError::NoBatch)?.map_err(not_a_batch)?;
    match batches.next() {
        None => Ok(batch),
        Some(Ok(_)) => Err(ProduceError::SeveralBatches),
        Some(Err(error)) => Err(not_a_batch(error)),
    }
}

fn not_a_batch(error: BatchError) -> ProduceError {
    match error {
        BatchError::Magic(magic @ 0..=1) => ProduceError::OldMagic(magic),
        error => ProduceError::Corrupt(error),
    }
}

fn check_header(batch: &Batch<'_>, rules: &ProduceRules) -> Result<(), ProduceError> {
    let header = batch.header();
    if header.attributes.compression() == Some(Compression::Zstd) && !rules.zstd_allowed {
        return Err(ProduceError::ZstdNotAllowed);
    }
    if header.base_offset != 0 {
        return Err(ProduceError::Header("the base offset is not 0"));
    }
    check_size(header, rules)?;
    batch.check_crc().map_err(ProduceError::Corrupt)?;
    if header.count <= 0 {
        return Err(ProduceError::Header("the record count is not positive"));
    }
    if header.last_offset_delta != header.count - 1 {
        return Err(ProduceError::Header("the last offset does not match the record count"));
    }
    if header.attributes.is_control() {
        return Err(ProduceError::Header("control records may not be produced"));
    }
    if header.has_producer_id() && header.base_sequence < 0 {
        return Err(ProduceError::Header("a producer id comes without a sequence number"));
    }
    Ok(())
}

fn check_size(header: &BatchHeader, rules: &ProduceRules) -> Result<(), ProduceError> {
    let (size, max) = (header.size(), rules.max_message_bytes);
    if size > max { Err(ProduceError::TooLarge { size, max }) } else { Ok(()) }
}

fn check_records(batch: &Batch<'_>, rules: &ProduceRules) -> Result<RecordChecks, ProduceError> {
    let mut checks = RecordChecks::new(batch.header(), rules);
    checks.walk(batch, rules).map_err(ProduceError::Records)?;
    checks.verdict()
}

/// What is learnt from looking at the records of a batch.
struct RecordChecks {
    key_needed: bool,
    timestamps: TimestampCheck,
    index: i32,
    consecutive: bool,
    max_timestamp: i64,
    refused: Vec<RefusedRecord>,
    timestamp_refused: bool,
}

/// How many refused records are listed.
const REFUSED_MAX: usize = 1000;

#[derive(Clone, Copy)]
enum TimestampCheck {
    /// The broker sets the time: whatever the producer set is overwritten.
    None,
    /// `now - before ..= now + after`, with Java's wrapping arithmetic.
    Range { now_ms: i64, before_max_ms: i64, after_max_ms: i64 },
    /// The producer claims LogAppendTime.
    Refuse,
}

impl RecordChecks {
    fn new(header: &BatchHeader, rules: &ProduceRules) -> Self {
        let claims_append_time = header.attributes.timestamp_type() == TimestampType::LogAppendTime;
        let timestamps = match rules.timestamp_type {
            _ if claims_append_time => TimestampCheck::Refuse,
            TimestampType::LogAppendTime => TimestampCheck::None,
            TimestampType::CreateTime => TimestampCheck::Range {
                now_ms: rules.now_ms,
                before_max_ms: rules.timestamp_before_max_ms,
                after_max_ms: rules.timestamp_after_max_ms,
            },
        };
        Self {
            key_needed: rules.compacted,
            timestamps,
            index: 0,
            consecutive: true,
            max_timestamp: NO_TIMESTAMP,
            refused: Vec::new(),
            timestamp_refused: false,
        }
    }

    fn walk(&mut self, batch: &Batch<'_>, rules: &ProduceRules) -> Result<(), RecordError> {
        if compression(batch.header())? == Compression::None {
            for record in RecordIter::new(batch.header(), batch.body()) {
                self.see(&Summary::of(&record?));
            }
            return Ok(());
        }
        let mut scan = Scan::new(batch, rules.limits)?;
        while let Some(summary) = scan.next_summary()? {
            self.see(&summary);
        }
        Ok(())
    }

    /// Itself, unless a record is refused.
    fn verdict(self) -> Result<Self, ProduceError> {
        if self.refused.is_empty() { Ok(self) } else { Err(ProduceError::Refused(self.refused)) }
    }

    #[inline]
    fn see(&mut self, record: &Summary) {
        if let Some(reason) = self.refusal(record) {
            self.refuse(reason);
        }
        self.consecutive &= record.offset == i64::from(self.index);
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        self.index += 1;
    }

    /// Lists the record, past the limit only if it is the first to be refused by its timestamp.
    #[cold]
    fn refuse(&mut self, reason: RefusalReason) {
        let decides_error = reason.is_timestamp() && !self.timestamp_refused;
        if self.refused.len() < REFUSED_MAX || decides_error {
            self.refused.push(RefusedRecord { index: self.index, reason });
        }
        self.timestamp_refused |= reason.is_timestamp();
    }

    #[inline]
    fn refusal(&self, record: &Summary) -> Option<RefusalReason> {
        if self.key_needed && !record.has_key {
            return Some(RefusalReason::NoKey);
        }
        match self.timestamps {
            TimestampCheck::None => None,
            TimestampCheck::Refuse => Some(RefusalReason::LogAppendTime),
            TimestampCheck::Range { now_ms, before_max_ms, after_max_ms } => {
                let age = now_ms.wrapping_sub(record.timestamp);
                let outside = age > before_max_ms || age.wrapping_neg() > after_max_ms;
                let refused = record.timestamp != NO_TIMESTAMP && outside;
                refused.then_some(RefusalReason::TimestampOutOfRange(record.timestamp))
            }
        }
    }
}
