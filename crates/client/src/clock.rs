//! The two clocks of a client: one for what it waits for, one for what it writes into records.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Milliseconds on a clock that is never set: deadlines, pauses and ages hold when somebody corrects the wall clock. It
/// begins at the wall clock's time of the first call and follows tokio's clock, which a test or a simulation may control.
pub(crate) fn now_ms() -> i64 {
    static START: OnceLock<(i64, Instant)> = OnceLock::new();
    let now = Instant::now();
    let (start_ms, start) = *START.get_or_init(|| (wall_ms(), now));
    // A runtime whose clock is controlled may be behind the one in which the clock began.
    let since_ns = match now.checked_duration_since(start) {
        Some(since) => since.as_nanos() as i128,
        None => -(start.duration_since(now).as_nanos() as i128),
    };
    start_ms + since_ns.div_euclid(1_000_000) as i64
}

/// Milliseconds since 1970 by the wall clock, for the timestamps of records.
pub(crate) fn wall_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
