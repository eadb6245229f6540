//! Bringing a segment's files back into agreement after an unclean stop.

use std::ops::ControlFlow;

use super::Segment;
use crate::error::StorageError;
use crate::index::TimestampOffset;
use crate::scan::{BatchEntry, Batches, ScanError};

/// A batch from which recovery verifies a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecoveryStart {
    /// Where it begins in the file.
    pub(crate) position: u64,
    /// Its first offset.
    pub(crate) offset: i64,
    /// Index entries below this offset stay.
    indexed_to: i64,
}

/// What recovery has verified so far.
struct Kept {
    size: u64,
    next_offset: i64,
    largest: TimestampOffset,
    /// Where the last index entry points to.
    indexed_at: u64,
}

/// What recovery of a segment found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// Bytes that were cut off.
    pub(crate) truncated_bytes: u64,
    /// Why: what is wrong with the first batch that is not kept.
    pub(crate) reason: Option<String>,
}

impl Segment {
    /// Where recovery must begin for everything from `offset` on to be verified.
    ///
    /// Below the recovery point the log is on the device, so the indexes may be believed if they are in order and the batch
    /// that they name is really there. Otherwise the whole segment is verified.
    pub(crate) fn recovery_start(&self, offset: i64) -> RecoveryStart {
        let from_index = || {
            let entry = self.offset_index.lookup(offset - 1).ok().filter(|entry| entry.position > 0)?;
            let file = self.handle().ok()?;
            let (batch, _) =
                Batches::new(&*file, entry.position, self.log.size().ok()?).next_batch().ok()??;
            let (position, offset) = (batch.position, batch.base_offset);
            let is_there = batch.last_offset == entry.offset
                && self.offset_index.is_ascending().ok()?
                && self.time_index.is_ascending().ok()?;
            is_there.then_some(RecoveryStart { position, offset, indexed_to: entry.offset + 1 })
        };
        let beginning = RecoveryStart { position: 0, offset: self.base_offset, indexed_to: self.base_offset };
        from_index().unwrap_or(beginning)
    }

    /// Verifies every batch from `start` on, makes the indexes anew from there, and cuts the log at the first batch that
    /// is not whole, intact and in order. `visit` sees each batch that is kept; the transaction index is its business.
    pub(crate) fn recover(
        &self,
        start: RecoveryStart,
        index_interval_bytes: u64,
        mut visit: impl FnMut(&BatchEntry, &[u8]) -> Result<(), StorageError>,
    ) -> Result<Recovered, StorageError> {
        self.cut_indexes(start)?;
        let file_size = self.log.size()?;
        let mut kept = Kept {
            size: start.position,
            next_offset: start.offset,
            // The time index may end before the offset index: each writes its entries when it has many.
            largest: self.largest_timestamp_in(start.position)?,
            indexed_at: start.position,
        };
        let mut reason = None;
        if file_size > start.position {
            let file = self.handle()?;
            let mut batches = Batches::new(&*file, start.position, file_size);
            loop {
                match batches.next_batch() {
                    Ok(Some((batch, bytes))) => {
                        reason = self.out_of_order(&batch, &kept);
                        if reason.is_some() {
                            break;
                        }
                        self.keep(&batch, &mut kept, index_interval_bytes);
                        visit(&batch, bytes)?;
                    }
                    Ok(None) => break,
                    Err(ScanError::Malformed { position, what }) => {
                        reason = Some(format!("byte {position}: {what}"));
                        break;
                    }
                    Err(read) => return Err(self.scan_error(read)),
                }
            }
        }
        let truncated_bytes = file_size.saturating_sub(kept.size);
        self.finish_recovery(kept)?;
        Ok(Recovered { truncated_bytes, reason })
    }

    fn out_of_order(&self, batch: &BatchEntry, kept: &Kept) -> Option<String> {
        let is_far = batch.last_offset - self.base_offset > i64::from(i32::MAX);
        (batch.base_offset < kept.next_offset || is_far).then(|| {
            let (position, offset) = (batch.position, batch.base_offset);
            format!("byte {position}: offset {offset} behind {}", kept.next_offset - 1)
        })
    }

    fn keep(&self, batch: &BatchEntry, kept: &mut Kept, index_interval_bytes: u64) {
        if batch.max_timestamp > kept.largest.timestamp {
            kept.largest = TimestampOffset { timestamp: batch.max_timestamp, offset: batch.last_offset };
        }
        if batch.position - kept.indexed_at > index_interval_bytes {
            self.add_index_entries(batch.last_offset, batch.position, kept.largest);
            kept.indexed_at = batch.position;
        }
        (kept.size, kept.next_offset) = (batch.end(), batch.next_offset());
    }

    /// Makes the offset and time index anew from the headers. An error leaves the indexes empty and the log as it is.
    pub(crate) fn rebuild_indexes(&self, index_interval_bytes: u64) -> Result<(), StorageError> {
        self.offset_index.clear()?;
        self.time_index.clear()?;
        let mut largest = self.time_index.last()?;
        let mut indexed_at = 0;
        self.for_each_header(0, |batch| {
            if batch.max_timestamp > largest.timestamp {
                largest = TimestampOffset { timestamp: batch.max_timestamp, offset: batch.last_offset };
            }
            if batch.position - indexed_at > index_interval_bytes {
                self.add_index_entries(batch.last_offset, batch.position, largest);
                indexed_at = batch.position;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        self.time_index.append(largest)?;
        self.offset_index.finish()?;
        self.time_index.finish()
    }

    fn cut_indexes(&self, start: RecoveryStart) -> Result<(), StorageError> {
        if start.position == 0 {
            self.offset_index.clear()?;
            self.time_index.clear()?;
            return self.transaction_index.clear();
        }
        self.offset_index.truncate_to(start.indexed_to)?;
        self.time_index.truncate_to(start.indexed_to)?;
        self.transaction_index.truncate_to(start.offset)
    }

    fn finish_recovery(&self, kept: Kept) -> Result<(), StorageError> {
        let Kept { size, next_offset, largest, .. } = kept;
        if self.log.size()? > size {
            self.cut_log(size)?;
        }
        self.end.store(next_offset, size as i64);
        self.max_timestamp.store(largest.timestamp, largest.offset);
        if largest.timestamp >= 0 {
            self.time_index.append(largest)?;
        }
        self.offset_index.finish()?;
        self.time_index.finish()
    }

    /// Cuts the files before the batch that holds `offset`; returns the end and the largest timestamp of what remains.
    /// This object stays as it was, for readers that still have it; the log goes on with another one.
    pub(crate) fn truncate_to(&self, offset: i64) -> Result<((i64, u64), TimestampOffset), StorageError> {
        let (next_offset, size) = self.end();
        let position = self.locate(offset, size)?.map_or(size, |batch| batch.position);
        self.offset_index.truncate_to(offset)?;
        self.time_index.truncate_to(offset)?;
        self.transaction_index.truncate_to(offset)?;
        if position < size {
            self.cut_log(position)?;
        }
        let largest = self.largest_timestamp_in(position)?;
        Ok(((next_offset.min(offset), position), largest))
    }

    /// Durably, before anything is written behind the cut: a power loss could bring back what was cut off, behind records that
    /// replaced its beginning.
    fn cut_log(&self, size: u64) -> Result<(), StorageError> {
        self.log.set_size(size)?;
        self.log.sync()
    }
}
