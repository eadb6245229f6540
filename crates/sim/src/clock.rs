//! The clocks of the simulated machine. Both drift; somebody sets the wall clock now and then, the other one never.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use klamm_broker::environment::Clock;
use tokio::time::Instant;

/// When every simulation begins, milliseconds since 1970.
pub(crate) const START_MS: i64 = 1_760_000_000_000;

/// A wall clock. Clones are the same clock.
#[derive(Clone)]
pub(crate) struct WallClock {
    start: Instant,
    /// How much faster than true time it runs, in parts per million.
    drift_ppm: i64,
    set_by_ms: Arc<AtomicI64>,
}

impl WallClock {
    /// A clock that is right now.
    pub(crate) fn new(drift_ppm: i64) -> Self {
        Self { start: Instant::now(), drift_ppm, set_by_ms: Arc::default() }
    }

    /// Sets it forward, or back.
    pub(crate) fn jump(&self, by_ms: i64) {
        self.set_by_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl Clock for WallClock {
    fn now_ms(&self) -> i64 {
        self.monotonic_ms() + self.set_by_ms.load(Ordering::Relaxed)
    }

    fn monotonic_ms(&self) -> i64 {
        let elapsed_ms = self.start.elapsed().as_millis() as i64;
        START_MS + elapsed_ms + elapsed_ms * self.drift_ppm / 1_000_000
    }
}
