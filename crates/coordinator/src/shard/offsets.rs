//! The requests about offsets: OffsetCommit, OffsetFetch, OffsetDelete.

use klamm_protocol::ErrorCode;
use klamm_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use klamm_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use klamm_protocol::messages::{OffsetCommitRequest, OffsetDeleteRequest, OffsetDeleteResponse};

use super::{Group, Shard};
use crate::classic::GroupState;
use crate::offsets::{CommitCheck, Offsets, refuse_commit};
use crate::step::{Answer, Completion, RequestContext, Response, Step, Write};
use crate::turn::Turn;

/// From this version on OffsetCommit tells that a group does not exist.
const COMMIT_NOT_FOUND_FROM: i16 = 9;

impl Shard {
    /// OffsetCommit 2–10. The caller has left out unknown topics and partitions, and gives both name and id of every
    /// topic whatever the version. The records borrow from the request.
    pub fn offset_commit<'a>(
        &mut self,
        context: &RequestContext<'_>,
        request: &'a OffsetCommitRequest<'_>,
    ) -> Step<'a> {
        if let Err(error) = self.admit_commit(context, request) {
            return Step::answer(context.request, Response::OffsetCommit(refuse_commit(request, error)));
        }
        let metadata_length_max = self.settings.offset_metadata_max_bytes;
        let check = CommitCheck { now_ms: context.now.wall_ms, metadata_length_max };
        let (records, response) = check.commit(request);
        let response = Response::OffsetCommit(response);
        if records.is_empty() {
            return Step::answer(context.request, response);
        }
        let completion = Completion::Answer(Answer { request: context.request, response });
        Step { answers: Vec::new(), write: Some(Write { records, completion }) }
    }

    fn admit_commit(
        &mut self,
        context: &RequestContext<'_>,
        request: &OffsetCommitRequest<'_>,
    ) -> Result<(), ErrorCode> {
        self.unavailable().map_or(Ok(()), Err)?;
        let generation = request.generation_id_or_member_epoch;
        let is_simple = generation < 0;
        match self.groups.get_mut(request.group_id.as_ref()) {
            Some(Group::Classic(group)) => {
                let instance_id = request.group_instance_id.as_deref();
                group.validate_commit(&request.member_id, instance_id, generation)?;
                if matches!(group.state(), GroupState::Stable | GroupState::PreparingRebalance) {
                    let mut turn = Turn::new(context.now, &self.settings, &mut self.timers);
                    group.hear_from(&mut turn, &request.member_id);
                }
                Ok(())
            }
            Some(Group::Foreign(group)) if is_simple && group.is_empty() => Ok(()),
            Some(Group::Foreign(_)) => Err(ErrorCode::UNKNOWN_MEMBER_ID),
            None if is_simple => Ok(()),
            None if context.api_version >= COMMIT_NOT_FOUND_FROM => Err(ErrorCode::GROUP_ID_NOT_FOUND),
            None => Err(ErrorCode::ILLEGAL_GENERATION),
        }
    }

    /// OffsetFetch 1–10, for one of its groups. The caller gives both name and id of every topic it knows them of, and
    /// fills in the ids that the answer lacks.
    pub fn offset_fetch(
        &mut self,
        context: &RequestContext<'_>,
        group: &OffsetFetchRequestGroup<'_>,
        require_stable: bool,
    ) -> Step<'static> {
        if let Some(error_code) = self.unavailable() {
            let group_id = group.group_id.to_string().into();
            let response =
                OffsetFetchResponseGroup { group_id, error_code, ..OffsetFetchResponseGroup::default() };
            return Step::answer(context.request, Response::OffsetFetch(response));
        }
        let response = if self.groups.contains_key(group.group_id.as_ref()) {
            self.offsets.fetch(group, require_stable)
        } else {
            Offsets::default().fetch(group, require_stable)
        };
        let response = Response::OffsetFetch(response);
        if self.is_settled() {
            return Step::answer(context.request, response);
        }
        self.wait_for_commit(Completion::Answer(Answer { request: context.request, response }), context.now);
        Step::default()
    }

    /// OffsetDelete 0. Offsets of topics that the group subscribes to stay.
    pub fn offset_delete(
        &mut self,
        context: &RequestContext<'_>,
        request: &OffsetDeleteRequest<'_>,
    ) -> Step<'static> {
        if let Err(error_code) = self.admit_delete(&request.group_id) {
            let response = OffsetDeleteResponse { error_code, ..OffsetDeleteResponse::default() };
            return Step::answer(context.request, Response::OffsetDelete(response));
        }
        let mut records = Vec::new();
        let group_id = &request.group_id;
        let topics = request.topics.iter().map(|topic| {
            let group = self.groups.get(group_id.as_ref());
            let is_subscribed = group.is_some_and(|group| group.is_subscribed(&topic.name));
            self.offsets.delete_topic(group_id, topic, is_subscribed, &mut records)
        });
        let response = OffsetDeleteResponse { topics: topics.collect(), ..OffsetDeleteResponse::default() };
        let mut turn = Turn::new(context.now, &self.settings, &mut self.timers);
        if !records.is_empty() {
            turn.write(records, Completion::Nothing);
        }
        turn.answer_when_committed(context.request, Response::OffsetDelete(response));
        turn.into_step()
    }

    /// A group with members may lose offsets only if it can be told which of them are in use.
    fn admit_delete(&self, group_id: &str) -> Result<(), ErrorCode> {
        self.unavailable_to_members(group_id).map_or(Ok(()), Err)?;
        match self.groups.get(group_id) {
            Some(Group::Classic(group)) if group.is_empty() || group.uses_consumer_protocol() => Ok(()),
            Some(Group::Classic(_)) => Err(ErrorCode::NON_EMPTY_GROUP),
            Some(Group::Foreign(_)) => Ok(()),
            None => Err(ErrorCode::GROUP_ID_NOT_FOUND),
        }
    }
}
