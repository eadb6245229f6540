//! What producers were told and what consumers saw.

use std::collections::BTreeMap;

/// A record as a producer numbered it: every producer counts its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Number {
    pub(crate) producer: u8,
    pub(crate) sequence: u64,
}

impl Number {
    pub(crate) fn to_value(self) -> String {
        format!("{} {}", self.producer, self.sequence)
    }

    pub(crate) fn from_value(value: &[u8]) -> Option<Self> {
        let (producer, sequence) = std::str::from_utf8(value).ok()?.split_once(' ')?;
        Some(Self { producer: producer.parse().ok()?, sequence: sequence.parse().ok()? })
    }
}

/// A record and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) offset: i64,
    pub(crate) number: Number,
}

/// By partition, in the order in which it was seen.
pub(crate) type ByPartition = BTreeMap<i32, Vec<Placed>>;

/// All that is known of a run.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// What was acknowledged with acks=all.
    pub(crate) acknowledged: ByPartition,
    /// What the consumer saw that read along.
    pub(crate) tailed: ByPartition,
    /// What is there at the end.
    pub(crate) stored: ByPartition,
}
