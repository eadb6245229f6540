//! What a partition's leader decides about those who fetch from it, as machines without I/O.
//!
//! [`FetchSessions`] remembers what each client fetches (KIP-227), so that a request names only what changed and an answer
//! holds only what is new.
//!
//! Invariants:
//! - No clock and no randomness: the caller passes both.
//! - A session's epoch rises by one with every request that uses it; a request out of step changes nothing.

mod fetch_session;

pub use fetch_session::{
    CachedPartition, FetchPlan, FetchSessions, PartitionAnswer, PartitionKey, SessionRequest, TopicKey,
    Wanted,
};
