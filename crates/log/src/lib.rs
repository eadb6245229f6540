//! The partition log on disk.
//!
//! [`LogDirs`] is a node's log directories, a [`Log`] is one partition in one of them. Everything goes through the
//! [`disk`] seam, has Kafka's file formats, and takes the time from its caller.
//!
//! Three rules run through the crate:
//! - positions and offsets, not cursors: files are read and written at given places, so readers share them freely;
//! - what a reader may see is published after it is written, and never changes below that;
//! - the log file is the truth: indexes, snapshots and checkpoints can be made again from it.

pub mod bounds;
mod checkpoint;
mod config;
mod dirs;
pub mod disk;
pub mod dump;
mod epochs;
mod error;
mod files;
mod flusher;
mod index;
mod log;
mod names;
mod producers;
mod published;
mod scan;
mod segment;
mod verify;

pub use checkpoint::{CleanShutdown, MetaProperties, OffsetCheckpoint, PartitionMetadata, read_offsets};
pub use config::LogConfig;
pub use dirs::{
    Copied, CreateError, DirectoryDescription, DirsError, FailedReplica, LoadReport, Loading, LogDirectory,
    LogDirs, Move, MoveError, Replica, ReplicaDescription,
};
pub use epochs::{EpochEnd, EpochStart};
pub use error::StorageError;
pub use files::{FileHandle, OpenFiles};
pub use flusher::{FlushDone, Flusher};
pub use index::{
    AbortedTransaction, OffsetPosition, TimestampOffset, read_offset_index, read_time_index,
    read_transaction_index,
};
pub use log::{
    AppendError, Appended, Cleanable, Compacted, CompactionError, DeletedSegments, FileSlice, FlushDue,
    Flushed, LeaderAppend, Log, LogOpening, ReadError, ReadHint, RecoveryReport, Slice, Truncation,
};
pub use names::{
    FileKind, FolderKind, TopicPartition, file_name, folder_name, parse_file_name, parse_folder_name,
};
pub use producers::{
    AppendOrigin, BatchMetadata, ProducerError, ProducerState, VerificationGuard, read_snapshot,
};
pub use segment::RecordPosition;
pub use verify::{Finding, verify};
