//! Waiting until an offset is reached.
//!
//! A partition has one of these for its high watermark. A long poll at offset 7 waits for 8, a produce request whose last
//! record is 7 waits for 8; when the offset advances, exactly those that are due are woken, without a look at the others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Those who wait, by the offset they wait for.
pub(crate) struct OffsetWaiters {
    /// The least offset waited for, so that advancing past nobody takes no lock. `i64::MAX` when nobody waits.
    least: AtomicI64,
    next_id: AtomicU64,
    by_offset: Mutex<BTreeMap<(i64, u64), Arc<Notify>>>,
}

/// A place among the waiters, given up when dropped.
pub(crate) struct Waiting {
    waiters: Arc<OffsetWaiters>,
    key: (i64, u64),
}

impl Default for OffsetWaiters {
    fn default() -> Self {
        Self { least: AtomicI64::new(i64::MAX), next_id: AtomicU64::new(0), by_offset: Mutex::default() }
    }
}

impl OffsetWaiters {
    /// Has `notify` notified once the offset is at least `offset`. Look at the offset again after this call: it may have been
    /// reached before.
    pub(crate) fn register(self: &Arc<Self>, offset: i64, notify: &Arc<Notify>) -> Waiting {
        let key = (offset, self.next_id.fetch_add(1, Ordering::Relaxed));
        let mut by_offset = self.by_offset.lock();
        by_offset.insert(key, notify.clone());
        self.note_least(&by_offset);
        Waiting { waiters: self.clone(), key }
    }

    /// The offset is now `offset`: wakes those who waited for it. Call after the new offset can be seen.
    pub(crate) fn advance(&self, offset: i64) {
        if self.least.load(Ordering::SeqCst) <= offset {
            self.wake_up_to(offset);
        }
    }

    /// Wakes all, because something other than the offset changed (leadership, deletion).
    pub(crate) fn wake_all(&self) {
        self.wake_up_to(i64::MAX - 1);
    }

    fn wake_up_to(&self, offset: i64) {
        let mut by_offset = self.by_offset.lock();
        let later = by_offset.split_off(&(offset + 1, 0));
        let due = std::mem::replace(&mut *by_offset, later);
        self.note_least(&by_offset);
        drop(by_offset);
        due.values().for_each(|notify| notify.notify_one());
    }

    fn note_least(&self, by_offset: &BTreeMap<(i64, u64), Arc<Notify>>) {
        let least = by_offset.first_key_value().map_or(i64::MAX, |((offset, _), _)| *offset);
        self.least.store(least, Ordering::SeqCst);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut by_offset = self.waiters.by_offset.lock();
        if by_offset.remove(&self.key).is_some() {
            self.waiters.note_least(&by_offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn is_woken(notify: &Notify) -> bool {
        pin!(notify.notified()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn wakes_exactly_those_that_are_due() {
        let waiters = Arc::new(OffsetWaiters::default());
        let notifies: Vec<_> = (0..4).map(|_| Arc::new(Notify::new())).collect();
        let places: Vec<_> = [5, 7, 7, 9]
            .into_iter()
            .zip(&notifies)
            .map(|(at, notify)| waiters.register(at, notify))
            .collect();
        let woken = || notifies.iter().map(|notify| is_woken(notify)).collect::<Vec<_>>();
        waiters.advance(4);
        assert_eq!(woken(), [false; 4]);
        waiters.advance(7);
        assert_eq!(woken(), [true, true, true, false]);
        drop(places);
        assert_eq!(waiters.least.load(Ordering::SeqCst), i64::MAX);
        waiters.wake_all();
        assert_eq!(woken(), [false; 4]);
    }

    #[test]
    fn wakes_all_when_asked_to() {
        let waiters = Arc::new(OffsetWaiters::default());
        let notify = Arc::new(Notify::new());
        let _place = waiters.register(1 << 60, &notify);
        waiters.wake_all();
        assert!(is_woken(&notify));
    }
}
