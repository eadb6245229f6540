//! Flushing with group commit: one flush at a time, and all that was appended before it began shares it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use klamm_log::Log;

use super::Partition;
use crate::environment::Place;

/// No flush is under way.
const IDLE: u8 = 0;
/// A flush is under way.
const RUNNING: u8 = 1;
/// A flush is under way, and something was appended since it began.
const RUNNING_AND_DUE: u8 = 2;

/// The time since which something is unflushed, when nothing is.
pub(super) const NEVER: i64 = i64::MIN;

/// Whether a flush is under way.
#[derive(Default)]
pub(super) struct Flushes(AtomicU8);

impl Flushes {
    /// True when the caller must start the flushing.
    fn request(&self) -> bool {
        let next = |state| Some(if state == IDLE { RUNNING } else { RUNNING_AND_DUE });
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) == Ok(IDLE)
    }

    /// Call before each flush: what is requested from now on needs another one.
    fn begin(&self) {
        self.0.store(RUNNING, Ordering::Release);
    }

    #[cfg(test)]
    pub(super) fn is_under_way(&self) -> bool {
        self.0.load(Ordering::Acquire) != IDLE
    }

    /// True when no other flush is due.
    fn end(&self) -> bool {
        self.0.compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Partition {
    /// Has everything that is in the log flushed, on a helper thread. Those who wait for the high watermark are woken after it.
    pub(crate) fn start_flush(self: &Arc<Self>) {
        if self.flushes.request() {
            self.flush_on_helper();
        }
    }

    /// Starts a flush when something has been unflushed for `flush.ms`. Called now and then.
    pub(crate) fn flush_if_due(self: &Arc<Self>, now_ms: i64) {
        let log = self.log.load();
        let flush_ms = log.config().flush_ms;
        if flush_ms == i64::MAX || log.unflushed_records() == 0 {
            return self.unflushed_since_ms.store(NEVER, Ordering::Relaxed);
        }
        let since_ms = self.unflushed_since_ms.load(Ordering::Relaxed);
        if since_ms == NEVER {
            self.unflushed_since_ms.store(now_ms, Ordering::Relaxed);
        } else if now_ms - since_ms >= flush_ms {
            self.unflushed_since_ms.store(NEVER, Ordering::Relaxed);
            self.start_flush();
        }
    }

    fn flush_on_helper(self: &Arc<Self>) {
        let partition = self.clone();
        self.environment.executors.run_blocking(Box::new(move || partition.flush_once()));
    }

    fn flush_once(self: Arc<Self>) {
        self.flushes.begin();
        if let Err(error) = self.flush() {
            tracing::error!("{}-{} cannot be flushed: {error}", self.topic, self.index);
            self.log_dirs.note_error(&error);
            self.wake_all();
        }
        if !self.flushes.end() {
            self.flush_after_a_turn();
        }
    }

    /// Flushes again once a worker has answered those whose records are on the device now, and looked at its sockets: what they send next
    /// comes along, instead of waiting for the flush after that.
    fn flush_after_a_turn(self: Arc<Self>) {
        let place = Place::Worker(self.index.unsigned_abs() as usize);
        self.environment.clone().spawn(place, move || async move {
            tokio::task::yield_now().await;
            self.flush_on_helper();
        });
    }

    fn flush(&self) -> Result<(), klamm_log::StorageError> {
        let log = self.log.load_full();
        log.flush(log.log_end_offset())?;
        self.note_flushed(&log);
        Ok(())
    }

    /// What is below the log's recovery point counts as this broker's copy.
    pub(super) fn note_flushed(&self, log: &Log) {
        self.flushed.advance(log.recovery_point());
        if let Some((_, high_watermark)) = log.advance_if_alone(log.recovery_point()) {
            self.committed.advance(high_watermark);
        } else {
            self.note_own_append();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_during_a_flush_share_the_next_one() {
        let flushes = Flushes::default();
        assert!(flushes.request());
        flushes.begin();
        assert!(!flushes.request());
        assert!(!flushes.request());
        assert!(!flushes.end());
        flushes.begin();
        assert!(flushes.end());
        assert!(flushes.request());
    }
}
