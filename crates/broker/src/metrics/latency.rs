//! How long something took, counted in buckets.
//!
//! Each bucket's bound is twice the one before, so the right one is found from the number of a duration's bits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Finite bounds: 32 µs, 64 µs, … 33.6 s.
const BOUNDS: usize = 21;
const FIRST_BOUND_BITS: u32 = 5;

/// A histogram of durations.
#[derive(Debug, Default)]
pub(super) struct Latency {
    /// Durations by bucket; the last has no bound.
    buckets: [AtomicU64; BOUNDS + 1],
    sum_us: AtomicU64,
}

/// What some histograms said at one time, together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LatencySample {
    buckets: [u64; BOUNDS + 1],
    sum_us: u64,
}

impl Latency {
    pub(super) fn record(&self, elapsed: Duration) {
        let elapsed_us = elapsed.as_micros() as u64;
        self.buckets[bucket(elapsed_us)].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(elapsed_us, Ordering::Relaxed);
    }
}

/// The first bucket whose bound is not below a duration.
fn bucket(elapsed_us: u64) -> usize {
    let bits = u64::BITS - elapsed_us.saturating_sub(1).leading_zeros();
    (bits.saturating_sub(FIRST_BOUND_BITS) as usize).min(BOUNDS)
}

impl LatencySample {
    pub(super) fn of<'l>(histograms: impl IntoIterator<Item = &'l Latency>) -> Self {
        let mut sample = Self::default();
        for histogram in histograms {
            for (sum, bucket) in sample.buckets.iter_mut().zip(&histogram.buckets) {
                *sum += bucket.load(Ordering::Relaxed);
            }
            sample.sum_us += histogram.sum_us.load(Ordering::Relaxed);
        }
        sample
    }

    /// How many durations there were.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Their sum in milliseconds.
    pub(super) fn sum_ms(&self) -> f64 {
        self.sum_us as f64 / 1000.0
    }

    /// Each bound in milliseconds with the number of durations up to it.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let bounds = (0..BOUNDS as u32).map(|at| (1_u64 << (at + FIRST_BOUND_BITS)) as f64 / 1000.0);
        bounds.zip(&self.buckets).scan(0, |total, (bound_ms, count)| {
            *total += count;
            Some((bound_ms, *total))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_reaches_it() {
        let cases = [
            (0, 0),
            (1, 0),
            (32, 0),
            (33, 1),
            (64, 1),
            (65, 2),
            (1024, 5),
            (1025, 6),
            (1 << 25, 20),
            ((1 << 25) + 1, BOUNDS),
            (u64::MAX, BOUNDS),
        ];
        for (elapsed_us, expected) in cases {
            assert_eq!(bucket(elapsed_us), expected, "{elapsed_us}");
        }
    }

    #[test]
    fn counts_are_cumulative_over_all_histograms() {
        let [one, two] = [Latency::default(), Latency::default()];
        one.record(Duration::from_micros(40));
        two.record(Duration::from_micros(20));
        two.record(Duration::from_secs(60));
        let sample = LatencySample::of([&one, &two]);
        assert_eq!((sample.count(), sample.sum_ms()), (3, 60_000.06));
        let cumulative: Vec<_> = sample.cumulative().collect();
        assert_eq!(cumulative[..3], [(0.032, 1), (0.064, 2), (0.128, 2)]);
        assert_eq!(cumulative.last(), Some(&(33_554.432, 2)));
    }
}
