//! What goes into a shard with every request, and what comes out of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_protocol::ErrorCode;
use klamm_protocol::messages::{
    HeartbeatResponse, JoinGroupResponse, LeaveGroupResponse, OffsetCommitResponse, OffsetDeleteResponse,
    SyncGroupResponse, delete_groups_response::DeletableGroupResult,
    offset_fetch_response::OffsetFetchResponseGroup,
};

use crate::classic::StaticReplacement;
use crate::moment::Moment;
use crate::record::CoordinatorRecord;

/// The caller's name for a request. The shard hands it back with the answer and never looks inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What a shard needs to know about a request beside its body.
#[derive(Debug, Clone, Copy)]
pub struct RequestContext<'a> {
    /// Never used for two requests.
    pub request: RequestId,
    /// The version in which the answer will be written.
    pub api_version: i16,
    /// From the request's header; empty when it has none.
    pub client_id: &'a str,
    /// As Kafka writes it: a slash, then the address (`/127.0.0.1`).
    pub client_host: &'a str,
    /// When it came.
    pub now: Moment,
}

/// The answer to one request. Every request gets exactly one.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Answer {
    /// The request it belongs to.
    pub request: RequestId,
    /// What to send.
    pub response: Response,
}

/// A response of one of the calls that a shard answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    /// To `join_group`.
    JoinGroup(JoinGroupResponse<'static>),
    /// To `sync_group`.
    SyncGroup(SyncGroupResponse<'static>),
    /// To `heartbeat`.
    Heartbeat(HeartbeatResponse),
    /// To `leave_group`.
    LeaveGroup(LeaveGroupResponse<'static>),
    /// To `offset_commit`.
    OffsetCommit(OffsetCommitResponse<'static>),
    /// To `offset_fetch`: one group of a request that may name many. Its `error_code` speaks for all partitions.
    OffsetFetch(OffsetFetchResponseGroup<'static>),
    /// To `offset_delete`.
    OffsetDelete(OffsetDeleteResponse<'static>),
    /// To `delete_groups`: the results for the groups of this shard.
    DeleteGroups(Vec<DeletableGroupResult<'static>>),
}

/// What one input did.
#[derive(Debug, Default, PartialEq)]
#[must_use]
pub struct Step<'a> {
    /// May leave at once: everything they tell is committed, or needs no commit.
    pub answers: Vec<Answer>,
    /// Must be appended to the shard's partition before its next input, and handed back with
    /// [`Shard::appended`](crate::Shard::appended) or [`Shard::append_failed`](crate::Shard::append_failed). The
    /// answers that depend on it come out of [`Shard::committed`](crate::Shard::committed).
    pub write: Option<Write<'a>>,
}

impl Step<'_> {
    pub(crate) fn answer(request: RequestId, response: Response) -> Self {
        Self { answers: vec![Answer { request, response }], write: None }
    }
}

/// Records for one batch, and what happens when they are committed.
#[derive(Debug, PartialEq)]
#[must_use]
pub struct Write<'a> {
    /// At least one; to be appended in this order, as one batch.
    pub records: Vec<CoordinatorRecord<'a>>,
    pub(crate) completion: Completion,
}

/// What follows when a write is committed, or is not.
#[derive(Debug, PartialEq)]
pub(crate) enum Completion {
    /// Nothing waits for it.
    Nothing,
    /// This answer leaves, or its failure form.
    Answer(Answer),
    /// A background scan goes on; if the append fails, it comes back to these groups later.
    Scan { groups: Vec<Arc<str>> },
    /// The join that made the group goes on by itself; if the write fails, it is answered with the error.
    NewGroup { group_id: Arc<str>, request: RequestId },
    /// The leader's sync is answered, and with it everybody's: the group is stable. If the write fails, it rebalances.
    Assignment { group_id: Arc<str>, request: RequestId, assignments: BTreeMap<Arc<str>, Vec<u8>> },
    /// The join of the restarted static member is answered; if the write fails, the old member comes back.
    StaticReplacement(Box<StaticReplacement>),
}

impl Response {
    /// What is sent instead when the records behind this response could not be committed.
    pub(crate) fn into_failure(self, error: ErrorCode) -> Self {
        match self {
            Self::JoinGroup(_) => {
                Self::JoinGroup(JoinGroupResponse { error_code: error, ..JoinGroupResponse::default() })
            }
            Self::SyncGroup(_) => {
                Self::SyncGroup(SyncGroupResponse { error_code: error, ..SyncGroupResponse::default() })
            }
            Self::Heartbeat(_) => {
                Self::Heartbeat(HeartbeatResponse { error_code: error, ..HeartbeatResponse::default() })
            }
            Self::LeaveGroup(_) => {
                Self::LeaveGroup(LeaveGroupResponse { error_code: error, ..LeaveGroupResponse::default() })
            }
            Self::OffsetCommit(mut response) => {
                for topic in &mut response.topics {
                    topic.partitions.iter_mut().for_each(|partition| partition.error_code = error);
                }
                Self::OffsetCommit(response)
            }
            Self::OffsetFetch(group) => Self::OffsetFetch(OffsetFetchResponseGroup {
                group_id: group.group_id,
                error_code: fetch_error(error),
                ..OffsetFetchResponseGroup::default()
            }),
            Self::OffsetDelete(_) => Self::OffsetDelete(OffsetDeleteResponse {
                error_code: error,
                ..OffsetDeleteResponse::default()
            }),
            Self::DeleteGroups(mut results) => {
                results.iter_mut().for_each(|result| result.error_code = error);
                Self::DeleteGroups(results)
            }
        }
    }
}

/// The error of the log as clients of a coordinator know it.
pub(crate) fn coordinator_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        | ErrorCode::NOT_ENOUGH_REPLICAS
        | ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND
        | ErrorCode::REQUEST_TIMED_OUT => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::KAFKA_STORAGE_ERROR => ErrorCode::NOT_COORDINATOR,
        ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE | ErrorCode::INVALID_FETCH_SIZE => {
            ErrorCode::UNKNOWN_SERVER_ERROR
        }
        other => other,
    }
}

/// Consumers do not expect COORDINATOR_NOT_AVAILABLE from OffsetFetch and would give up; NOT_COORDINATOR makes them
/// look the coordinator up and try again.
fn fetch_error(error: ErrorCode) -> ErrorCode {
    if error == ErrorCode::COORDINATOR_NOT_AVAILABLE { ErrorCode::NOT_COORDINATOR } else { error }
}
