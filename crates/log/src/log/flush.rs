//! Flushing with group commit: who waits for a flush while one is under way shares the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::{Condvar, Mutex};

use super::Log;
use crate::error::StorageError;
use crate::segment::Segment;

/// What a flush achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// Everything below is on the device now.
    pub recovery_point: i64,
    /// Whether this call did the work, and not another one.
    pub did_sync: bool,
}

const NOTHING_UNFLUSHED: i64 = i64::MAX;

#[derive(Debug)]
pub(super) struct FlushState {
    recovery_point: AtomicI64,
    /// When the first append that is not flushed was made.
    unflushed_since_ms: AtomicI64,
    /// Held by whoever syncs, or changes what a sync in between would get wrong.
    is_busy: Mutex<bool>,
    idle: Condvar,
}

impl FlushState {
    pub(super) fn new(recovery_point: i64) -> Self {
        let recovery_point = AtomicI64::new(recovery_point);
        let unflushed_since_ms = AtomicI64::new(NOTHING_UNFLUSHED);
        Self { recovery_point, unflushed_since_ms, is_busy: Mutex::new(false), idle: Condvar::new() }
    }

    /// Called under the append lock.
    pub(super) fn note_append(&self, now_ms: i64) {
        if self.unflushed_since_ms.load(Ordering::Relaxed) == NOTHING_UNFLUSHED {
            self.unflushed_since_ms.store(now_ms, Ordering::Relaxed);
        }
    }

    pub(super) fn recovery_point(&self) -> i64 {
        self.recovery_point.load(Ordering::Acquire)
    }

    /// Waits until no flush is under way, and keeps others out.
    pub(super) fn exclude(&self) -> Exclusion<'_> {
        let mut is_busy = self.is_busy.lock();
        while *is_busy {
            self.idle.wait(&mut is_busy);
        }
        *is_busy = true;
        Exclusion(self)
    }
}

/// No flush runs while this lives.
pub(super) struct Exclusion<'a>(&'a FlushState);

impl Exclusion<'_> {
    pub(super) fn set_recovery_point(&self, offset: i64) {
        self.0.recovery_point.store(offset, Ordering::Release);
    }
}

impl Drop for Exclusion<'_> {
    fn drop(&mut self) {
        *self.0.is_busy.lock() = false;
        self.0.idle.notify_all();
    }
}

impl Log {
    /// Makes everything below `offset` durable and blocks until it is. Callers that come while another one syncs wait for
    /// it, and one of them then syncs for all. A failed sync ends all changes to the log: what the device has is unknown.
    pub fn flush(&self, offset: i64) -> Result<Flushed, StorageError> {
        let offset = offset.min(self.log_end_offset());
        let done = |recovery_point| Flushed { recovery_point, did_sync: false };
        if self.recovery_point() >= offset {
            return Ok(done(self.recovery_point()));
        }
        let exclusion = self.flush.exclude();
        // Another one may have synced this as well while this one waited.
        if self.recovery_point() >= offset {
            return Ok(done(self.recovery_point()));
        }
        // All that is appended by now goes along, not only what was asked for.
        self.flush.unflushed_since_ms.store(NOTHING_UNFLUSHED, Ordering::Relaxed);
        let end_offset = self.log_end_offset();
        self.sync_range(self.recovery_point(), end_offset).map_err(|e| self.failed(e))?;
        exclusion.set_recovery_point(end_offset);
        Ok(Flushed { recovery_point: end_offset, did_sync: true })
    }

    /// Offsets that are appended but not flushed.
    pub fn unflushed_records(&self) -> i64 {
        self.log_end_offset() - self.recovery_point()
    }

    /// Whether `flush.ms` is over for something that is appended; for a periodic task that flushes then.
    pub fn is_flush_overdue(&self, now_ms: i64) -> bool {
        let since_ms = self.flush.unflushed_since_ms.load(Ordering::Relaxed);
        since_ms != NOTHING_UNFLUSHED && now_ms.saturating_sub(since_ms) >= self.config.load().flush_ms
    }

    pub(super) fn sync_range(&self, from: i64, to: i64) -> Result<(), StorageError> {
        let segments = self.segments.load_full();
        // The segment that ends there may have been finished after its last sync, and its indexes with it.
        let first = super::floor(&segments, from - 1);
        let is_due = |segment: &&Arc<Segment>| segment.base_offset() < to;
        for segment in segments[first..].iter().filter(is_due) {
            segment.sync()?;
        }
        self.sync_snapshots()?;
        self.home.sync_names()?;
        self.save_epochs(true)
    }

    fn sync_snapshots(&self) -> Result<(), StorageError> {
        let unsynced = self.lock().snapshots.take_unsynced();
        unsynced.into_iter().try_for_each(|offset| super::snapshots::sync(&self.home, offset))
    }

    /// Ends all changes and gives the files the form that they keep. With `sync` everything is durable on return;
    /// without, a sync of the whole volume has to follow before the stop counts as clean. Returns whether anything was
    /// written since the log was opened, and so needed this.
    pub fn close(&self, sync: bool) -> Result<bool, StorageError> {
        let exclusion = self.flush.exclude();
        let mut guard = self.lock();
        let state = &mut *guard;
        if std::mem::replace(&mut state.is_closed, true) {
            return Ok(false);
        }
        let is_changed = state.is_changed;
        if is_changed {
            self.active().finish(&mut state.appender)?;
        }
        state.snapshots.take(&self.home, &state.producers)?;
        let has_unsynced = is_changed || state.snapshots.has_unsynced();
        drop(guard);
        let end_offset = self.log_end_offset();
        if sync && (has_unsynced || self.recovery_point() < end_offset) {
            self.sync_range(self.recovery_point(), end_offset).map_err(|e| self.failed(e))?;
        } else {
            self.save_epochs(sync)?;
        }
        exclusion.set_recovery_point(end_offset);
        self.segments.load().iter().for_each(|segment| segment.close_files());
        Ok(is_changed)
    }

    /// Whether something was written since the log was opened.
    pub fn is_changed(&self) -> bool {
        self.lock().is_changed
    }
}
