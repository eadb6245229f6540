//! What quorum nodes say to each other, without the parts of the wire that are always the same. [`crate::wire`] translates.

use klamm_metadata::snapshot::SnapshotId;
use klamm_protocol::ErrorCode;

use crate::log_state::OffsetAndEpoch;
use crate::voters::ReplicaKey;

/// A request to another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Asks for a vote, or whether one would be given.
    Vote(VoteRequest),
    /// Tells a voter who leads.
    BeginEpoch(BeginEpochRequest),
    /// Tells a voter that the leader steps down.
    EndEpoch(EndEpochRequest),
    /// Asks for records, and who leads.
    Fetch(FetchRequest),
}

/// Asks for a vote. A pre-vote (KIP-996) changes nothing at the voter, so that a node that was cut off disturbs nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteRequest {
    /// Whom the request is for.
    pub voter: ReplicaKey,
    /// Who asks.
    pub candidate: ReplicaKey,
    /// The epoch the candidate is in.
    pub epoch: i32,
    /// Where the candidate's log ends.
    pub log_end: OffsetAndEpoch,
    /// Whether this only asks how the vote would go.
    pub pre_vote: bool,
}

/// Tells a voter who leads the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeginEpochRequest {
    /// Whom the request is for.
    pub voter: ReplicaKey,
    /// The leader, which sends it.
    pub leader_id: i32,
    /// The epoch it leads.
    pub epoch: i32,
}

/// Tells a voter that the leader steps down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndEpochRequest {
    /// The leader, which sends it.
    pub leader_id: i32,
    /// The epoch it led.
    pub epoch: i32,
    /// Who should stand for election, the one with the longest log first.
    pub preferred_candidates: Vec<ReplicaKey>,
}

/// Asks for records from an offset on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    /// Who asks; a negative id for one that only reads.
    pub replica: ReplicaKey,
    /// The epoch it is in.
    pub epoch: i32,
    /// Where its log ends.
    pub offset: i64,
    /// The epoch of its last record.
    pub last_fetched_epoch: i32,
    /// Up to where it knows records to be committed, −1 while unknown; the largest number where it does not say (before version 18).
    pub high_watermark: i64,
}

/// Where a node listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddress {
    /// The node.
    pub id: i32,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// What every response says: an error, and the epoch and leader the other node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochInfo {
    /// What went wrong, if anything.
    pub error: ErrorCode,
    /// The epoch the other node is in.
    pub epoch: i32,
    /// Its leader, if known.
    pub leader_id: Option<i32>,
}

/// The answer to a Vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoteResponse {
    /// Error, epoch and leader.
    pub info: EpochInfo,
    /// Whether the vote is, or would be, given.
    pub granted: bool,
}

/// What a leader has for one that fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchAnswer {
    /// Records from the offset asked for up to this end, maybe none: the caller may wait for more before it answers.
    Records {
        /// The log's end.
        end_offset: i64,
    },
    /// The fetching replica has to truncate to here and ask again.
    Diverging(OffsetAndEpoch),
    /// The fetching replica has to load this snapshot first.
    Snapshot(SnapshotId),
    /// Nothing, see the error.
    Refused,
}

/// The answer to a Fetch, but for the records themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchReply {
    /// Error, epoch and leader.
    pub info: EpochInfo,
    /// Everything before it is committed; −1 while unknown.
    pub high_watermark: i64,
    /// What there is.
    pub answer: FetchAnswer,
}

/// The answer to a Fetch as the fetching replica got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Error, epoch and leader.
    pub info: EpochInfo,
    /// The leader's high watermark.
    pub high_watermark: i64,
    /// What came.
    pub contents: FetchedContents,
}

/// What a Fetch brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchedContents {
    /// Whole batches, in order; their bytes stay with the driver.
    Batches(Vec<FetchedBatch>),
    /// The log has to be truncated to here.
    Diverging(OffsetAndEpoch),
    /// This snapshot has to be loaded.
    Snapshot(SnapshotId),
}

/// One batch that was fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchedBatch {
    /// Offset of its first record.
    pub base_offset: i64,
    /// Offset after its last record.
    pub end_offset: i64,
    /// Epoch of the leader that wrote it.
    pub epoch: i32,
}
