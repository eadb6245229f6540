//! Bugs planted at the seams, to show that the checks find bugs.
//!
//! None of them is in the production code: each is a disk, a wire or a setting that makes the broker behave as if it had the bug. Which
//! of them stands for what is argued in `docs/decisions/013-simulation.md`.

mod disk;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::random::Dice;

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// Records are acknowledged and never written.
    AckBeforeWrite,
    /// A sync returns before anything is durable.
    LostFsync,
    /// A new segment's name is not made durable.
    LostName,
    /// `flush.messages` is not acted on.
    FlushIgnored,
    /// A look-up in an index is off by one.
    IndexOffByOne,
    /// Part of a batch is served as it is not on the disk.
    TornBatchServed,
    /// What is behind the last whole batch is not cut off.
    TailKept,
    /// Commits are acknowledged and some are not stored.
    OffsetRegress,
    /// A commit of an earlier generation is accepted.
    StaleGeneration,
    /// Two members get the same partitions.
    TwoOwners,
    /// Retries of idempotent producers are not recognised.
    DuplicateAccepted,
    /// More records are deleted than was asked for.
    DeletedTooFar,
    /// The acknowledgement names another offset.
    WrongOffset,
    /// Records go to another partition.
    WrongPartition,
}

/// All bugs, with their names and what they stand for.
pub const ALL: &[(Plant, &str, &str)] = &[
    (Plant::AckBeforeWrite, "ack-before-write", "an acknowledged batch was never written"),
    (Plant::LostFsync, "lost-fsync", "a flush returns before the records are durable"),
    (Plant::LostName, "lost-name", "a new segment is flushed and its folder is not"),
    (Plant::FlushIgnored, "flush-ignored", "the high watermark rises before the flush that was asked for"),
    (
        Plant::IndexOffByOne,
        "index-off-by-one",
        "a look-up in the index finds the batch behind the one wanted",
    ),
    (Plant::TornBatchServed, "torn-batch-served", "a batch is served half"),
    (Plant::TailKept, "tail-kept", "a torn batch is not cut off before the next append"),
    (Plant::OffsetRegress, "offset-regress", "committed offsets go back when they are restored"),
    (Plant::StaleGeneration, "stale-generation", "a commit of an earlier generation is accepted"),
    (Plant::TwoOwners, "two-owners", "a partition belongs to two members of one generation"),
    (Plant::DuplicateAccepted, "duplicate-accepted", "a retry is appended a second time"),
    (Plant::DeletedTooFar, "deleted-too-far", "DeleteRecords deletes records that it was not asked to"),
    (Plant::WrongOffset, "wrong-offset", "an acknowledgement names the offset behind the record"),
    (Plant::WrongPartition, "wrong-partition", "records are appended to another partition"),
];

impl Plant {
    /// The bug of that name.
    pub fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|(_, its_name, _)| *its_name == name).map(|(plant, ..)| *plant)
    }
}

/// Assignments by group and generation.
type Assignments = BTreeMap<(String, i32), Vec<u8>>;

/// The bug of a run, if it has one, and what decides when it shows. Clones share it.
#[derive(Clone)]
pub(crate) struct Plants {
    plant: Option<Plant>,
    dice: Dice,
    /// By group and generation: the assignment that was given first.
    assignments: Arc<Mutex<Assignments>>,
}

impl Plants {
    /// With this bug, or none.
    pub(crate) fn new(plant: Option<Plant>, dice: Dice) -> Self {
        Self { plant, dice, assignments: Arc::default() }
    }

    /// Whether the setting that asks for flushing is left out.
    pub(crate) fn ignores_flushing(&self) -> bool {
        self.plant == Some(Plant::FlushIgnored)
    }

    fn strikes(&self, plant: Plant, percent: u64) -> bool {
        self.plant == Some(plant) && self.dice.percent(percent)
    }
}
