//! Logs that were cut (KIP-320): what was read is not what the leader has.
//!
//! A fetch names the epoch of what is before its offset. A leader whose log parts from that one says where, and sends
//! nothing.

use super::{Positions, UNKNOWN};
use crate::TopicPartition;
use crate::config::AutoOffsetReset;

/// The largest epoch of the leader's log that is not above the one named, and where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EpochEnd {
    pub(crate) epoch: i32,
    pub(crate) end_offset: i64,
}

impl Positions {
    /// The leader's log parts from the one that was fetched. What was fetched ahead is void, unless all of it lies before `end`. If
    /// even the position is behind `end`, the records there take the place of those that were delivered: go on at `end`, or
    /// tell the application if it wants to decide by itself (`auto.offset.reset=none`).
    pub(crate) fn diverged(&mut self, partition: &TopicPartition, version: u64, end: EpochEnd, now_ms: i64) {
        let is_asked = self.states.get(partition).is_some_and(|state| state.version == version);
        if !is_asked {
            return;
        }
        self.retry(partition, version, 0);
        let EpochEnd { epoch, end_offset } = end;
        match self.states.get_mut(partition) {
            Some(state) if state.fetch_offset <= end_offset => {
                state.fetched_epoch = epoch;
                return;
            }
            _ => self.drop_buffered(partition),
        }
        let Some(state) = self.states.get_mut(partition) else { return };
        (state.fetch_offset, state.fetched_epoch) = (state.position, state.leader_epoch);
        state.end_told = UNKNOWN;
        if state.position <= end_offset {
            return;
        }
        if self.limits.reset == AutoOffsetReset::None {
            return self.out_of_range(partition, version, now_ms);
        }
        let processed = state.processed.min(end_offset);
        state.start_from(end_offset, epoch);
        state.processed = processed;
    }
}
