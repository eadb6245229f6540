//! Reading: from an offset to a range of a file, without copying and without a lock.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use thiserror::Error;

use super::{Log, floor};
use crate::bounds::SCAN_BYTES;
use crate::error::StorageError;
use crate::files::FileHandle;
use crate::index::AbortedTransaction;
use crate::segment::Segment;

/// What a read found: batches in a file, or nothing yet.
#[derive(Clone, Debug)]
pub struct Slice {
    /// Where the bytes are; `None` when there is nothing to read.
    pub data: Option<FileSlice>,
    /// Above every offset in the slice, and not above the bound that was asked for.
    pub end_offset: i64,
    /// Where the next read may begin without a search, if it goes on right behind this one.
    pub next: Option<ReadHint>,
    /// The segment and position where the bytes were cut, because more are there than were wanted.
    cut: Option<(Arc<Segment>, u64)>,
}

/// A range of a log file. It begins with a whole batch, which may begin before the offset that was asked for, and may end
/// within a batch.
#[derive(Clone, Debug)]
pub struct FileSlice {
    /// The file, open as long as this lives.
    pub file: FileHandle,
    /// Where the range begins.
    pub position: u64,
    /// Its bytes, at least 1.
    pub length: usize,
}

/// Remembers where a read ended. It is checked, so an outdated one costs only the search it should have saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadHint {
    segment: u64,
    offset: i64,
    position: u64,
}

/// Why nothing could be read.
#[derive(Clone, Debug, Error)]
pub enum ReadError {
    /// The offset is not in the log (OFFSET_OUT_OF_RANGE).
    #[error("offset {offset} is not within {log_start_offset} to {log_end_offset}")]
    OffsetOutOfRange {
        /// What was asked for.
        offset: i64,
        /// The first offset there is.
        log_start_offset: i64,
        /// The offset that the next record gets.
        log_end_offset: i64,
    },
    /// The disk refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Log {
    /// The batches from the one that holds `offset` on, up to but without the one that holds `end_offset` (the high
    /// watermark, the last stable offset, or the log end), `bytes_max` at most. With `min_one_batch` the first batch is
    /// returned whole even if it is larger.
    ///
    /// Reads at most a few small pieces of index and log; none when the hint is good and all that is there is wanted.
    pub fn read(
        &self,
        offset: i64,
        end_offset: i64,
        bytes_max: usize,
        min_one_batch: bool,
        hint: Option<ReadHint>,
    ) -> Result<Slice, ReadError> {
        match self.read_unguarded(offset, end_offset, bytes_max, min_one_batch, hint) {
            // The files may be about to be cut, and contradict what was known of them; nothing cuts them while the log is locked.
            Err(ReadError::Storage(error)) if error.may_be_of_a_cut() => self
                .while_unchanged(|| self.read_unguarded(offset, end_offset, bytes_max, min_one_batch, None)),
            result => result,
        }
    }

    /// A [`read`](Self::read) that fails where files are being cut: for whoever sees to it that they are not.
    pub(crate) fn read_unguarded(
        &self,
        offset: i64,
        end_offset: i64,
        bytes_max: usize,
        min_one_batch: bool,
        hint: Option<ReadHint>,
    ) -> Result<Slice, ReadError> {
        match self.read_present(offset, end_offset, bytes_max, min_one_batch, hint) {
            // The segment is gone, but not the offset: compaction put another in its place.
            Err(ReadError::OffsetOutOfRange { .. })
                if (self.log_start_offset()..=self.log_end_offset()).contains(&offset) =>
            {
                self.read_present(offset, end_offset, bytes_max, min_one_batch, None)
            }
            result => result,
        }
    }

    /// Up to where a [`read`](Self::read) from `offset` on looks at the log file, whatever it finds: for a caller who must not wait for
    /// the device and makes sure first that this is in memory. `None` when there is nothing to read.
    ///
    /// Reads a piece of the index; nothing when the hint is good.
    pub fn looked_at(
        &self,
        offset: i64,
        bytes_max: usize,
        hint: Option<ReadHint>,
    ) -> Result<Option<FileSlice>, ReadError> {
        let segments = self.segments.load();
        let Some(segment) = segments[floor(&segments, offset)..].first() else { return Ok(None) };
        segment.looked_at(offset, bytes_max, hint).map_err(|e| self.read_error(segment, offset, e))
    }

    fn read_present(
        &self,
        offset: i64,
        end_offset: i64,
        bytes_max: usize,
        min_one_batch: bool,
        hint: Option<ReadHint>,
    ) -> Result<Slice, ReadError> {
        // The end before the view: the view is then never older than the end.
        let log_end_offset = self.end_offset.load(Ordering::Acquire);
        if offset < self.log_start_offset() || offset > log_end_offset {
            return Err(self.out_of_range(offset));
        }
        let end_offset = end_offset.min(log_end_offset);
        let segments = self.segments.load();
        for segment in &segments[floor(&segments, offset)..] {
            if offset >= end_offset {
                break;
            }
            let read = read_segment(segment, offset, end_offset, bytes_max, min_one_batch, hint);
            match read.map_err(|e| self.read_error(segment, offset, e))? {
                Some(slice) => return Ok(slice),
                // The offset is in a gap behind the segment's last batch.
                None => continue,
            }
        }
        Ok(Slice {
            data: None,
            end_offset: offset,
            next: hint.filter(|hint| hint.offset == offset),
            cut: None,
        })
    }

    /// The aborted transactions that a reader of `slice`, which was read from `offset` on, must know.
    pub fn aborted_transactions_in(
        &self,
        offset: i64,
        slice: &Slice,
    ) -> Result<Vec<AbortedTransaction>, StorageError> {
        let bound = match &slice.cut {
            Some((segment, position)) => segment.offset_bound(*position)?,
            None => None,
        };
        self.aborted_transactions(offset, bound.unwrap_or(i64::MAX).min(slice.end_offset))
    }

    fn out_of_range(&self, offset: i64) -> ReadError {
        let (log_start_offset, log_end_offset) = (self.log_start_offset(), self.log_end_offset());
        ReadError::OffsetOutOfRange { offset, log_start_offset, log_end_offset }
    }

    /// A file that is gone because its segment was deleted means that the offset is gone.
    fn read_error(&self, segment: &Segment, offset: i64, error: StorageError) -> ReadError {
        if segment.file().is_deleted() && error.is_not_found() {
            return self.out_of_range(offset);
        }
        error.into()
    }
}

impl Segment {
    fn looked_at(
        &self,
        offset: i64,
        bytes_max: usize,
        hint: Option<ReadHint>,
    ) -> Result<Option<FileSlice>, StorageError> {
        let (next_offset, size) = self.end();
        if offset >= next_offset {
            return Ok(None);
        }
        let hint = hint.filter(|hint| hint.segment == self.id() && hint.offset == offset);
        let position = match hint {
            Some(hint) => hint.position,
            None => self.indexed_position(offset, size)?,
        };
        // The header of the batch at the end is read in a piece.
        let length = size.saturating_sub(position).min(bytes_max.saturating_add(2 * SCAN_BYTES) as u64);
        if length == 0 {
            return Ok(None);
        }
        Ok(Some(FileSlice { file: self.handle()?, position, length: length as usize }))
    }
}

fn read_segment(
    segment: &Arc<Segment>,
    offset: i64,
    end_offset: i64,
    bytes_max: usize,
    min_one_batch: bool,
    hint: Option<ReadHint>,
) -> Result<Option<Slice>, StorageError> {
    let (next_offset, size) = segment.end();
    if offset >= next_offset {
        return Ok(None);
    }
    let hint =
        hint.filter(|hint| hint.segment == segment.id() && hint.offset == offset && hint.position < size);
    let (position, first_batch) = match hint {
        Some(hint) => (hint.position, None),
        None => match segment.locate(offset, size)? {
            Some(batch) => (batch.position, Some(batch)),
            None => return Ok(None),
        },
    };
    let limit = match end_offset >= next_offset {
        true => size,
        false => segment.locate(end_offset, size)?.map_or(size, |batch| batch.position),
    };
    let available = limit.saturating_sub(position);
    let mut length = available.min(bytes_max as u64);
    if length < available
        && let Some(next) = segment.last_batch_before(position + length, size)?
        && next.position > position + length / 2
    {
        // Between batches, so that nothing is sent twice and the reader who goes on there needs no search.
        return slice(segment, position, next.position - position, next.position, next.base_offset).map(Some);
    }
    if min_one_batch && length < available {
        let first_size = match first_batch {
            Some(batch) => batch.size,
            None => segment.batch_at(position, size)?.map_or(0, |batch| batch.size),
        };
        length = length.max(first_size.min(available));
    }
    slice(segment, position, length, limit, end_offset.min(next_offset)).map(Some)
}

fn slice(
    segment: &Arc<Segment>,
    position: u64,
    length: u64,
    limit: u64,
    end_offset: i64,
) -> Result<Slice, StorageError> {
    if length == 0 {
        return Ok(Slice { data: None, end_offset, next: None, cut: None });
    }
    let data = Some(FileSlice { file: segment.handle()?, position, length: length as usize });
    let end = position + length;
    if end < limit {
        return Ok(Slice { data, end_offset, next: None, cut: Some((Arc::clone(segment), end)) });
    }
    let next = ReadHint { segment: segment.id(), offset: end_offset, position: end };
    Ok(Slice { data, end_offset, next: Some(next), cut: None })
}
