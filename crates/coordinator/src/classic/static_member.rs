//! Static members: a restart that brings the same instance id takes over the place of the member before it, without a
//! rebalance where that changes nothing for the others (KIP-345, KIP-814).

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_protocol::ErrorCode;
use klamm_protocol::messages::JoinGroupResponse;

use super::group::{ClassicGroup, GroupState};
use super::join::{Join, join_error};
use super::member::{Parked, Subscription};
use super::sync::sync_error;
use crate::step::{Completion, RequestId};
use crate::turn::Turn;

/// From this version on a leader that comes back can be told that there is nothing to assign (KIP-814). Before, it is
/// told that its old self still leads, so that it does not try.
const SKIP_ASSIGNMENT_FROM: i16 = 9;

/// A replacement that waits for its record to be committed, with what undoes it.
#[derive(Debug, PartialEq)]
pub(crate) struct StaticReplacement {
    pub(crate) group_id: Arc<str>,
    request: RequestId,
    old_id: Arc<str>,
    new_id: Arc<str>,
    old_subscription: Subscription,
    old_leader: Option<Arc<str>>,
}

impl ClassicGroup {
    /// Gives the place of `old_id` to `new_id`, which joins.
    pub(super) fn replace_static_member(
        &mut self,
        turn: &mut Turn<'_>,
        join: Join<'_>,
        old_id: &Arc<str>,
        new_id: &Arc<str>,
    ) {
        let Some(old_member) = self.members.get(old_id) else { return };
        let replacement = StaticReplacement {
            group_id: Arc::clone(&self.id),
            request: join.parked.request,
            old_id: Arc::clone(old_id),
            new_id: Arc::clone(new_id),
            old_subscription: old_member.subscription.clone(),
            old_leader: self.leader.clone(),
        };
        self.fence(turn, old_id, new_id);
        self.resubscribe(new_id, join.subscription);
        self.wait_for_join(turn, new_id, join.parked);
        self.hear_from(turn, new_id);
        match self.state {
            GroupState::Stable if self.select_protocol() == self.protocol_name => {
                self.write_replacement(turn, replacement);
            }
            // The leader may already have been told of the old id; an assignment to it would reach nobody.
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(turn),
            GroupState::PreparingRebalance | GroupState::Empty => self.complete_join_if_all_joined(turn),
        }
    }

    fn fence(&mut self, turn: &mut Turn<'_>, old_id: &Arc<str>, new_id: &Arc<str>) {
        let Some((join, sync)) = self.rename(old_id, new_id) else { return };
        if let Some(parked) = join {
            turn.answer_join(parked, join_error(old_id, ErrorCode::FENCED_INSTANCE_ID));
        }
        if let Some(parked) = sync {
            turn.answer_sync(parked, sync_error(ErrorCode::FENCED_INSTANCE_ID));
        }
    }

    fn write_replacement(&mut self, turn: &mut Turn<'_>, replacement: StaticReplacement) {
        self.subscribed_topics = self.compute_subscribed_topics();
        let assignments: BTreeMap<Arc<str>, Vec<u8>> =
            self.members.values().map(|member| (Arc::clone(&member.id), member.assignment.clone())).collect();
        let record = self.metadata_record(&assignments);
        turn.write(vec![record], Completion::StaticReplacement(Box::new(replacement)));
    }

    /// The replacement is committed. If the group rebalances meanwhile, that answers the join.
    pub(crate) fn confirm_replacement(&mut self, turn: &mut Turn<'_>, replacement: &StaticReplacement) {
        if self.state != GroupState::Stable {
            return;
        }
        let Some(parked) = self.take_replacing_join(replacement) else { return };
        let new_id = &replacement.new_id;
        let response = if parked.api_version >= SKIP_ASSIGNMENT_FROM {
            let leads = self.is_leader(new_id);
            let members = if leads { self.joined_members() } else { Vec::new() };
            JoinGroupResponse { members, skip_assignment: leads, ..self.joined(new_id) }
        } else {
            let leader = replacement.old_leader.as_deref().unwrap_or_default().to_owned().into();
            JoinGroupResponse { leader, ..self.joined(new_id) }
        };
        turn.answer_join(parked, response);
        self.hear_from(turn, new_id);
    }

    /// The replacement could not be committed: the old member has its place back, unless a rebalance has answered the
    /// new one meanwhile.
    pub(crate) fn revert_replacement(
        &mut self,
        turn: &mut Turn<'_>,
        replacement: StaticReplacement,
        error: ErrorCode,
    ) {
        let Some(parked) = self.take_replacing_join(&replacement) else { return };
        turn.answer_join(parked, join_error("", error));
        let StaticReplacement { old_id, new_id, old_subscription, .. } = replacement;
        self.fence(turn, &new_id, &old_id);
        self.resubscribe(&old_id, old_subscription);
        self.subscribed_topics = self.compute_subscribed_topics();
        self.hear_from(turn, &old_id);
    }

    fn take_replacing_join(&mut self, replacement: &StaticReplacement) -> Option<Parked> {
        let parked = self.members.get(&replacement.new_id)?.parked_join?;
        if parked.request == replacement.request { self.take_join(&replacement.new_id) } else { None }
    }
}
