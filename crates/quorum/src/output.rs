//! What the driver has to do.

use klamm_metadata::ControlRecord;
use klamm_metadata::snapshot::SnapshotId;

use crate::election_state::ElectionState;
use crate::log_state::OffsetAndEpoch;
use crate::message::Request;

/// One thing to do. Outputs of a step are carried out in their order, and a response returned beside them leaves after all of them.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Write the `quorum-state` file, and have it on disk before anything that follows in this step leaves the node: a vote that is
    /// forgotten could be cast twice.
    PersistElectionState(ElectionState),
    /// Cut the log: it ends at `end_offset` from here on.
    Truncate {
        /// The log's new end.
        end_offset: i64,
    },
    /// Append one batch of control records. Flush it soon, and report it by `on_log_flushed`.
    AppendControl {
        /// Offset of the first record.
        base_offset: i64,
        /// The leader epoch.
        epoch: i32,
        /// The records.
        records: Vec<ControlRecord>,
    },
    /// Append the batches that the response being handled brought, in that range. Flush them, then report by `on_log_flushed`: only what a
    /// follower has flushed counts as replicated, so the next Fetch leaves after that.
    AppendFetched {
        /// Offset of the first record.
        base_offset: i64,
        /// Offset after the last record.
        end_offset: i64,
    },
    /// Send a request. What comes back goes to the `handle_…_response` of its kind, or to `on_request_failed`.
    Send {
        /// The node to send it to.
        to: i32,
        /// The request.
        request: Request,
    },
    /// Load a snapshot from the leader, then call `on_snapshot_loaded`; `on_request_failed` if it cannot be had.
    FetchSnapshot {
        /// The leader.
        from: i32,
        /// The snapshot.
        id: SnapshotId,
    },
    /// Everything before the offset is committed: replay it, answer what waited for it.
    HighWatermark(i64),
    /// Somebody else leads, or nobody, or this node does.
    Leadership(Leadership),
    /// The leader lacks what is committed here, so that one of the two has lost what it had flushed. Stop the node: neither log may be cut.
    CommittedIsMissing {
        /// Where the leader's log parts from this one.
        leader_end: OffsetAndEpoch,
        /// Everything before it is committed.
        high_watermark: i64,
    },
}

/// Who leads, as the rest of the node should see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// This node leads, and has committed everything that was written before its epoch: a controller can start from the committed image.
    Leading {
        /// The epoch.
        epoch: i32,
    },
    /// Another node leads. A controller that runs here is stopped, with what it has not committed.
    Following {
        /// The epoch.
        epoch: i32,
        /// The leader.
        leader_id: i32,
    },
    /// Nobody is known to lead. A controller that runs here is stopped, with what it has not committed.
    Nobody {
        /// The epoch.
        epoch: i32,
    },
}
