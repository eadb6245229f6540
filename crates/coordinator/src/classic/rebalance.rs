//! The two phases of a rebalance, and what ends each of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_protocol::ErrorCode;
use klamm_protocol::messages::JoinGroupResponse;

use super::group::{ClassicGroup, GroupState, InitialDelay};
use super::sync::sync_error;
use crate::step::{Completion, RequestId};
use crate::timer::{DueEntry, Guards};
use crate::turn::Turn;

impl ClassicGroup {
    /// Makes the members join again, or, where they already do, goes on if this was the last one.
    pub(super) fn rebalance_or_complete_join(&mut self, turn: &mut Turn<'_>) {
        if self.state == GroupState::PreparingRebalance {
            self.complete_join_if_all_joined(turn);
        } else {
            self.prepare_rebalance(turn);
        }
    }

    /// Ends the join phase if nobody is missing. The first rebalance of an empty group waits for its delay in any case.
    pub(super) fn complete_join_if_all_joined(&mut self, turn: &mut Turn<'_>) {
        let is_preparing = self.state == GroupState::PreparingRebalance;
        if is_preparing && self.initial_delay.is_none() && self.all_members_joined() {
            self.complete_join(turn);
        }
    }

    /// Begins the join phase.
    pub(crate) fn prepare_rebalance(&mut self, turn: &mut Turn<'_>) {
        if self.state == GroupState::CompletingRebalance {
            self.withdraw_assignment(turn, ErrorCode::REBALANCE_IN_PROGRESS);
        }
        self.pending_sync.clear();
        self.sync_timer = None;
        let was_empty = self.is_empty();
        self.enter(GroupState::PreparingRebalance, turn.now.wall_ms);
        if was_empty {
            self.begin_initial_delay(turn);
        } else if self.all_members_joined() {
            self.complete_join(turn);
        } else {
            self.await_joins(turn);
        }
    }

    fn begin_initial_delay(&mut self, turn: &mut Turn<'_>) {
        let delay_ms = i64::from(turn.settings.group_initial_rebalance_delay_ms);
        let remaining_ms = (self.rebalance_timeout_ms() - delay_ms).max(0);
        self.initial_delay = Some(InitialDelay { delay_ms, remaining_ms, has_newcomer: false });
        turn.schedule(&mut self.join_timer, delay_ms, &self.id, || Guards::Join);
    }

    fn await_joins(&mut self, turn: &mut Turn<'_>) {
        let timeout_ms = self.rebalance_timeout_ms();
        turn.schedule(&mut self.join_timer, timeout_ms, &self.id, || Guards::Join);
    }

    /// The join timer came due, unless it has moved.
    pub(crate) fn on_join_timer(&mut self, turn: &mut Turn<'_>, entry: &DueEntry) {
        if !turn.timers.is_due(&mut self.join_timer, entry, turn.now.monotonic_ms) {
            return;
        }
        match self.initial_delay {
            Some(delay) if delay.has_newcomer && delay.remaining_ms > 0 => self.extend_delay(turn, delay),
            _ => self.complete_join(turn),
        }
    }

    fn extend_delay(&mut self, turn: &mut Turn<'_>, over: InitialDelay) {
        let delay_ms = i64::from(turn.settings.group_initial_rebalance_delay_ms).min(over.remaining_ms);
        let remaining_ms = (over.remaining_ms - over.delay_ms).max(0);
        self.initial_delay = Some(InitialDelay { delay_ms, remaining_ms, has_newcomer: false });
        turn.schedule(&mut self.join_timer, delay_ms, &self.id, || Guards::Join);
    }

    /// Ends the join phase with those who joined. Dynamic members who did not are out; static ones keep their place
    /// until their session ends.
    pub(super) fn complete_join(&mut self, turn: &mut Turn<'_>) {
        self.join_timer = None;
        self.remove_absent_members();
        if !self.elect_joined_leader() && !self.members.is_empty() {
            // Only static members, and none of them here: wait for one to come, or for their sessions to end.
            return self.await_joins(turn);
        }
        self.begin_next_generation(turn.now.wall_ms);
        if self.is_empty() {
            turn.write(vec![self.metadata_record(&BTreeMap::new())], Completion::Nothing);
        } else {
            self.answer_all_joins(turn);
        }
    }

    fn remove_absent_members(&mut self) {
        let is_absent = |id: &&Arc<str>| {
            self.members.get(*id).is_some_and(|member| !member.is_awaiting_join() && !member.is_static())
        };
        let absent: Vec<Arc<str>> = self.members.keys().filter(is_absent).cloned().collect();
        for member_id in absent {
            self.remove(&member_id);
        }
    }

    fn answer_all_joins(&mut self, turn: &mut Turn<'_>) {
        let member_ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for member_id in member_ids {
            if let Some(parked) = self.take_join(&member_id) {
                self.answer_joined(turn, &member_id, parked);
            }
            if let Some(member) = self.members.get_mut(&member_id) {
                member.is_new = false;
            }
            self.hear_from(turn, &member_id);
            self.pending_sync.insert(member_id);
        }
        let timeout_ms = self.rebalance_timeout_ms();
        turn.schedule(&mut self.sync_timer, timeout_ms, &self.id, || Guards::Sync);
    }

    /// The sync timer came due, unless it has moved: those who have not synced are out.
    pub(crate) fn on_sync_timer(&mut self, turn: &mut Turn<'_>, entry: &DueEntry) {
        if !turn.timers.is_due(&mut self.sync_timer, entry, turn.now.monotonic_ms)
            || self.pending_sync.is_empty()
        {
            return;
        }
        for member_id in std::mem::take(&mut self.pending_sync) {
            if let Some(member) = self.remove(&member_id) {
                turn.dismiss(&member);
            }
        }
        self.prepare_rebalance(turn);
    }

    /// The session timer of a member came due, unless it has moved.
    pub(crate) fn on_session_timer(&mut self, turn: &mut Turn<'_>, member_id: &str, entry: &DueEntry) {
        if let Some(session) = self.pending_members.get_mut(member_id) {
            if turn.timers.is_due(session, entry, turn.now.monotonic_ms) {
                self.remove(member_id);
                self.complete_join_without(turn);
            }
        } else if let Some(member) = self.members.get_mut(member_id)
            && turn.timers.is_due(&mut member.session, entry, turn.now.monotonic_ms)
            && !member.is_excused()
        {
            self.expel(turn, member_id);
        }
    }

    fn expel(&mut self, turn: &mut Turn<'_>, member_id: &str) {
        if let Some(member) = self.remove(member_id) {
            turn.dismiss(&member);
        }
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(turn),
            GroupState::PreparingRebalance => self.complete_join_without(turn),
            GroupState::Empty => {}
        }
    }

    /// Somebody who was waited for is gone: that may have been the last one.
    fn complete_join_without(&mut self, turn: &mut Turn<'_>) {
        if self.state == GroupState::PreparingRebalance && self.all_members_joined() {
            self.complete_join(turn);
        }
    }

    /// Restarts the session of a member that gave a sign of life.
    pub(crate) fn hear_from(&mut self, turn: &mut Turn<'_>, member_id: &str) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        let timeout_ms = i64::from(member.subscription.session_timeout_ms);
        let id = &member.id;
        turn.schedule(&mut member.session, timeout_ms, &self.id, || Guards::Session(Arc::clone(id)));
    }

    /// Sends all who wait for the assignment back to join, or wherever `error` sends them.
    pub(super) fn withdraw_assignment(&mut self, turn: &mut Turn<'_>, error: ErrorCode) {
        let member_ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for member_id in member_ids {
            let Some(member) = self.members.get_mut(&member_id) else { continue };
            member.assignment.clear();
            if let Some(parked) = member.parked_sync.take() {
                turn.answer_sync(parked, sync_error(error));
                self.hear_from(turn, &member_id);
            }
        }
    }

    /// The write that made this group failed: the join that caused it is answered with the error, if it still waits.
    pub(crate) fn fail_creation(&mut self, turn: &mut Turn<'_>, request: RequestId, error: ErrorCode) {
        let waiting = self
            .members
            .values()
            .find(|member| member.parked_join.is_some_and(|parked| parked.request == request));
        let Some(member_id) = waiting.map(|member| Arc::clone(&member.id)) else { return };
        if let Some(parked) = self.take_join(&member_id) {
            turn.answer_join(parked, JoinGroupResponse { error_code: error, ..JoinGroupResponse::default() });
        }
    }

    /// The shard is no longer the group's coordinator: all who wait are sent to look for the new one.
    pub(crate) fn resign(mut self, turn: &mut Turn<'_>) {
        for (_, mut member) in std::mem::take(&mut self.members) {
            if let Some(parked) = member.parked_join.take() {
                turn.answer_join(parked, super::join::join_error(&member.id, ErrorCode::NOT_COORDINATOR));
            }
            if let Some(parked) = member.parked_sync.take() {
                turn.answer_sync(parked, sync_error(ErrorCode::NOT_COORDINATOR));
            }
        }
    }
}
