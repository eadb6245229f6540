//! Heartbeat, and what an offset commit asks of the group.

use klamm_protocol::ErrorCode;

use super::group::{ClassicGroup, GroupState};
use crate::turn::Turn;

impl ClassicGroup {
    /// Handles a heartbeat; the answer is a code.
    pub(crate) fn heartbeat(
        &mut self,
        turn: &mut Turn<'_>,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> ErrorCode {
        if let Err(error) = self.validate_member(member_id, instance_id) {
            return error;
        }
        if generation != self.generation {
            return ErrorCode::ILLEGAL_GENERATION;
        }
        self.hear_from(turn, member_id);
        match self.state {
            GroupState::PreparingRebalance => ErrorCode::REBALANCE_IN_PROGRESS,
            GroupState::Empty | GroupState::CompletingRebalance | GroupState::Stable => ErrorCode::NONE,
        }
    }

    /// Whether offsets may be committed in the name of this member and generation. A commit without either comes from
    /// an administrator or from a consumer that assigns itself, and needs an empty group.
    pub(crate) fn validate_commit(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        if generation < 0 && self.is_empty() {
            return Ok(());
        }
        if generation < 0 && member_id.is_empty() && instance_id.is_none() {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        self.validate_member(member_id, instance_id)?;
        if generation != self.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        // The member knows the new generation, but its partitions may already belong to another one.
        if self.state == GroupState::CompletingRebalance {
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        Ok(())
    }
}
