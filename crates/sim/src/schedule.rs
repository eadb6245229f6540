//! What goes wrong, and when: drawn from the seed before a run begins, so that a run can be repeated without some of it.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use klamm_log::disk::simulated::{Crash, Operation};

use crate::network::{Cut, Party, Weather};
use crate::random::Dice;

/// Something that goes wrong, or an end of it.
#[derive(Clone, Debug)]
pub(crate) enum Misfortune {
    /// Processes die, or lose their machines' power, all at the same moment.
    Crash { nodes: Vec<usize>, crash: Crash, cut: Option<Cut>, down_ms: u64 },
    /// A broker is stopped in order, and started again.
    Restart { node: usize, down_ms: u64 },
    /// The machine goes down in the middle of an operation of the disk.
    Fall { node: usize, operations: u64, crash: Crash, down_ms: u64 },
    /// A disk has only so many bytes left.
    Full { node: usize, bytes_left: u64 },
    /// An operation fails once.
    IoError { node: usize, operation: Operation, path: &'static str },
    /// The second log directory's disk takes no more changes, until somebody puts it right.
    DiskFails { node: usize },
    /// A disk takes its time.
    SlowDisk { node: usize, delay_ms_max: u64 },
    /// A wall clock is set.
    Clock { node: usize, by_ms: i64 },
    /// A process stands still for a while.
    Pause { node: usize, for_ms: u64 },
    /// One connection in so many is cut.
    Connections { how: Cut, one_of: u64 },
    /// The network changes for everybody.
    Weather(Weather),
    /// Nothing gets through from one to the other.
    Blocked(Vec<(Party, Party)>),
    /// Disks and network are well again.
    Heal,
}

/// A misfortune and its time.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Virtual milliseconds since the clients began.
    pub(crate) at_ms: u64,
    /// What happens then.
    pub(crate) what: Misfortune,
}

/// All that goes wrong in a run.
pub(crate) struct Schedule {
    /// In the order of their times.
    pub(crate) steps: Vec<Step>,
    /// When nothing goes wrong any more.
    pub(crate) end_ms: u64,
    /// Whether all is to be well then without a restart of every node.
    pub(crate) ends_gently: bool,
}

/// What of a run is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Without {
    /// Steps of the schedule, counted from 0.
    pub steps: BTreeSet<usize>,
    /// Clients, counted from 0.
    pub clients: BTreeSet<usize>,
}

impl Schedule {
    /// Draws the schedule for so many nodes.
    pub(crate) fn draw(dice: &Dice, nodes: usize, is_durable: bool) -> Self {
        let promises_all = is_durable || nodes == 1;
        let power_losses = (!promises_all && dice.percent(50)).then_some(1);
        let has_disk_faults = power_losses.is_none();
        let mut draw = Draw { dice, nodes, power_losses, is_durable, has_disk_faults };
        let end_ms = dice.within(6_000..15_000);
        let may_end_gently = nodes > 1 && (!has_disk_faults || dice.percent(50));
        let (mut at_ms, mut steps) = (0, Vec::new());
        loop {
            at_ms += dice.within(50..2500);
            if at_ms >= end_ms {
                // What flaps comes between others.
                steps.sort_by_key(|step: &Step| step.at_ms);
                // A directory that went offline stays so until the node is restarted.
                let ends_gently = may_end_gently && !steps.iter().any(|step| step.what.is_of_disk());
                return Self { steps, end_ms, ends_gently };
            }
            match draw.misfortune() {
                Misfortune::Blocked(pairs) if dice.percent(25) => {
                    steps.extend(draw.flapping(at_ms, pairs).filter(|step| step.at_ms < end_ms));
                }
                what => steps.push(Step { at_ms, what }),
            }
        }
    }
}

struct Draw<'d> {
    dice: &'d Dice,
    nodes: usize,
    /// How many more nodes may lose their power where nothing is killed; none where that is not restricted.
    power_losses: Option<u32>,
    is_durable: bool,
    /// Where a power loss takes what one node has, others must not lose a directory, or count as having lost one.
    has_disk_faults: bool,
}

impl Draw<'_> {
    fn misfortune(&mut self) -> Misfortune {
        let kinds = if self.nodes > 1 { 19 } else { 14 };
        let dice = self.dice;
        let node = dice.below(self.nodes as u64) as usize;
        let drawn = self.any_misfortune(node, dice.below(kinds));
        if drawn.is_of_disk() && !self.has_disk_faults { Misfortune::Heal } else { drawn }
    }

    fn any_misfortune(&mut self, node: usize, kind: u64) -> Misfortune {
        let dice = self.dice;
        match kind {
            0 | 1 => self.crash(Crash::Process, node),
            2 => self.crash(Crash::Power, node),
            3 => Misfortune::Restart { node, down_ms: self.down_ms() },
            4 => self.fall(node),
            5 => Misfortune::Full { node, bytes_left: dice.below(20_000) },
            6 => io_error(dice, node),
            7 => Misfortune::Clock { node, by_ms: dice.below(7_200_000) as i64 - 3_600_000 },
            8 | 9 => {
                let how = *dice.pick(&[Cut::Reset, Cut::Deaf]);
                Misfortune::Connections { how, one_of: dice.within(1..4) }
            }
            10 => Misfortune::Weather(Weather {
                slow_percent: dice.below(60),
                slow_ms_max: dice.within(1..400),
                is_deaf: dice.percent(20),
            }),
            11 => Misfortune::SlowDisk { node, delay_ms_max: dice.within(5..300) },
            12 => Misfortune::Pause { node, for_ms: dice.within(100..3000) },
            13 => Misfortune::Heal,
            14 => Misfortune::DiskFails { node },
            _ => Misfortune::Blocked(self.blocked()),
        }
    }

    /// The same way closes and opens again and again.
    fn flapping(&self, from_ms: u64, pairs: Vec<(Party, Party)>) -> impl Iterator<Item = Step> + use<> {
        let (closed_ms, open_ms) = (self.dice.within(20..600), self.dice.within(20..600));
        (0..self.dice.within(2..8)).flat_map(move |turn| {
            let at_ms = from_ms + turn * (closed_ms + open_ms);
            let closed = Step { at_ms, what: Misfortune::Blocked(pairs.clone()) };
            [closed, Step { at_ms: at_ms + closed_ms, what: Misfortune::Blocked(Vec::new()) }]
        })
    }

    fn down_ms(&self) -> u64 {
        let longest = *self.dice.pick(&[1500, 1500, 6000]);
        self.dice.below(if self.nodes > 1 { longest } else { 1500 })
    }

    fn crash(&mut self, wanted: Crash, node: usize) -> Misfortune {
        let Some(crash) = self.admitted(wanted) else {
            return Misfortune::Restart { node, down_ms: self.down_ms() };
        };
        let is_single_loss = crash == Crash::Power && !self.is_durable;
        let count = if is_single_loss || self.dice.percent(70) { 1 } else { self.nodes };
        let nodes = self.some_nodes(1..count + 1);
        let cut = match crash {
            Crash::Power => Some(Cut::Deaf),
            Crash::Process => self.dice.percent(50).then_some(Cut::Reset),
        };
        Misfortune::Crash { nodes, crash, cut, down_ms: self.down_ms() }
    }

    fn fall(&mut self, node: usize) -> Misfortune {
        let wanted = *self.dice.pick(&[Crash::Process, Crash::Power]);
        let operations = self.dice.below(300);
        match self.admitted(wanted) {
            Some(crash) => Misfortune::Fall { node, operations, crash, down_ms: self.down_ms() },
            None => Misfortune::Restart { node, down_ms: self.down_ms() },
        }
    }

    /// Without flushing, what one of several nodes has lost is safe on the others once, as long as those go on: a broker that did not stop in
    /// order counts as one that may have lost its records, so where all did, one that has lost them may lead. Nobody has promised more.
    fn admitted(&mut self, wanted: Crash) -> Option<Crash> {
        if self.is_durable || self.nodes == 1 {
            return Some(wanted);
        }
        let Some(left) = &mut self.power_losses else { return Some(Crash::Process) };
        *left = left.checked_sub(1)?;
        Some(Crash::Power)
    }

    fn some_nodes(&self, count: Range<usize>) -> Vec<usize> {
        let count = self.dice.within(count.start as u64..count.end as u64) as usize;
        let mut left: Vec<usize> = (0..self.nodes).collect();
        let mut chosen: Vec<usize> =
            (0..count).map(|_| left.swap_remove(self.dice.below(left.len() as u64) as usize)).collect();
        chosen.sort_unstable();
        chosen
    }

    /// Nodes on one side cannot reach those on the other: both ways, or one way. Clients are with either side, or with both.
    fn blocked(&self) -> Vec<(Party, Party)> {
        let away = self.some_nodes(1..self.nodes);
        let mut others: Vec<Party> =
            (0..self.nodes).filter(|node| !away.contains(node)).map(Party::Node).collect();
        if self.dice.percent(30) {
            others.push(Party::Client);
        }
        let (outwards, inwards) = *self.dice.pick(&[(true, true), (true, false), (false, true)]);
        let pairs = away.into_iter().map(Party::Node);
        let pairs = pairs.flat_map(|near| others.iter().map(move |far| (near, *far)));
        pairs
            .flat_map(|(near, far)| {
                let out = outwards.then_some((near, far));
                out.into_iter().chain(inwards.then_some((far, near)))
            })
            .collect()
    }
}

fn io_error(dice: &Dice, node: usize) -> Misfortune {
    let operations = [Operation::Write, Operation::Sync, Operation::Read, Operation::Open];
    let operation = *dice.pick(&operations);
    let path = *dice.pick(&["topic-a", "topic-b", "__consumer_offsets", "checkpoint"]);
    Misfortune::IoError { node, operation, path }
}

impl Misfortune {
    /// Whether a directory may go offline by it.
    fn is_of_disk(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::IoError { .. } | Self::DiskFails { .. })
    }
}

impl fmt::Display for Misfortune {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash { nodes, crash, cut, down_ms } => {
                let what = if *crash == Crash::Power { "lose their power" } else { "are killed" };
                write!(f, "nodes {nodes:?} {what} for {down_ms} ms, connections: {cut:?}")
            }
            Self::Restart { node, down_ms } => write!(f, "node {node} is stopped for {down_ms} ms"),
            Self::Fall { node, operations, crash, .. } => {
                write!(f, "node {node} goes down after {operations} operations of its disk: {crash:?}")
            }
            Self::Full { node, bytes_left } => {
                write!(f, "the disk of node {node} has {bytes_left} bytes left")
            }
            Self::IoError { node, operation, path } => {
                write!(f, "{operation:?} of {path} on node {node} fails once")
            }
            Self::DiskFails { node } => write!(f, "the second disk of node {node} fails"),
            Self::SlowDisk { node, delay_ms_max } => {
                write!(f, "the disk of node {node} takes up to {delay_ms_max} ms")
            }
            Self::Clock { node, by_ms } => write!(f, "the clock of node {node} jumps by {by_ms} ms"),
            Self::Pause { node, for_ms } => write!(f, "node {node} stands still for {for_ms} ms"),
            Self::Connections { how, one_of } => write!(f, "one connection in {one_of} is cut: {how:?}"),
            Self::Weather(weather) => write!(f, "the network changes: {weather:?}"),
            Self::Blocked(pairs) if pairs.is_empty() => write!(f, "everything gets through"),
            Self::Blocked(pairs) => write!(f, "nothing gets through: {pairs:?}"),
            Self::Heal => write!(f, "disks and network are well"),
        }
    }
}
