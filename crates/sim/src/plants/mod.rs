//! Bugs planted at the seams, to show that the checks find bugs.
//!
//! None of them is in the production code: each is a disk, a wire or a setting that makes the broker behave as if it had the bug. Which
//! of them stands for what is argued in `docs/decisions/013-simulation.md`.

mod disk;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_protocol::Uuid;
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
    /// `acks=all` waits for the leader alone.
    AcksAllAsOne,
    /// Followers of a new leader cut their logs to the high watermark they know.
    TruncateToHighWatermark,
    /// Followers do not ask where their logs part from the leader's.
    DivergenceUnchecked,
    /// A voter grants every vote it is asked for.
    VoteTwice,
    /// Metadata names another leader for an epoch.
    TwoLeaders,
    /// A high watermark goes back.
    HighWatermarkBack,
    /// A follower stores something else than it was sent.
    ReplicaAltered,
    /// Replicas that are not in sync are elected.
    UncleanElection,
    /// One replica in sync is enough for `acks=all`.
    MinIsrIgnored,
    /// The metadata log is not flushed.
    MetadataNotFlushed,
    /// A voter's vote is not stored.
    VoteForgotten,
    /// A broker that lost its power returns as if it had stopped in order.
    CrashUnnoticed,
    /// A replica never leaves the ISR.
    StaleIsr,
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
    (Plant::AcksAllAsOne, "acks-all-as-one", "acks=all is answered before the followers have the records"),
    (Plant::DivergenceUnchecked, "divergence-unchecked", "followers keep what the new leader does not have"),
    (
        Plant::TruncateToHighWatermark,
        "truncate-to-hw",
        "followers of a new leader cut their logs to the high watermark they know",
    ),
    (Plant::VoteTwice, "vote-twice", "a voter grants every vote it is asked for"),
    (Plant::TwoLeaders, "two-leaders", "two brokers lead in one epoch"),
    (
        Plant::HighWatermarkBack,
        "high-watermark-back",
        "a consumer is told a lower high watermark than before",
    ),
    (Plant::ReplicaAltered, "replica-altered", "a follower stores something else than its leader"),
    (Plant::UncleanElection, "unclean-election", "a replica that is not in sync is elected"),
    (Plant::MinIsrIgnored, "min-isr-ignored", "acks=all needs one replica in sync where two were asked for"),
    (Plant::MetadataNotFlushed, "metadata-not-flushed", "metadata counts before it is durable"),
    (Plant::VoteForgotten, "vote-forgotten", "a vote is not stored before it is given"),
    (Plant::CrashUnnoticed, "crash-unnoticed", "a broker that lost records stays in the ISR when it returns"),
    (Plant::StaleIsr, "stale-isr", "the ISR keeps replicas that are behind"),
];

impl Plant {
    /// Whether it shows only where there are several nodes.
    pub fn needs_cluster(self) -> bool {
        use Plant::*;
        matches!(
            self,
            AcksAllAsOne
                | DivergenceUnchecked
                | TruncateToHighWatermark
                | VoteTwice
                | TwoLeaders
                | HighWatermarkBack
                | ReplicaAltered
                | UncleanElection
                | MinIsrIgnored
                | MetadataNotFlushed
                | VoteForgotten
                | CrashUnnoticed
                | StaleIsr
        )
    }

    /// The bug of that name.
    pub fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|(_, its_name, _)| *its_name == name).map(|(plant, ..)| *plant)
    }
}

/// Assignments by group and generation.
type Assignments = BTreeMap<(String, i32), Vec<u8>>;

/// What a follower was told of a partition.
#[derive(Clone, Copy, Debug)]
struct Followed {
    leader_epoch: i32,
    high_watermark: i64,
}

impl Default for Followed {
    /// Nothing yet: whatever it has stays.
    fn default() -> Self {
        Self { leader_epoch: i32::MAX, high_watermark: i64::MAX }
    }
}

/// By follower, topic and partition.
type Following = BTreeMap<(String, Uuid, i32), Followed>;

/// The bug of a run, if it has one, and what decides when it shows. Clones share it.
#[derive(Clone)]
pub(crate) struct Plants {
    plant: Option<Plant>,
    dice: Dice,
    /// By broker: the epoch that it was given last.
    broker_epochs: Arc<Mutex<BTreeMap<i32, i64>>>,
    /// By group and generation: the assignment that was given first.
    assignments: Arc<Mutex<Assignments>>,
    following: Arc<Mutex<Following>>,
}

impl Plants {
    /// With this bug, or none.
    pub(crate) fn new(plant: Option<Plant>, dice: Dice) -> Self {
        Self {
            plant,
            dice,
            broker_epochs: Arc::default(),
            assignments: Arc::default(),
            following: Arc::default(),
        }
    }

    /// Settings that contradict what the checks expect, `name=value`.
    pub(crate) fn settings(&self) -> Vec<String> {
        let settings: &[&str] = match self.plant {
            Some(Plant::UncleanElection) => &["unclean.leader.election.enable=true"],
            Some(Plant::MinIsrIgnored) => &["min.insync.replicas=1"],
            _ => &[],
        };
        settings.iter().map(|setting| (*setting).to_owned()).collect()
    }

    /// Whether the setting that asks for flushing is left out.
    pub(crate) fn ignores_flushing(&self) -> bool {
        self.plant == Some(Plant::FlushIgnored)
    }

    fn strikes(&self, plant: Plant, percent: u64) -> bool {
        self.plant == Some(plant) && self.dice.percent(percent)
    }
}
