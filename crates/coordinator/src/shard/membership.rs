//! The requests of group members: JoinGroup, SyncGroup, Heartbeat, LeaveGroup. And DeleteGroups.

use std::sync::Arc;

use klamm_protocol::ErrorCode;
use klamm_protocol::messages::delete_groups_response::DeletableGroupResult;
use klamm_protocol::messages::leave_group_request::MemberIdentity;
use klamm_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, LeaveGroupRequest, LeaveGroupResponse,
    SyncGroupRequest,
};

use super::{Group, Shard};
use crate::classic::{ClassicGroup, Join, Parked, join_error, leave_response, sync_error};
use crate::record::CoordinatorRecord;
use crate::step::{Completion, RequestContext, Response, Step};
use crate::turn::Turn;

/// From this version on LeaveGroup names members, and its answer tells of each.
const LEAVE_NAMES_MEMBERS_FROM: i16 = 3;
/// From this version on SyncGroup has to say which protocol it is about.
const SYNC_NAMES_PROTOCOL_FROM: i16 = 5;

impl Shard {
    /// JoinGroup 0–9. The answer may take until the rebalance timeout. `random` becomes part of a new member's id.
    pub fn join_group(
        &mut self,
        context: &RequestContext<'_>,
        request: &JoinGroupRequest<'_>,
        random: u128,
    ) -> Step<'static> {
        let refusal = self.refuse_join(request);
        let mut turn = Turn::new(context.now, &self.settings, &mut self.timers);
        let parked = Parked::new(context);
        if let Some((member_id, error)) = refusal {
            turn.answer_join(parked, join_error(member_id, error));
            return turn.into_step();
        }
        let join = Join::new(context, request);
        if let Some(Group::Classic(group)) = self.groups.get_mut(request.group_id.as_ref()) {
            group.join(&mut turn, join, random);
            return turn.into_step();
        }
        let group_id: Arc<str> = request.group_id.as_ref().into();
        let mut group = Box::new(ClassicGroup::new(Arc::clone(&group_id), context.now.wall_ms));
        let creation = group.creation_record();
        group.join(&mut turn, join, random);
        let replaced = self.groups.insert(Arc::clone(&group_id), Group::Classic(group));
        let mut records = match replaced {
            Some(Group::Foreign(group)) => group.tombstones(),
            _ => Vec::new(),
        };
        records.push(creation);
        turn.write(records, Completion::NewGroup { group_id, request: context.request });
        turn.into_step()
    }

    /// The member id and the error of a join that is refused before any group sees it.
    fn refuse_join<'r>(&self, request: &'r JoinGroupRequest<'_>) -> Option<(&'r str, ErrorCode)> {
        let member_id = request.member_id.as_ref();
        if let Some(error) = self.unavailable_to_members(&request.group_id) {
            return Some((member_id, error));
        }
        let settings = &self.settings;
        let allowed = settings.group_min_session_timeout_ms..=settings.group_max_session_timeout_ms;
        if !allowed.contains(&request.session_timeout_ms) {
            return Some((member_id, ErrorCode::INVALID_SESSION_TIMEOUT));
        }
        match self.groups.get(request.group_id.as_ref()) {
            Some(Group::Foreign(group)) if !group.is_deletable() => {
                Some(("", ErrorCode::INCONSISTENT_GROUP_PROTOCOL))
            }
            // Only a newcomer makes a group: anybody else must have been told its id by one that is gone.
            None | Some(Group::Foreign(_)) if !member_id.is_empty() => {
                Some((member_id, ErrorCode::UNKNOWN_MEMBER_ID))
            }
            _ => None,
        }
    }

    /// SyncGroup 0–5. The answer comes when the leader's assignment is committed.
    pub fn sync_group(
        &mut self,
        context: &RequestContext<'_>,
        request: &SyncGroupRequest<'_>,
    ) -> Step<'static> {
        let unavailable = self.unavailable_to_members(&request.group_id);
        let names_protocol = request.protocol_type.is_some() && request.protocol_name.is_some();
        let mut turn = Turn::new(context.now, &self.settings, &mut self.timers);
        let parked = Parked::new(context);
        if context.api_version >= SYNC_NAMES_PROTOCOL_FROM && !names_protocol {
            turn.answer_sync(parked, sync_error(ErrorCode::INCONSISTENT_GROUP_PROTOCOL));
        } else if let Some(error) = unavailable {
            turn.answer_sync(parked, sync_error(error));
        } else if let Some(Group::Classic(group)) = self.groups.get_mut(request.group_id.as_ref()) {
            group.sync(&mut turn, parked, request);
        } else {
            turn.answer_sync(parked, sync_error(ErrorCode::UNKNOWN_MEMBER_ID));
        }
        turn.into_step()
    }

    /// Heartbeat 0–4.
    pub fn heartbeat(
        &mut self,
        context: &RequestContext<'_>,
        request: &HeartbeatRequest<'_>,
    ) -> Step<'static> {
        let error_code = match self.unavailable_to_members(&request.group_id) {
            // Nobody can tell yet whether it is a member; telling it to stay calm is no harm.
            Some(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS) => ErrorCode::NONE,
            Some(error) => error,
            None => self.heartbeat_code(context, request),
        };
        let response = HeartbeatResponse { error_code, ..HeartbeatResponse::default() };
        Step::answer(context.request, Response::Heartbeat(response))
    }

    fn heartbeat_code(&mut self, context: &RequestContext<'_>, request: &HeartbeatRequest<'_>) -> ErrorCode {
        let mut turn = Turn::new(context.now, &self.settings, &mut self.timers);
        let Some(Group::Classic(group)) = self.groups.get_mut(request.group_id.as_ref()) else {
            return ErrorCode::UNKNOWN_MEMBER_ID;
        };
        let instance_id = request.group_instance_id.as_deref();
        group.heartbeat(&mut turn, &request.member_id, instance_id, request.generation_id)
    }

    /// LeaveGroup 0–5, for one member or many.
    pub fn leave_group(
        &mut self,
        context: &RequestContext<'_>,
        request: &LeaveGroupRequest<'_>,
    ) -> Step<'static> {
        if let Some(error_code) = self.unavailable_to_members(&request.group_id) {
            let response = LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() };
            return Step::answer(context.request, Response::LeaveGroup(response));
        }
        let names_members = context.api_version >= LEAVE_NAMES_MEMBERS_FROM;
        let only =
            [MemberIdentity { member_id: request.member_id.as_ref().into(), ..MemberIdentity::default() }];
        let leaving = if names_members { &request.members[..] } else { &only };

        let mut turn = Turn::new(context.now, &self.settings, &mut self.timers);
        let members: Vec<_> = match self.groups.get_mut(request.group_id.as_ref()) {
            Some(Group::Classic(group)) => group.leave(&mut turn, leaving),
            _ => leaving.iter().map(|member| leave_response(member, ErrorCode::UNKNOWN_MEMBER_ID)).collect(),
        };
        let response = if names_members {
            LeaveGroupResponse { members, ..LeaveGroupResponse::default() }
        } else {
            let error_code = members.first().map_or(ErrorCode::NONE, |member| member.error_code);
            LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() }
        };
        turn.answer_when_committed(context.request, Response::LeaveGroup(response));
        turn.into_step()
    }

    /// DeleteGroups 0–3, for those of its groups that belong to this shard. A group that has members stays.
    pub fn delete_groups(&mut self, context: &RequestContext<'_>, group_ids: &[&str]) -> Step<'static> {
        let mut records = Vec::new();
        let results = group_ids.iter().map(|group_id| DeletableGroupResult {
            group_id: (*group_id).to_owned().into(),
            error_code: self.delete_group(group_id, &mut records).err().unwrap_or(ErrorCode::NONE),
            ..DeletableGroupResult::default()
        });
        let response = Response::DeleteGroups(results.collect());
        let mut turn = Turn::new(context.now, &self.settings, &mut self.timers);
        if !records.is_empty() {
            turn.write(records, Completion::Nothing);
        }
        turn.answer_when_committed(context.request, response);
        turn.into_step()
    }

    fn delete_group(
        &self,
        group_id: &str,
        records: &mut Vec<CoordinatorRecord<'static>>,
    ) -> Result<(), ErrorCode> {
        self.unavailable().map_or(Ok(()), Err)?;
        let tombstones = match self.groups.get(group_id) {
            Some(Group::Classic(group)) if group.is_empty() => {
                vec![CoordinatorRecord::group_tombstone(group_id)]
            }
            Some(Group::Foreign(group)) if group.is_deletable() => group.tombstones(),
            Some(_) => return Err(ErrorCode::NON_EMPTY_GROUP),
            None => return Err(ErrorCode::GROUP_ID_NOT_FOUND),
        };
        self.offsets.delete_all(group_id, records);
        records.extend(tombstones);
        Ok(())
    }
}
