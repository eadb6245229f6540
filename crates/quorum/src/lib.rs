//! KRaft: consensus on the metadata log, as a machine without I/O (KIP-595, KIP-853, KIP-996).
//!
//! - Inputs are methods of [`Quorum`]: `handle_…` for requests and responses of other nodes, `on_…` for what the driver did or could not do,
//!   [`Quorum::append`] for records of the controller, [`Quorum::tick`] when [`Quorum::deadline_ms`] has come. Each returns [`Output`]s, to be
//!   carried out in order; a response returned beside them leaves last.
//! - The bytes of the log are the driver's. The machine knows its shape ([`log_state`]): ends, epochs, snapshots.
//! - A leader's own records count towards the high watermark once they are flushed ([`Quorum::on_log_flushed`]), a follower's once they are
//!   flushed and its next Fetch says so.
//!
//! Invariants, checked by [`Quorum::check_invariants`]: the epoch never falls; a replica votes once an epoch, and only after that is on
//! disk; the high watermark never falls, and never passes what a majority has flushed; only records of the leader's own epoch move it.

pub mod election_state;
pub mod log_state;
pub mod message;
pub mod output;
pub mod role;
pub mod voters;
pub mod wire;

mod describe;
mod election;
mod follower;
mod kraft_version;
mod leader;
mod quorum;
mod voter_change;

pub use describe::{QuorumDescription, ReplicaDescription};
pub use election_state::ElectionState;
pub use kraft_version::KRaftVersionError;
pub use log_state::{LogState, OffsetAndEpoch};
pub use output::{Leadership, Output};
pub use quorum::{AppendSlot, NotLeader, Quorum, QuorumConfig, QuorumStart};
pub use voter_change::VoterChangeError;
pub use voters::{ReplicaKey, VoterEndpoint, VoterNode, VoterSet};
