//! Compaction: of the records with the same key only the newest stays.
//!
//! A round reads the records behind the place where the last round ended and notes the newest offset of each key; then it writes the
//! segments before the end of what it read anew, several small ones into one, without the records that have a newer one of their key. Readers
//! and writers go on meanwhile: the new segments take the place of the old ones when they are whole and on the device, and the old ones' files
//! stay a while for those who still read them.
//!
//! Invariants:
//! - The last segment, records that are not decided and records within `min.compaction.lag.ms` stay as they are.
//! - Offsets do not change, and a consumer that reads from the beginning sees the newest record of every key.
//! - A tombstone stays for `delete.retention.ms` after the round that first met it with nothing older of its key before it (KIP-534), so that
//!   whoever reads on meanwhile sees it; a transaction's marker likewise after its last record is gone.
//! - What producers need to go on is kept: the last batch of each that is remembered stays, without records if need be.
//! - A stop at any moment leaves either the old segments or the new ones.

mod cleanable;
mod filter;
mod offset_map;
mod replace;
mod rewrite;
mod transactions;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use klamm_records::{AnyBatch, BatchError, DecompressLimits, RecordError};
use thiserror::Error;

pub use cleanable::Cleanable;

use super::{Log, NO_GAP, floor};
use crate::error::StorageError;
use crate::scan::{Batches, ScanError};
use crate::segment::Segment;
use filter::Retention;
use offset_map::OffsetMap;
use transactions::Transactions;

/// What a round of compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Records before it were met by this round or an earlier one.
    pub end_offset: i64,
    /// Segments that were replaced.
    pub segments: usize,
    /// Their bytes.
    pub bytes_before: u64,
    /// The bytes of those that replaced them.
    pub bytes_after: u64,
}

/// Why a round of compaction did not come to its end. The log is as before, or a part of it is compacted already.
#[derive(Debug, Error)]
pub enum CompactionError {
    /// The segments changed meanwhile, or the log is closed: a later round goes on.
    #[error("the log changed meanwhile")]
    Interrupted,
    /// The disk refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A batch cannot be read.
    #[error("segment {base_offset}: {source}")]
    Scan {
        /// The segment.
        base_offset: i64,
        /// Where, and what is wrong.
        source: ScanError,
    },
    /// A record cannot be read.
    #[error("the batch that ends at offset {offset}: {source}")]
    Record {
        /// The batch's last offset.
        offset: i64,
        /// What is wrong.
        source: RecordError,
    },
}

impl Log {
    /// Up to where the log is compacted; the log start where it never was.
    pub fn compacted_to(&self) -> i64 {
        self.compacted_to.load(Ordering::Acquire)
    }

    /// Tells the log up to where it was compacted before it was opened. What is missing below that was taken by compaction.
    pub(crate) fn set_compacted_to(&self, offset: i64) {
        self.compacted_to.store(offset.min(self.log_end_offset()), Ordering::Release);
        if self.gap.load(Ordering::Acquire) < offset {
            self.gap.store(NO_GAP, Ordering::Release);
        }
    }

    /// Whether a round met something that cannot be read: every other would as well.
    pub fn is_uncleanable(&self) -> bool {
        self.is_uncleanable.load(Ordering::Relaxed)
    }

    /// Ends the round of compaction that is under way, if there is one, and makes those begin anew that were to begin. What is compacted so
    /// far stays so.
    pub(crate) fn interrupt_compaction(&self) {
        let _state = self.lock();
        self.cuts.fetch_add(1, Ordering::AcqRel);
    }

    /// Compacts what `cleanable` says, with at most `map_bytes` of memory for keys; what does not fit is left to the next round.
    /// One round at a time.
    ///
    /// # Errors
    /// [`CompactionError`]; after a damaged batch or record the log [is uncleanable](Self::is_uncleanable).
    pub fn compact(
        &self,
        cleanable: &Cleanable,
        map_bytes: u64,
        now_ms: i64,
    ) -> Result<Compacted, CompactionError> {
        let result = self.compact_round(cleanable, map_bytes, now_ms);
        if result.is_err() && self.cuts.load(Ordering::Acquire) != cleanable.cuts {
            // It may have read what was being cut.
            return Err(CompactionError::Interrupted);
        }
        if let Err(CompactionError::Scan { .. } | CompactionError::Record { .. }) = &result {
            self.is_uncleanable.store(true, Ordering::Relaxed);
        }
        result
    }

    fn compact_round(
        &self,
        cleanable: &Cleanable,
        map_bytes: u64,
        now_ms: i64,
    ) -> Result<Compacted, CompactionError> {
        let map = self.newest_offsets(cleanable, map_bytes)?;
        let end_offset = map.end_offset().max(cleanable.first_dirty_offset);
        let segments = self.segments.load_full();
        let last = segments.partition_point(|segment| segment.base_offset() < end_offset);
        let retention = Retention {
            map: &map,
            producers: self
                .producers()
                .into_iter()
                .map(|producer| (producer.producer_id, producer))
                .collect(),
            high_watermark: self.high_watermark(),
            delete_retention_ms: self.config().delete_retention_ms,
            cuts: cleanable.cuts,
            now_ms,
        };
        let mut compacted = Compacted { end_offset, ..Compacted::default() };
        let mut transactions = Transactions::default();
        for group in self.groups(&segments[..last], cleanable.first_uncleanable_offset)? {
            let bytes_before: u64 = group.iter().map(|segment| segment.size()).sum();
            let bytes_after = self.compact_group(group, &retention, &mut transactions)?;
            compacted.segments += group.len();
            compacted.bytes_before += bytes_before;
            compacted.bytes_after += bytes_after;
        }
        let _state = self.lock();
        if self.cuts.load(Ordering::Acquire) != cleanable.cuts {
            // What comes in place of what was cut is not compacted.
            return Err(CompactionError::Interrupted);
        }
        self.compacted_to.store(end_offset, Ordering::Release);
        Ok(compacted)
    }

    /// The newest offset of each key between the first dirty offset and the first one that may not be compacted.
    fn newest_offsets(&self, cleanable: &Cleanable, map_bytes: u64) -> Result<OffsetMap, CompactionError> {
        let (start, end) = (cleanable.first_dirty_offset, cleanable.first_uncleanable_offset);
        let mut map = OffsetMap::new(map_bytes);
        let mut transactions = Transactions::default();
        transactions.add_aborted(self.aborted_transactions(start, end)?);
        let segments = self.segments.load_full();
        let dirty = segments[floor(&segments, start)..].iter().filter(|segment| segment.base_offset() < end);
        for segment in dirty {
            let is_full = for_each_batch(segment, start, |batch| {
                note_keys(&batch, start, &mut map, &mut transactions)
                    .map_err(|source| CompactionError::Record { offset: batch.last_offset(), source })
            })?;
            if is_full {
                break;
            }
        }
        Ok(map)
    }

    /// Neighbouring segments that fit into one, by their size before compaction.
    fn groups<'s>(
        &self,
        segments: &'s [Arc<Segment>],
        end_offset: i64,
    ) -> Result<Vec<&'s [Arc<Segment>]>, StorageError> {
        let config = self.config();
        let entries_max = config.index_bytes_max / 12;
        let mut groups = Vec::new();
        let (mut first, mut size, mut entries) = (0, 0, 0);
        for (number, segment) in segments.iter().enumerate() {
            let next_base = segments.get(number + 1).map_or(end_offset, |next| next.base_offset());
            let own_entries = u64::from(segment.offset_index().len()?);
            let fits = size + segment.size() <= config.segment_bytes
                && entries + own_entries <= entries_max
                && next_base - 1 - segments[first].base_offset() <= i64::from(i32::MAX);
            if number > first && !fits {
                groups.push(&segments[first..number]);
                (first, size, entries) = (number, 0, 0);
            }
            size += segment.size();
            entries += own_entries;
        }
        if first < segments.len() {
            groups.push(&segments[first..]);
        }
        Ok(groups)
    }
}

/// Calls `visit` with each batch from the one that holds `offset` on, until it says true; returns whether it did.
fn for_each_batch(
    segment: &Segment,
    offset: i64,
    mut visit: impl FnMut(AnyBatch<'_>) -> Result<bool, CompactionError>,
) -> Result<bool, CompactionError> {
    let size = segment.size();
    let begin = match offset > segment.base_offset() {
        true => segment.locate(offset, size)?.map_or(size, |batch| batch.position),
        false => 0,
    };
    if begin >= size {
        return Ok(false);
    }
    let file = segment.handle()?;
    let mut batches = Batches::new(&*file, begin, size);
    let base_offset = segment.base_offset();
    let scan = |source| CompactionError::Scan { base_offset, source };
    while let Some((entry, bytes)) = batches.next_batch().map_err(scan)? {
        let malformed = |error: BatchError| {
            let (position, what) = (entry.position, error.to_string());
            scan(ScanError::Malformed { position, what })
        };
        if visit(AnyBatch::parse(bytes).map_err(malformed)?)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Notes the keys of a batch; true when no more fit.
fn note_keys(
    batch: &AnyBatch<'_>,
    start: i64,
    map: &mut OffsetMap,
    transactions: &mut Transactions,
) -> Result<bool, RecordError> {
    let holds_data = match batch {
        AnyBatch::V2(batch) if batch.header().attributes.is_control() => {
            transactions.meet_control_batch(batch)?;
            false
        }
        AnyBatch::V2(batch) => !transactions.meet_batch(batch.header()),
        AnyBatch::Legacy(_) => true,
    };
    if holds_data {
        let mut records = batch.records(DecompressLimits::default())?;
        while let Some(record) = records.next_record()? {
            let key = record.key.filter(|_| record.offset >= start);
            if key.is_some_and(|key| !map.put(key, record.offset)) {
                return Ok(true);
            }
        }
    }
    map.note_end(batch.last_offset() + 1);
    Ok(false)
}
