//! Pauses between attempts: each twice the one before, up to a limit.

use std::time::Duration;

/// An exponential pause. Without randomness: the attempts of one client do not coincide with those of others,
/// because each begins when its own connection was lost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    first_ms: u64,
    max_ms: u64,
    attempts: u32,
}

impl Backoff {
    pub(crate) fn new(first_ms: u64, max_ms: u64) -> Self {
        Self { first_ms, max_ms, attempts: 0 }
    }

    /// The next pause, longer than the last.
    pub(crate) fn next(&mut self) -> Duration {
        let pause_ms =
            self.first_ms.saturating_mul(1 << self.attempts.min(32)).min(self.max_ms.max(self.first_ms));
        self.attempts += 1;
        Duration::from_millis(pause_ms)
    }

    /// After a success the next pause is the first again.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit() {
        let mut backoff = Backoff::new(50, 1000);
        let pauses: Vec<u128> = (0..7).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.next().as_millis(), 50);
    }
}
