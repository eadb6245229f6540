//! One member's life in a classic group: sans-IO.
//!
//! Join, be given partitions, send heartbeats, join again when the group changes. With eager assignors a member
//! gives everything up before it joins; with cooperative ones only it gives up what the new assignment takes away,
//! and then joins again so that others can have it (KIP-429).
//!
//! The caller carries out the [`Action`]s that [`Membership::poll`] returns, in order, and reports what came of them.
//!
//! Invariants:
//! - At most one join, sync or coordinator look-up is on its way, at most one count of partitions, and at most one heartbeat.
//! - A partition is in `owned` from the `Assigned` that names it until after it was given up or lost.
//! - Nothing is joined while partitions are being given up.

use std::collections::{BTreeMap, BTreeSet};

use klamm_protocol::ErrorCode;

use super::assignor::{Assignor, Member};
use super::subscription;
use crate::TopicPartition;

/// What does not change in a membership.
#[derive(Debug, Clone)]
pub(crate) struct MembershipConfig {
    pub(crate) instance_id: Option<String>,
    /// The most wanted first; never empty.
    pub(crate) assignors: Vec<Assignor>,
    pub(crate) heartbeat_interval_ms: i64,
    pub(crate) retry_backoff_ms: i64,
}

/// What the caller is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Look the coordinator up and report [`Membership::coordinator_found`].
    FindCoordinator,
    /// Send JoinGroup and report [`Membership::joined`].
    Join(Join),
    /// Learn how many partitions these topics have and report [`Membership::counted`].
    CountPartitions(Vec<String>),
    /// Send SyncGroup and report [`Membership::synced`].
    Sync(Sync),
    /// Send Heartbeat and report [`Membership::heartbeat_answered`].
    Heartbeat(Identity),
    /// Finish with these partitions, commit, and report [`Membership::gave_up`].
    GiveUp(Vec<TopicPartition>),
    /// These partitions are somebody else's already.
    Lost(Vec<TopicPartition>),
    /// These partitions are ours from now on.
    Assigned(Vec<TopicPartition>),
    /// Tell the coordinator that this member goes.
    Leave(String),
    /// The group does not want us; nothing more will come.
    Failed(ErrorCode),
}

/// Who we are in the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) member_id: String,
    pub(crate) generation: i32,
}

/// The contents of a JoinGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Join {
    pub(crate) member_id: String,
    pub(crate) protocols: Vec<(&'static str, Vec<u8>)>,
}

/// The contents of a SyncGroup; assignments by member only from the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sync {
    pub(crate) identity: Identity,
    pub(crate) protocol: &'static str,
    pub(crate) assignments: Vec<(String, Vec<u8>)>,
}

/// The answer to a JoinGroup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) code: ErrorCode,
    pub(crate) generation: i32,
    pub(crate) protocol: String,
    pub(crate) leader: String,
    pub(crate) skip_assignment: bool,
    pub(crate) member_id: String,
    /// Member id, instance id and subscription; only for the leader.
    pub(crate) members: Vec<(String, Option<String>, Vec<u8>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Nothing is subscribed to.
    Idle,
    /// About to join.
    Unjoined,
    /// Waiting for the caller to finish with `partitions`; then joining again.
    GivingUp {
        partitions: Vec<TopicPartition>,
        is_told: bool,
    },
    Joining,
    /// As leader, waiting for the numbers of partitions.
    Assigning {
        assignor: Assignor,
        members: Vec<Member>,
        is_told: bool,
    },
    /// About to sync, or waiting for the answer.
    Syncing {
        assignor: Assignor,
        request: Option<Sync>,
    },
    Stable,
    Failed,
}

/// A member of a group.
#[derive(Debug)]
pub(crate) struct Membership {
    config: MembershipConfig,
    topics: Vec<String>,
    identity: Identity,
    owned: Vec<TopicPartition>,
    phase: Phase,
    leads: bool,
    has_coordinator: bool,
    is_finding: bool,
    /// A join or sync is on its way, even if what has happened since makes its answer void.
    is_request_sent: bool,
    is_counting: bool,
    is_heartbeat_sent: bool,
    heartbeat_due_ms: i64,
    not_before_ms: i64,
    pending: Vec<Action>,
}

const NO_GENERATION: i32 = -1;

impl Membership {
    pub(crate) fn new(config: MembershipConfig) -> Self {
        Self {
            config,
            topics: Vec::new(),
            identity: Identity { member_id: String::new(), generation: NO_GENERATION },
            owned: Vec::new(),
            phase: Phase::Idle,
            leads: false,
            has_coordinator: false,
            is_finding: false,
            is_request_sent: false,
            is_counting: false,
            is_heartbeat_sent: false,
            heartbeat_due_ms: 0,
            not_before_ms: 0,
            pending: Vec::new(),
        }
    }

    /// Wants these topics from now on; none means to stand back from the group.
    pub(crate) fn subscribe(&mut self, mut topics: Vec<String>) {
        topics.sort();
        topics.dedup();
        if topics == self.topics {
            return;
        }
        self.topics = topics;
        if self.topics.is_empty() {
            self.leave();
        } else {
            self.rejoin();
        }
    }

    /// The topics have changed: the leader, who has decided upon them, joins again.
    pub(crate) fn topics_changed(&mut self) {
        if self.phase == Phase::Stable && self.leads {
            self.rejoin();
        }
    }

    /// Who we are, while the group knows us.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        (self.identity.generation != NO_GENERATION).then_some(&self.identity)
    }

    /// The name the coordinator has given us, if any; needed to leave.
    pub(crate) fn member_id(&self) -> Option<&str> {
        Some(self.identity.member_id.as_str()).filter(|id| !id.is_empty())
    }

    /// Whether the group is settled and we have our part.
    #[cfg(test)]
    pub(crate) fn is_stable(&self) -> bool {
        self.phase == Phase::Stable
    }

    /// The group has forgotten us, or we it: everything starts from the beginning.
    pub(crate) fn reset(&mut self) {
        self.identity = Identity { member_id: String::new(), generation: NO_GENERATION };
        self.lose_everything();
        if !matches!(self.phase, Phase::Idle | Phase::Failed) {
            self.phase = Phase::Unjoined;
        }
    }

    /// When [`Membership::poll`] has something to do even if nothing happens; `None` while it waits for a report.
    pub(crate) fn next_ms(&self) -> Option<i64> {
        let is_due = matches!(self.phase, Phase::Unjoined | Phase::Syncing { request: Some(_), .. });
        let request = (is_due && !self.is_request_sent).then_some(self.not_before_ms);
        let find = (!self.has_coordinator && !self.is_finding && self.needs_coordinator())
            .then_some(self.not_before_ms);
        let heartbeat = (self.sends_heartbeats() && !self.is_heartbeat_sent).then_some(self.heartbeat_due_ms);
        let talking = if self.has_coordinator { request.into_iter().chain(heartbeat).min() } else { None };
        find.into_iter().chain(talking).min()
    }

    /// What is to be done at `now_ms`.
    pub(crate) fn poll(&mut self, now_ms: i64) -> Vec<Action> {
        let mut actions = std::mem::take(&mut self.pending);
        self.tell(&mut actions);
        if !self.needs_coordinator() || self.is_finding {
            return actions;
        }
        if !self.has_coordinator {
            if now_ms >= self.not_before_ms {
                self.is_finding = true;
                actions.push(Action::FindCoordinator);
            }
            return actions;
        }
        if self.sends_heartbeats() && !self.is_heartbeat_sent && now_ms >= self.heartbeat_due_ms {
            self.is_heartbeat_sent = true;
            actions.push(Action::Heartbeat(self.identity.clone()));
        }
        if now_ms >= self.not_before_ms {
            actions.extend(self.request());
        }
        actions
    }

    /// What the caller must know before anything is sent.
    fn tell(&mut self, actions: &mut Vec<Action>) {
        match &mut self.phase {
            Phase::GivingUp { partitions, is_told: is_told @ false } => {
                *is_told = true;
                actions.push(Action::GiveUp(partitions.clone()));
            }
            Phase::Assigning { members, is_told: is_told @ false, .. } if !self.is_counting => {
                (*is_told, self.is_counting) = (true, true);
                actions.push(Action::CountPartitions(topics_of(members)));
            }
            _ => {}
        }
    }

    /// The join or sync that is due, once the one before is answered: a coordinator takes a second join for that of another member, or
    /// for one that makes the first void, and does not say which of them an answer is for.
    fn request(&mut self) -> Option<Action> {
        if self.is_request_sent {
            return None;
        }
        let request = match &mut self.phase {
            Phase::Unjoined => {
                self.phase = Phase::Joining;
                Some(Action::Join(self.join()))
            }
            Phase::Syncing { request, .. } => request.take().map(Action::Sync),
            _ => None,
        };
        self.is_request_sent = request.is_some();
        request
    }

    fn join(&self) -> Join {
        let subscription = |assignor: &Assignor| {
            let generation = self.identity.generation;
            let bytes = subscription::encode_subscription(*assignor, &self.topics, &self.owned, generation);
            // Topic names that fit into metadata fit into a subscription.
            bytes.ok().map(|bytes| (assignor.name(), bytes))
        };
        Join {
            member_id: self.identity.member_id.clone(),
            protocols: self.config.assignors.iter().filter_map(subscription).collect(),
        }
    }

    fn needs_coordinator(&self) -> bool {
        !matches!(self.phase, Phase::Idle | Phase::Failed)
    }

    /// While partitions are being given up the session must be kept alive too.
    fn sends_heartbeats(&self) -> bool {
        let is_member = self.identity.generation != NO_GENERATION;
        is_member && matches!(self.phase, Phase::Stable | Phase::GivingUp { .. })
    }

    fn is_cooperative(&self) -> bool {
        self.config.assignors.iter().all(|assignor| assignor.is_cooperative())
    }

    /// Joins again, after giving up what may not be kept through a rebalance.
    fn rejoin(&mut self) {
        if self.is_cooperative() || self.owned.is_empty() {
            self.phase = Phase::Unjoined;
        } else if !matches!(self.phase, Phase::GivingUp { .. }) {
            self.phase = Phase::GivingUp { partitions: self.owned.clone(), is_told: false };
        }
    }

    /// A static member says nothing: it is expected back.
    fn leave(&mut self) {
        let is_static = self.config.instance_id.is_some();
        let member_id = std::mem::take(&mut self.identity.member_id);
        self.reset();
        self.phase = Phase::Idle;
        if !member_id.is_empty() && !is_static {
            self.pending.push(Action::Leave(member_id));
        }
    }

    fn lose_everything(&mut self) {
        let lost = std::mem::take(&mut self.owned);
        if !lost.is_empty() {
            self.pending.push(Action::Lost(lost));
        }
    }

    fn back_off(&mut self, now_ms: i64) {
        self.not_before_ms = now_ms + self.config.retry_backoff_ms;
    }

    /// The coordinator was looked up, or not found.
    pub(crate) fn coordinator_found(&mut self, found: bool, now_ms: i64) {
        self.is_finding = false;
        self.has_coordinator = found;
        if !found {
            self.back_off(now_ms);
        }
    }

    /// A request to the coordinator got no answer. `is_heartbeat` says which one.
    pub(crate) fn unanswered(&mut self, is_heartbeat: bool, now_ms: i64) {
        self.has_coordinator = false;
        self.back_off(now_ms);
        if is_heartbeat {
            self.is_heartbeat_sent = false;
            return;
        }
        self.is_request_sent = false;
        if matches!(self.phase, Phase::Joining | Phase::Syncing { .. }) {
            self.rejoin();
        }
    }

    /// JoinGroup was answered.
    pub(crate) fn joined(&mut self, answer: Joined, now_ms: i64) {
        self.is_request_sent = false;
        if self.phase != Phase::Joining {
            return self.joined_too_late(answer);
        }
        if answer.code == ErrorCode::MEMBER_ID_REQUIRED {
            self.identity.member_id = answer.member_id;
            self.phase = Phase::Unjoined;
            return;
        }
        if answer.code.is_error() {
            return self.refused(answer.code, now_ms);
        }
        let Some(assignor) = self.config.assignors.iter().find(|a| a.name() == answer.protocol).copied()
        else {
            return self.fail(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        };
        self.identity = Identity { member_id: answer.member_id, generation: answer.generation };
        self.leads = answer.leader == self.identity.member_id;
        let members: Vec<Member> = answer.members.into_iter().map(member).collect();
        if answer.skip_assignment && self.leads && !self.is_counting {
            // A leader that comes back finds the assignment made, and looks after the topics from now on (KIP-814).
            self.is_counting = true;
            self.pending.push(Action::CountPartitions(topics_of(&members)));
        }
        self.phase = match self.leads && !answer.skip_assignment {
            true => Phase::Assigning { assignor, members, is_told: false },
            false => self.syncing(assignor, Vec::new()),
        };
    }

    /// The subscription has changed since. What stays of such an answer is the name that the group knows us by.
    fn joined_too_late(&mut self, answer: Joined) {
        let is_named = !answer.code.is_error() || answer.code == ErrorCode::MEMBER_ID_REQUIRED;
        match self.phase {
            Phase::Unjoined if is_named => self.identity.member_id = answer.member_id,
            Phase::Idle if is_named && self.config.instance_id.is_none() => {
                self.pending.push(Action::Leave(answer.member_id));
            }
            _ => {}
        }
    }

    fn syncing(&self, assignor: Assignor, assignments: Vec<(String, Vec<u8>)>) -> Phase {
        let identity = self.identity.clone();
        Phase::Syncing { assignor, request: Some(Sync { identity, protocol: assignor.name(), assignments }) }
    }

    /// The numbers of partitions that were asked for; topics that do not exist are left out.
    pub(crate) fn counted(&mut self, partition_counts: &BTreeMap<String, i32>) {
        self.is_counting = false;
        // Those asked for before this assignment began may be of other topics.
        let Phase::Assigning { assignor, members, is_told: true } = &self.phase else { return };
        let assignment = assignor.assign(members, partition_counts);
        let encoded = assignment.into_iter().filter_map(|(member, partitions)| {
            Some((member, subscription::encode_assignment(&partitions).ok()?))
        });
        self.phase = self.syncing(*assignor, encoded.collect());
    }

    /// SyncGroup was answered.
    pub(crate) fn synced(&mut self, code: ErrorCode, assignment: &[u8], now_ms: i64) {
        self.is_request_sent = false;
        if !matches!(self.phase, Phase::Syncing { request: None, .. }) {
            return;
        }
        if code.is_error() {
            return self.refused(code, now_ms);
        }
        let Ok(assigned) = subscription::decode_assignment(assignment) else {
            return self.fail(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        };
        self.heartbeat_due_ms = now_ms + self.config.heartbeat_interval_ms;
        let added: Vec<_> = assigned.iter().filter(|p| !self.owned.contains(p)).cloned().collect();
        let taken: Vec<_> = self.owned.iter().filter(|p| !assigned.contains(p)).cloned().collect();
        self.owned.extend(added.iter().cloned());
        self.pending.push(Action::Assigned(added));
        self.phase = if taken.is_empty() {
            Phase::Stable
        } else {
            Phase::GivingUp { partitions: taken, is_told: false }
        };
    }

    /// The caller has finished with what it was to give up.
    pub(crate) fn gave_up(&mut self) {
        if let Phase::GivingUp { partitions, .. } = &self.phase {
            self.owned.retain(|partition| !partitions.contains(partition));
            self.phase = Phase::Unjoined;
        }
    }

    /// Heartbeat was answered. A commit's refusal of the same kinds is reported here too.
    pub(crate) fn heartbeat_answered(&mut self, code: ErrorCode, now_ms: i64) {
        self.is_heartbeat_sent = false;
        self.heartbeat_due_ms = now_ms + self.config.heartbeat_interval_ms;
        self.group_said(code, now_ms);
    }

    /// What an answer of the coordinator says about our membership.
    pub(crate) fn group_said(&mut self, code: ErrorCode, now_ms: i64) {
        if code.is_error() && self.sends_heartbeats() {
            self.refused(code, now_ms);
        }
    }

    fn refused(&mut self, code: ErrorCode, now_ms: i64) {
        match code {
            // Already on the way to join again.
            ErrorCode::REBALANCE_IN_PROGRESS if matches!(self.phase, Phase::GivingUp { .. }) => {}
            ErrorCode::REBALANCE_IN_PROGRESS => self.rejoin(),
            ErrorCode::UNKNOWN_MEMBER_ID => self.reset(),
            ErrorCode::ILLEGAL_GENERATION => {
                self.identity.generation = NO_GENERATION;
                self.lose_everything();
                self.phase = Phase::Unjoined;
            }
            ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE => {
                self.has_coordinator = false;
                self.retry(now_ms);
            }
            code if code.is_retriable() => self.retry(now_ms),
            code => self.fail(code),
        }
    }

    /// The same again, a little later. A heartbeat has its own time.
    fn retry(&mut self, now_ms: i64) {
        self.back_off(now_ms);
        if !self.sends_heartbeats() {
            self.rejoin();
        }
    }

    fn fail(&mut self, code: ErrorCode) {
        self.lose_everything();
        self.identity.generation = NO_GENERATION;
        self.phase = Phase::Failed;
        self.pending.push(Action::Failed(code));
    }

    /// `group.instance.id`.
    pub(crate) fn instance_id(&self) -> Option<&str> {
        self.config.instance_id.as_deref()
    }
}

/// All topics that members read.
fn topics_of(members: &[Member]) -> Vec<String> {
    let topics: BTreeSet<_> = members.iter().flat_map(|member| &member.topics).cloned().collect();
    topics.into_iter().collect()
}

/// A member as its subscription describes it. One that cannot be read wants nothing.
fn member((id, instance_id, subscription): (String, Option<String>, Vec<u8>)) -> Member {
    let read = subscription::decode_subscription(&subscription).unwrap_or_default();
    Member { id, instance_id, ..read }
}

#[cfg(test)]
mod tests;
