//! When an input happens.

/// The time of one input, on two clocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds on a clock that nobody sets, for sessions, phases and whatever else takes its time. Must not run backwards from call to
    /// call; [`Shard::next_deadline_ms`](crate::Shard::next_deadline_ms) is on it.
    pub monotonic_ms: i64,
    /// Milliseconds since 1970 by the wall clock, for what is written: when offsets were committed, and how old they are.
    pub wall_ms: i64,
}
