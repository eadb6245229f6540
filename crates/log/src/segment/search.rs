//! Finding places in a segment: an offset, a timestamp, the end.

use std::ops::ControlFlow;

use klamm_records::{AnyBatch, DecompressLimits};

use super::Segment;
use crate::disk;
use crate::error::StorageError;
use crate::index::TimestampOffset;
use crate::scan::{BatchEntry, Headers, ScanError};

impl Segment {
    /// The first batch whose last offset is at least `offset`, among the first `size` bytes.
    pub(crate) fn locate(&self, offset: i64, size: u64) -> Result<Option<BatchEntry>, StorageError> {
        let start = self.indexed_position(offset, size)?;
        let found = self.first_from(start, size, |batch| batch.last_offset >= offset);
        match found {
            // An index that leads astray is as good as none.
            Err(e) if e.is_damage() && start > 0 => {
                tracing::warn!(error = %e, "the offset index is damaged, searching from the segment's beginning");
                self.first_from(0, size, |batch| batch.last_offset >= offset)
            }
            found => found,
        }
    }

    /// Where the search for an offset begins, among the first `size` bytes: the index's nearest entry.
    pub(crate) fn indexed_position(&self, offset: i64, size: u64) -> Result<u64, StorageError> {
        self.index_position(self.offset_index.lookup(offset), size)
    }

    /// An offset that is not below any in the first `position` bytes, as close as the index tells; `None` at the end.
    pub(crate) fn offset_bound(&self, position: u64) -> Result<Option<i64>, StorageError> {
        self.offset_index.first_at_or_behind(position).map(|entry| entry.map(|entry| entry.offset))
    }

    /// The batch that begins at `position`.
    pub(crate) fn batch_at(&self, position: u64, size: u64) -> Result<Option<BatchEntry>, StorageError> {
        self.first_from(position, size, |_| true)
    }

    /// The last batch in the index that begins at `position` or before it, unless the index or the file is damaged there.
    pub(crate) fn last_batch_before(
        &self,
        position: u64,
        size: u64,
    ) -> Result<Option<BatchEntry>, StorageError> {
        let found = self.offset_index.last_at_or_before(position).and_then(|entry| match entry {
            Some(entry) if entry.position < size => {
                Ok(self.batch_at(entry.position, size)?.filter(|batch| batch.last_offset == entry.offset))
            }
            _ => Ok(None),
        });
        match found {
            Err(error) if error.is_damage() => Ok(None),
            found => found,
        }
    }

    pub(crate) fn first_batch(&self) -> Result<Option<BatchEntry>, StorageError> {
        match self.size() {
            0 => Ok(None),
            size => self.batch_at(0, size),
        }
    }

    /// Calls `visit` with each batch from `start` to the end, or until it says not to go on.
    pub(crate) fn for_each_header(
        &self,
        start: u64,
        mut visit: impl FnMut(&BatchEntry) -> Result<ControlFlow<()>, StorageError>,
    ) -> Result<(), StorageError> {
        let size = self.size();
        if start >= size {
            return Ok(());
        }
        let file = self.handle()?;
        let mut headers = Headers::new(&*file, start, size);
        while let Some(batch) = headers.next_batch().map_err(|e| self.scan_error(e))? {
            if visit(&batch)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The first record at or behind `start_offset` whose timestamp is at least `timestamp`.
    pub(crate) fn find_timestamp(
        &self,
        timestamp: i64,
        start_offset: i64,
    ) -> Result<Option<RecordPosition>, StorageError> {
        let (_, size) = self.end();
        let hint = self.time_index.lookup(timestamp)?.map_or(self.base_offset, |entry| entry.offset);
        let mut start = self.index_position(self.offset_index.lookup(hint.max(start_offset)), size)?;
        loop {
            let wanted =
                |batch: &BatchEntry| batch.max_timestamp >= timestamp && batch.last_offset >= start_offset;
            let Some(batch) = self.first_from(start, size, wanted)? else { return Ok(None) };
            let found = self.find_record(&batch, |offset, at| at >= timestamp && offset >= start_offset)?;
            if found.is_some() {
                return Ok(found);
            }
            start = batch.end();
        }
    }

    /// The first record with the segment's largest timestamp.
    pub(crate) fn find_max_timestamp(&self) -> Result<Option<RecordPosition>, StorageError> {
        let largest = self.max_timestamp()?;
        let (_, size) = self.end();
        let Some(batch) = self.locate(largest.offset, size)? else { return Ok(None) };
        self.find_record(&batch, |_, timestamp| timestamp >= largest.timestamp)
    }

    /// The largest timestamp in the first `size` bytes: in the time index, or behind its last entry.
    pub(super) fn largest_timestamp_in(&self, size: u64) -> Result<TimestampOffset, StorageError> {
        let mut largest = self.time_index.last()?;
        let start = self.index_position(self.offset_index.lookup(largest.offset), size)?;
        if start < size {
            let file = self.handle()?;
            let mut headers = Headers::new(&*file, start, size);
            while let Some(batch) = headers.next_batch().map_err(|e| self.scan_error(e))? {
                if batch.max_timestamp > largest.timestamp {
                    largest = TimestampOffset { timestamp: batch.max_timestamp, offset: batch.last_offset };
                }
            }
        }
        Ok(largest)
    }

    /// The batch's bytes.
    pub(crate) fn read_batch(&self, batch: &BatchEntry) -> Result<Vec<u8>, StorageError> {
        let mut bytes = vec![0; batch.size as usize];
        let file = self.handle()?;
        disk::read_exact_at(&*file, &mut bytes, batch.position).map_err(|e| self.log.error("read", e))?;
        Ok(bytes)
    }

    pub(crate) fn scan_error(&self, error: ScanError) -> StorageError {
        let path = self.log.path();
        match error {
            ScanError::Read { source, .. } => StorageError::new("read", &path, source),
            malformed => StorageError::damaged("read", &path, malformed.to_string()),
        }
    }

    /// What an index says, as long as it can be true.
    fn index_position(
        &self,
        looked_up: Result<crate::index::OffsetPosition, StorageError>,
        size: u64,
    ) -> Result<u64, StorageError> {
        match looked_up {
            Ok(entry) if entry.position < size => Ok(entry.position),
            Ok(_) => Ok(0),
            Err(e) if e.is_damage() => Ok(0),
            Err(e) => Err(e),
        }
    }

    fn first_from(
        &self,
        start: u64,
        size: u64,
        wanted: impl Fn(&BatchEntry) -> bool,
    ) -> Result<Option<BatchEntry>, StorageError> {
        let file = self.handle()?;
        let mut headers = Headers::new(&*file, start, size);
        while let Some(batch) = headers.next_batch().map_err(|e| self.scan_error(e))? {
            if wanted(&batch) {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    fn find_record(
        &self,
        batch: &BatchEntry,
        wanted: impl Fn(i64, i64) -> bool,
    ) -> Result<Option<RecordPosition>, StorageError> {
        let bytes = self.read_batch(batch)?;
        let damaged = |what: String| StorageError::damaged("read", &self.log.path(), what);
        let parsed = AnyBatch::parse(&bytes).map_err(|e| damaged(e.to_string()))?;
        let leader_epoch =
            batch.header.map(|header| header.partition_leader_epoch).filter(|epoch| *epoch >= 0);
        let mut records = parsed.records(DecompressLimits::default()).map_err(|e| damaged(e.to_string()))?;
        while let Some(record) = records.next_record().map_err(|e| damaged(e.to_string()))? {
            if wanted(record.offset, record.timestamp) {
                let (offset, timestamp) = (record.offset, record.timestamp);
                return Ok(Some(RecordPosition { offset, timestamp, leader_epoch }));
            }
        }
        Ok(None)
    }
}

/// A record found by its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordPosition {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp.
    pub timestamp: i64,
    /// The epoch of the leader that wrote it, if its batch says so.
    pub leader_epoch: Option<i32>,
}
