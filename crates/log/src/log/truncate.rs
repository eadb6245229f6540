//! Cutting the log: a follower that diverged from its leader, or one that starts over.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::recover::ProducerLoader;
use super::{Log, NO_GAP, State, floor};
use crate::error::StorageError;
use crate::producers::ProducerStates;
use crate::segment::{Appender, Segment};

impl Log {
    /// Removes all records from `offset` on; the next record gets that offset. Whether anything was removed.
    /// Everything that follows from the records goes back with them: indexes, leader epochs, producer state.
    pub fn truncate_to(&self, offset: i64, now_ms: i64) -> Result<bool, StorageError> {
        let exclusion = self.flush.exclude();
        let mut state = self.lock();
        self.compacted_to.fetch_min(offset, Ordering::AcqRel);
        if offset >= self.log_end_offset() {
            self.epochs.write().truncate_from_end(self.log_end_offset());
            return Ok(false);
        }
        self.cuts.fetch_add(1, Ordering::AcqRel);
        if offset <= self.gap.load(Ordering::Acquire) {
            self.gap.store(NO_GAP, Ordering::Release);
        }
        // From here on nothing above is safe, whatever the checkpoints still say.
        exclusion.set_recovery_point(self.recovery_point().min(offset));
        state.is_changed = true;
        let first = self.segments.load()[0].base_offset();
        let result = match offset < first {
            true => self.start_at(&mut state, offset, offset, now_ms),
            false => self.cut(&mut state, offset, now_ms),
        };
        result.map(|()| true).map_err(|e| self.failed(e))
    }

    /// Removes everything; the log is empty at `offset` and begins at `log_start_offset`, which is not above it.
    pub fn truncate_fully_and_start_at(
        &self,
        offset: i64,
        log_start_offset: i64,
        now_ms: i64,
    ) -> Result<(), StorageError> {
        let exclusion = self.flush.exclude();
        let mut state = self.lock();
        exclusion.set_recovery_point(offset);
        self.cuts.fetch_add(1, Ordering::AcqRel);
        self.gap.store(NO_GAP, Ordering::Release);
        self.compacted_to.store(log_start_offset.min(offset), Ordering::Release);
        state.is_changed = true;
        self.start_at(&mut state, offset, log_start_offset.min(offset), now_ms).map_err(|e| self.failed(e))
    }

    fn cut(&self, state: &mut State, offset: i64, now_ms: i64) -> Result<(), StorageError> {
        let segments = self.segments.load_full();
        let (kept, removed) = segments.split_at(floor(&segments, offset) + 1);
        let mut kept = kept.to_vec();
        self.segments.store(Arc::new(kept.clone()));
        // From the end on, so that a crash in between leaves no hole.
        removed.iter().rev().try_for_each(|segment| segment.remove_files())?;
        if let Some(cut) = kept.pop() {
            let (end, largest) = cut.truncate_to(offset)?;
            kept.push(Arc::new(Segment::existing(&self.home, cut.base_offset(), end, Some(largest))));
        }
        self.segments.store(Arc::new(kept));
        self.end_offset.store(offset, Ordering::Release);
        state.appender = Appender::new(now_ms);
        self.log_start_offset.fetch_min(offset, Ordering::AcqRel);
        let epochs_changed = self.epochs.write().truncate_from_end(offset);
        self.reload_producers(state, offset, now_ms)?;
        self.set_high_watermark_locked(state, self.high_watermark());
        // Should the machine stop before the next flush, the epochs and snapshots that were cut must not come back.
        if epochs_changed {
            self.save_epochs(true)?;
        }
        self.home.sync_names()
    }

    fn reload_producers(&self, state: &mut State, offset: i64, now_ms: i64) -> Result<(), StorageError> {
        state.snapshots.retain(&self.home, |at| at <= offset)?;
        let loader = ProducerLoader {
            home: &self.home,
            segments: &self.segments.load(),
            log_start_offset: self.log_start_offset(),
            expired_before_ms: now_ms.saturating_sub(self.config.load().producer_id_expiration_ms),
        };
        let mut repairs = Vec::new();
        state.producers = loader.load(&mut state.snapshots, offset, &mut repairs)?;
        for repair in repairs {
            tracing::warn!(dir = %self.dir().display(), "{repair}");
        }
        Ok(())
    }

    fn start_at(
        &self,
        state: &mut State,
        offset: i64,
        log_start_offset: i64,
        now_ms: i64,
    ) -> Result<(), StorageError> {
        let removed = self.segments.load_full();
        removed.iter().rev().try_for_each(|segment| segment.remove_files())?;
        let segment = Segment::empty(&self.home, offset);
        segment.file().handle_or_create()?;
        self.segments.store(Arc::new(vec![Arc::new(segment)]));
        self.end_offset.store(offset, Ordering::Release);
        self.log_start_offset.store(log_start_offset, Ordering::Release);
        state.snapshots.retain(&self.home, |_| false)?;
        state.snapshots.set_last_offset(offset);
        state.producers = ProducerStates::starting_at(offset);
        state.appender = Appender::new(now_ms);
        self.set_high_watermark_locked(state, offset);
        self.epochs.write().clear();
        self.save_epochs(true)?;
        self.home.sync_names()
    }
}
