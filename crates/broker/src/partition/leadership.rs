//! Who leads a partition, and what its leader machine decides here.
//!
//! The machine is behind a lock of its own, which a lone replica's appends and fetches do not take: the log itself commits what they
//! append. Whoever takes the lead or gives it up holds the lock, so what a follower fetched and what the controller answered counts in
//! the epoch it was meant for, or not at all.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use klamm_log::Log;
use klamm_metadata::cluster::{BrokerRegistration, ClusterImage};
use klamm_metadata::partition::Partition as Registration;
use klamm_protocol::ErrorCode;
use klamm_replica::{FollowerFetch, IsrProposal, Leader, LeaderStep, Moment, ProposalAnswer};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::Partition;

/// Who leads a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leadership {
    /// True when this broker does.
    pub(crate) is_here: bool,
    /// The leader's broker id, −1 for none.
    pub(crate) leader_id: i32,
    /// The leader's epoch.
    pub(crate) leader_epoch: i32,
    /// The epoch since which this broker leads without a break.
    pub(super) led_since_epoch: i32,
    /// True when the leader is the only replica.
    pub(super) is_alone: bool,
    /// How many replicas there are, where this broker leads.
    replica_count: usize,
    /// How many of them are in sync as the controller has it.
    isr_len: usize,
    /// How many may be, if the controller carries out what is proposed.
    maximal_isr_len: usize,
}

impl Leadership {
    /// Nobody is known to lead.
    pub(super) const NONE: Self = Self {
        is_here: false,
        leader_id: -1,
        leader_epoch: -1,
        led_since_epoch: -1,
        is_alone: false,
        replica_count: 0,
        isr_len: 0,
        maximal_isr_len: 0,
    };

    /// True when this broker has led without a break since `epoch`: what it appended then is where it was.
    pub(super) fn lasts_since(&self, epoch: i32) -> bool {
        self.is_here && self.led_since_epoch <= epoch
    }

    fn with_isr_of(self, leader: &Leader) -> Self {
        Self {
            replica_count: leader.followers().count() + 1,
            isr_len: leader.isr().len(),
            maximal_isr_len: leader.maximal_isr_len(),
            ..self
        }
    }
}

/// What following the metadata brought.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    /// True when the leader's epoch is another one.
    pub(crate) is_new_epoch: bool,
    /// In-sync replicas to be proposed to the controller.
    pub(crate) proposal: Option<IsrProposal>,
}

/// The epoch of a broker whose replica may be in sync. One whose disk failed is waited for no more.
fn live_epoch<'s>(state: &'s Registration, cluster: &'s ClusterImage) -> impl Fn(i32) -> Option<i64> + 's {
    let is_on_disk = |broker: &BrokerRegistration| {
        state.directory(broker.id).is_none_or(|directory| broker.has_online_directory(directory))
    };
    move |id| {
        let broker = cluster.broker(id).filter(|broker| broker.is_active() && is_on_disk(broker))?;
        Some(broker.epoch)
    }
}

impl Partition {
    pub(crate) fn leadership(&self) -> Leadership {
        **self.leadership.load()
    }

    /// Follows the partition's state in the metadata. What is older than what is known here changes nothing.
    pub(crate) fn follow(
        self: &Arc<Self>,
        broker_id: i32,
        state: &Registration,
        cluster: &ClusterImage,
    ) -> Followed {
        let mut leader = self.leader.lock();
        let old = self.leadership();
        if state.leader_epoch < old.leader_epoch {
            return Followed::default();
        }
        let is_here = state.leader == broker_id;
        let is_alone = is_here && state.replicas.len() == 1;
        let is_new_epoch = old.leader_epoch != state.leader_epoch;
        if is_here {
            self.has_led.store(true, Ordering::Relaxed);
        }
        let log = self.log.load();
        // From here on nobody appends who began in an earlier epoch.
        log.begin_epoch(state.leader_epoch, is_alone);
        if is_here && is_new_epoch {
            log.assign_epoch(state.leader_epoch);
        }
        let led_since_epoch = if old.is_here { old.led_since_epoch } else { state.leader_epoch };
        let new = Leadership {
            is_here,
            is_alone,
            leader_id: state.leader,
            leader_epoch: state.leader_epoch,
            led_since_epoch,
            ..Leadership::NONE
        };
        let step = match &mut *leader {
            known if !is_here => {
                *known = None;
                self.leadership.store(Arc::new(new));
                LeaderStep::default()
            }
            Some(leader) => leader.update(state, live_epoch(state, cluster), self.moment(&log)),
            vacant => {
                let moment = self.moment(&log);
                vacant
                    .insert(Leader::new(broker_id, state, live_epoch(state, cluster), moment))
                    .appended(moment)
            }
        };
        if let Some(leader) = &*leader {
            self.leadership.store(Arc::new(new.with_isr_of(leader)));
            self.note_low_watermark(leader);
            if log.recovery_point() < log.log_end_offset() && self.own_offset(&log) < log.log_end_offset() {
                self.start_flush();
            }
        }
        let proposal = self.carry_out(step);
        drop(leader);
        if is_new_epoch || old.is_here != is_here {
            self.wake_all();
        }
        Followed { is_new_epoch, proposal }
    }

    /// Nobody gets anything from this partition any more: wakes those who wait, so that they notice.
    pub(crate) fn retire(&self) {
        let mut leader = self.leader.lock();
        *leader = None;
        let gone = Leadership { is_here: false, is_alone: false, ..self.leadership() };
        self.leadership.store(Arc::new(gone));
        self.log.load().begin_epoch(i32::MAX, false);
        drop(leader);
        self.wake_all();
    }

    /// Brokers were fenced, unfenced or registered anew, or lost a disk.
    pub(crate) fn brokers_changed(&self, state: &Registration, cluster: &ClusterImage) {
        let _ = self.step(|leader, moment| leader.brokers_changed(live_epoch(state, cluster), moment));
    }

    /// Looks for replicas that lag. Returns what is to be proposed to the controller.
    pub(crate) fn check_lag(&self) -> Option<IsrProposal> {
        if self.leadership().is_alone {
            return None;
        }
        self.step(Leader::check_lag)
    }

    /// The proposal that the controller has not decided yet.
    pub(crate) fn pending_proposal(&self) -> Option<IsrProposal> {
        self.leader.lock().as_ref()?.proposal().cloned()
    }

    /// The controller answered a proposal.
    pub(crate) fn proposal_answered(
        &self,
        proposal: &IsrProposal,
        answer: ProposalAnswer,
    ) -> Option<IsrProposal> {
        self.step(|leader, moment| leader.proposal_answered(proposal, answer, moment))
    }

    /// A follower fetched in `leader_epoch`, −1 where it did not say. Returns what is to be proposed to the controller.
    ///
    /// # Errors
    /// As [`Partition::check_leader`], and `NOT_LEADER_OR_FOLLOWER` for an earlier incarnation of the follower.
    pub(super) fn follower_fetched(
        &self,
        leader_epoch: i32,
        fetch: FollowerFetch,
    ) -> Result<Option<IsrProposal>, ErrorCode> {
        let mut leader = self.leader.lock();
        self.check_leader(leader_epoch)?;
        let moment = self.moment(&self.log.load());
        let known = leader.as_mut().ok_or(ErrorCode::NOT_LEADER_OR_FOLLOWER)?;
        let step = known.fetched(fetch, moment).map_err(|_| ErrorCode::NOT_LEADER_OR_FOLLOWER)?;
        if step.proposal.is_some() {
            self.note_isr(known);
        }
        self.note_low_watermark(known);
        Ok(self.carry_out(step))
    }

    /// Whether a broker is a follower of this leader; checked before anything is read for it.
    ///
    /// # Errors
    /// `UNKNOWN_LEADER_EPOCH` where the follower may know more than is known here, and comes again.
    pub(super) fn check_follower(&self, replica_id: i32, leader_epoch: i32) -> Result<(), ErrorCode> {
        match &*self.leader.lock() {
            Some(leader) if leader.has_follower(replica_id) => Ok(()),
            _ if leader_epoch >= 0 => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
            _ => Err(ErrorCode::NOT_LEADER_OR_FOLLOWER),
        }
    }

    /// Moves the log start to an offset, −1 for the high watermark, and returns to where.
    ///
    /// # Errors
    /// `OFFSET_OUT_OF_RANGE` beyond what is committed, otherwise as [`Partition::check_leader`].
    pub(crate) fn delete_records(&self, offset: i64) -> Result<i64, ErrorCode> {
        // The log is not replaced meanwhile by its copy, which has the records.
        let _leader = self.leader.lock();
        self.check_leader(-1)?;
        let log = self.log.load();
        let high_watermark = log.high_watermark();
        let offset = if offset == -1 { high_watermark } else { offset };
        if !(0..=high_watermark).contains(&offset) {
            return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
        }
        log.advance_log_start(offset);
        Ok(offset)
    }

    /// Waits until no replica that is there has records below an offset. Returns where the least log start is.
    ///
    /// # Errors
    /// `REQUEST_TIMED_OUT` at the deadline, `NOT_LEADER_OR_FOLLOWER` when this broker does not lead.
    pub(crate) async fn deleted_everywhere(&self, offset: i64, deadline: Instant) -> Result<i64, ErrorCode> {
        let woken = Arc::new(Notify::new());
        loop {
            let _place = self.lowered.register(offset, &woken);
            let low_watermark = self.as_leader(|leader| leader.low_watermark(self.log_start_offset()));
            let low_watermark = low_watermark.ok_or(ErrorCode::NOT_LEADER_OR_FOLLOWER)?;
            if low_watermark >= offset {
                return Ok(low_watermark);
            }
            timeout_at(deadline, woken.notified()).await.map_err(|_| ErrorCode::REQUEST_TIMED_OUT)?;
        }
    }

    /// Whether this broker, leading, knows again that all from before its epoch is committed.
    pub(crate) fn knows_committed_end(&self) -> bool {
        let start = self.as_leader(Leader::epoch_start_offset);
        start.is_none_or(|start| self.high_watermark() >= start)
    }

    /// Looks at the leader machine, where this broker leads.
    pub(crate) fn as_leader<T>(&self, look: impl FnOnce(&Leader) -> T) -> Option<T> {
        self.leader.lock().as_ref().map(look)
    }

    /// The log grew by this broker's own doing.
    pub(super) fn note_own_append(&self) {
        let _ = self.step(|leader, moment| leader.appended(moment));
    }

    /// `NOT_ENOUGH_REPLICAS` where fewer replicas are in sync than `min.insync.replicas` wants.
    pub(super) fn check_isr(&self, leadership: &Leadership) -> Result<(), ErrorCode> {
        match leadership.isr_len < self.min_isr(leadership) {
            true => Err(ErrorCode::NOT_ENOUGH_REPLICAS),
            false => Ok(()),
        }
    }

    /// `NOT_ENOUGH_REPLICAS_AFTER_APPEND` where that has become so since the append.
    pub(super) fn check_isr_after_append(&self, leadership: &Leadership) -> Result<(), ErrorCode> {
        match leadership.maximal_isr_len < self.min_isr(leadership) {
            true => Err(ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND),
            false => Ok(()),
        }
    }

    fn min_isr(&self, leadership: &Leadership) -> usize {
        let wanted = self.settings.load().topic.min_insync_replicas.max(0) as usize;
        wanted.min(leadership.replica_count)
    }

    /// Up to where this broker's own copy counts: what has to be flushed first does not.
    pub(super) fn own_offset(&self, log: &Log) -> i64 {
        let end_offset = log.log_end_offset();
        let recovery_point = log.recovery_point();
        if end_offset - recovery_point < log.config().flush_messages { end_offset } else { recovery_point }
    }

    /// One step of the leader machine, where this broker leads.
    fn step(&self, step: impl FnOnce(&mut Leader, Moment) -> LeaderStep) -> Option<IsrProposal> {
        let mut leader = self.leader.lock();
        let known = leader.as_mut()?;
        let step = step(known, self.moment(&self.log.load()));
        self.note_isr(known);
        self.note_low_watermark(known);
        self.carry_out(step)
    }

    /// Wakes those who wait for replicas to delete records: one of them may be gone now, or fenced, and not count any more.
    fn note_low_watermark(&self, leader: &Leader) {
        self.lowered.advance(leader.low_watermark(self.log_start_offset()));
    }

    fn moment(&self, log: &Log) -> Moment {
        let settings = self.settings.load();
        Moment {
            now_ms: self.environment.clock.monotonic_ms(),
            high_watermark: log.high_watermark(),
            end_offset: log.log_end_offset(),
            own_offset: self.own_offset(log),
            lag_time_max_ms: settings.replica_lag_time_max_ms,
            min_insync_replicas: settings.topic.min_insync_replicas,
        }
    }

    /// Publishes how many replicas are in sync, where that changed. Called with the machine locked.
    fn note_isr(&self, leader: &Leader) {
        let old = self.leadership();
        let new = old.with_isr_of(leader);
        if new != old {
            self.leadership.store(Arc::new(new));
            // Who waits for the high watermark may wait in vain now.
            self.committed.wake_all();
        }
    }

    fn carry_out(&self, step: LeaderStep) -> Option<IsrProposal> {
        if let Some(offset) = step.high_watermark {
            self.commit_up_to(offset);
        }
        step.proposal
    }
}
