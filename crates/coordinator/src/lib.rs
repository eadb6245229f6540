//! The group coordinator: consumer groups, and the offsets they commit.
//!
//! Everything about a group lives in one partition of `__consumer_offsets`, which [`partition_for`] names; a [`Shard`] is
//! the machine of one such partition. It does no I/O and has no clock and no randomness: requests, time and random
//! bits go in; answers and records come out. Its head says how it is driven and what it promises.
//!
//! - `classic`: groups whose members elect a leader that assigns.
//! - `offsets`: committed offsets.
//! - `foreign`: what must be known of groups of other protocols.
//! - `shard`: the machine around them.

mod bounds;
mod classic;
mod foreign;
mod moment;
mod offsets;
mod partition;
mod record;
mod settings;
mod shard;
mod step;
mod timer;
mod turn;

pub use moment::Moment;
pub use partition::partition_for;
pub use record::CoordinatorRecord;
pub use settings::GroupSettings;
pub use shard::Shard;
pub use step::{Answer, RequestContext, RequestId, Response, Step, Write};
