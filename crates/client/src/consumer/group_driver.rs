//! Carries out what the membership asks for, and turns rebalances into events for the application.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use klamm_protocol::messages::leave_group_request::MemberIdentity;
use klamm_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use klamm_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
};
use klamm_protocol::{ApiKey, ErrorCode};
use tokio::task::JoinSet;

use super::driver::Event as DriverEvent;
use super::group::membership::{Action, Identity, Join, Joined, Membership, MembershipConfig, Sync};
use super::group::offsets::Committer;
use super::group::subscription::PROTOCOL_TYPE;
use super::positions::StartAt;
use super::{CommitError, ConsumeError, Event, Revocation, Shared, State, commit};
use crate::clock::now_ms;
use crate::cluster::{Metadata, Topics};
use crate::config::ConsumerConfig;
use crate::connection::Connection;
use crate::{RequestError, TopicPartition};

/// What came of something the membership asked for.
pub(super) enum GroupEvent {
    CoordinatorFound(Result<i32, RequestError>),
    Joined(Result<Joined, RequestError>),
    Counted(BTreeMap<String, i32>),
    Synced(Result<(ErrorCode, Vec<u8>), RequestError>),
    Heartbeat(Result<ErrorCode, RequestError>),
    Committed { result: Result<(), CommitError>, before_revocation: bool },
}

/// The group side of a consumer.
pub(super) struct GroupDriver {
    group: String,
    membership: Membership,
    /// Partitions that are being given up.
    giving_up: Vec<TopicPartition>,
    give_up_deadline_ms: i64,
    is_committing: bool,
    is_committed_before_revocation: bool,
    losses: u64,
    auto_commit_at_ms: i64,
    /// Where this member leads: the topics of all members, with the numbers of partitions that the assignment was made from; none of a topic
    /// that was not there.
    counts: BTreeMap<String, Option<i32>>,
}

impl GroupDriver {
    pub(super) fn new(group: &str, config: &ConsumerConfig) -> Self {
        let membership = Membership::new(MembershipConfig {
            instance_id: config.group_instance_id.clone(),
            assignors: config.assignors.clone(),
            heartbeat_interval_ms: config.heartbeat_interval_ms,
            retry_backoff_ms: config.client.retry_backoff_ms as i64,
        });
        Self {
            group: group.to_owned(),
            membership,
            giving_up: Vec::new(),
            give_up_deadline_ms: 0,
            is_committing: false,
            is_committed_before_revocation: false,
            losses: 0,
            auto_commit_at_ms: now_ms() + config.auto_commit_interval_ms,
            counts: BTreeMap::new(),
        }
    }

    /// Starts what is due. Says when to look again.
    pub(super) fn act(
        &mut self,
        shared: &Arc<Shared>,
        events: &mut JoinSet<DriverEvent>,
        now: i64,
    ) -> Option<i64> {
        let poll_at = self.check_polling(shared, now);
        self.subscribe(shared);
        let revoke_at = self.go_on_giving_up(shared, events, now);
        let commit_at = self.auto_commit(shared, events, now);
        for action in self.membership.poll(now) {
            self.carry_out(action, shared, events, now);
        }
        self.publish_identity(shared);
        [poll_at, revoke_at, commit_at, self.membership.next_ms()].into_iter().flatten().min()
    }

    /// Tells the membership what to be a member for: nothing while the application is not polling, so that others can do the work.
    fn subscribe(&mut self, shared: &Shared) {
        let mut state = shared.state.lock();
        if std::mem::take(&mut state.has_unsubscribed) {
            self.membership.subscribe(Vec::new());
        }
        self.membership.subscribe(if state.has_timed_out { Vec::new() } else { state.topics.clone() });
    }

    /// Notices when the application has not polled for too long.
    fn check_polling(&mut self, shared: &Shared, now: i64) -> Option<i64> {
        let interval_ms = shared.config.max_poll_interval_ms;
        let mut state = shared.state.lock();
        let deadline_ms = state.last_poll_ms + i64::from(interval_ms);
        let is_late = !state.is_polling && !state.topics.is_empty() && now >= deadline_ms;
        let was_late = std::mem::replace(&mut state.has_timed_out, is_late);
        if is_late && !was_late && self.membership.identity().is_some() {
            state.notices.push_back(Err(ConsumeError::PollTimeout { after_ms: interval_ms }));
        }
        (!state.is_polling && !is_late).then_some(deadline_ms)
    }

    fn carry_out(
        &mut self,
        action: Action,
        shared: &Arc<Shared>,
        events: &mut JoinSet<DriverEvent>,
        now: i64,
    ) {
        let (shared, group) = (Arc::clone(shared), self.group.clone());
        match action {
            Action::FindCoordinator => {
                events.spawn(async move {
                    let found = shared.cluster.group_coordinator(&group).await;
                    DriverEvent::Group(GroupEvent::CoordinatorFound(found))
                });
            }
            Action::Join(join) => {
                let timeout_ms = shared.config.max_poll_interval_ms;
                events.spawn(async move {
                    let joined = send_join(&shared, &group, join, timeout_ms).await;
                    DriverEvent::Group(GroupEvent::Joined(joined))
                });
            }
            Action::CountPartitions(topics) => {
                self.counts = topics.iter().map(|topic| (topic.clone(), None)).collect();
                events.spawn(async move {
                    DriverEvent::Group(GroupEvent::Counted(count_partitions(&shared, topics).await))
                });
            }
            Action::Sync(sync) => {
                events.spawn(async move {
                    DriverEvent::Group(GroupEvent::Synced(send_sync(&shared, &group, sync).await))
                });
            }
            Action::Heartbeat(identity) => {
                events.spawn(async move {
                    DriverEvent::Group(GroupEvent::Heartbeat(send_heartbeat(&shared, &group, identity).await))
                });
            }
            Action::GiveUp(partitions) => self.begin_giving_up(&shared, partitions, now),
            Action::Lost(partitions) => self.lose(&shared, partitions),
            Action::Assigned(partitions) => assigned(&shared, partitions),
            Action::Leave(member_id) => {
                tokio::spawn(async move { leave(&shared, &group, &member_id).await });
            }
            Action::Failed(code) => {
                shared.state.lock().notices.push_back(Err(ConsumeError::Group { group, code }));
                shared.ready.notify_waiters();
            }
        }
    }

    /// Offers the partitions to the application for a last commit. Nothing is delivered until it is done.
    fn begin_giving_up(&mut self, shared: &Shared, partitions: Vec<TopicPartition>, now: i64) {
        self.give_up_deadline_ms = now + i64::from(shared.config.max_poll_interval_ms);
        self.is_committed_before_revocation = false;
        let mut state = shared.state.lock();
        state.revocation = Revocation::Announced;
        state.notices.push_back(Ok(Event::Revoked(partitions.clone())));
        drop(state);
        self.giving_up = partitions;
        shared.ready.notify_waiters();
        shared.wake.notify_one();
    }

    /// Once the application has taken the event: commit; once it has come back and that is done: let go.
    fn go_on_giving_up(
        &mut self,
        shared: &Arc<Shared>,
        events: &mut JoinSet<DriverEvent>,
        now: i64,
    ) -> Option<i64> {
        if self.giving_up.is_empty() {
            return None;
        }
        let revocation = shared.state.lock().revocation;
        let is_late = now >= self.give_up_deadline_ms;
        let auto_commit = shared.config.enable_auto_commit;
        let is_taken = matches!(revocation, Revocation::Taken | Revocation::Done);
        if is_taken && auto_commit && !self.is_committed_before_revocation && !self.is_committing && !is_late
        {
            self.commit(shared, events, true);
        }
        let is_committed = !auto_commit || self.is_committed_before_revocation;
        if is_late || (revocation == Revocation::Done && is_committed) {
            self.finish_giving_up(&mut shared.state.lock());
            self.membership.gave_up();
            shared.ready.notify_waiters();
            return None;
        }
        Some(self.give_up_deadline_ms)
    }

    fn finish_giving_up(&mut self, state: &mut State) {
        let given_up = std::mem::take(&mut self.giving_up);
        state.remove_group_partitions(&given_up);
        state.revocation = Revocation::None;
    }

    /// All under one lock: a commit that no longer finds the partitions must find that they are lost.
    fn lose(&mut self, shared: &Shared, mut partitions: Vec<TopicPartition>) {
        self.losses += 1;
        let mut state = shared.state.lock();
        // What the application has given up by itself is no loss.
        partitions.retain(|partition| state.positions.contains(partition));
        self.finish_giving_up(&mut state);
        state.notices.retain(|notice| !matches!(notice, Ok(Event::Revoked(_))));
        if state.remove_group_partitions(&partitions) && !partitions.is_empty() {
            state.notices.push_back(Ok(Event::Lost(partitions)));
        }
        drop(state);
        shared.ready.notify_waiters();
    }

    /// Commits what is processed, every `auto.commit.interval.ms`.
    fn auto_commit(
        &mut self,
        shared: &Arc<Shared>,
        events: &mut JoinSet<DriverEvent>,
        now: i64,
    ) -> Option<i64> {
        if !shared.config.enable_auto_commit {
            return None;
        }
        if now >= self.auto_commit_at_ms && !self.is_committing {
            self.auto_commit_at_ms = now + shared.config.auto_commit_interval_ms.max(1);
            self.commit(shared, events, false);
        }
        Some(self.auto_commit_at_ms.max(now + 1))
    }

    fn commit(&mut self, shared: &Arc<Shared>, events: &mut JoinSet<DriverEvent>, before_revocation: bool) {
        if shared.state.lock().positions.to_commit(true).is_empty() {
            self.is_committed_before_revocation |= before_revocation;
            return;
        }
        self.is_committing = true;
        let shared = Arc::clone(shared);
        events.spawn(async move {
            let result = commit::commit_positions(&shared, commit::Done::Processed).await;
            DriverEvent::Group(GroupEvent::Committed { result, before_revocation })
        });
    }

    pub(super) fn handle(&mut self, shared: &Shared, event: GroupEvent, now: i64) {
        match event {
            GroupEvent::CoordinatorFound(found) => {
                shared.state.lock().coordinator = found.as_ref().ok().copied();
                self.membership.coordinator_found(found.is_ok(), now);
            }
            GroupEvent::Joined(Ok(joined)) => {
                self.counts.clear();
                self.membership.joined(joined, now);
            }
            GroupEvent::Counted(counts) => {
                self.membership.counted(&counts);
                self.counts.iter_mut().for_each(|(topic, count)| *count = counts.get(topic).copied());
            }
            GroupEvent::Synced(Ok((code, assignment))) => self.membership.synced(code, &assignment, now),
            GroupEvent::Heartbeat(Ok(code)) => self.membership.heartbeat_answered(code, now),
            GroupEvent::Joined(Err(error)) | GroupEvent::Synced(Err(error)) => {
                tracing::debug!(%error, "group request failed");
                self.membership.unanswered(false, now);
            }
            GroupEvent::Heartbeat(Err(error)) => {
                tracing::debug!(%error, "heartbeat failed");
                self.membership.unanswered(true, now);
            }
            GroupEvent::Committed { result, before_revocation } => {
                self.is_committing = false;
                self.is_committed_before_revocation |= before_revocation;
                if let Err(error) = result {
                    tracing::warn!(%error, "offsets not committed");
                    if let CommitError::Refused { code, .. } = error {
                        self.membership.group_said(code, now);
                    }
                }
            }
        }
    }

    /// The topics that the assignment was made for, where this member made it.
    pub(super) fn assigned_topics(&self) -> impl Iterator<Item = &String> {
        self.counts.keys()
    }

    /// Joins again if the numbers of partitions are not those the assignment was made from.
    pub(super) fn metadata_changed(&mut self, metadata: &Metadata) {
        let count = |topic: &String| metadata.topic(topic).map(|known| known.partitions.len() as i32);
        let has_changed = self.counts.iter().any(|(topic, counted)| count(topic) != *counted);
        if has_changed {
            self.membership.topics_changed();
        }
    }

    /// In whose name offsets are committed from now on.
    fn publish_identity(&self, shared: &Shared) {
        let instance_id = self.membership.instance_id().map(str::to_owned);
        let committer = match self.membership.identity() {
            Some(Identity { member_id, generation }) => Committer {
                member_id: member_id.clone(),
                instance_id,
                generation: *generation,
                losses: self.losses,
            },
            None => Committer { instance_id, losses: self.losses, ..Committer::none() },
        };
        shared.state.lock().committer = committer;
    }

    /// Tells the coordinator that this member goes. A static member does not: it is expected back.
    pub(super) async fn leave(&self, shared: &Shared) {
        let member = self.membership.member_id().filter(|_| self.membership.instance_id().is_none());
        if let Some(member_id) = member {
            leave(shared, &self.group, member_id).await;
        }
    }
}

async fn leave(shared: &Shared, group: &str, member_id: &str) {
    if let Err(error) = send_leave(shared, group, member_id).await {
        tracing::debug!(%error, "left the group without a word");
    }
}

/// The application may have gone over to an assignment of its own before this one came.
fn assigned(shared: &Shared, partitions: Vec<TopicPartition>) {
    let mut state = shared.state.lock();
    if state.topics.is_empty() {
        return;
    }
    for partition in &partitions {
        state.positions.start(partition.clone(), StartAt::Committed);
    }
    state.notices.push_back(Ok(Event::Assigned(partitions)));
    drop(state);
    shared.ready.notify_waiters();
    shared.wake.notify_one();
}

async fn coordinator(shared: &Shared, group: &str) -> Result<Connection, RequestError> {
    let known = shared.state.lock().coordinator;
    let node = match known {
        Some(node) => node,
        None => shared.cluster.group_coordinator(group).await?,
    };
    Ok(shared.cluster.coordinator(node).await?)
}

async fn send_join(
    shared: &Shared,
    group: &str,
    join: Join,
    rebalance_timeout_ms: i32,
) -> Result<Joined, RequestError> {
    let connection = coordinator(shared, group).await?;
    let protocols = join.protocols.iter().map(|(name, metadata)| JoinGroupRequestProtocol {
        name: (*name).into(),
        metadata: metadata.as_slice().into(),
    });
    let request = JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: shared.config.session_timeout_ms,
        rebalance_timeout_ms,
        member_id: join.member_id.as_str().into(),
        group_instance_id: shared.config.group_instance_id.as_deref().map(Into::into),
        protocol_type: PROTOCOL_TYPE.into(),
        protocols: protocols.collect(),
        reason: None,
    };
    let version = connection.version_of(ApiKey::JoinGroup)?;
    // The coordinator answers when all members have joined, at the latest after the rebalance timeout.
    let patience = connection.timeout() + std::time::Duration::from_millis(rebalance_timeout_ms as u64);
    let response = connection.enqueue(&request, version, patience).await?.response().await?;
    Ok(joined(response.decode::<JoinGroupRequest<'_>>()?.into_static()))
}

fn joined(response: JoinGroupResponse<'static>) -> Joined {
    let members = response.members.into_iter().map(|member| {
        let instance_id = member.group_instance_id.map(std::borrow::Cow::into_owned);
        (member.member_id.into_owned(), instance_id, member.metadata.into_owned())
    });
    Joined {
        code: response.error_code,
        generation: response.generation_id,
        protocol: response.protocol_name.map(std::borrow::Cow::into_owned).unwrap_or_default(),
        leader: response.leader.into_owned(),
        skip_assignment: response.skip_assignment,
        member_id: response.member_id.into_owned(),
        members: members.collect(),
    }
}

async fn count_partitions(shared: &Shared, topics: Vec<String>) -> BTreeMap<String, i32> {
    let names: Vec<Arc<str>> = topics.iter().map(|topic| Arc::from(topic.as_str())).collect();
    let auto_create = shared.config.allow_auto_create_topics;
    let refreshed = shared
        .cluster
        .retrying(shared.cluster.api_deadline(), RequestError::is_retriable, || {
            shared.cluster.refresh(Topics::Named(&names), auto_create)
        })
        .await;
    let metadata = refreshed.unwrap_or_else(|error| {
        tracing::warn!(%error, "assigning by what was known of the topics");
        shared.cluster.metadata()
    });
    let count = |topic: String| {
        let partitions = metadata.topic(&topic)?.partitions.len() as i32;
        Some((topic, partitions))
    };
    topics.into_iter().filter_map(count).collect()
}

async fn send_sync(shared: &Shared, group: &str, sync: Sync) -> Result<(ErrorCode, Vec<u8>), RequestError> {
    let connection = coordinator(shared, group).await?;
    let assignments = sync.assignments.iter().map(|(member, assignment)| SyncGroupRequestAssignment {
        member_id: member.as_str().into(),
        assignment: assignment.as_slice().into(),
    });
    let request = SyncGroupRequest {
        group_id: group.into(),
        generation_id: sync.identity.generation,
        member_id: sync.identity.member_id.as_str().into(),
        group_instance_id: shared.config.group_instance_id.as_deref().map(Into::into),
        protocol_type: Some(PROTOCOL_TYPE.into()),
        protocol_name: Some(sync.protocol.into()),
        assignments: assignments.collect(),
    };
    let response = connection.call(&request).await?;
    Ok((response.error_code, response.assignment.into_owned()))
}

async fn send_heartbeat(shared: &Shared, group: &str, identity: Identity) -> Result<ErrorCode, RequestError> {
    let connection = coordinator(shared, group).await?;
    let request = HeartbeatRequest {
        group_id: group.into(),
        generation_id: identity.generation,
        member_id: identity.member_id.as_str().into(),
        group_instance_id: shared.config.group_instance_id.as_deref().map(Into::into),
    };
    Ok(connection.call(&request).await?.error_code)
}

async fn send_leave(shared: &Shared, group: &str, member_id: &str) -> Result<(), RequestError> {
    let connection = coordinator(shared, group).await?;
    let version = connection.version_of(ApiKey::LeaveGroup)?;
    let is_batched = version >= 3;
    let member = MemberIdentity { member_id: member_id.into(), ..MemberIdentity::default() };
    let request = LeaveGroupRequest {
        group_id: group.into(),
        member_id: if is_batched { "".into() } else { member_id.into() },
        members: if is_batched { vec![member] } else { Vec::new() },
    };
    connection.call(&request).await.map(|_| ())
}

#[cfg(test)]
mod tests;
