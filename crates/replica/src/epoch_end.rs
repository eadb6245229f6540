//! Where a leader epoch ends, as leaders answer it.

/// An epoch and the offset behind its last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// The epoch.
    pub epoch: i32,
    /// Where it ends.
    pub end_offset: i64,
}
