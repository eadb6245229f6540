//! Record batches: what partitions are made of.
//!
//! A batch of format v2 is a 61-byte header ([`BatchHeader`]) and a body, the records, compressed as a whole or
//! not at all. Everything here is a view over somebody else's bytes: nothing is copied unless a codec or a
//! topic's settings demand it.
//!
//! Invariants:
//! - Every length and count is checked against the bytes that are there before anything is allocated or skipped.
//!   Bytes from outside lead to an error, never to a panic.
//! - Decompression is incremental: memory follows the largest record, not the size of what a batch inflates to.
//! - The CRC covers the header from the attributes on and the body, so the base offset and the leader epoch are
//!   stamped into an accepted batch without a new CRC.

mod accepted;
mod attributes;
mod batch;
mod builder;
mod codec;
mod control;
mod crc_shift;
mod header;
mod legacy;
mod produce;
mod record;
mod stream;
mod varint;

pub use accepted::AcceptedBatch;
pub use attributes::{Attributes, Compression, TimestampType};
pub use batch::{Batch, Batches, batches};
pub use builder::{BatchBuilder, NewRecord};
pub use codec::Codec;
pub use control::{ControlError, ControlType, EndTxnMarker};
pub use header::{BatchError, BatchHeader, increment_sequence};
pub use legacy::{AnyBatch, AnyBatches, LegacyBatch, any_batches};
pub use produce::{ProduceError, ProduceRules, RefusalReason, RefusedRecord, validate_produce};
pub use record::{Header, Headers, Record, RecordError, RecordIter};
pub use stream::{DecompressLimits, Records};

/// Producer id of a batch whose producer is neither idempotent nor transactional.
pub const NO_PRODUCER_ID: i64 = -1;
/// Producer epoch of a batch without a producer id.
pub const NO_PRODUCER_EPOCH: i16 = -1;
/// Base sequence of a batch without a producer id, and of control batches.
pub const NO_SEQUENCE: i32 = -1;
/// Leader epoch of a batch that no leader has stamped yet.
pub const NO_PARTITION_LEADER_EPOCH: i32 = -1;
/// Timestamp of a record that has none, in milliseconds.
pub const NO_TIMESTAMP: i64 = -1;
