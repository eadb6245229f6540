//! What a leader knows of one follower.

use crate::leader::{FollowerFetch, Moment};

/// An offset of a follower that has not fetched yet.
pub(crate) const UNKNOWN_OFFSET: i64 = -1;
/// A time before all others.
const NEVER_MS: i64 = i64::MIN;

/// A follower as its fetches show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerState {
    /// Where its log starts, −1 until it fetched.
    pub log_start_offset: i64,
    /// Where its log ends, −1 until it fetched.
    pub end_offset: i64,
    /// When it last had all that the leader had.
    pub caught_up_ms: i64,
    /// The epoch of its broker when it fetched: −1 where it does not say, none until it fetched.
    pub(crate) fetched_epoch: Option<i64>,
    /// The epoch of its broker in the metadata, while that may be in sync.
    pub(crate) registered_epoch: Option<i64>,
    last_fetch_ms: i64,
    /// Where the leader's log ended at the latest fetch.
    leader_end_offset: i64,
}

impl FollowerState {
    pub(crate) fn new(is_in_sync: bool, moment: Moment) -> Self {
        Self {
            log_start_offset: UNKNOWN_OFFSET,
            end_offset: UNKNOWN_OFFSET,
            caught_up_ms: if is_in_sync { moment.now_ms } else { NEVER_MS },
            fetched_epoch: None,
            registered_epoch: None,
            last_fetch_ms: NEVER_MS,
            leader_end_offset: UNKNOWN_OFFSET,
        }
    }

    /// The leader is in a new epoch: who is in sync gets the whole time to fetch in it.
    pub(crate) fn start_epoch(&mut self, is_in_sync: bool, moment: Moment) {
        let since_ms = if is_in_sync { moment.now_ms } else { NEVER_MS };
        (self.caught_up_ms, self.last_fetch_ms) = (since_ms, since_ms);
        self.leader_end_offset = moment.end_offset;
    }

    /// What its fetches showed of its log may be over.
    pub(crate) fn forget_log(&mut self) {
        (self.log_start_offset, self.end_offset) = (UNKNOWN_OFFSET, UNKNOWN_OFFSET);
        self.fetched_epoch = None;
    }

    /// Who asks for the leader's end has caught up now; who asks for what was the end at its previous fetch had caught up then.
    pub(crate) fn note_fetch(&mut self, fetch: FollowerFetch, moment: Moment) {
        if fetch.fetch_offset >= moment.end_offset {
            self.caught_up_ms = self.caught_up_ms.max(moment.now_ms);
        } else if fetch.fetch_offset >= self.leader_end_offset {
            self.caught_up_ms = self.caught_up_ms.max(self.last_fetch_ms);
        }
        self.end_offset = fetch.fetch_offset;
        self.log_start_offset = fetch.log_start_offset;
        self.fetched_epoch = Some(fetch.broker_epoch);
        self.last_fetch_ms = moment.now_ms;
        self.leader_end_offset = self.leader_end_offset.max(moment.end_offset);
    }

    /// Whether it had all that the leader has a short while ago.
    pub fn is_caught_up(&self, moment: Moment) -> bool {
        self.end_offset == moment.end_offset
            || moment.now_ms.saturating_sub(self.caught_up_ms) <= moment.lag_time_max_ms
    }

    /// Whether its broker is one that may be in the ISR, and the one that fetched.
    pub(crate) fn may_join(&self) -> bool {
        let (Some(fetched), Some(registered)) = (self.fetched_epoch, self.registered_epoch) else {
            return false;
        };
        fetched == -1 || fetched == registered
    }
}
