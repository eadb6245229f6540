//! A segment: one log file with its indexes.
//!
//! Only the last segment of a log grows, and only under the log's append lock. Readers need no lock: what they may read
//! ends at the published end, and everything below it never changes. Where content has to change (truncation), the
//! log puts a new `Segment` over the same files into its view, with an id of its own.

mod append;
mod recover;
mod search;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use append::{Appender, NewBatch};
pub(crate) use recover::RecoveryStart;
pub use search::RecordPosition;

use crate::error::StorageError;
use crate::files::{FileHandle, Home, SegmentFile, Stage};
use crate::index::{OffsetIndex, TimeIndex, TimestampOffset, TransactionIndex};
use crate::names::FileKind;
use crate::published::Published;

/// The largest timestamp was not looked up yet.
const UNKNOWN_TIMESTAMP: i64 = i64::MIN;

#[derive(Debug)]
pub(crate) struct Segment {
    id: u64,
    base_offset: i64,
    log: Arc<SegmentFile>,
    offset_index: OffsetIndex,
    time_index: TimeIndex,
    transaction_index: TransactionIndex,
    /// The offset behind the last batch, and the bytes up to there.
    end: Published,
    /// The largest timestamp and the last offset of its batch.
    max_timestamp: Published,
}

impl Segment {
    /// An empty segment without files; they are made by the first append.
    pub(crate) fn empty(home: &Arc<Home>, base_offset: i64) -> Self {
        Self::empty_at_stage(home, base_offset, Stage::InUse)
    }

    /// The same for one that is not part of the log yet, which the names of its files tell.
    pub(crate) fn empty_at_stage(home: &Arc<Home>, base_offset: i64, stage: Stage) -> Self {
        let file = |kind| SegmentFile::at_stage(home, base_offset, kind, stage);
        Self {
            id: next_id(),
            base_offset,
            log: file(FileKind::Log),
            offset_index: OffsetIndex::empty(file(FileKind::OffsetIndex), base_offset),
            time_index: TimeIndex::empty(file(FileKind::TimeIndex), base_offset),
            transaction_index: TransactionIndex::empty(file(FileKind::TransactionIndex)),
            end: Published::new(base_offset, 0),
            max_timestamp: Published::new(-1, base_offset),
        }
    }

    /// The segment in existing files, of which the first `size` bytes hold batches up to `next_offset`.
    pub(crate) fn existing(
        home: &Arc<Home>,
        base_offset: i64,
        (next_offset, size): (i64, u64),
        largest: Option<TimestampOffset>,
    ) -> Self {
        let largest =
            largest.unwrap_or(TimestampOffset { timestamp: UNKNOWN_TIMESTAMP, offset: base_offset });
        let file = |kind| SegmentFile::new(home, base_offset, kind);
        Self {
            id: next_id(),
            base_offset,
            log: file(FileKind::Log),
            offset_index: OffsetIndex::existing(file(FileKind::OffsetIndex), base_offset),
            time_index: TimeIndex::existing(file(FileKind::TimeIndex), base_offset),
            transaction_index: TransactionIndex::existing(file(FileKind::TransactionIndex)),
            end: Published::new(next_offset, size as i64),
            max_timestamp: Published::new(largest.timestamp, largest.offset),
        }
    }

    /// Tells this object from any other, also over the same files.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn base_offset(&self) -> i64 {
        self.base_offset
    }

    /// The offset behind the last batch, and the bytes up to there, as they were at one moment.
    pub(crate) fn end(&self) -> (i64, u64) {
        let (next_offset, size) = self.end.load();
        (next_offset, size as u64)
    }

    pub(crate) fn size(&self) -> u64 {
        self.end().1
    }

    pub(crate) fn file(&self) -> &Arc<SegmentFile> {
        &self.log
    }

    pub(crate) fn handle(&self) -> Result<FileHandle, StorageError> {
        self.log.handle()
    }

    pub(crate) fn offset_index(&self) -> &OffsetIndex {
        &self.offset_index
    }

    pub(crate) fn transaction_index(&self) -> &TransactionIndex {
        &self.transaction_index
    }

    /// The largest timestamp, −1 for none, and the last offset of the batch that has it.
    pub(crate) fn max_timestamp(&self) -> Result<TimestampOffset, StorageError> {
        let (timestamp, offset) = self.max_timestamp.load();
        if timestamp != UNKNOWN_TIMESTAMP {
            return Ok(TimestampOffset { timestamp, offset });
        }
        // A segment that was finished has it in its last entry. It is not kept here, since only the writer stores.
        self.time_index.last()
    }

    /// Makes everything durable that readers can see. Index entries that still wait in memory may wait on: without them
    /// recovery only begins a little earlier, and most flushes sync a single file.
    pub(crate) fn sync(&self) -> Result<(), StorageError> {
        self.log.sync()?;
        self.offset_index.file().sync()?;
        self.time_index.file().sync()?;
        self.transaction_index.file().sync()
    }

    /// Renames the files so that they are not found on the next start.
    pub(crate) fn mark_deleted(&self) -> Result<(), StorageError> {
        self.change_stage(Stage::Deleted)
    }

    /// Renames the files, the log file first.
    pub(crate) fn change_stage(&self, stage: Stage) -> Result<(), StorageError> {
        self.files().into_iter().try_for_each(|file| file.change_stage(stage))
    }

    /// Removes the files. Readers that hold a handle may go on.
    pub(crate) fn remove_files(&self) -> Result<(), StorageError> {
        self.files().into_iter().try_for_each(|file| file.remove())
    }

    /// Closes the files until they are needed again.
    pub(crate) fn close_files(&self) {
        self.files().into_iter().for_each(|file| file.close());
    }

    fn files(&self) -> [&Arc<SegmentFile>; 4] {
        [&self.log, self.offset_index.file(), self.time_index.file(), self.transaction_index.file()]
    }
}

fn next_id() -> u64 {
    static IDS: AtomicU64 = AtomicU64::new(1);
    IDS.fetch_add(1, Ordering::Relaxed)
}
