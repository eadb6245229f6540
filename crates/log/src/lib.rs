//! The partition log on disk.
//!
//! A [`Log`] is one partition in one of the node's log directories. Everything goes through the
//! [`disk`] seam, has Kafka's file formats, and takes the time from its caller.
//!
//! Three rules run through the crate:
//! - positions and offsets, not cursors: files are read and written at given places, so readers share them freely;
//! - what a reader may see is published after it is written, and never changes below that;
//! - the log file is the truth: indexes, snapshots and checkpoints can be made again from it.

mod bounds;
mod checkpoint;
mod config;
pub mod disk;
mod epochs;
mod error;
mod files;
mod index;
mod log;
mod names;
mod producers;
mod published;
pub mod scan;
mod segment;

pub use config::LogConfig;
pub use epochs::{EpochEnd, EpochStart};
pub use error::StorageError;
pub use files::{FileHandle, OpenFiles};
pub use index::{
    AbortedTransaction, OffsetPosition, TimestampOffset, read_offset_index, read_time_index,
    read_transaction_index,
};
pub use log::{
    AppendError, Appended, DeletedSegments, FileSlice, FlushDue, Flushed, LeaderAppend, Log, LogOpening,
    ReadError, ReadHint, RecoveryReport, Slice, Truncation,
};
pub use names::{
    FileKind, FolderKind, TopicPartition, file_name, folder_name, parse_file_name, parse_folder_name,
};
pub use producers::{
    AppendOrigin, BatchMetadata, ProducerError, ProducerState, VerificationGuard, read_snapshot,
};
pub use segment::RecordPosition;
