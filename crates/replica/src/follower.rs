//! What a partition's follower decides: where its log parts from the leader's, and where it goes on.
//!
//! A follower asks for what comes after its log's end and says of which epoch its last record is. The leader answers with records, or
//! with the place where the logs part (KIP-595); the follower cuts its log there and asks again. It never cuts to its high watermark:
//! that may be behind what is committed (KIP-101).

use crate::epoch_end::EpochEnd;

/// How a follower's log is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncation {
    /// Where the log ends afterwards.
    pub offset: i64,
    /// False when the leader has to be asked once more, whether the logs agree up to there.
    pub is_final: bool,
}

/// Where a follower cuts its log that ends at `end_offset`, when the leader answers that the logs part at `leader`. `own` is the
/// largest epoch in the follower's log at or below the leader's, and where it ends.
pub fn truncation(leader: EpochEnd, own: Option<EpochEnd>, end_offset: i64) -> Truncation {
    match own {
        Some(own) if own.epoch == leader.epoch => {
            Truncation { offset: own.end_offset.min(leader.end_offset).min(end_offset), is_final: true }
        }
        // The epoch that both may have is below the one that the leader named.
        Some(own) => Truncation { offset: own.end_offset.min(end_offset), is_final: false },
        None => Truncation { offset: leader.end_offset.min(end_offset), is_final: true },
    }
}

/// What a follower does whose place is outside of the leader's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfRange {
    /// The leader has less than the follower: it was elected uncleanly. What it does not have goes.
    Truncate {
        /// Where the log ends afterwards.
        offset: i64,
    },
    /// The leader deleted what the follower would need next: nothing of the follower's log is of use.
    StartOver {
        /// Where the log begins afterwards, and is empty.
        offset: i64,
    },
    /// By now the place is inside.
    GoOn,
}

/// What a follower with a log that ends at `end_offset` does, when the leader's goes from `leader_start` to `leader_end`.
pub fn out_of_range(end_offset: i64, leader_start: i64, leader_end: i64) -> OutOfRange {
    if leader_end < end_offset {
        OutOfRange::Truncate { offset: leader_end }
    } else if leader_start > end_offset {
        OutOfRange::StartOver { offset: leader_start }
    } else {
        OutOfRange::GoOn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(epoch: i32, end_offset: i64) -> EpochEnd {
        EpochEnd { epoch, end_offset }
    }

    #[test]
    fn logs_are_cut_where_they_part() {
        let table = [
            // Both know the epoch: the shorter of the two counts.
            (end(3, 50), Some(end(3, 70)), 70, (50, true)),
            (end(3, 70), Some(end(3, 50)), 60, (50, true)),
            (end(3, 70), Some(end(3, 70)), 60, (60, true)),
            // The follower has nothing of the leader's epoch: back to the end of the one before, and ask again.
            (end(4, 90), Some(end(2, 40)), 80, (40, false)),
            (end(4, 20), Some(end(2, 40)), 30, (30, false)),
            // No epochs are known.
            (end(4, 20), None, 30, (20, true)),
            (end(4, 40), None, 30, (30, true)),
        ];
        for (leader, own, log_end, (offset, is_final)) in table {
            assert_eq!(
                truncation(leader, own, log_end),
                Truncation { offset, is_final },
                "{leader:?} {own:?} {log_end}"
            );
        }
    }

    #[test]
    fn who_is_outside_of_the_leaders_log_comes_back_into_it() {
        assert_eq!(out_of_range(50, 0, 40), OutOfRange::Truncate { offset: 40 });
        assert_eq!(out_of_range(50, 60, 90), OutOfRange::StartOver { offset: 60 });
        assert_eq!(out_of_range(50, 50, 90), OutOfRange::GoOn);
        assert_eq!(out_of_range(50, 0, 50), OutOfRange::GoOn);
    }
}
