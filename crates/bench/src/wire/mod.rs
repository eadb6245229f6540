//! Kafka's protocol as the load generators speak it: prepared frames out, frames in, as little work as possible.

mod batch;
mod cluster;
mod connection;
mod fetch;
mod produce;
mod topic;

pub(crate) use batch::{BatchShape, PreparedBatch};
pub(crate) use cluster::{PartitionState, active_controller, partition_states, wait_until_alive};
pub(crate) use connection::Connection;
pub(crate) use fetch::{FetchRange, Fetcher};
pub(crate) use produce::{Acks, FrameRing, PRODUCE_VERSION, check_produced, produce_frame};
pub(crate) use topic::Topic;

/// The correlation id of a frame made by `klamm_protocol::frame`: after the size, the API and its version.
pub(crate) const CORRELATION_AT: usize = 8;
