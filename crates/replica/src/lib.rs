//! What the leader and the followers of a partition decide, as machines without I/O.
//!
//! - [`Leader`]: follower states, in-sync replicas, the high watermark.
//! - [`follower`]: where a follower's log is cut, and where it goes on.
//! - [`Fetcher`]: what a follower's broker asks a leader's broker for, in one session.
//! - [`FetchSessions`]: what each client fetches (KIP-227), so that a request names only what changed and an answer holds only what is
//!   new.
//! - [`Throttle`]: a bound on the bytes of replication.
//!
//! Invariants:
//! - No clock and no randomness: the caller passes both.
//! - A session's epoch rises by one with every request that uses it; a request out of step changes nothing.

mod epoch_end;
mod fetch_session;
mod fetcher;
pub mod follower;
mod follower_state;
mod leader;
mod throttle;

pub use epoch_end::EpochEnd;
pub use fetch_session::{
    CachedPartition, FetchPlan, FetchSessions, PartitionAnswer, PartitionKey, SessionRequest, TopicKey,
    Wanted,
};
pub use fetcher::{FetchKey, Fetcher, FetcherRequest, Position};
pub use follower_state::FollowerState;
pub use leader::{FetchRefused, FollowerFetch, IsrProposal, Leader, LeaderStep, Moment, ProposalAnswer};
pub use throttle::Throttle;
