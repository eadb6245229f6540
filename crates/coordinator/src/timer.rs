//! Deadlines that move often and rarely pass.
//!
//! A heartbeat moves a deadline thousands of times before it ever passes, so moving must cost next to nothing. The
//! deadline itself lives in a [`Timer`] beside the thing it guards; the queue holds one entry for it, at a time that is
//! never later than the deadline. Moving a deadline further away only writes the field. When an entry comes due, its
//! owner says whether the deadline passed, has moved (the entry goes back in), or is gone (the entry is dropped).
//!
//! Invariant: for every armed [`Timer`] the queue holds exactly one entry with its sequence number, queued at or
//! before its deadline. Entries come out by time, then in the order in which they went in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// What a queue entry guards. The owner is looked up when the entry comes due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerKey {
    pub(crate) group_id: Arc<str>,
    pub(crate) guards: Guards,
}

/// The thing in a classic group that a timer guards.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Guards {
    /// The session of a member, or of a pending member that was given its id.
    Session(Arc<str>),
    /// The end of the join phase.
    Join,
    /// The end of the sync phase.
    Sync,
}

/// An armed deadline, kept by its owner. Dropping it disarms it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Timer {
    deadline_ms: i64,
    queued_ms: i64,
    sequence: u64,
}

/// A queue entry that came due; whether its timer did too is for [`TimerQueue::is_due`] to say.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DueEntry {
    queued_ms: i64,
    sequence: u64,
    pub(crate) key: TimerKey,
}

/// All entries of a shard, earliest first.
#[derive(Debug, Default)]
pub(crate) struct TimerQueue {
    entries: BinaryHeap<Reverse<DueEntry>>,
    next_sequence: u64,
}

impl TimerQueue {
    /// Arms `timer`, or moves it, to `deadline_ms`.
    pub(crate) fn schedule(
        &mut self,
        timer: &mut Option<Timer>,
        deadline_ms: i64,
        key: impl FnOnce() -> TimerKey,
    ) {
        match timer {
            Some(armed) if armed.queued_ms <= deadline_ms => armed.deadline_ms = deadline_ms,
            _ => *timer = Some(self.push(deadline_ms, key())),
        }
    }

    /// The time at which to call [`TimerQueue::pop`] next. No armed timer passes before it.
    pub(crate) fn next_deadline_ms(&self) -> Option<i64> {
        self.entries.peek().map(|Reverse(entry)| entry.queued_ms)
    }

    /// Takes out the first entry queued at or before `now_ms`.
    pub(crate) fn pop(&mut self, now_ms: i64) -> Option<DueEntry> {
        let Reverse(first) = self.entries.peek()?;
        if first.queued_ms > now_ms {
            return None;
        }
        self.entries.pop().map(|Reverse(entry)| entry)
    }

    /// Whether the timer that `entry` was queued for has passed at `now_ms`; disarms it if so. If its deadline moved
    /// away meanwhile, it is queued again.
    pub(crate) fn is_due(&mut self, timer: &mut Option<Timer>, entry: &DueEntry, now_ms: i64) -> bool {
        let Some(armed) = timer.as_ref().filter(|armed| armed.sequence == entry.sequence) else {
            return false;
        };
        let deadline_ms = armed.deadline_ms;
        *timer = None;
        if deadline_ms > now_ms {
            *timer = Some(self.push(deadline_ms, entry.key.clone()));
        }
        timer.is_none()
    }

    fn push(&mut self, deadline_ms: i64, key: TimerKey) -> Timer {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.entries.push(Reverse(DueEntry { queued_ms: deadline_ms, sequence, key }));
        Timer { deadline_ms, queued_ms: deadline_ms, sequence }
    }

    /// Whether the queue holds the entry of `timer`, for `key`, no later than its deadline.
    pub(crate) fn holds(&self, timer: &Timer, key: &TimerKey) -> bool {
        timer.queued_ms <= timer.deadline_ms
            && self.entries.iter().any(|Reverse(entry)| {
                entry.sequence == timer.sequence && entry.queued_ms == timer.queued_ms && entry.key == *key
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> TimerKey {
        TimerKey { group_id: name.into(), guards: Guards::Join }
    }

    #[test]
    fn a_deadline_that_moved_away_goes_back_into_the_queue() {
        let mut queue = TimerQueue::default();
        let mut timer = None;
        queue.schedule(&mut timer, 10, || key("g"));
        queue.schedule(&mut timer, 25, || unreachable!("moving away queues nothing"));
        assert_eq!(queue.next_deadline_ms(), Some(10));

        let entry = queue.pop(10).expect("queued at 10");
        assert!(!queue.is_due(&mut timer, &entry, 10));
        assert_eq!((queue.next_deadline_ms(), queue.pop(24)), (Some(25), None));

        let entry = queue.pop(25).expect("queued again at 25");
        assert!(queue.is_due(&mut timer, &entry, 25));
        assert_eq!((timer, queue.next_deadline_ms()), (None, None));
    }

    #[test]
    fn a_deadline_that_moved_closer_fires_once() {
        let mut queue = TimerQueue::default();
        let mut timer = None;
        queue.schedule(&mut timer, 100, || key("g"));
        queue.schedule(&mut timer, 10, || key("g"));
        let early = queue.pop(50).expect("queued at 10");
        assert!(queue.is_due(&mut timer, &early, 50));
        let stale = queue.pop(100).expect("the first entry is still queued");
        assert!(!queue.is_due(&mut timer, &stale, 100));
    }

    #[test]
    fn a_disarmed_timer_never_fires() {
        let mut queue = TimerQueue::default();
        let mut timer = None;
        queue.schedule(&mut timer, 10, || key("g"));
        timer = None;
        let entry = queue.pop(10).expect("the entry stays behind");
        assert!(!queue.is_due(&mut timer, &entry, 10));
        // Armed anew, the old entry still means nothing.
        queue.schedule(&mut timer, 10, || key("g"));
        assert!(!queue.is_due(&mut timer, &entry, 10));
    }

    #[test]
    fn entries_come_out_by_time_then_in_order() {
        let mut queue = TimerQueue::default();
        let mut timers = [const { None }; 4];
        for (timer, (name, at)) in timers.iter_mut().zip([("c", 5), ("b", 5), ("a", 5), ("d", 1)]) {
            queue.schedule(timer, at, || key(name));
        }
        let order: Vec<String> =
            std::iter::from_fn(|| queue.pop(5)).map(|entry| entry.key.group_id.to_string()).collect();
        assert_eq!(order, ["d", "c", "b", "a"]);
    }
}
