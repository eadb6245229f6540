//! Leading: the epoch's first record, how far the others are, what is committed, and stepping down.

use klamm_metadata::ControlRecord;
use klamm_protocol::ErrorCode;
use klamm_protocol::messages::KRaftVersionRecord;
use klamm_protocol::messages::leader_change_message::{LeaderChangeMessage, Voter};

use crate::log_state::FetchPosition;
use crate::message::{
    BeginEpochRequest, EndEpochRequest, EpochInfo, FetchAnswer, FetchReply, FetchRequest, Request,
};
use crate::output::Output;
use crate::quorum::{AppendSlot, NotLeader, Quorum};
use crate::role::{Leader, Progress, Role};
use crate::voters::{ReplicaKey, VoterSet};

impl Quorum {
    /// Reserves offsets for `count` records of the controller, which the driver appends there in one batch, flushes, and reports by
    /// [`Self::on_log_flushed`].
    pub fn append(&mut self, count: usize) -> Result<AppendSlot, NotLeader> {
        if !self.is_leader() {
            return Err(NotLeader);
        }
        let slot = AppendSlot { base_offset: self.log.end_offset, epoch: self.epoch };
        self.log.append(self.epoch, count as i64);
        Ok(slot)
    }

    /// Everything before `end_offset` in this node's log is on disk.
    pub fn on_log_flushed(&mut self, now_ms: i64, end_offset: i64) -> Vec<Output> {
        let mut outputs = Vec::new();
        self.log.flushed_offset = self.log.flushed_offset.max(end_offset.min(self.log.end_offset));
        self.advance_high_watermark(now_ms, &mut outputs);
        self.send_due(now_ms, &mut outputs);
        outputs
    }

    pub(crate) fn become_leader(&mut self, now_ms: i64, outputs: &mut Vec<Output>) {
        let granting: Vec<i32> = match &self.role {
            Role::Candidate { votes, .. } => votes.granted().collect(),
            _ => Vec::new(),
        };
        let unknown = self.other_voters().into_iter().map(|id| (id, Progress::unknown()));
        let leader = Leader {
            epoch_start_offset: self.log.end_offset,
            high_watermark: None,
            voters: unknown.collect(),
            observers: Default::default(),
            described: Default::default(),
            acknowledged: Default::default(),
            begin_epoch_due_ms: now_ms,
            fetched: Default::default(),
            check_quorum_deadline_ms: now_ms + self.check_quorum_timeout(),
            is_announced: false,
        };
        self.enter(self.epoch, Role::Leader(leader), outputs);
        let records = self.epoch_start_records(granting);
        outputs.push(self.append_control(records));
    }

    /// Appends control records, which are in force at once.
    pub(crate) fn append_control(&mut self, records: Vec<ControlRecord>) -> Output {
        let (base_offset, epoch) = (self.log.end_offset, self.epoch);
        self.log.append(epoch, records.len() as i64);
        for (offset, record) in (base_offset..).zip(&records) {
            self.on_control_record(offset, record);
        }
        Output::AppendControl { base_offset, epoch, records }
    }

    /// The leader change; and where the voters are only in the formatting snapshot, or this node's own description is old, the voters.
    fn epoch_start_records(&self, granting: Vec<i32>) -> Vec<ControlRecord> {
        let voter = |voter_id| Voter { voter_id, ..Voter::default() };
        let mut records = vec![ControlRecord::LeaderChange(LeaderChangeMessage {
            version: 0,
            leader_id: self.config.local.key.id,
            voters: self.current_voters().ids().map(voter).collect(),
            granting_voters: granting.into_iter().map(voter).collect(),
        })];
        let (offset, voters) = self.voters.last().expect("there is always a voter set");
        let local = &self.config.local;
        // One whose removal is not committed here may lead the others through it, but does not take it back.
        let own = voters.get(local.key.id).filter(|own| own.key.matches(local.key));
        let is_old = *offset < 0 || own.is_some_and(|own| own != local);
        if self.kraft_version > 0 && is_old {
            let level = KRaftVersionRecord { version: 0, kraft_version: self.kraft_version };
            records.push(ControlRecord::KRaftVersion(level));
            let voters = own.map_or_else(|| voters.clone(), |_| voters.with(local.clone()));
            records.push(ControlRecord::Voters(voters.to_record()));
        }
        records
    }

    /// Answers a Fetch of a voter or an observer. Records are the driver's to read, up to the end offset answered; with none to read and no
    /// error it may wait, and ask again when the log grew or the high watermark moved.
    pub fn handle_fetch(&mut self, now_ms: i64, request: &FetchRequest) -> (FetchReply, Vec<Output>) {
        let mut outputs = Vec::new();
        let result = self.try_fetch(now_ms, request, &mut outputs);
        let (error, answer) = match result {
            Ok(answer) => (ErrorCode::NONE, answer),
            Err(error) => (error, FetchAnswer::Refused),
        };
        let high_watermark = self.leader_high_watermark();
        (FetchReply { info: self.info(error), high_watermark, answer }, outputs)
    }

    fn try_fetch(
        &mut self,
        now_ms: i64,
        request: &FetchRequest,
        outputs: &mut Vec<Output>,
    ) -> Result<FetchAnswer, ErrorCode> {
        let is_epoch_possible = (0..=request.epoch).contains(&request.last_fetched_epoch);
        if request.offset < 0 || !is_epoch_possible {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        self.check_leads(request.epoch)?;
        match self.log.fetch_position(request.offset, request.last_fetched_epoch) {
            FetchPosition::Diverging(end) => Ok(FetchAnswer::Diverging(end)),
            FetchPosition::Snapshot(id) => Ok(FetchAnswer::Snapshot(id)),
            FetchPosition::Valid => {
                self.note_fetch(now_ms, request.replica, request.offset);
                self.advance_high_watermark(now_ms, outputs);
                Ok(FetchAnswer::Records { end_offset: self.log.end_offset })
            }
        }
    }

    /// Whether this node may answer as the leader of the epoch: also for FetchSnapshot, and for what changes the voters.
    pub fn check_leads(&self, epoch: i32) -> Result<(), ErrorCode> {
        match epoch.cmp(&self.epoch) {
            std::cmp::Ordering::Less => Err(ErrorCode::FENCED_LEADER_EPOCH),
            std::cmp::Ordering::Greater => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
            std::cmp::Ordering::Equal if self.is_leader() => Ok(()),
            std::cmp::Ordering::Equal => Err(ErrorCode::NOT_LEADER_OR_FOLLOWER),
        }
    }

    /// Whether a replica in `epoch` may load a snapshot from this node, which has to lead. A voter that does is heard.
    pub fn handle_fetch_snapshot(
        &mut self,
        now_ms: i64,
        replica: ReplicaKey,
        epoch: i32,
    ) -> Result<(), ErrorCode> {
        self.check_leads(epoch)?;
        if self.current_voters().contains(replica) {
            self.note_heard(now_ms, replica.id);
        }
        Ok(())
    }

    fn note_fetch(&mut self, now_ms: i64, replica: ReplicaKey, offset: i64) {
        if replica.id < 0 || replica.id == self.config.local.key.id {
            return;
        }
        let is_voter = self.current_voters().contains(replica);
        let leader_end = self.log.end_offset;
        let Role::Leader(leader) = &mut self.role else { return };
        let progress = if is_voter {
            leader.voters.entry(replica.id).or_insert_with(Progress::unknown)
        } else {
            leader.observers.entry(replica).or_insert_with(Progress::unknown)
        };
        progress.fetched(now_ms, offset, leader_end);
        leader.observers.retain(|_, progress| progress.is_in_session(now_ms));
        if is_voter {
            leader.acknowledged.insert(replica.id);
            self.note_heard(now_ms, replica.id);
        }
    }

    /// A voter lives and knows who leads; once enough do, the leader may lead on.
    pub(crate) fn note_heard(&mut self, now_ms: i64, id: i32) {
        let needed = self.current_voters().majority() - usize::from(self.is_voter());
        let deadline_ms = now_ms + self.check_quorum_timeout();
        let Role::Leader(leader) = &mut self.role else { return };
        leader.fetched.insert(id);
        if leader.fetched.len() >= needed {
            leader.fetched.clear();
            leader.check_quorum_deadline_ms = deadline_ms;
        }
    }

    /// What a majority has flushed is committed, from the first record of this epoch on (records of earlier ones go with it).
    pub(crate) fn advance_high_watermark(&mut self, now_ms: i64, outputs: &mut Vec<Output>) {
        let Role::Leader(leader) = &self.role else { return };
        let voters = self.current_voters();
        let mut ends: Vec<i64> = voters.ids().filter_map(|id| self.end_offset_of(leader, id)).collect();
        ends.sort_unstable_by(|one, other| other.cmp(one));
        let Some(&end) = ends.get(voters.majority() - 1) else { return };
        let known = leader.high_watermark.unwrap_or(leader.epoch_start_offset);
        if end <= known {
            return;
        }
        if let Role::Leader(leader) = &mut self.role {
            leader.high_watermark = Some(end);
            leader.is_announced = true;
        }
        self.raise_high_watermark(end, outputs);
        self.settle(outputs);
        self.leave_if_removed(now_ms, outputs);
    }

    pub(crate) fn raise_high_watermark(&mut self, offset: i64, outputs: &mut Vec<Output>) {
        if offset > self.high_watermark {
            self.high_watermark = offset;
            self.forget_old_voters();
            outputs.push(Output::HighWatermark(offset));
        }
    }

    /// Voter sets that a committed one replaced cannot come back by truncation.
    fn forget_old_voters(&mut self) {
        let committed = self.voters.partition_point(|(offset, _)| *offset < self.high_watermark);
        self.voters.drain(..committed.saturating_sub(1));
    }

    /// Up to where a replica has flushed, as far as this leader knows.
    pub(crate) fn end_offset_of(&self, leader: &Leader, id: i32) -> Option<i64> {
        if id == self.config.local.key.id {
            return Some(self.log.flushed_offset);
        }
        let observer = || leader.observers.iter().find(|(key, _)| key.id == id).map(|(_, progress)| progress);
        leader.voters.get(&id).or_else(observer).and_then(|progress| progress.end_offset)
    }

    /// Steps down, so that another voter can take over before its fetches time out: what a leader does before it stops.
    pub fn resign(&mut self, now_ms: i64) -> Vec<Output> {
        let mut outputs = Vec::new();
        if self.is_leader() {
            self.resign_lead(now_ms, &mut outputs);
            self.send_due(now_ms, &mut outputs);
        }
        outputs
    }

    pub(crate) fn resign_lead(&mut self, now_ms: i64, outputs: &mut Vec<Output>) {
        let preferred_candidates = match &self.role {
            Role::Leader(leader) => by_log_end(leader, self.current_voters()),
            _ => return,
        };
        let unconfirmed = self.other_voters();
        let election_deadline_ms = now_ms + self.election_timeout();
        let role = Role::Resigned { preferred_candidates, unconfirmed, election_deadline_ms };
        self.enter(self.epoch, role, outputs);
    }

    /// Tells voters who leads until they know: those that fetch do.
    pub(crate) fn send_begin_epoch(&mut self, now_ms: i64, outputs: &mut Vec<Output>) {
        let period_ms = self.config.fetch_timeout_ms / 2;
        let Role::Leader(leader) = &mut self.role else { return };
        if now_ms < leader.begin_epoch_due_ms {
            return;
        }
        leader.begin_epoch_due_ms = now_ms + period_ms;
        let is_silent = |id: &i32| {
            let last_fetch_ms = leader.voters.get(id).map_or(-1, |progress| progress.last_fetch_ms);
            last_fetch_ms < 0 || now_ms - last_fetch_ms >= period_ms
        };
        let silent: Vec<_> = leader.voters.keys().copied().filter(is_silent).collect();
        for id in silent {
            let Some(voter) = self.current_voters().get(id).map(|voter| voter.key) else { continue };
            if self.is_free(id) {
                let request =
                    BeginEpochRequest { voter, leader_id: self.config.local.key.id, epoch: self.epoch };
                self.send(now_ms, id, Request::BeginEpoch(request), outputs);
            }
        }
    }

    /// Takes the answer to a BeginQuorumEpoch.
    pub fn handle_begin_epoch_response(
        &mut self,
        now_ms: i64,
        from: i32,
        response: &EpochInfo,
    ) -> Vec<Output> {
        let mut outputs = Vec::new();
        self.answered(from);
        let is_stale = response.epoch < self.epoch;
        if !is_stale
            && self.learn(now_ms, response.epoch, response.leader_id, &mut outputs)
            && let (Role::Leader(leader), ErrorCode::NONE) = (&mut self.role, response.error)
        {
            leader.acknowledged.insert(from);
        }
        self.send_due(now_ms, &mut outputs);
        outputs
    }

    /// Tells voters that have not confirmed it that this node stepped down.
    pub(crate) fn send_end_epoch(&mut self, now_ms: i64, outputs: &mut Vec<Output>) {
        let Role::Resigned { preferred_candidates, unconfirmed, .. } = &self.role else { return };
        let request = EndEpochRequest {
            leader_id: self.config.local.key.id,
            epoch: self.epoch,
            preferred_candidates: preferred_candidates.clone(),
        };
        for id in unconfirmed.clone() {
            if self.is_free(id) {
                self.send(now_ms, id, Request::EndEpoch(request.clone()), outputs);
            }
        }
    }

    /// Takes the answer to an EndQuorumEpoch.
    pub fn handle_end_epoch_response(&mut self, now_ms: i64, from: i32, response: &EpochInfo) -> Vec<Output> {
        let mut outputs = Vec::new();
        self.answered(from);
        let is_stale = response.epoch < self.epoch;
        if !is_stale && self.learn(now_ms, response.epoch, response.leader_id, &mut outputs) {
            match (&mut self.role, response.error) {
                (Role::Resigned { unconfirmed, .. }, ErrorCode::NONE) => _ = unconfirmed.remove(&from),
                (Role::Resigned { .. }, _) => outputs.extend(self.on_request_failed(now_ms, from)),
                _ => {}
            }
        }
        self.send_due(now_ms, &mut outputs);
        outputs
    }

    /// Gives the voters the time they have to be heard in, from now on.
    pub(crate) fn await_quorum(&mut self, now_ms: i64) {
        let deadline_ms = now_ms + self.check_quorum_timeout();
        if let Role::Leader(leader) = &mut self.role {
            leader.check_quorum_deadline_ms = deadline_ms;
        }
    }

    /// One and a half fetch timeouts: the followers notice first that they are cut off.
    fn check_quorum_timeout(&self) -> i64 {
        self.config.fetch_timeout_ms * 3 / 2
    }
}

/// The other voters, the one with the longest log first.
fn by_log_end(leader: &Leader, voters: &VoterSet) -> Vec<ReplicaKey> {
    let mut ends: Vec<_> = leader.voters.iter().map(|(&id, progress)| (progress.end_offset, id)).collect();
    ends.sort_unstable_by_key(|&(end, id)| (std::cmp::Reverse(end), id));
    ends.into_iter().filter_map(|(_, id)| voters.get(id).map(|voter| voter.key)).collect()
}
