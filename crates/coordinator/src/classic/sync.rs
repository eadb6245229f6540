//! SyncGroup: how the leader's assignment gets to the members.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_protocol::ErrorCode;
use klamm_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use super::group::{ClassicGroup, GroupState};
use super::member::Parked;
use crate::step::{Completion, RequestId};
use crate::turn::Turn;

impl ClassicGroup {
    /// Handles a sync.
    pub(crate) fn sync(&mut self, turn: &mut Turn<'_>, parked: Parked, request: &SyncGroupRequest<'_>) {
        if let Err(error) = self.validate_sync(request) {
            return turn.answer_sync(parked, sync_error(error));
        }
        match self.state {
            GroupState::CompletingRebalance => {
                self.wait_for_sync(turn, &request.member_id, parked);
                if self.is_leader(&request.member_id) {
                    self.write_assignment(turn, parked.request, request);
                }
            }
            GroupState::Stable => {
                self.note_sync(&request.member_id);
                self.answer_assignment(turn, &request.member_id, parked);
            }
            GroupState::Empty | GroupState::PreparingRebalance => {
                turn.answer_sync(parked, sync_error(ErrorCode::REBALANCE_IN_PROGRESS));
            }
        }
    }

    fn validate_sync(&self, request: &SyncGroupRequest<'_>) -> Result<(), ErrorCode> {
        if self.is_empty() {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        self.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        let contradicts = |theirs: Option<&str>, ours: Option<&str>| {
            theirs.zip(ours).is_some_and(|(theirs, ours)| theirs != ours)
        };
        let inconsistent = contradicts(request.protocol_type.as_deref(), self.protocol_type.as_deref())
            || contradicts(request.protocol_name.as_deref(), self.protocol_name.as_deref());
        if inconsistent { Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL) } else { Ok(()) }
    }

    fn wait_for_sync(&mut self, turn: &mut Turn<'_>, member_id: &str, parked: Parked) {
        let member = self.members.get_mut(member_id);
        if let Some(superseded) = member.and_then(|member| member.parked_sync.replace(parked)) {
            turn.answer_sync(superseded, sync_error(ErrorCode::REBALANCE_IN_PROGRESS));
        }
        self.note_sync(member_id);
    }

    /// Stores the leader's assignment. Members it left out get an empty one.
    fn write_assignment(&mut self, turn: &mut Turn<'_>, id: RequestId, request: &SyncGroupRequest<'_>) {
        let mut assignments: BTreeMap<Arc<str>, Vec<u8>> =
            self.members.keys().map(|id| (Arc::clone(id), Vec::new())).collect();
        for given in &request.assignments {
            if let Some(assignment) = assignments.get_mut(given.member_id.as_ref()) {
                *assignment = given.assignment.to_vec();
            }
        }
        let record = self.metadata_record(&assignments);
        let completion = Completion::Assignment { group_id: Arc::clone(&self.id), request: id, assignments };
        turn.write(vec![record], completion);
    }

    /// The assignment is committed: everybody gets theirs, unless the group has moved on meanwhile.
    pub(crate) fn adopt_assignment(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        mut assignments: BTreeMap<Arc<str>, Vec<u8>>,
    ) {
        if !self.awaits_assignment(request) {
            return;
        }
        self.enter(GroupState::Stable, turn.now.wall_ms);
        let member_ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for member_id in member_ids {
            let Some(member) = self.members.get_mut(&member_id) else { continue };
            member.assignment = assignments.remove(&member_id).unwrap_or_default();
            if let Some(parked) = member.parked_sync.take() {
                self.answer_assignment(turn, &member_id, parked);
                // Its session did not run while it waited.
                self.hear_from(turn, &member_id);
            }
        }
    }

    /// The assignment could not be committed: all who wait for it learn why, and the group starts over.
    pub(crate) fn reject_assignment(&mut self, turn: &mut Turn<'_>, request: RequestId, error: ErrorCode) {
        if self.awaits_assignment(request) {
            self.withdraw_assignment(turn, error);
            self.prepare_rebalance(turn);
        }
    }

    /// Whether the leader still waits with this sync. A generation would not tell: a group that was deleted and made
    /// anew counts from the start.
    fn awaits_assignment(&self, request: RequestId) -> bool {
        let leader = self.leader.as_ref().and_then(|leader| self.members.get(leader));
        leader.and_then(|leader| leader.parked_sync).is_some_and(|parked| parked.request == request)
    }

    fn answer_assignment(&self, turn: &mut Turn<'_>, member_id: &str, parked: Parked) {
        let assignment = self.members.get(member_id).map(|member| member.assignment.clone());
        let response = SyncGroupResponse {
            protocol_type: self.protocol_type.as_deref().map(|name| name.to_owned().into()),
            protocol_name: self.protocol_name.as_deref().map(|name| name.to_owned().into()),
            assignment: assignment.unwrap_or_default().into(),
            ..SyncGroupResponse::default()
        };
        turn.answer_sync(parked, response);
    }
}

/// The refusal of a sync.
pub(crate) fn sync_error(error_code: ErrorCode) -> SyncGroupResponse<'static> {
    SyncGroupResponse { error_code, ..SyncGroupResponse::default() }
}
