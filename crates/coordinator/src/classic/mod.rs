//! Classic consumer groups: the protocol in which members elect a leader that assigns.
//!
//! A group's life goes round: `Empty → PreparingRebalance → CompletingRebalance → Stable`, and from the last two back to
//! `PreparingRebalance` whenever its members change. In `PreparingRebalance` JoinGroup requests wait until every known
//! member has sent one (or the longest rebalance timeout has passed); then the generation rises by one, all are answered,
//! and the leader learns who is in. In `CompletingRebalance` SyncGroup requests wait until the leader's assignment
//! is committed to the log.
//!
//! Only two things about a group are durable: the generation with the assignment its leader gave it, and that it is
//! empty. Everything in between is kept in memory alone, as it is in Kafka: after a restart members find out from
//! UNKNOWN_MEMBER_ID or ILLEGAL_GENERATION, and join anew.
//!
//! What a member subscribes to and is assigned are bytes that only members understand, passed on as they came. The one
//! exception: the topics of `consumer` subscriptions are read, because offsets of a topic that a group still
//! subscribes to do not expire.

mod describe;
mod group;
mod heartbeat;
mod invariants;
mod join;
mod leave;
mod member;
mod rebalance;
mod replay;
mod static_member;
mod sync;

pub(crate) use group::{ClassicGroup, GroupState};
pub(crate) use join::{Join, join_error};
pub(crate) use leave::leave_response;
pub(crate) use member::Parked;
pub(crate) use static_member::StaticReplacement;
pub(crate) use sync::sync_error;
