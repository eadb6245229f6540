//! Writing to the last segment of a log.

use std::io::IoSlice;

use super::{Segment, UNKNOWN_TIMESTAMP};
use crate::config::LogConfig;
use crate::disk;
use crate::error::StorageError;
use crate::index::TimestampOffset;

/// What the segment must know of a batch that is appended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewBatch {
    pub(crate) last_offset: i64,
    pub(crate) size: u64,
    pub(crate) max_timestamp: i64,
}

/// What only the writer of a segment needs; guarded by the append lock.
#[derive(Debug)]
pub(crate) struct Appender {
    bytes_since_index_entry: u64,
    /// The first batch's timestamp, which the age of the segment is measured by; once it was looked at.
    first_timestamp: Option<i64>,
    created_ms: i64,
    /// A failed write may have left bytes behind the end.
    has_unclean_tail: bool,
}

impl Appender {
    pub(crate) fn new(now_ms: i64) -> Self {
        Self {
            bytes_since_index_entry: 0,
            first_timestamp: None,
            created_ms: now_ms,
            has_unclean_tail: false,
        }
    }
}

impl Segment {
    /// Writes batches behind the end and publishes them. On an error nothing was appended: a part that was written is
    /// cut off, and if even that fails, the next append writes over it.
    pub(crate) fn append(
        &self,
        appender: &mut Appender,
        batches: &[NewBatch],
        parts: &mut [IoSlice<'_>],
        config: &LogConfig,
    ) -> Result<(), StorageError> {
        self.load_max_timestamp()?;
        let (_, start) = self.end();
        let file = self.log.handle_or_create()?;
        if let Err(e) = disk::write_all_at(&*file, parts, start) {
            appender.has_unclean_tail = file.set_size(start).is_err();
            return Err(self.log.error("append to", e));
        }
        self.log.note_change();
        let mut position = start;
        let before = self.max_timestamp.load();
        let mut largest = TimestampOffset { timestamp: before.0, offset: before.1 };
        for batch in batches {
            if batch.max_timestamp > largest.timestamp {
                largest = TimestampOffset { timestamp: batch.max_timestamp, offset: batch.last_offset };
            }
            if appender.bytes_since_index_entry > config.index_interval_bytes {
                self.add_index_entries(batch.last_offset, position, largest);
                appender.bytes_since_index_entry = 0;
            }
            position += batch.size;
            appender.bytes_since_index_entry += batch.size;
        }
        if appender.first_timestamp.is_none() && start == 0 {
            appender.first_timestamp = batches.first().map(|batch| batch.max_timestamp);
        }
        if (largest.timestamp, largest.offset) != before {
            self.max_timestamp.store(largest.timestamp, largest.offset);
        }
        if let Some(last) = batches.last() {
            self.end.store(last.last_offset + 1, position as i64);
        }
        Ok(())
    }

    /// An index may lack entries, it is then only slower: what cannot be written is left out.
    pub(super) fn add_index_entries(&self, offset: i64, position: u64, largest: TimestampOffset) {
        let added = self.offset_index.append(offset, position).and_then(|()| self.time_index.append(largest));
        if let Err(error) = added {
            tracing::warn!(%error, "an index entry is left out");
        }
    }

    /// Whether a segment of its own must begin for `bytes` more, up to `last_offset`, with this largest timestamp.
    pub(crate) fn should_roll(
        &self,
        appender: &mut Appender,
        config: &LogConfig,
        bytes: u64,
        last_offset: i64,
        max_timestamp: i64,
        now_ms: i64,
    ) -> Result<bool, StorageError> {
        let size = self.size();
        if size + bytes > config.segment_bytes || last_offset - self.base_offset > i64::from(i32::MAX) {
            return Ok(size > 0 || last_offset - self.base_offset > i64::from(i32::MAX));
        }
        if size == 0 {
            return Ok(false);
        }
        let waited_ms = match self.first_timestamp(appender)? {
            first if first >= 0 => max_timestamp.saturating_sub(first),
            _ => now_ms.saturating_sub(appender.created_ms),
        };
        Ok(self.is_old(waited_ms, config) || self.are_indexes_full(config)?)
    }

    fn first_timestamp(&self, appender: &mut Appender) -> Result<i64, StorageError> {
        if let Some(known) = appender.first_timestamp {
            return Ok(known);
        }
        let first = self.first_batch()?.map_or(-1, |batch| batch.max_timestamp);
        Ok(*appender.first_timestamp.insert(first))
    }

    /// Whether the segment is older than allowed, less a share of the jitter that is its own, so that many logs do not
    /// roll at once.
    fn is_old(&self, waited_ms: i64, config: &LogConfig) -> bool {
        let jitter_max = config.segment_jitter_ms.min(config.segment_ms).max(0);
        if waited_ms <= config.segment_ms - jitter_max {
            return false;
        }
        let path = self.log.path();
        let hash = crc32c::crc32c(path.as_os_str().as_encoded_bytes());
        waited_ms > config.segment_ms - jitter_max * i64::from(hash >> 16) / i64::from(u16::MAX)
    }

    /// The time index keeps room for the entry that is added when the segment is rolled.
    fn are_indexes_full(&self, config: &LogConfig) -> Result<bool, StorageError> {
        let offsets_max = config.index_bytes_max / 8;
        let times_max = config.index_bytes_max / 12;
        let (offsets, times) = (u64::from(self.offset_index.len()?), u64::from(self.time_index.len()?));
        Ok(offsets >= offsets_max || times + 1 >= times_max)
    }

    /// The segment is not written to any more, or the log is closed: its files get the form that they keep.
    pub(crate) fn finish(&self, appender: &mut Appender) -> Result<(), StorageError> {
        if self.size() > 0 {
            let largest = self.max_timestamp()?;
            self.time_index.append(largest)?;
        }
        if appender.has_unclean_tail {
            self.log.set_size(self.size())?;
            appender.has_unclean_tail = false;
        }
        self.offset_index.finish()?;
        self.time_index.finish()
    }

    /// The first append to a segment that was opened looks its largest timestamp up.
    fn load_max_timestamp(&self) -> Result<(), StorageError> {
        if self.max_timestamp.load().0 == UNKNOWN_TIMESTAMP {
            let last = self.time_index.last()?;
            self.max_timestamp.store(last.timestamp, last.offset);
        }
        Ok(())
    }
}
