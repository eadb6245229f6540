//! A pair of numbers that one writer changes together and many readers see together, without a lock.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering, fence};

/// Two numbers, always read as they were written together (a sequence lock: odd while a write is under way).
#[derive(Debug)]
pub(crate) struct Published {
    sequence: AtomicU32,
    first: AtomicI64,
    second: AtomicI64,
}

impl Published {
    pub(crate) const fn new(first: i64, second: i64) -> Self {
        Self { sequence: AtomicU32::new(0), first: AtomicI64::new(first), second: AtomicI64::new(second) }
    }

    pub(crate) fn load(&self) -> (i64, i64) {
        loop {
            let before = self.sequence.load(Ordering::Acquire);
            let pair = (self.first.load(Ordering::Relaxed), self.second.load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if before & 1 == 0 && before == self.sequence.load(Ordering::Relaxed) {
                return pair;
            }
            std::hint::spin_loop();
        }
    }

    /// Only one thread may store at a time; the log's append lock sees to it.
    pub(crate) fn store(&self, first: i64, second: i64) {
        let before = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(before.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.first.store(first, Ordering::Relaxed);
        self.second.store(second, Ordering::Relaxed);
        self.sequence.store(before.wrapping_add(2), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_never_see_half_of_a_store() {
        let published = Published::new(0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| (1..200_000).for_each(|n| published.store(n, -n)));
            let mut last = 0;
            while last < 199_999 {
                let (first, second) = published.load();
                assert_eq!(first, -second);
                assert!(first >= last);
                last = first;
            }
        });
    }
}
