//! LeaveGroup: one member or many, by member id or, for an administrator, by instance id.

use klamm_protocol::ErrorCode;
use klamm_protocol::messages::leave_group_request::MemberIdentity;
use klamm_protocol::messages::leave_group_response::MemberResponse;

use super::group::{ClassicGroup, GroupState};
use crate::turn::Turn;

impl ClassicGroup {
    /// Takes the members out that may be, and rebalances if any was.
    pub(crate) fn leave(
        &mut self,
        turn: &mut Turn<'_>,
        leaving: &[MemberIdentity<'_>],
    ) -> Vec<MemberResponse<'static>> {
        let responses: Vec<_> = leaving.iter().map(|identity| self.leave_one(turn, identity)).collect();
        if responses.iter().any(|response| response.error_code == ErrorCode::NONE) {
            match self.state {
                GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(turn),
                GroupState::PreparingRebalance => self.complete_join_if_all_joined(turn),
                GroupState::Empty => {}
            }
        }
        responses
    }

    fn leave_one(&mut self, turn: &mut Turn<'_>, identity: &MemberIdentity<'_>) -> MemberResponse<'static> {
        let instance_id = identity.group_instance_id.as_deref();
        let error_code = match self.find_leaving(&identity.member_id, instance_id) {
            Ok(member_id) => {
                if let Some(member) = self.remove(&member_id) {
                    turn.dismiss(&member);
                }
                ErrorCode::NONE
            }
            Err(error) => error,
        };
        leave_response(identity, error_code)
    }

    fn find_leaving(&self, member_id: &str, instance_id: Option<&str>) -> Result<String, ErrorCode> {
        if member_id.is_empty() {
            let holder = instance_id.and_then(|instance_id| self.static_members.get(instance_id));
            return holder.map(ToString::to_string).ok_or(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        if !self.pending_members.contains_key(member_id) {
            self.validate_member(member_id, instance_id)?;
        }
        Ok(member_id.to_owned())
    }
}

/// What became of one member that was to leave.
pub(crate) fn leave_response(
    identity: &MemberIdentity<'_>,
    error_code: ErrorCode,
) -> MemberResponse<'static> {
    MemberResponse {
        member_id: identity.member_id.to_string().into(),
        group_instance_id: identity.group_instance_id.as_ref().map(|id| id.to_string().into()),
        error_code,
    }
}
