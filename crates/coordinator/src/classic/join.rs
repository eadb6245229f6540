//! JoinGroup: how a member gets in, or stays in.

use std::sync::Arc;

use klamm_protocol::ErrorCode;
use klamm_protocol::messages::join_group_response::JoinGroupResponseMember;
use klamm_protocol::messages::{JoinGroupRequest, JoinGroupResponse};

use super::group::{ClassicGroup, GroupState};
use super::member::{Member, Parked, Subscription};
use crate::bounds::NEW_MEMBER_JOIN_TIMEOUT_MS;
use crate::step::RequestContext;
use crate::timer::Guards;
use crate::turn::Turn;

/// From this version on a member that brings no id is told one and must join again with it (KIP-394), so that joins
/// whose answer got lost do not leave members behind that nobody is.
const MEMBER_ID_REQUIRED_FROM: i16 = 4;

/// A JoinGroup request, read into what the group keeps.
pub(crate) struct Join<'r> {
    pub(super) parked: Parked,
    pub(super) member_id: &'r str,
    pub(super) instance_id: Option<&'r str>,
    pub(super) protocol_type: &'r str,
    pub(super) client_id: &'r str,
    pub(super) client_host: &'r str,
    pub(super) subscription: Subscription,
}

impl<'r> Join<'r> {
    pub(crate) fn new(context: &RequestContext<'r>, request: &'r JoinGroupRequest<'_>) -> Self {
        Self {
            parked: Parked::new(context),
            member_id: &request.member_id,
            instance_id: request.group_instance_id.as_deref(),
            protocol_type: &request.protocol_type,
            client_id: context.client_id,
            client_host: context.client_host,
            subscription: Subscription::of(request, context.api_version),
        }
    }
}

impl ClassicGroup {
    /// Handles a join. `random` becomes part of the member's id, if it needs one.
    pub(crate) fn join(&mut self, turn: &mut Turn<'_>, join: Join<'_>, random: u128) {
        if !self.has_room_for(join.member_id, turn.settings.group_max_size) {
            turn.answer_join(join.parked, join_error("", ErrorCode::GROUP_MAX_SIZE_REACHED));
            return self.leave_out(turn, join.member_id);
        }
        if !self.supports(join.protocol_type, &join.subscription.protocols) {
            let refusal = join_error(join.member_id, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
            return turn.answer_join(join.parked, refusal);
        }
        if join.member_id.is_empty() {
            self.join_new(turn, join, random);
        } else if self.pending_members.contains_key(join.member_id) {
            self.join_pending(turn, join);
        } else {
            self.join_known(turn, join);
        }
    }

    /// Takes one out that there is no room for. The others may have waited for nobody else.
    fn leave_out(&mut self, turn: &mut Turn<'_>, member_id: &str) {
        if let Some(member) = self.remove(member_id) {
            turn.dismiss(&member);
            self.complete_join_if_all_joined(turn);
        }
    }

    fn join_new(&mut self, turn: &mut Turn<'_>, join: Join<'_>, random: u128) {
        let new_id = generate_member_id(join.instance_id.unwrap_or(join.client_id), random);
        let holder = join.instance_id.and_then(|instance_id| self.static_members.get(instance_id)).cloned();
        if let Some(old_id) = holder {
            self.replace_static_member(turn, join, &old_id, &new_id);
        } else if join.instance_id.is_none() && join.parked.api_version >= MEMBER_ID_REQUIRED_FROM {
            self.ask_to_join_again(turn, &join, new_id);
        } else {
            self.add_and_rebalance(turn, join, new_id);
        }
    }

    fn ask_to_join_again(&mut self, turn: &mut Turn<'_>, join: &Join<'_>, new_id: Arc<str>) {
        let mut timer = None;
        let session_timeout_ms = i64::from(join.subscription.session_timeout_ms);
        turn.schedule(&mut timer, session_timeout_ms, &self.id, || Guards::Session(Arc::clone(&new_id)));
        turn.answer_join(join.parked, join_error(&new_id, ErrorCode::MEMBER_ID_REQUIRED));
        self.pending_members.insert(new_id, timer);
    }

    fn join_pending(&mut self, turn: &mut Turn<'_>, join: Join<'_>) {
        if join.instance_id.is_some() {
            // Only dynamic members are ever told to come back with an id.
            let refusal = join_error(join.member_id, ErrorCode::UNKNOWN_SERVER_ERROR);
            return turn.answer_join(join.parked, refusal);
        }
        let member_id = join.member_id.into();
        self.add_and_rebalance(turn, join, member_id);
    }

    fn join_known(&mut self, turn: &mut Turn<'_>, join: Join<'_>) {
        if let Err(error) = self.validate_member(join.member_id, join.instance_id) {
            return turn.answer_join(join.parked, join_error(join.member_id, error));
        }
        let is_leader = self.is_leader(join.member_id);
        let has_changed = self
            .members
            .get(join.member_id)
            .is_some_and(|member| member.subscription.protocols != join.subscription.protocols);
        match self.state {
            // It may not have seen the answer to its last join: it gets it again.
            GroupState::CompletingRebalance if !has_changed => {
                self.answer_joined(turn, join.member_id, join.parked)
            }
            GroupState::Stable if !has_changed && !is_leader => {
                self.answer_joined(turn, join.member_id, join.parked);
            }
            GroupState::Empty => {
                turn.answer_join(join.parked, join_error(join.member_id, ErrorCode::UNKNOWN_MEMBER_ID));
            }
            // A leader joins anew in a stable group when it wants a rebalance, as when its topics have changed.
            _ => self.resubscribe_and_rebalance(turn, join),
        }
    }

    fn resubscribe_and_rebalance(&mut self, turn: &mut Turn<'_>, join: Join<'_>) {
        self.resubscribe(join.member_id, join.subscription);
        self.wait_for_join(turn, join.member_id, join.parked);
        self.rebalance_or_complete_join(turn);
    }

    pub(super) fn wait_for_join(&mut self, turn: &mut Turn<'_>, member_id: &str, parked: Parked) {
        if let Some(superseded) = self.park_join(member_id, parked) {
            turn.answer_join(superseded, join_error(member_id, ErrorCode::REBALANCE_IN_PROGRESS));
        }
    }

    fn add_and_rebalance(&mut self, turn: &mut Turn<'_>, join: Join<'_>, member_id: Arc<str>) {
        if let Some(delay) = &mut self.initial_delay {
            delay.has_newcomer = true;
        }
        let mut member = Member {
            id: Arc::clone(&member_id),
            instance_id: join.instance_id.map(Into::into),
            client_id: join.client_id.into(),
            client_host: join.client_host.into(),
            subscription: join.subscription,
            assignment: Vec::new(),
            is_new: true,
            session: None,
            parked_join: None,
            parked_sync: None,
        };
        turn.schedule(&mut member.session, NEW_MEMBER_JOIN_TIMEOUT_MS, &self.id, || {
            Guards::Session(member_id)
        });
        self.add(member, join.protocol_type, Some(join.parked));
        self.rebalance_or_complete_join(turn);
    }

    /// Whether there is room for one that joins under `member_id`.
    fn has_room_for(&self, member_id: &str, size_max: usize) -> bool {
        let known = self.members.get(member_id);
        match self.state {
            GroupState::Empty => true,
            // Those who wait are counted, not those who are known: where the limit was lowered below the group's size,
            // the last to join again are left out.
            GroupState::PreparingRebalance => {
                known.is_some_and(Member::is_awaiting_join) || self.parked_joins < size_max
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                known.is_some() || self.members.len() < size_max
            }
        }
    }

    /// Answers a join with the present generation. Only the leader learns who is in the group, and in a stable
    /// group nobody does: there is nothing to assign.
    pub(super) fn answer_joined(&self, turn: &mut Turn<'_>, member_id: &str, parked: Parked) {
        let assigns = self.state == GroupState::CompletingRebalance && self.is_leader(member_id);
        let members = if assigns { self.joined_members() } else { Vec::new() };
        turn.answer_join(parked, JoinGroupResponse { members, ..self.joined(member_id) });
    }

    /// The answer to a join that succeeded, without the list of members.
    pub(super) fn joined(&self, member_id: &str) -> JoinGroupResponse<'static> {
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: self.protocol_type.as_deref().map(|name| name.to_owned().into()),
            protocol_name: self.protocol_name.as_deref().map(|name| name.to_owned().into()),
            leader: self.leader.as_deref().unwrap_or_default().to_owned().into(),
            member_id: member_id.to_owned().into(),
            ..JoinGroupResponse::default()
        }
    }

    /// All members with what they offered for the chosen protocol.
    pub(super) fn joined_members(&self) -> Vec<JoinGroupResponseMember<'static>> {
        let protocol = self.protocol_name.as_deref().unwrap_or_default();
        let describe = |member: &Member| JoinGroupResponseMember {
            member_id: member.id.to_string().into(),
            group_instance_id: member.instance_id.as_deref().map(|id| id.to_owned().into()),
            metadata: member.metadata(protocol).to_vec().into(),
        };
        self.members.values().map(describe).collect()
    }
}

impl Turn<'_> {
    /// Answers what a member that is no longer one waits for. It will join again if it is still alive.
    pub(super) fn dismiss(&mut self, member: &Member) {
        if let Some(parked) = member.parked_join {
            self.answer_join(parked, join_error("", ErrorCode::UNKNOWN_MEMBER_ID));
        }
        if let Some(parked) = member.parked_sync {
            self.answer_sync(parked, super::sync::sync_error(ErrorCode::UNKNOWN_MEMBER_ID));
        }
    }
}

/// The refusal of a join.
pub(crate) fn join_error(member_id: &str, error_code: ErrorCode) -> JoinGroupResponse<'static> {
    JoinGroupResponse { error_code, member_id: member_id.to_owned().into(), ..JoinGroupResponse::default() }
}

/// `prefix`, a dash, and a random UUID as Java prints it.
fn generate_member_id(prefix: &str, random: u128) -> Arc<str> {
    // Version 4, variant 1, as every random UUID says of itself.
    let fixed = (0xF_u128 << 76) | (0x3_u128 << 62);
    let uuid = (random & !fixed) | (0x4_u128 << 76) | (0x2_u128 << 62);
    let hex = format!("{uuid:032x}");
    format!("{prefix}-{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]).into()
}

#[cfg(test)]
mod tests {
    use super::generate_member_id;

    #[test]
    fn member_ids_end_in_a_random_uuid() {
        assert_eq!(&*generate_member_id("c", 0), "c-00000000-0000-4000-8000-000000000000");
        assert_eq!(&*generate_member_id("", u128::MAX), "-ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
