//! What a partition's leader decides: which replicas are in sync, and which records are committed.
//!
//! The leader learns of its followers by what they fetch. A follower that asks for the leader's end has all there is; one that has not
//! done so for `replica.lag.time.max.ms` leaves the in-sync replicas, and one that caught up joins them. Both are proposals to the
//! controller (AlterPartition), of which one is on its way at a time.
//!
//! Invariants:
//! - The high watermark is at or below the end of every replica that is in the ISR or may be by the proposal on its way (the maximal
//!   ISR): whichever of them is elected has what was acknowledged.
//! - It does not advance while the committed ISR is smaller than `min.insync.replicas` (KIP-966).
//! - A proposal adds only replicas that have everything below the high watermark and below the start of this leader's epoch, whose
//!   broker is neither fenced nor shutting down, and which fetched as the incarnation that is registered (KIP-903).

use std::collections::BTreeMap;

use klamm_metadata::partition::Partition;

use crate::follower_state::FollowerState;

/// The broker epoch of a proposal that leaves the check of the incarnation out.
const ANY_BROKER_EPOCH: i64 = -1;

/// What a step looks at beside the leader's own state.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// A time that never goes back, in milliseconds.
    pub now_ms: i64,
    /// The log's high watermark.
    pub high_watermark: i64,
    /// Where the log ends.
    pub end_offset: i64,
    /// Up to where the leader's own copy counts: the log's end, or what is flushed where records are to be flushed before they count.
    pub own_offset: i64,
    /// `replica.lag.time.max.ms`.
    pub lag_time_max_ms: i64,
    /// `min.insync.replicas`.
    pub min_insync_replicas: i32,
}

/// A fetch by a follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerFetch {
    /// The follower's broker id.
    pub replica_id: i32,
    /// The incarnation of that broker, −1 where the request does not say.
    pub broker_epoch: i64,
    /// Where it fetches, which is where its log ends.
    pub fetch_offset: i64,
    /// Where its log starts.
    pub log_start_offset: i64,
}

/// In-sync replicas for the controller to decide on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsrProposal {
    /// The epoch in which this broker leads.
    pub leader_epoch: i32,
    /// The partition epoch that is to be changed.
    pub partition_epoch: i32,
    /// The brokers, each with the incarnation that fetched, −1 where none did yet.
    pub isr: Vec<(i32, i64)>,
}

impl IsrProposal {
    /// The brokers alone.
    pub fn members(&self) -> Vec<i32> {
        self.isr.iter().map(|(id, _)| *id).collect()
    }
}

/// What the controller made of a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProposalAnswer {
    /// The partition is like this now.
    Altered {
        /// The leader's epoch.
        leader_epoch: i32,
        /// The partition's epoch.
        partition_epoch: i32,
        /// The in-sync replicas.
        isr: Vec<i32>,
    },
    /// The partition is as the proposal found it, and the proposal was not carried out.
    NotAttempted,
    /// The partition changed meanwhile; the metadata will tell how.
    Outdated,
}

/// What a step wants done. The high watermark is to be published before those who wait for it are woken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct LeaderStep {
    /// The new high watermark, where it advances.
    pub high_watermark: Option<i64>,
    /// To be sent to the controller.
    pub proposal: Option<IsrProposal>,
}

/// Why a follower's fetch does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FetchRefused {
    /// The metadata that is known here does not have the broker among the replicas.
    #[error("broker {0} is no replica as far as is known")]
    NoReplica(i32),
    /// An earlier incarnation of the broker than the one that is registered fetches.
    #[error("broker {0} fetches with an epoch that is over")]
    StaleBroker(i32),
}

/// A partition's leader.
#[derive(Debug, Clone)]
pub struct Leader {
    broker_id: i32,
    own_broker_epoch: Option<i64>,
    leader_epoch: i32,
    partition_epoch: i32,
    /// Where the log ended when this epoch began.
    epoch_start_offset: i64,
    followers: BTreeMap<i32, FollowerState>,
    isr: Vec<i32>,
    /// What is proposed and not yet decided, as it was sent. Sent again it says the same: the replicas that it adds were fit to join as
    /// the incarnations that it names.
    pending: Option<IsrProposal>,
}

impl Leader {
    /// The leader of a partition from now on. `broker_epoch` gives the epoch of a broker that may be in sync: registered, and
    /// neither fenced nor shutting down.
    pub fn new(
        broker_id: i32,
        partition: &Partition,
        broker_epoch: impl Fn(i32) -> Option<i64>,
        moment: Moment,
    ) -> Self {
        let mut leader = Self {
            broker_id,
            own_broker_epoch: None,
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            epoch_start_offset: moment.end_offset,
            followers: BTreeMap::new(),
            isr: partition.isr.to_vec(),
            pending: None,
        };
        leader.follow_replicas(&partition.replicas, moment);
        leader.note_brokers(broker_epoch);
        leader
    }

    /// The leader's epoch.
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    /// The partition's epoch.
    pub fn partition_epoch(&self) -> i32 {
        self.partition_epoch
    }

    /// Where the log ended when this leader's epoch began.
    pub fn epoch_start_offset(&self) -> i64 {
        self.epoch_start_offset
    }

    /// The committed in-sync replicas.
    pub fn isr(&self) -> &[i32] {
        &self.isr
    }

    /// How many replicas are in the ISR or may be by the proposal on its way.
    pub fn maximal_isr_len(&self) -> usize {
        let pending = self.pending.iter().flat_map(|pending| &pending.isr);
        self.isr.len() + pending.filter(|(id, _)| !self.isr.contains(id)).count()
    }

    /// The followers by broker id.
    pub fn followers(&self) -> impl Iterator<Item = (i32, &FollowerState)> + '_ {
        self.followers.iter().map(|(id, state)| (*id, state))
    }

    /// Whether a broker is one of the followers.
    pub fn has_follower(&self, broker_id: i32) -> bool {
        self.followers.contains_key(&broker_id)
    }

    /// How many replicas have to be in sync: never more than there are.
    pub fn min_isr(&self, min_insync_replicas: i32) -> usize {
        (min_insync_replicas.max(0) as usize).min(self.followers.len() + 1)
    }

    /// The least log start of all replicas that are there, `own` among them: what is below is gone everywhere.
    pub fn low_watermark(&self, own: i64) -> i64 {
        let present = self.followers.values().filter(|state| state.registered_epoch.is_some());
        present.map(|state| state.log_start_offset).fold(own, i64::min)
    }

    /// The metadata has the partition like this, still led here. What is older than what is known changes nothing.
    pub fn update(
        &mut self,
        partition: &Partition,
        broker_epoch: impl Fn(i32) -> Option<i64>,
        moment: Moment,
    ) -> LeaderStep {
        self.note_brokers(&broker_epoch);
        if partition.partition_epoch <= self.partition_epoch && partition.leader_epoch <= self.leader_epoch {
            // Also when it is the same: a proposal on its way stays one, the controller may still carry it out.
            return self.advance(moment);
        }
        self.partition_epoch = partition.partition_epoch;
        self.isr = partition.isr.to_vec();
        self.pending = None;
        self.follow_replicas(&partition.replicas, moment);
        if partition.leader_epoch > self.leader_epoch {
            self.start_epoch(partition.leader_epoch, moment);
        }
        self.note_brokers(broker_epoch);
        self.advance(moment)
    }

    /// Brokers were fenced, unfenced, or registered anew.
    pub fn brokers_changed(
        &mut self,
        broker_epoch: impl Fn(i32) -> Option<i64>,
        moment: Moment,
    ) -> LeaderStep {
        self.note_brokers(broker_epoch);
        self.advance(moment)
    }

    /// The leader's own log grew.
    pub fn appended(&self, moment: Moment) -> LeaderStep {
        self.advance(moment)
    }

    /// A follower fetched, and what it has agrees with the leader's log.
    ///
    /// # Errors
    /// When the fetch does not count.
    pub fn fetched(&mut self, fetch: FollowerFetch, moment: Moment) -> Result<LeaderStep, FetchRefused> {
        let id = fetch.replica_id;
        let state = self.followers.get_mut(&id).ok_or(FetchRefused::NoReplica(id))?;
        if fetch.broker_epoch >= 0 && state.registered_epoch.is_some_and(|epoch| epoch > fetch.broker_epoch) {
            return Err(FetchRefused::StaleBroker(id));
        }
        state.note_fetch(fetch, moment);
        let proposal = self.expansion(id, moment);
        Ok(LeaderStep { proposal, ..self.advance(moment) })
    }

    /// Looks for replicas that lag; call it every half of `replica.lag.time.max.ms`.
    pub fn check_lag(&mut self, moment: Moment) -> LeaderStep {
        let step = self.advance(moment);
        if self.pending.is_some() {
            return step;
        }
        let is_in_sync = |id: &i32| {
            let state = self.followers.get(id);
            *id == self.broker_id || state.is_some_and(|state| state.is_caught_up(moment))
        };
        let kept: Vec<i32> = self.isr.iter().copied().filter(is_in_sync).collect();
        let proposal = (kept.len() < self.isr.len()).then(|| self.propose(kept));
        LeaderStep { proposal, ..step }
    }

    /// The controller answered a proposal. Unless that is the one on its way, the metadata was faster, and the answer changes nothing.
    pub fn proposal_answered(
        &mut self,
        proposal: &IsrProposal,
        answer: ProposalAnswer,
        moment: Moment,
    ) -> LeaderStep {
        if self.pending.as_ref() != Some(proposal) {
            return LeaderStep::default();
        }
        match answer {
            ProposalAnswer::Outdated => return LeaderStep::default(),
            ProposalAnswer::NotAttempted => self.pending = None,
            ProposalAnswer::Altered { leader_epoch, partition_epoch, isr } => {
                if leader_epoch != self.leader_epoch || partition_epoch < self.partition_epoch {
                    return LeaderStep::default();
                }
                (self.isr, self.partition_epoch, self.pending) = (isr, partition_epoch, None);
            }
        }
        self.advance(moment)
    }

    /// The proposal on its way: to be sent once more, where its answer was lost.
    pub fn proposal(&self) -> Option<&IsrProposal> {
        self.pending.as_ref()
    }

    /// Panics where what must always hold does not; for tests and simulation.
    pub fn check_invariants(&self) {
        let pending = self.pending.iter().map(IsrProposal::members);
        for isr in pending.chain([self.isr.clone()]) {
            assert!(isr.contains(&self.broker_id), "the leader is in sync: {self:?}");
            let is_replica = |id: &i32| *id == self.broker_id || self.followers.contains_key(id);
            assert!(isr.iter().all(is_replica), "only replicas are in sync: {self:?}");
        }
        assert!(!self.followers.contains_key(&self.broker_id), "nobody follows itself: {self:?}");
    }

    /// Where epochs were passed over, somebody else may have led meanwhile, and the followers been cut: what they have is not known.
    fn start_epoch(&mut self, leader_epoch: i32, moment: Moment) {
        let had_all_along = leader_epoch == self.leader_epoch + 1;
        self.leader_epoch = leader_epoch;
        self.epoch_start_offset = moment.end_offset;
        for (id, state) in &mut self.followers {
            if !had_all_along {
                state.forget_log();
            }
            state.start_epoch(self.isr.contains(id), moment);
        }
    }

    fn follow_replicas(&mut self, replicas: &[i32], moment: Moment) {
        self.followers.retain(|id, _| replicas.contains(id));
        for &id in replicas.iter().filter(|id| **id != self.broker_id) {
            let is_in_sync = self.isr.contains(&id);
            self.followers.entry(id).or_insert_with(|| FollowerState::new(is_in_sync, moment));
        }
    }

    fn note_brokers(&mut self, broker_epoch: impl Fn(i32) -> Option<i64>) {
        self.own_broker_epoch = broker_epoch(self.broker_id);
        for (id, state) in &mut self.followers {
            state.registered_epoch = broker_epoch(*id);
        }
    }

    fn advance(&self, moment: Moment) -> LeaderStep {
        let high_watermark = self.committed(moment).filter(|offset| *offset > moment.high_watermark);
        LeaderStep { high_watermark, proposal: None }
    }

    /// Up to where all have it that count: the maximal ISR, and who has just caught up and may join.
    fn committed(&self, moment: Moment) -> Option<i64> {
        if self.isr.len() < self.min_isr(moment.min_insync_replicas) {
            return None;
        }
        let is_waited_for = |(id, state): &(i32, &FollowerState)| {
            self.is_in_maximal_isr(*id) || (state.is_caught_up(moment) && state.may_join())
        };
        let ends = self.followers().filter(is_waited_for).map(|(_, state)| state.end_offset);
        Some(ends.fold(moment.own_offset, i64::min))
    }

    fn is_in_maximal_isr(&self, id: i32) -> bool {
        let is_pending = |pending: &IsrProposal| pending.isr.iter().any(|(member, _)| *member == id);
        self.isr.contains(&id) || self.pending.as_ref().is_some_and(is_pending)
    }

    fn expansion(&mut self, id: i32, moment: Moment) -> Option<IsrProposal> {
        if self.pending.is_some() || self.isr.contains(&id) {
            return None;
        }
        let state = self.followers.get(&id)?;
        let has_all = state.end_offset >= moment.high_watermark.max(self.epoch_start_offset);
        if !has_all || !state.may_join() {
            return None;
        }
        let mut isr = self.isr.clone();
        isr.push(id);
        Some(self.propose(isr))
    }

    fn propose(&mut self, isr: Vec<i32>) -> IsrProposal {
        let with_epoch = |id| (id, self.fetched_as(id).unwrap_or(ANY_BROKER_EPOCH));
        let proposal = IsrProposal {
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            isr: isr.into_iter().map(with_epoch).collect(),
        };
        self.pending = Some(proposal.clone());
        proposal
    }

    fn fetched_as(&self, id: i32) -> Option<i64> {
        if id == self.broker_id { self.own_broker_epoch } else { self.followers.get(&id)?.fetched_epoch }
    }
}
