//! What is assigned, how far it is read, and what has been fetched ahead: sans-IO.
//!
//! A partition passes through up to three steps before it is fetched: its committed offset is looked up, if it is to
//! start there; the offset of a point in time is looked up, if there is none; then it has an offset to fetch from.
//!
//! Invariants:
//! - `position` is the offset of the record to be delivered next, `fetch_offset` that of the batch to be fetched next;
//!   `position` ≤ `fetch_offset`, and what lies between is in the buffer.
//! - What befalls a partition waits in the buffer behind the records that were fetched before it.
//! - `fetched_epoch` is the epoch of the leader that wrote what is before `fetch_offset`, `leader_epoch` that of what is before
//!   `position`.
//! - An answer is taken only by the state that asked for it: every seek makes a new `version`.
//! - `buffered_bytes` of all partitions together is what the buffer holds.

mod divergence;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

pub(super) use self::divergence::EpochEnd;
use crate::TopicPartition;
use crate::admin::{ListedOffset, OffsetSpec};
use crate::config::AutoOffsetReset;
use crate::consumer::group::offsets::GroupOffset;
use crate::consumer::{ConsumeError, CorruptBatch};

/// Where to start reading a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// At the group's committed offset; without one, as `auto.offset.reset` says.
    Committed,
    /// At the oldest record.
    Earliest,
    /// Behind the newest record.
    Latest,
    /// At the first record not older than this, in milliseconds since 1970; behind the newest if there is none.
    Timestamp(i64),
    /// At this offset.
    Offset(i64),
}

/// One thing in the buffer.
#[derive(Debug, Clone)]
pub(super) struct Fetched {
    pub(super) partition: TopicPartition,
    version: u64,
    pub(super) content: Content,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    /// A batch in a response's frame, and the offset behind it.
    Batch { frame: Arc<Vec<u8>>, range: Range<usize>, next_offset: i64, leader_epoch: i32 },
    /// Nothing to deliver up to this offset: control batches, aborted records.
    Skip { next_offset: i64, leader_epoch: i32 },
    /// The end of the partition.
    End { offset: i64 },
    /// From here on nothing is read before a seek.
    Failed(ConsumeError),
    /// From here on there is nothing: another start is to be looked up.
    Restart(OffsetSpec),
}

/// What one answer holds of a partition.
#[derive(Debug, Clone, Default)]
pub(super) struct PartitionData {
    pub(super) contents: Vec<Content>,
    /// What is wrong with the batch behind the contents.
    pub(super) corrupt: Option<CorruptBatch>,
    pub(super) high_watermark: i64,
    /// Where reading ends for us: the high watermark, or the last stable offset.
    pub(super) end_offset: i64,
}

/// What to deliver next.
#[derive(Debug, Clone)]
pub(super) enum Delivery {
    Batch { partition: TopicPartition, frame: Arc<Vec<u8>>, range: Range<usize>, from_offset: i64 },
    End { partition: TopicPartition, offset: i64 },
    Failed(ConsumeError),
}

/// A look-up that a partition waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lookup {
    pub(super) partition: TopicPartition,
    pub(super) version: u64,
    pub(super) spec: OffsetSpec,
}

/// A partition that may be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fetchable {
    pub(super) partition: TopicPartition,
    pub(super) version: u64,
    pub(super) offset: i64,
    /// The epoch of the leader that wrote what is before the offset; −1 when nobody has said. A leader of an earlier one may not have it.
    pub(super) fetched_epoch: i32,
}

/// What could be fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fetchables {
    pub(super) ready: Vec<Fetchable>,
    /// Partitions that have enough in the buffer. Their brokers are not asked for the others meanwhile: a long poll
    /// for those would hold up the next fetch of these.
    pub(super) full: Vec<TopicPartition>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    NeedsCommitted,
    NeedsOffset(OffsetSpec),
    Ready,
}

#[derive(Debug)]
struct State {
    step: Step,
    version: u64,
    is_asking: bool,
    retry_at_ms: i64,
    position: i64,
    /// What the application had been given before it last asked for more.
    processed: i64,
    committed: i64,
    fetch_offset: i64,
    leader_epoch: i32,
    fetched_epoch: i32,
    is_paused: bool,
    buffered_bytes: usize,
    high_watermark: Option<i64>,
    end_told: i64,
}

const UNKNOWN: i64 = -1;

impl State {
    fn new(start: StartAt, version: u64) -> Self {
        let mut state = Self {
            step: Step::NeedsCommitted,
            version,
            is_asking: false,
            retry_at_ms: 0,
            position: UNKNOWN,
            processed: UNKNOWN,
            committed: UNKNOWN,
            fetch_offset: UNKNOWN,
            leader_epoch: -1,
            fetched_epoch: -1,
            is_paused: false,
            buffered_bytes: 0,
            high_watermark: None,
            end_told: UNKNOWN,
        };
        match start {
            StartAt::Committed => {}
            StartAt::Earliest => state.step = Step::NeedsOffset(OffsetSpec::Earliest),
            StartAt::Latest => state.step = Step::NeedsOffset(OffsetSpec::Latest),
            StartAt::Timestamp(ms) => state.step = Step::NeedsOffset(OffsetSpec::Timestamp(ms)),
            StartAt::Offset(offset) => state.start_from(offset, -1),
        }
        state
    }

    fn start_from(&mut self, offset: i64, epoch: i32) {
        self.step = Step::Ready;
        (self.leader_epoch, self.fetched_epoch) = (epoch, epoch);
        (self.position, self.processed, self.fetch_offset) = (offset, offset, offset);
    }

    fn is_free(&self, now_ms: i64) -> bool {
        !self.is_asking && self.retry_at_ms <= now_ms
    }
}

/// What the positions need to know of the settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) reset: AutoOffsetReset,
    /// Whether ends of partitions are told.
    pub(super) tells_ends: bool,
    /// With so much of a partition in the buffer it is not fetched.
    pub(super) partition_bytes_max: usize,
    /// With so much in the buffer nothing is fetched.
    pub(super) bytes_max: usize,
}

/// The assigned partitions.
#[derive(Debug)]
pub(super) struct Positions {
    states: BTreeMap<TopicPartition, State>,
    buffer: VecDeque<Fetched>,
    buffered_bytes: usize,
    next_version: u64,
    limits: Limits,
    /// Partitions whose position has moved since the application last asked for more.
    unprocessed: Vec<TopicPartition>,
    has_work: bool,
}

impl Positions {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            states: BTreeMap::new(),
            buffer: VecDeque::new(),
            buffered_bytes: 0,
            next_version: 0,
            limits,
            unprocessed: Vec::new(),
            has_work: false,
        }
    }

    /// Adds a partition, or moves one that is there.
    pub(super) fn start(&mut self, partition: TopicPartition, start: StartAt) {
        self.next_version += 1;
        let mut state = State::new(start, self.next_version);
        if let Some(before) = self.states.get(&partition) {
            state.is_paused = before.is_paused;
            state.committed = before.committed;
        }
        self.drop_buffered(&partition);
        self.states.insert(partition, state);
    }

    pub(super) fn remove(&mut self, partition: &TopicPartition) {
        self.drop_buffered(partition);
        self.states.remove(partition);
    }

    fn drop_buffered(&mut self, partition: &TopicPartition) {
        if let Some(state) = self.states.get_mut(partition) {
            self.buffered_bytes -= std::mem::take(&mut state.buffered_bytes);
            self.buffer.retain(|fetched| fetched.partition != *partition);
        }
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.states.keys()
    }

    pub(super) fn contains(&self, partition: &TopicPartition) -> bool {
        self.states.contains_key(partition)
    }

    /// False if the partition is not assigned.
    pub(super) fn set_paused(&mut self, partition: &TopicPartition, is_paused: bool) -> bool {
        self.states.get_mut(partition).map(|state| state.is_paused = is_paused).is_some()
    }

    pub(super) fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.states.get(partition).map(|state| state.position).filter(|position| *position >= 0)
    }

    pub(super) fn high_watermark(&self, partition: &TopicPartition) -> Option<i64> {
        self.states.get(partition)?.high_watermark
    }

    /// Partitions whose committed offset is to be looked up now. They count as asked for.
    pub(super) fn take_uncommitted(&mut self, now_ms: i64) -> Vec<(TopicPartition, u64)> {
        let free = |state: &State| state.step == Step::NeedsCommitted && state.is_free(now_ms);
        let waiting = self.states.iter_mut().filter(|(_, state)| free(state));
        waiting
            .map(|(partition, state)| {
                state.is_asking = true;
                (partition.clone(), state.version)
            })
            .collect()
    }

    /// The answer to a look-up of committed offsets. Returns the partitions that have none and no policy to fall
    /// back to; they wait for a seek.
    pub(super) fn committed(
        &mut self,
        asked: &[(TopicPartition, u64)],
        offsets: &BTreeMap<TopicPartition, GroupOffset>,
        now_ms: i64,
    ) -> Vec<TopicPartition> {
        let mut stuck = Vec::new();
        for (partition, version) in asked {
            let Some(state) = self.states.get_mut(partition).filter(|state| state.version == *version) else {
                continue;
            };
            if let Some(offset) = offsets.get(partition) {
                state.start_from(offset.offset, offset.leader_epoch.unwrap_or(-1));
                state.committed = offset.offset;
            } else if let Some(spec) = reset_spec(self.limits.reset, now_ms) {
                state.step = Step::NeedsOffset(spec);
            } else {
                stuck.push(partition.clone());
                continue;
            }
            state.is_asking = false;
        }
        stuck
    }

    /// Offsets to be looked up now. They count as asked for.
    pub(super) fn take_lookups(&mut self, now_ms: i64) -> Vec<Lookup> {
        let mut lookups = Vec::new();
        for (partition, state) in &mut self.states {
            if let (Step::NeedsOffset(spec), true) = (state.step, state.is_free(now_ms)) {
                state.is_asking = true;
                lookups.push(Lookup { partition: partition.clone(), version: state.version, spec });
            }
        }
        lookups
    }

    /// The answer to a look-up.
    pub(super) fn found(&mut self, lookup: &Lookup, listed: &ListedOffset) {
        let Some(state) = self.states.get_mut(&lookup.partition).filter(|s| s.version == lookup.version)
        else {
            return;
        };
        state.is_asking = false;
        match listed.offset {
            Some(offset) => state.start_from(offset, listed.leader_epoch),
            // No record is that young: begin with the next one.
            None => state.step = Step::NeedsOffset(OffsetSpec::Latest),
        }
    }

    /// Something a partition asked for did not come: again at `at_ms`.
    pub(super) fn retry(&mut self, partition: &TopicPartition, version: u64, at_ms: i64) {
        if let Some(state) = self.states.get_mut(partition).filter(|state| state.version == version) {
            (state.is_asking, state.retry_at_ms) = (false, at_ms);
        }
    }

    /// Partitions to fetch now, as long as the buffer is not full.
    pub(super) fn fetchable(&self, now_ms: i64) -> Fetchables {
        let mut fetchables = Fetchables::default();
        // What waits for paused partitions must not hold up the others.
        let paused = self.states.values().filter(|state| state.is_paused);
        let waiting: usize = paused.map(|state| state.buffered_bytes).sum();
        if self.buffered_bytes - waiting >= self.limits.bytes_max {
            return fetchables;
        }
        for (partition, state) in &self.states {
            if state.step != Step::Ready || state.is_paused || !state.is_free(now_ms) {
                continue;
            }
            let partition = partition.clone();
            if state.buffered_bytes >= self.limits.partition_bytes_max {
                fetchables.full.push(partition);
            } else {
                let State { version, fetch_offset: offset, fetched_epoch, .. } = *state;
                fetchables.ready.push(Fetchable { partition, version, offset, fetched_epoch });
            }
        }
        fetchables
    }

    /// The topic is another one of the same name: its leaders' epochs begin anew.
    pub(super) fn forget_epochs(&mut self, topic: &str) {
        let of_topic = self.states.iter_mut().filter(|(partition, _)| *partition.topic == *topic);
        of_topic.for_each(|(_, state)| (state.leader_epoch, state.fetched_epoch) = (-1, -1));
    }

    /// A fetch of this partition is about to go out. False if it moved on in the meantime: then nobody would take the answer.
    pub(super) fn fetching(&mut self, partition: &TopicPartition, version: u64) -> bool {
        let state = self.states.get_mut(partition).filter(|state| state.version == version);
        state.map(|state| state.is_asking = true).is_some()
    }

    /// A fetch brought data.
    pub(super) fn fetched(&mut self, partition: &TopicPartition, version: u64, data: PartitionData) {
        let Some(state) = self.states.get_mut(partition).filter(|state| state.version == version) else {
            return;
        };
        (state.is_asking, state.retry_at_ms) = (false, 0);
        state.high_watermark = Some(data.high_watermark);
        for content in data.contents {
            if let Content::Batch { range, .. } = &content {
                state.buffered_bytes += range.len();
                self.buffered_bytes += range.len();
            }
            state.fetch_offset = state.fetch_offset.max(next_offset(&content));
            state.fetched_epoch = leader_epoch(&content).unwrap_or(state.fetched_epoch);
            self.buffer.push_back(Fetched { partition: partition.clone(), version, content });
        }
        if let Some(source) = data.corrupt {
            let error =
                ConsumeError::Corrupt { partition: partition.clone(), offset: state.fetch_offset, source };
            self.failed(partition, version, error);
            return;
        }
        if self.limits.tells_ends
            && state.fetch_offset >= data.end_offset
            && state.end_told != state.fetch_offset
        {
            state.end_told = state.fetch_offset;
            let content = Content::End { offset: state.fetch_offset };
            self.buffer.push_back(Fetched { partition: partition.clone(), version, content });
        }
    }

    /// A partition cannot be fetched any further: once what has been fetched is delivered, `error` is, and the
    /// partition waits for a seek.
    pub(super) fn failed(&mut self, partition: &TopicPartition, version: u64, error: ConsumeError) {
        self.end_with(partition, version, Content::Failed(error));
    }

    /// The broker has no such offset: once what has been fetched is delivered, start over as `auto.offset.reset` says.
    /// If it says nothing, that is an error.
    pub(super) fn out_of_range(&mut self, partition: &TopicPartition, version: u64, now_ms: i64) {
        let error = || Content::Failed(ConsumeError::NoOffset { partition: partition.clone() });
        let content = reset_spec(self.limits.reset, now_ms).map_or_else(error, Content::Restart);
        self.end_with(partition, version, content);
    }

    /// Puts the last thing of a partition into the buffer. It is not fetched meanwhile.
    fn end_with(&mut self, partition: &TopicPartition, version: u64, content: Content) {
        if let Some(state) = self.states.get_mut(partition).filter(|state| state.version == version) {
            state.is_asking = true;
            self.buffer.push_back(Fetched { partition: partition.clone(), version, content });
        }
    }

    /// What was delivered last cannot be read: the partition stands at `offset` and waits for a seek.
    pub(super) fn halt(&mut self, partition: &TopicPartition, offset: i64) {
        self.start(partition.clone(), StartAt::Offset(offset));
        if let Some(state) = self.states.get_mut(partition) {
            state.is_asking = true;
        }
    }

    /// The application asks for more: what it has been given is processed.
    pub(super) fn note_processed(&mut self) {
        for partition in self.unprocessed.drain(..) {
            if let Some(state) = self.states.get_mut(&partition) {
                state.processed = state.position;
            }
        }
    }

    /// Takes the next thing to deliver out of the buffer. Paused partitions keep theirs.
    pub(super) fn next(&mut self) -> Option<Delivery> {
        let mut at = 0;
        while at < self.buffer.len() {
            let fetched = &self.buffer[at];
            let state = self.states.get_mut(&fetched.partition);
            let Some(state) = state.filter(|state| state.version == fetched.version) else {
                self.buffer.remove(at);
                continue;
            };
            if state.is_paused {
                at += 1;
                continue;
            }
            let Some(fetched) = self.buffer.remove(at) else { break };
            let from_offset = state.position;
            state.position = state.position.max(next_offset(&fetched.content));
            state.leader_epoch = leader_epoch(&fetched.content).unwrap_or(state.leader_epoch);
            if self.unprocessed.last() != Some(&fetched.partition) {
                self.unprocessed.push(fetched.partition.clone());
            }
            match fetched.content {
                Content::Skip { .. } => {}
                Content::End { offset } => {
                    return Some(Delivery::End { partition: fetched.partition, offset });
                }
                Content::Failed(error) => return Some(Delivery::Failed(error)),
                Content::Restart(spec) => {
                    (state.step, state.is_asking) = (Step::NeedsOffset(spec), false);
                    self.has_work = true;
                }
                Content::Batch { frame, range, .. } => {
                    state.buffered_bytes -= range.len();
                    self.buffered_bytes -= range.len();
                    let has_room = state.buffered_bytes < self.limits.partition_bytes_max;
                    self.has_work |= has_room && !state.is_asking;
                    let partition = fetched.partition;
                    return Some(Delivery::Batch { partition, frame, range, from_offset });
                }
            }
        }
        None
    }

    /// Whether a delivery has made room for a fetch, or an offset to be looked up, since this was last asked.
    pub(super) fn take_has_work(&mut self) -> bool {
        std::mem::take(&mut self.has_work)
    }

    /// What to commit: of everything delivered, or only of what has been processed for sure.
    pub(super) fn to_commit(&self, only_processed: bool) -> BTreeMap<TopicPartition, GroupOffset> {
        let offset = |state: &State| if only_processed { state.processed } else { state.position };
        let changed =
            self.states.iter().filter(|(_, state)| offset(state) >= 0 && offset(state) != state.committed);
        changed
            .map(|(partition, state)| {
                let leader_epoch = Some(state.leader_epoch).filter(|epoch| *epoch >= 0);
                (partition.clone(), GroupOffset { leader_epoch, ..GroupOffset::new(offset(state)) })
            })
            .collect()
    }

    /// These offsets have been committed.
    pub(super) fn note_committed(&mut self, partition: &TopicPartition, offset: i64) {
        if let Some(state) = self.states.get_mut(partition) {
            state.committed = offset;
        }
    }

    /// When a look-up or fetch that had to wait is due.
    pub(super) fn next_ms(&self, now_ms: i64) -> Option<i64> {
        let waiting = self.states.values().filter(|state| !state.is_asking && !state.is_paused);
        waiting.map(|state| state.retry_at_ms).filter(|at| *at > now_ms).min()
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        for (partition, state) in &self.states {
            assert!(state.position <= state.fetch_offset, "{partition}");
            assert!(state.processed <= state.position, "{partition}");
        }
        let sum: usize = self.states.values().map(|state| state.buffered_bytes).sum();
        assert_eq!(sum, self.buffered_bytes);
    }
}

/// The offset behind a content; one before all others if it does not move the position.
fn next_offset(content: &Content) -> i64 {
    match content {
        Content::Batch { next_offset, .. } | Content::Skip { next_offset, .. } => *next_offset,
        Content::End { offset } => *offset,
        Content::Failed(_) | Content::Restart(_) => UNKNOWN,
    }
}

/// The epoch of the leader that wrote a content; `None` if it is not of the log.
fn leader_epoch(content: &Content) -> Option<i32> {
    match content {
        Content::Batch { leader_epoch, .. } | Content::Skip { leader_epoch, .. } => Some(*leader_epoch),
        Content::End { .. } | Content::Failed(_) | Content::Restart(_) => None,
    }
}

fn reset_spec(reset: AutoOffsetReset, now_ms: i64) -> Option<OffsetSpec> {
    match reset {
        AutoOffsetReset::Earliest => Some(OffsetSpec::Earliest),
        AutoOffsetReset::Latest => Some(OffsetSpec::Latest),
        AutoOffsetReset::ByDuration { ms } => Some(OffsetSpec::Timestamp(now_ms - ms)),
        AutoOffsetReset::None => None,
    }
}

#[cfg(test)]
mod tests;
