//! How much was replicated of late, against a bound in bytes a second (KIP-73).
//!
//! Bytes are counted in windows of time, of which the latest few are kept; the rate is what is in them over the time since the oldest began.
//! The bound is looked at before something is sent, and what is sent is counted whole: the rate swings around the bound.

use std::collections::VecDeque;

/// Counts bytes against a bound.
#[derive(Debug, Clone)]
pub struct Throttle {
    bytes_per_second_max: u64,
    window_ms: i64,
    windows_max: usize,
    /// When each window began, and the bytes in it; the oldest first.
    windows: VecDeque<(i64, u64)>,
}

impl Throttle {
    /// Without a bound yet, over this many windows of this length.
    pub fn new(window_ms: i64, windows_max: usize) -> Self {
        let (window_ms, windows_max) = (window_ms.max(1), windows_max.max(1));
        Self { bytes_per_second_max: u64::MAX, window_ms, windows_max, windows: VecDeque::new() }
    }

    /// Sets the bound; `u64::MAX` for none.
    pub fn set_bound(&mut self, bytes_per_second_max: u64) {
        self.bytes_per_second_max = bytes_per_second_max;
    }

    /// The bound, in bytes a second.
    pub fn bound(&self) -> u64 {
        self.bytes_per_second_max
    }

    /// Counts bytes that were sent.
    pub fn record(&mut self, bytes: u64, now_ms: i64) {
        self.forget_before(now_ms);
        match self.windows.back_mut() {
            Some((began_ms, counted)) if now_ms - *began_ms < self.window_ms => {
                *counted = counted.saturating_add(bytes);
            }
            _ => self.windows.push_back((now_ms, bytes)),
        }
    }

    /// Whether more was sent than the bound allows.
    pub fn is_exceeded(&mut self, now_ms: i64) -> bool {
        self.within_bound_at_ms(now_ms) > now_ms
    }

    /// The first millisecond at which the bound is kept again if nothing is sent until then; `now_ms` where it is kept. It is never later
    /// than when all windows are forgotten.
    pub fn within_bound_at_ms(&mut self, now_ms: i64) -> i64 {
        self.forget_before(now_ms);
        let Some(&(oldest_ms, _)) = self.windows.front() else { return now_ms };
        if self.bytes_per_second_max == u64::MAX {
            return now_ms;
        }
        let bytes: u128 = self.windows.iter().map(|(_, bytes)| u128::from(*bytes)).sum();
        let needed_ms = match u128::from(self.bytes_per_second_max) {
            0 => u128::MAX,
            bound => (bytes * 1000).div_ceil(bound),
        };
        if needed_ms <= self.elapsed_ms(now_ms) as u128 {
            return now_ms;
        }
        // The rate of less than one window is that of a whole one, so waiting counts only from then on.
        let kept_ms = self.window_ms.saturating_mul(self.windows_max as i64);
        let wait_ms = i64::try_from(needed_ms).unwrap_or(i64::MAX).min(kept_ms);
        oldest_ms.saturating_add(wait_ms).max(now_ms + 1)
    }

    fn elapsed_ms(&self, now_ms: i64) -> i64 {
        let oldest_ms = self.windows.front().map_or(now_ms, |(began_ms, _)| *began_ms);
        (now_ms - oldest_ms).max(self.window_ms)
    }

    /// A clock that was put back makes windows of the future, which are forgotten too.
    fn forget_before(&mut self, now_ms: i64) {
        let kept_ms = self.window_ms.saturating_mul(self.windows_max as i64);
        self.windows.retain(|(began_ms, _)| (0..kept_ms).contains(&(now_ms - began_ms)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle(bound: u64) -> Throttle {
        let mut throttle = Throttle::new(1000, 11);
        throttle.set_bound(bound);
        throttle
    }

    #[test]
    fn the_bound_is_kept_again_when_time_has_made_up_for_the_bytes() {
        let mut throttle = throttle(1000);
        assert!(!throttle.is_exceeded(0));
        throttle.record(1000, 0);
        assert!(!throttle.is_exceeded(0), "what a whole window may have");
        throttle.record(2000, 500);
        assert_eq!(throttle.within_bound_at_ms(500), 3000);
        assert!(throttle.is_exceeded(2999));
        assert!(!throttle.is_exceeded(3000));
        throttle.record(1, 3000);
        assert_eq!(throttle.within_bound_at_ms(3000), 3001);
    }

    #[test]
    fn old_windows_are_forgotten() {
        let mut throttle = throttle(10);
        throttle.record(1_000_000, 0);
        assert_eq!(throttle.within_bound_at_ms(5000), 11_000);
        assert!(!throttle.is_exceeded(11_000));
        throttle.record(10, 11_000);
        assert!(!throttle.is_exceeded(11_000), "it begins anew");
    }

    #[test]
    fn bounds_of_nothing_and_of_everything() {
        let mut throttle = throttle(0);
        assert!(!throttle.is_exceeded(0), "nothing was sent");
        throttle.record(1, 0);
        assert!(throttle.is_exceeded(10_999));
        throttle.set_bound(u64::MAX);
        throttle.record(u64::MAX, 11_000);
        throttle.record(u64::MAX, 11_001);
        assert!(!throttle.is_exceeded(11_001));
    }

    #[test]
    fn a_clock_that_is_put_back_blocks_nothing() {
        let mut throttle = throttle(10);
        throttle.record(1_000_000, 100_000);
        assert!(!throttle.is_exceeded(0));
    }

    /// Over a long time no more than the bound is sent, and hardly less.
    #[test]
    fn a_sender_that_asks_first_keeps_to_the_bound() {
        let mut throttle = throttle(50_000);
        let (mut now_ms, mut sent) = (0, 0_u64);
        while now_ms < 60_000 {
            match throttle.within_bound_at_ms(now_ms) {
                due_ms if due_ms > now_ms => now_ms = due_ms,
                _ => {
                    throttle.record(4096, now_ms);
                    sent += 4096;
                    now_ms += 1;
                }
            }
        }
        let allowed = 50_000 * 60;
        assert!((allowed * 9 / 10..=allowed * 11 / 10).contains(&sent), "{sent} of {allowed}");
    }
}
