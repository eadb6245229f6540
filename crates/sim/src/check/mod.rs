//! What must hold, checked while it happens.
//!
//! The model is a map: for each partition, which record is at which offset, as far as the broker has said so, by an acknowledgement or by
//! showing it. What it has said once must stay so. A power loss takes what was not flushed, where flushing was not asked for; from then
//! on the model begins anew ([`Checks::forgive_losses`]), and what was under way counts for nothing.

mod commits;
mod groups;
mod leaders;
mod nodes;
mod partition;
mod replicas;

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_broker::Observer;
use klamm_client::TopicPartition;
use parking_lot::Mutex;

use crate::network::Call;
use crate::trace::Trace;
use groups::Groups;
use leaders::Leaders;
use nodes::Nodes;
use partition::Partition;
pub(crate) use partition::{Promise, Reading, Stamp};
pub(crate) use replicas::differences;

/// The model and its checks. Clones share it.
#[derive(Clone)]
pub(crate) struct Checks(Arc<Mutex<State>>);

struct State {
    trace: Trace,
    /// Counts the losses that were forgiven.
    era: u32,
    /// Counts the broker's processes.
    life: u32,
    partitions: BTreeMap<TopicPartition, Partition>,
    groups: Groups,
    leaders: Leaders,
    nodes: Nodes,
    acknowledged: u64,
    seen: u64,
}

/// How much was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records acknowledged with an offset.
    pub acknowledged: u64,
    /// Records that consumers got.
    pub seen: u64,
    /// Commits of offsets that succeeded.
    pub commits: u64,
    /// Assignments of groups' members.
    pub assignments: u64,
}

impl Checks {
    /// Nothing has happened.
    pub(crate) fn new(trace: Trace) -> Self {
        let (partitions, groups) = (BTreeMap::new(), Groups::default());
        Self(Arc::new(Mutex::new(State {
            trace,
            era: 0,
            life: 0,
            partitions,
            groups,
            leaders: Leaders::default(),
            nodes: Nodes::default(),
            acknowledged: 0,
            seen: 0,
        })))
    }

    /// The number of losses forgiven so far; what began in an earlier era is not held against the broker.
    pub(crate) fn era(&self) -> u32 {
        self.0.lock().era
    }

    /// Records and commits may have been lost, and rightly so.
    pub(crate) fn forgive_losses(&self) {
        let mut state = self.0.lock();
        state.era += 1;
        state.partitions.values_mut().for_each(Partition::forget);
        state.groups.lose_commits();
    }

    /// A node is up and can be looked into.
    pub(crate) fn process_runs(&self, node: usize, observer: Observer) {
        self.0.lock().nodes.runs(node, observer);
    }

    /// Looks into all nodes that are up.
    pub(crate) fn look(&self) {
        let mut state = self.0.lock();
        let said = state.nodes.look();
        state.judge(said, || "a look into the nodes".to_owned());
    }

    /// A broker's process is gone, and with it what it never writes: as in Kafka, deletions of records since the last checkpoint of the
    /// logs' beginnings.
    pub(crate) fn process_ended(&self, node: usize) {
        let mut state = self.0.lock();
        state.life += 1;
        state.nodes.ended(node);
        state.partitions.values_mut().for_each(Partition::process_ended);
    }

    /// A machine lost its power: offsets of which nobody was told may be missing in its logs.
    pub(crate) fn power_lost(&self) {
        self.0.lock().partitions.values_mut().for_each(Partition::power_lost);
    }

    /// A reader begins, at an offset if it knows one.
    pub(crate) fn reading(&self, partition: &TopicPartition, next: Option<i64>) -> Reading {
        let mut state = self.0.lock();
        let (era, life) = (state.era, state.life);
        let from = state.partition(partition).deleted_below();
        Reading { era, next, from, life, has_outlived_one: false, may_begin_again: false }
    }

    /// A record is about to be sent.
    pub(crate) fn sent(&self, partition: &TopicPartition, stamp: Stamp, promise: Promise) {
        self.0.lock().partition(partition).sent(stamp, promise);
    }

    /// A record was acknowledged; it was sent in the era given.
    pub(crate) fn acknowledged(&self, partition: &TopicPartition, stamp: Stamp, offset: i64, era: u32) {
        let mut state = self.0.lock();
        if state.era == era {
            state.acknowledged += 1;
            let said = state.partition(partition).acknowledged(offset, stamp);
            state.judge(said, || format!("acknowledged {stamp} at {partition} {offset}"));
        }
    }

    /// A reader got a record.
    pub(crate) fn seen(
        &self,
        reading: &mut Reading,
        who: &str,
        partition: &TopicPartition,
        offset: i64,
        value: &[u8],
    ) {
        let mut state = self.0.lock();
        if state.era != reading.era {
            return;
        }
        if state.life != reading.life {
            (reading.from, reading.life, reading.has_outlived_one) = (0, state.life, true);
        }
        if reading.has_outlived_one {
            let next = reading.next.unwrap_or_default();
            reading.may_begin_again |= state.partition(partition).is_deletable(next);
        }
        state.seen += 1;
        let said = match Stamp::parse(value) {
            Some(stamp) => state.partition(partition).seen(reading, offset, stamp),
            None => Err("it is no record of this run".to_owned()),
        };
        state.judge(said, || format!("{who} got {:?} at {partition} {offset}", Stamp::parse(value)));
    }

    /// All readable records from the start on were read, up to the end: nothing that was promised may be missing.
    pub(crate) fn read_to_end(&self, partition: &TopicPartition, end: i64) {
        let mut state = self.0.lock();
        let said = state.partition(partition).complete_below(end);
        state.judge(said, || format!("{partition} ends at {end}"));
    }

    /// Somebody asks for the records below an offset to be deleted.
    pub(crate) fn delete_requested(&self, partition: &TopicPartition, before: i64) {
        self.0.lock().partition(partition).delete_requested(before);
    }

    /// The number of the broker's process.
    pub(crate) fn life(&self) -> u32 {
        self.0.lock().life
    }

    /// Records below this are gone, as long as the process lives that was asked to delete them.
    pub(crate) fn deleted(&self, partition: &TopicPartition, low: i64, life: u32) {
        let mut state = self.0.lock();
        if state.life == life {
            state.partition(partition).deleted(low);
        }
    }

    /// A random offset that was readable at some time.
    pub(crate) fn some_offset(&self, partition: &TopicPartition, random: u64) -> Option<i64> {
        self.0.lock().partition(partition).some_offset(random)
    }

    /// A request leaves; returns the moment, for [`Checks::answered`].
    pub(crate) fn begin(&self) -> u64 {
        self.0.lock().groups.tick()
    }

    /// A request that will be answered has left, at the moment that stands in it.
    pub(crate) fn asked(&self, call: &Call) {
        let mut state = self.0.lock();
        let State { groups, nodes, .. } = &mut *state;
        groups.sent(call, nodes);
        let said = state.leaders.sent(call);
        state.judge(said, || format!("{} asks", call.client));
    }

    /// A request was answered.
    pub(crate) fn answered(&self, call: &Call, response: &[u8]) {
        let mut state = self.0.lock();
        let State { trace, groups, nodes, .. } = &mut *state;
        let said = groups.answered(call, response, nodes, trace);
        let now = state.groups.tick();
        let said = said.and_then(|()| state.leaders.answered(call, response, now));
        state.judge(said, || format!("{} was answered", call.client));
    }

    /// A member of a group begins to read a partition at an offset.
    pub(crate) fn starts_at(&self, group: &str, partition: &TopicPartition, offset: i64, era: u32) {
        let mut state = self.0.lock();
        if state.era == era {
            let deletable_below = state.partition(partition).deletable_below();
            let said = state.groups.starts_at(group, partition, offset, deletable_below);
            state.judge(said, || format!("group {group} goes on at {partition} {offset}"));
        }
    }

    /// How much was checked.
    pub(crate) fn counts(&self) -> Counts {
        let state = self.0.lock();
        let (commits, assignments) = state.groups.counts();
        Counts { acknowledged: state.acknowledged, seen: state.seen, commits, assignments }
    }
}

impl State {
    fn partition(&mut self, partition: &TopicPartition) -> &mut Partition {
        self.partitions.entry(partition.clone()).or_default()
    }

    fn judge(&self, said: Result<(), String>, what: impl FnOnce() -> String) {
        match said {
            Ok(()) => {}
            Err(wrong) => self.trace.violation(format_args!("{}: {wrong}", what())),
        }
    }
}
