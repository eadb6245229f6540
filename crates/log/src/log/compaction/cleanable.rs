//! What of a log may be compacted, and whether that is due.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::{Log, floor};
use crate::error::StorageError;
use crate::segment::Segment;

/// What of a log may be compacted now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cleanable {
    /// Up to here the log is compacted.
    pub first_dirty_offset: i64,
    /// From here on it must not be: the beginning of a segment.
    pub first_uncleanable_offset: i64,
    /// Bytes of the segments before the first dirty offset.
    pub clean_bytes: u64,
    /// Bytes of the segments that are to be compacted.
    pub cleanable_bytes: u64,
    /// A record has waited for longer than `max.compaction.lag.ms`.
    pub is_overdue: bool,
    /// How often the log had been cut.
    pub(super) cuts: u64,
}

impl Cleanable {
    /// The share of what may be compacted in what would be compacted then.
    pub fn dirty_ratio(&self) -> f64 {
        match self.clean_bytes + self.cleanable_bytes {
            0 => 0.0,
            all => self.cleanable_bytes as f64 / all as f64,
        }
    }

    /// Whether a round is worth it: enough is new, or something waits for too long.
    pub fn is_due(&self, min_dirty_ratio: f64) -> bool {
        self.cleanable_bytes > 0 && (self.is_overdue || self.dirty_ratio() > min_dirty_ratio)
    }
}

impl Log {
    /// What may be compacted now.
    ///
    /// # Errors
    /// When an index cannot be read.
    pub fn cleanable(&self, now_ms: i64) -> Result<Cleanable, StorageError> {
        let cuts = self.cuts.load(Ordering::Acquire);
        let segments = self.segments.load_full();
        let (log_start, log_end) = (self.log_start_offset(), self.log_end_offset());
        let compacted_to = self.compacted_to();
        let is_known = (log_start..=log_end).contains(&compacted_to);
        let first_dirty_offset = if is_known { compacted_to } else { log_start };
        let (active, finished) = segments.split_last().unwrap_or_else(|| unreachable!("a log has a segment"));
        let dirty = &finished[floor(&segments, first_dirty_offset).min(finished.len())..];
        let lagging = self.first_lagging(dirty, now_ms)?;
        let bound = self.last_stable_offset().min(active.base_offset()).min(lagging).max(first_dirty_offset);
        let first_uncleanable = finished.get(floor(&segments, bound)).unwrap_or(active).base_offset();
        let bytes = |segments: &[Arc<Segment>], end: i64| {
            segments.iter().filter(|segment| segment.base_offset() < end).map(|segment| segment.size()).sum()
        };
        Ok(Cleanable {
            first_dirty_offset,
            first_uncleanable_offset: first_uncleanable.max(first_dirty_offset),
            clean_bytes: bytes(&finished[..finished.len() - dirty.len()], i64::MAX),
            cleanable_bytes: bytes(dirty, first_uncleanable),
            is_overdue: self.is_overdue(dirty, now_ms)?,
            cuts,
        })
    }

    /// Where the first segment begins that has a record within `min.compaction.lag.ms`.
    fn first_lagging(&self, dirty: &[Arc<Segment>], now_ms: i64) -> Result<i64, StorageError> {
        let lag_ms = self.config().min_compaction_lag_ms;
        if lag_ms > 0 {
            for segment in dirty {
                if segment.max_timestamp()?.timestamp > now_ms.saturating_sub(lag_ms) {
                    return Ok(segment.base_offset());
                }
            }
        }
        Ok(i64::MAX)
    }

    fn is_overdue(&self, dirty: &[Arc<Segment>], now_ms: i64) -> Result<bool, StorageError> {
        let lag_ms = self.config().max_compaction_lag_ms;
        if lag_ms == i64::MAX {
            return Ok(false);
        }
        for segment in dirty {
            let first = segment.first_batch()?.map_or(-1, |batch| batch.max_timestamp);
            if first > 0 && first < now_ms.saturating_sub(lag_ms) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
