//! What a replica is in an epoch.
//!
//! ```text
//! Unattached ──election timeout──▶ Prospective ──majority would vote──▶ Candidate ──majority voted──▶ Leader
//!      ▲  │                          │      ▲                              │                          │
//!      │  └─leader found─▶ Follower ─┘      └──────election timeout────────┘                          │ quorum lost,
//!      └───────────────────────────────────────election timeout────────────────────── Resigned ◀──────┘ or stopping
//! ```
//! A higher epoch makes any of them a Follower of its leader, or Unattached. Replicas that do not vote are only ever Unattached or Follower.

use std::collections::{BTreeMap, BTreeSet};

use crate::voters::{ReplicaKey, VoterNode};

/// The states of a replica; each holds only what makes sense in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Knows of no leader it could follow.
    Unattached {
        /// The epoch's leader, if known from before a restart or an election.
        leader_id: Option<i32>,
        /// Whom it voted for.
        voted: Option<ReplicaKey>,
        /// When a voter stands for election.
        election_deadline_ms: i64,
    },
    /// Asks the voters whether they would vote for it (KIP-996).
    Prospective {
        /// The epoch's leader, which it has lost.
        leader_id: Option<i32>,
        /// Whom it voted for.
        voted: Option<ReplicaKey>,
        /// Answers so far.
        votes: Votes,
        /// When it gives up.
        election_deadline_ms: i64,
    },
    /// Stands for election, having voted for itself.
    Candidate {
        /// Answers so far.
        votes: Votes,
        /// When it tries again.
        election_deadline_ms: i64,
    },
    /// Leads.
    Leader(Leader),
    /// Fetches from a leader.
    Follower(Follower),
    /// Led until it lost its quorum, or has to stop; tells the others so.
    Resigned {
        /// Who should stand for election.
        preferred_candidates: Vec<ReplicaKey>,
        /// Voters that have not confirmed.
        unconfirmed: BTreeSet<i32>,
        /// When it goes on as anybody else.
        election_deadline_ms: i64,
    },
}

/// Votes of an election.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Votes {
    /// By voter: whether it agreed.
    pub answers: BTreeMap<i32, bool>,
}

impl Votes {
    /// Who agreed.
    pub fn granted(&self) -> impl Iterator<Item = i32> + '_ {
        self.answers.iter().filter(|(_, granted)| **granted).map(|(&id, _)| id)
    }

    /// How many refused.
    pub fn rejected_count(&self) -> usize {
        self.answers.values().filter(|granted| !**granted).count()
    }
}

/// What a leader keeps of its epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Offset of the epoch's first record: nothing is committed before it is.
    pub epoch_start_offset: i64,
    /// Everything before it is committed; none until the epoch's first record is.
    pub high_watermark: Option<i64>,
    /// How far the other voters are.
    pub voters: BTreeMap<i32, Progress>,
    /// How far the replicas are that do not vote.
    pub observers: BTreeMap<ReplicaKey, Progress>,
    /// With `kraft.version` 0, the other voters as they described themselves in this epoch.
    pub described: BTreeMap<i32, VoterNode>,
    /// Voters that know who leads.
    pub acknowledged: BTreeSet<i32>,
    /// When voters are told again.
    pub begin_epoch_due_ms: i64,
    /// Voters that fetched since a majority last had.
    pub fetched: BTreeSet<i32>,
    /// When the leader resigns unless a majority has fetched.
    pub check_quorum_deadline_ms: i64,
    /// Whether the node was told that it leads.
    pub is_announced: bool,
}

/// What a follower keeps of its epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follower {
    /// The leader.
    pub leader_id: i32,
    /// Whom it voted for.
    pub voted: Option<ReplicaKey>,
    /// When a voter gives the leader up.
    pub fetch_deadline_ms: i64,
    /// Whether it has fetched from this leader; from then on it would not vote for another.
    pub has_fetched: bool,
    /// Whether a snapshot is being loaded.
    pub is_loading_snapshot: bool,
}

/// How far a replica is, as its fetches show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Where its log ends; none before its first fetch.
    pub end_offset: Option<i64>,
    /// Its last fetch in milliseconds, −1 before.
    pub last_fetch_ms: i64,
    /// When it last had everything, −1 if never.
    pub last_caught_up_ms: i64,
    /// Where the leader's log ended at its last fetch.
    pub leader_end_at_last_fetch: i64,
}

/// An observer that has not fetched for so long is forgotten.
const OBSERVER_SESSION_MS: i64 = 300_000;

impl Progress {
    /// Nothing known yet.
    pub fn unknown() -> Self {
        Self { last_fetch_ms: -1, last_caught_up_ms: -1, ..Self::default() }
    }

    /// Whether it has fetched of late.
    pub fn is_in_session(&self, now_ms: i64) -> bool {
        self.last_fetch_ms >= 0 && now_ms - self.last_fetch_ms < OBSERVER_SESSION_MS
    }

    /// Takes note of a fetch from `offset` while the leader's log ends at `leader_end`.
    pub fn fetched(&mut self, now_ms: i64, offset: i64, leader_end: i64) {
        if offset >= leader_end {
            self.last_caught_up_ms = now_ms;
        } else if offset >= self.leader_end_at_last_fetch && self.last_fetch_ms >= 0 {
            self.last_caught_up_ms = self.last_caught_up_ms.max(self.last_fetch_ms);
        }
        // Fetches may arrive late and out of order; what was flushed once stays flushed.
        self.end_offset = self.end_offset.max(Some(offset));
        self.last_fetch_ms = now_ms;
        self.leader_end_at_last_fetch = leader_end;
    }
}
