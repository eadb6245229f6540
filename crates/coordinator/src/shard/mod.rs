//! The machine of one partition of `__consumer_offsets`: all groups and offsets that are coordinated there.
//!
//! # How it is driven
//! The caller serialises all inputs (a lock will do) and, after every input:
//! 1. sends [`Step::answers`](crate::Step::answers);
//! 2. appends [`Step::write`](crate::Step::write), if there is one, and reports the outcome with [`Shard::appended`] or
//!    [`Shard::append_failed`] **before any other input**: records are applied to the state when they are in the log,
//!    and no decision is made in between;
//! 3. tells it with [`Shard::committed`] when the partition's high watermark passes new records, and sends the answers
//!    that come out;
//! 4. arranges to call [`Shard::on_timer`] at [`Shard::next_deadline_ms`], which may have moved.
//!
//! # What it promises
//! - Every request is answered once, by this step or a later one.
//! - An answer that tells of records leaves only when they are committed. What is read (OffsetFetch) counts as told: if
//!   anything is written and not yet committed, the answer waits for it.
//! - A shard that replays the log has the same offsets, and the same groups as of their last record, as the shard that
//!   wrote it.

mod clock;
mod log;
mod membership;
mod metrics;
mod offsets;
mod reads;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use klamm_protocol::ErrorCode;

use crate::classic::ClassicGroup;
use crate::foreign::ForeignGroup;
use crate::moment::Moment;
use crate::offsets::{Expiry, Offsets, Scan};
use crate::record::CoordinatorRecord;
use crate::settings::GroupSettings;
use crate::step::{Answer, Completion, RequestId};
use crate::timer::TimerQueue;
use crate::turn::Turn;

/// The coordinator of one partition of `__consumer_offsets`.
#[derive(Debug)]
pub struct Shard {
    settings: GroupSettings,
    phase: Phase,
    groups: HashMap<Arc<str>, Group>,
    offsets: Offsets,
    timers: TimerQueue,
    /// Appended and not committed yet, in the order of the log.
    waiting: VecDeque<Waiting>,
    /// The offset after the last record that is in the log.
    written_end: i64,
    /// The offset after the last record that is committed.
    committed_end: i64,
    scans: VecDeque<Scan>,
    next_expiry_ms: i64,
}

/// Whether the shard may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Inactive,
    Loading,
    Active,
}

#[derive(Debug)]
enum Group {
    // Boxed: a shard holds many groups, and most maps are mostly empty slots.
    Classic(Box<ClassicGroup>),
    Foreign(Box<ForeignGroup>),
}

impl Group {
    /// From when on the retention time of the group's offsets runs (KIP-211).
    fn expiry(&self) -> Expiry {
        match self {
            Self::Classic(group) => group.expiry(),
            Self::Foreign(group) if group.is_empty() => Expiry::SinceCommit,
            Self::Foreign(_) => Expiry::Never,
        }
    }

    /// Whether offsets of `topic` are in use. What members of other protocols subscribe to is not known here.
    fn is_subscribed(&self, topic: &str) -> bool {
        match self {
            Self::Classic(group) => group.is_subscribed(topic),
            Self::Foreign(group) => !group.is_empty(),
        }
    }

    /// What deletes a group that nobody is in; nothing if somebody is.
    fn tombstones_if_unused(&self, group_id: &str) -> Vec<CoordinatorRecord<'static>> {
        match self {
            Self::Classic(group) if group.is_unused() => vec![CoordinatorRecord::group_tombstone(group_id)],
            Self::Foreign(group) if group.is_deletable() => group.tombstones(),
            _ => Vec::new(),
        }
    }
}

/// What happens when the log is committed up to an offset, or takes too long.
#[derive(Debug)]
struct Waiting {
    end_offset: i64,
    deadline_ms: i64,
    completion: Completion,
}

impl Shard {
    /// A shard that coordinates nothing yet.
    #[must_use]
    pub fn new(settings: GroupSettings) -> Self {
        Self {
            settings,
            phase: Phase::Inactive,
            groups: HashMap::new(),
            offsets: Offsets::default(),
            timers: TimerQueue::default(),
            waiting: VecDeque::new(),
            written_end: 0,
            committed_end: 0,
            scans: VecDeque::new(),
            next_expiry_ms: 0,
        }
    }

    /// Changes the settings; what is under way keeps its deadlines.
    pub fn set_settings(&mut self, settings: GroupSettings) {
        self.settings = settings;
    }

    /// This broker became the partition's leader and begins to replay it. Until it has, requests are answered with
    /// COORDINATOR_LOAD_IN_PROGRESS.
    pub fn start_loading(&mut self) {
        debug_assert_eq!(self.phase, Phase::Inactive, "a shard is unloaded before it is loaded again");
        self.phase = Phase::Loading;
    }

    /// Everything below `end_offset`, the log's end, has been replayed and is committed: the shard coordinates from now
    /// on.
    pub fn finish_loading(&mut self, end_offset: i64, now: Moment) {
        self.phase = Phase::Active;
        self.written_end = end_offset;
        self.committed_end = end_offset;
        self.next_expiry_ms = now.monotonic_ms + self.settings.offsets_retention_check_interval_ms;
        let mut turn = Turn::new(now, &self.settings, &mut self.timers);
        let mut groups: Vec<_> = self.groups.iter_mut().collect();
        groups.sort_by_key(|(group_id, _)| *group_id);
        for (_, group) in groups {
            if let Group::Classic(group) = group {
                group.take_over(&mut turn);
            }
        }
    }

    /// This broker is no longer the partition's leader: the state is dropped, and everybody who waits is sent to look
    /// for the new coordinator. Outcomes of earlier appends need not be reported any more.
    #[must_use]
    pub fn unload(&mut self, now: Moment) -> Vec<Answer> {
        let emptied = std::mem::replace(self, Self::new(self.settings.clone()));
        let Self { settings, mut timers, groups, waiting, .. } = emptied;
        let mut turn = Turn::new(now, &settings, &mut timers);
        for Waiting { completion, .. } in waiting {
            if let Completion::Answer(Answer { request, response }) = completion {
                turn.answer(request, response.into_failure(ErrorCode::NOT_COORDINATOR));
            }
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by(|(left, _), (right, _)| left.cmp(right));
        for (_, group) in groups {
            if let Group::Classic(group) = group {
                group.resign(&mut turn);
            }
        }
        turn.into_step().answers
    }

    /// Why no request can be served now.
    fn unavailable(&self) -> Option<ErrorCode> {
        match self.phase {
            Phase::Inactive => Some(ErrorCode::NOT_COORDINATOR),
            Phase::Loading => Some(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
            Phase::Active => None,
        }
    }

    /// Why no request of a member of `group_id` can be served now.
    fn unavailable_to_members(&self, group_id: &str) -> Option<ErrorCode> {
        // A longer one does not fit into the key of any of the group's records.
        let is_valid = (1..=i16::MAX as usize).contains(&group_id.len());
        if is_valid { self.unavailable() } else { Some(ErrorCode::INVALID_GROUP_ID) }
    }

    /// Checks everything that always holds.
    ///
    /// # Panics
    /// If something does not.
    pub fn check_invariants(&self) {
        let mut parked: BTreeSet<RequestId> = BTreeSet::new();
        for (group_id, group) in &self.groups {
            if let Group::Classic(group) = group {
                assert_eq!(group.id(), group_id);
                if self.phase == Phase::Active {
                    group.check_invariants(&self.timers, &mut parked);
                }
            }
        }
        self.offsets.check_invariants();
        assert!(self.committed_end <= self.written_end, "committed what is not written");
        assert!(self.waiting.iter().is_sorted_by_key(|waiting| waiting.end_offset), "waiting out of order");
        for waiting in &self.waiting {
            assert!(waiting.end_offset > self.committed_end, "waits for what is committed");
            if let Completion::Answer(answer) = &waiting.completion {
                assert!(parked.insert(answer.request), "{:?} waits twice", answer.request);
            }
        }
    }
}
