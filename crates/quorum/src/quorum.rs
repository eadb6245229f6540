//! The machine itself: what it is made of, how it starts, how it moves between roles.

use std::collections::BTreeMap;

use klamm_metadata::ControlRecord;
use klamm_protocol::ErrorCode;
use thiserror::Error;

use crate::election_state::ElectionState;
use crate::log_state::LogState;
use crate::message::{EpochInfo, Request};
use crate::output::{Leadership, Output};
use crate::role::{Follower, Role};
use crate::voters::{ReplicaKey, VoterNode, VoterSet};

/// Who this node is, and how patient. The timeouts are those of the `controller.quorum.*` settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumConfig {
    /// This node as a voter would be described.
    pub local: VoterNode,
    /// Ids that stand for addresses of nodes whose own ids are not known, all negative: who to ask for the leader besides the voters.
    pub bootstrap_ids: Vec<i32>,
    /// How long without a leader before a voter stands for election; up to as much again is added at random.
    pub election_timeout_ms: i64,
    /// Longest wait before standing for election when a leader names its successors.
    pub election_backoff_ms_max: i64,
    /// How long without a successful fetch before a voter gives the leader up.
    pub fetch_timeout_ms: i64,
    /// How long a request may take.
    pub request_timeout_ms: i64,
    /// How long to wait after a failed request.
    pub retry_backoff_ms: i64,
    /// Seed of the random waits.
    pub seed: u64,
}

/// What a node finds on its disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuorumStart {
    /// The `quorum-state` file; the default where there is none.
    pub election: ElectionState,
    /// The log's shape.
    pub log: LogState,
    /// The level of `kraft.version`: 0 has voters from the settings, 1 from the log.
    pub kraft_version: i16,
    /// The level before it, and where in the log it ended, if truncating the log could bring it back.
    pub older_kraft_version: Option<(i64, i16)>,
    /// The voters of the settings, or the newest of the log's snapshot and log.
    pub voters: VoterSet,
    /// Offset of the VotersRecord they are from; −1 for the formatting snapshot or the settings.
    pub voters_offset: i64,
    /// Earlier voters that truncating the log could bring back, oldest first, with the offsets of their records.
    pub older_voters: Vec<(i64, VoterSet)>,
}

/// Where records of the controller go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendSlot {
    /// Offset of the first record.
    pub base_offset: i64,
    /// The leader epoch to stamp.
    pub epoch: i32,
}

/// Only a leader appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("this node does not lead the metadata quorum")]
pub struct NotLeader;

/// A request that is on its way, or was answered badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Gives up at this time.
    Waiting(i64),
    /// Tries again at this time.
    BackingOff(i64),
}

/// One replica of the metadata log.
#[derive(Clone, Debug)]
pub struct Quorum {
    pub(crate) config: QuorumConfig,
    pub(crate) epoch: i32,
    pub(crate) role: Role,
    pub(crate) log: LogState,
    pub(crate) kraft_version: i16,
    /// The level before it, and the offset of the record that ended it.
    pub(crate) older_kraft_version: Option<(i64, i16)>,
    /// The voters in force, and before them those they replace, each with the offset it begins at.
    pub(crate) voters: Vec<(i64, VoterSet)>,
    pub(crate) high_watermark: i64,
    pub(crate) links: BTreeMap<i32, Link>,
    persisted: ElectionState,
    announced: Option<Leadership>,
    random: u64,
}

impl Quorum {
    /// Starts a replica. The only voter leads at once.
    pub fn open(config: QuorumConfig, start: QuorumStart, now_ms: i64) -> (Self, Vec<Output>) {
        let QuorumStart { election, log, kraft_version, older_kraft_version, .. } = start;
        let QuorumStart { voters, voters_offset, older_voters, .. } = start;
        let role = Role::Unattached { leader_id: None, voted: None, election_deadline_ms: now_ms };
        let mut quorum = Self {
            random: config.seed,
            config,
            epoch: election.epoch,
            role,
            // What is in a snapshot is committed.
            high_watermark: log
                .start_offset
                .max(log.latest_snapshot.map_or(0, |snapshot| snapshot.end_offset)),
            log,
            kraft_version,
            older_kraft_version,
            voters: older_voters.into_iter().chain([(voters_offset, voters)]).collect(),
            links: BTreeMap::new(),
            persisted: election.clone(),
            announced: None,
        };
        let mut outputs = Vec::new();
        quorum.resume(now_ms, &election, &mut outputs);
        if quorum.is_only_voter() {
            quorum.become_candidate(now_ms, &mut outputs);
        }
        quorum.send_due(now_ms, &mut outputs);
        (quorum, outputs)
    }

    /// Goes on where the node stopped. Who led before resigns: its epoch may hold records that it did not flush.
    fn resume(&mut self, now_ms: i64, election: &ElectionState, outputs: &mut Vec<Output>) {
        let local = self.config.local.key;
        if election.epoch < self.log.last_epoch() {
            return self.become_unattached(now_ms, self.log.last_epoch(), None, outputs);
        }
        match election.leader_id {
            Some(leader) if leader == local.id && self.is_voter() => {
                let election_deadline_ms = now_ms + self.election_timeout();
                let unconfirmed = self.other_voters();
                let voters = self.current_voters().iter().map(|voter| voter.key);
                // Nobody's log is known to be longer than another's, but somebody has to be the first.
                let preferred_candidates = voters.filter(|key| key.id != local.id).collect();
                self.role = Role::Resigned { preferred_candidates, unconfirmed, election_deadline_ms };
            }
            Some(leader) if leader != local.id && self.current_voters().get(leader).is_some() => {
                self.become_follower(now_ms, election.epoch, leader, outputs);
            }
            leader_id => {
                let leader_id = leader_id.filter(|&leader| leader != local.id);
                let wait_ms = match election.epoch {
                    // Nobody has led yet, so nobody is to be waited for.
                    0 => self.turn_ms(local.id),
                    _ => self.election_timeout(),
                };
                let election_deadline_ms = now_ms + wait_ms;
                self.role = Role::Unattached { leader_id, voted: election.voted, election_deadline_ms };
            }
        }
        self.settle(outputs);
    }

    /// The epoch this replica is in.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The epoch's leader, if known.
    pub fn leader_id(&self) -> Option<i32> {
        match &self.role {
            Role::Leader(_) | Role::Resigned { .. } => Some(self.config.local.key.id),
            Role::Follower(follower) => Some(follower.leader_id),
            Role::Unattached { leader_id, .. } | Role::Prospective { leader_id, .. } => *leader_id,
            Role::Candidate { .. } => None,
        }
    }

    /// Whether this node leads and may append.
    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// What the replica is.
    pub fn role(&self) -> &Role {
        &self.role
    }

    /// Everything before it is committed.
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// The log's shape.
    pub fn log(&self) -> &LogState {
        &self.log
    }

    /// The level of `kraft.version`.
    pub fn kraft_version(&self) -> i16 {
        self.kraft_version
    }

    /// The level of `kraft.version` behind the records before `offset`.
    pub fn kraft_version_before(&self, offset: i64) -> i16 {
        let older = self.older_kraft_version.filter(|(end, _)| *end >= offset);
        older.map_or(self.kraft_version, |(_, older)| older)
    }

    /// The voters in force.
    pub fn current_voters(&self) -> &VoterSet {
        &self.voters.last().expect("there is always a voter set").1
    }

    /// The voters in force behind the records before `offset`.
    pub fn voters_before(&self, offset: i64) -> Option<&VoterSet> {
        let mut newest_first = self.voters.iter().rev();
        newest_first.find(|(begin, _)| *begin < offset).map(|(_, voters)| voters)
    }

    /// This node as a voter would be described.
    pub fn local(&self) -> &VoterNode {
        &self.config.local
    }

    /// Whether this node votes.
    pub fn is_voter(&self) -> bool {
        self.current_voters().contains(self.config.local.key)
    }

    /// Everything before it is known by this leader to be committed; −1 while it knows nothing, and where this node does not lead.
    pub fn leader_high_watermark(&self) -> i64 {
        match &self.role {
            Role::Leader(leader) => leader.high_watermark.unwrap_or(-1),
            _ => -1,
        }
    }

    /// The text of the `quorum-state` file for an election state.
    pub fn election_state_json(&self, state: &ElectionState) -> String {
        let voters: Vec<_> = self.current_voters().ids().collect();
        state.to_json(self.kraft_version, &voters)
    }

    /// When [`Self::tick`] has something to do; none where only others can bring it.
    pub fn deadline_ms(&self) -> Option<i64> {
        let role = match &self.role {
            Role::Unattached { election_deadline_ms, .. } => {
                self.may_stand().then_some(*election_deadline_ms)
            }
            Role::Prospective { election_deadline_ms, .. }
            | Role::Candidate { election_deadline_ms, .. }
            | Role::Resigned { election_deadline_ms, .. } => Some(*election_deadline_ms),
            Role::Follower(follower) => self.may_stand().then_some(follower.fetch_deadline_ms),
            Role::Leader(leader) => (!self.is_only_voter())
                .then(|| leader.check_quorum_deadline_ms.min(leader.begin_epoch_due_ms)),
        };
        let links = self.links.values().map(|link| match link {
            Link::Waiting(until_ms) | Link::BackingOff(until_ms) => *until_ms,
        });
        links.chain(role).min()
    }

    /// Does what is due at `now_ms`.
    pub fn tick(&mut self, now_ms: i64) -> Vec<Output> {
        let mut outputs = Vec::new();
        match &self.role {
            Role::Unattached { election_deadline_ms, .. }
                if now_ms >= *election_deadline_ms && self.may_stand() =>
            {
                self.become_prospective(now_ms, &mut outputs);
            }
            Role::Prospective { election_deadline_ms, .. } if now_ms >= *election_deadline_ms => {
                self.lose_pre_vote(now_ms, &mut outputs);
            }
            Role::Candidate { election_deadline_ms, .. } if now_ms >= *election_deadline_ms => {
                self.become_prospective(now_ms, &mut outputs);
            }
            Role::Resigned { election_deadline_ms, .. } if now_ms >= *election_deadline_ms => {
                // One that votes no more must not raise the epoch: it would never hear the others again.
                let epoch = self.epoch + i32::from(self.may_stand());
                self.become_unattached(now_ms, epoch, None, &mut outputs);
            }
            Role::Follower(follower) if now_ms >= follower.fetch_deadline_ms && self.may_stand() => {
                self.become_prospective(now_ms, &mut outputs);
            }
            Role::Leader(leader) if now_ms >= leader.check_quorum_deadline_ms && !self.is_only_voter() => {
                self.resign_lead(now_ms, &mut outputs);
            }
            _ => {}
        }
        self.links.retain(|_, link| match link {
            Link::Waiting(until_ms) | Link::BackingOff(until_ms) => *until_ms > now_ms,
        });
        self.send_due(now_ms, &mut outputs);
        outputs
    }

    /// A request could not be sent, or was not answered.
    pub fn on_request_failed(&mut self, now_ms: i64, to: i32) -> Vec<Output> {
        self.links.insert(to, Link::BackingOff(now_ms + self.config.retry_backoff_ms));
        if let Role::Follower(follower) = &mut self.role
            && follower.leader_id == to
        {
            follower.is_loading_snapshot = false;
        }
        let mut outputs = Vec::new();
        self.send_due(now_ms, &mut outputs);
        outputs
    }

    /// A request failed, and the process that should have answered is known to be gone. One that follows it looks for another leader without
    /// waiting for the fetch timeout; the pre-vote keeps those from harm who still hear it.
    pub fn on_node_gone(&mut self, now_ms: i64, id: i32) -> Vec<Output> {
        let wait_ms = self.turn_ms(id);
        match &mut self.role {
            Role::Follower(follower) if follower.leader_id == id => {
                // The others have to notice as well, and whoever they notice it of may be elected.
                follower.has_fetched = false;
                follower.fetch_deadline_ms = follower.fetch_deadline_ms.min(now_ms + wait_ms);
            }
            // Those that refused because they heard the leader are asked again: by now they may have noticed.
            Role::Prospective { leader_id, votes, .. } if *leader_id == Some(id) => {
                votes.answers.retain(|_, granted| *granted);
            }
            _ => {}
        }
        self.on_request_failed(now_ms, id)
    }

    /// Takes note of a control record in the log, appended here or fetched: from `offset` on its voters or level are in force.
    pub fn on_control_record(&mut self, offset: i64, record: &ControlRecord) {
        match record {
            ControlRecord::Voters(record) => {
                self.voters.push((offset, VoterSet::from_record(record)));
                self.follow_voters();
            }
            ControlRecord::KRaftVersion(record) if record.kraft_version != self.kraft_version => {
                self.older_kraft_version = Some((offset, self.kraft_version));
                self.kraft_version = record.kraft_version;
            }
            _ => {}
        }
    }

    /// The log was cut at `end_offset`, and a change of the level perhaps with it.
    pub(crate) fn restore_kraft_version(&mut self, end_offset: i64) {
        if let Some((_, older)) = self.older_kraft_version.take_if(|(offset, _)| *offset >= end_offset) {
            self.kraft_version = older;
        }
    }

    /// Takes note of a snapshot of this node that is complete on disk; the log may then lose what is before `log_start_offset`.
    pub fn on_snapshot_written(&mut self, id: klamm_metadata::snapshot::SnapshotId, log_start_offset: i64) {
        self.log.add_snapshot(id);
        if log_start_offset > self.log.start_offset {
            self.log.cut_front(log_start_offset);
        }
    }

    /// Panics where the machine contradicts itself; for tests and simulation.
    pub fn check_invariants(&self) {
        self.log.check_invariants();
        assert!(self.epoch >= self.log.last_epoch(), "the log holds no epoch to come");
        assert!(self.high_watermark <= self.log.end_offset, "only what is there is committed");
        assert_eq!(self.persisted, self.election_state(), "the election state was persisted");
        if let Role::Leader(leader) = &self.role {
            let committed = leader.high_watermark.unwrap_or(0);
            assert!(committed == 0 || committed > leader.epoch_start_offset, "first the epoch's own record");
            let has_it = |id: i32| self.end_offset_of(leader, id).is_some_and(|end| end >= committed);
            // Voters that are in force but not committed yet may not have what those before them committed.
            let has_majority =
                |voters: &VoterSet| voters.ids().filter(|&id| has_it(id)).count() >= voters.majority();
            let mut sets = self.voters.iter().map(|(_, voters)| voters);
            assert!(committed == 0 || sets.any(has_majority), "a majority has it");
        }
    }

    /// Whether this node may stand for election: also while its removal is in the log but not committed, for it may be the only one that
    /// has the log to lead the rest through it.
    pub(crate) fn may_stand(&self) -> bool {
        let is_pending = |offset: i64| offset >= self.high_watermark;
        let mut newest_first = self.voters.iter().rev();
        let Some((offset, voters)) = newest_first.next() else { return false };
        let local = self.config.local.key;
        let mut voted_before = || newest_first.next().is_some_and(|(_, before)| before.contains(local));
        voters.contains(local) || is_pending(*offset) && voted_before()
    }

    pub(crate) fn is_only_voter(&self) -> bool {
        self.is_voter() && self.current_voters().len() == 1
    }

    pub(crate) fn other_voters(&self) -> std::collections::BTreeSet<i32> {
        let local = self.config.local.key.id;
        self.current_voters().ids().filter(|&id| id != local).collect()
    }

    /// Error, epoch and leader, as every response carries them.
    pub(crate) fn info(&self, error: ErrorCode) -> EpochInfo {
        EpochInfo { error, epoch: self.epoch, leader_id: self.leader_id() }
    }

    /// How long this voter waits for its turn to stand where all know that there is no leader and that node `gone` will not be it. They stand
    /// one after the other: two that stand at once take each other's votes.
    fn turn_ms(&self, gone: i32) -> i64 {
        let local = self.config.local.key.id;
        let rank = self.current_voters().ids().filter(|&voter| voter != gone && voter < local).count();
        let turn_ms = (self.config.election_timeout_ms / 10).max(1);
        turn_ms / 2 + turn_ms * rank as i64
    }

    /// The election timeout, with chance added so that two voters seldom stand at once.
    pub(crate) fn election_timeout(&mut self) -> i64 {
        let timeout = self.config.election_timeout_ms;
        timeout + (self.next_random() % timeout.max(1) as u64) as i64
    }

    pub(crate) fn next_random(&mut self) -> u64 {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn become_unattached(
        &mut self,
        now_ms: i64,
        epoch: i32,
        leader_id: Option<i32>,
        outputs: &mut Vec<Output>,
    ) {
        // A voter that waited for its election timeout goes on waiting: a higher epoch alone is no sign of a leader.
        let waited = match &self.role {
            Role::Unattached { election_deadline_ms, .. } | Role::Candidate { election_deadline_ms, .. } => {
                Some(*election_deadline_ms)
            }
            Role::Follower(follower) => Some(follower.fetch_deadline_ms),
            _ => None,
        };
        let voted = if epoch == self.epoch { self.voted() } else { None };
        let election_deadline_ms = match waited.filter(|&deadline_ms| deadline_ms > now_ms) {
            Some(deadline_ms) => deadline_ms,
            None => now_ms + self.election_timeout(),
        };
        self.enter(epoch, Role::Unattached { leader_id, voted, election_deadline_ms }, outputs);
    }

    pub(crate) fn become_follower(
        &mut self,
        now_ms: i64,
        epoch: i32,
        leader_id: i32,
        outputs: &mut Vec<Output>,
    ) {
        let voted = if epoch == self.epoch { self.voted() } else { None };
        let follower = Follower {
            leader_id,
            voted,
            fetch_deadline_ms: now_ms + self.config.fetch_timeout_ms,
            has_fetched: false,
            is_loading_snapshot: false,
        };
        self.enter(epoch, Role::Follower(follower), outputs);
    }

    /// Takes on a role in an epoch that is not before the present one.
    pub(crate) fn enter(&mut self, epoch: i32, role: Role, outputs: &mut Vec<Output>) {
        debug_assert!(epoch >= self.epoch, "epochs never fall");
        self.epoch = epoch;
        self.role = role;
        self.links.clear();
        self.settle(outputs);
    }

    /// Persists what must not be forgotten, and tells the node who leads; both only where it is news.
    pub(crate) fn settle(&mut self, outputs: &mut Vec<Output>) {
        let state = self.election_state();
        if state != self.persisted {
            self.persisted = state.clone();
            drop_superseded_state(outputs);
            outputs.push(Output::PersistElectionState(state));
        }
        let epoch = self.epoch;
        let leadership = match &self.role {
            Role::Leader(leader) if !leader.is_announced => None,
            Role::Leader(_) => Some(Leadership::Leading { epoch }),
            Role::Follower(follower) => Some(Leadership::Following { epoch, leader_id: follower.leader_id }),
            _ => Some(Leadership::Nobody { epoch }),
        };
        let is_nobody = |leadership| matches!(leadership, None | Some(Leadership::Nobody { .. }));
        let is_news = leadership != self.announced && !(is_nobody(leadership) && is_nobody(self.announced));
        if leadership.is_some() && is_news {
            self.announced = leadership;
            outputs.extend(leadership.map(Output::Leadership));
        }
    }

    pub(crate) fn voted(&self) -> Option<ReplicaKey> {
        match &self.role {
            Role::Unattached { voted, .. } | Role::Prospective { voted, .. } => *voted,
            Role::Candidate { .. } => Some(self.config.local.key),
            Role::Follower(follower) => follower.voted,
            Role::Leader(_) | Role::Resigned { .. } => None,
        }
    }

    fn election_state(&self) -> ElectionState {
        let voted = self.voted().map(|voted| match self.kraft_version {
            0 => ReplicaKey::of_id(voted.id),
            _ => voted,
        });
        ElectionState { epoch: self.epoch, leader_id: self.leader_id(), voted }
    }

    /// Follows what another node says of epoch and leader; false where it contradicts what is known.
    pub(crate) fn learn(
        &mut self,
        now_ms: i64,
        epoch: i32,
        leader_id: Option<i32>,
        outputs: &mut Vec<Output>,
    ) -> bool {
        let known = self.leader_id();
        let local = self.config.local.key.id;
        // Others may not have noticed yet that this node leads no more.
        let leader_id =
            leader_id.filter(|&leader| leader != local || epoch > self.epoch || known == Some(local));
        let contradicts = epoch == self.epoch && leader_id.is_some() && known.is_some() && leader_id != known;
        if contradicts || epoch > self.epoch && leader_id == Some(local) {
            return false;
        }
        // One that asks for votes because it lost this leader is not talked back by those who have not noticed yet.
        let has_lost_it = matches!(self.role, Role::Prospective { .. }) && known.is_some();
        let follows = matches!(self.role, Role::Follower(_) | Role::Leader(_) | Role::Resigned { .. });
        match leader_id {
            Some(leader) if epoch > self.epoch => self.become_follower(now_ms, epoch, leader, outputs),
            None if epoch > self.epoch => self.become_unattached(now_ms, epoch, None, outputs),
            Some(leader) if epoch == self.epoch && !follows && !has_lost_it => {
                self.become_follower(now_ms, epoch, leader, outputs);
            }
            _ => {}
        }
        true
    }

    /// Whether a node may be sent a request now.
    pub(crate) fn is_free(&self, id: i32) -> bool {
        !self.links.contains_key(&id)
    }

    pub(crate) fn send(&mut self, now_ms: i64, to: i32, request: Request, outputs: &mut Vec<Output>) {
        self.links.insert(to, Link::Waiting(now_ms + self.config.request_timeout_ms));
        outputs.push(Output::Send { to, request });
    }

    /// A response came, so that the node can be asked again.
    pub(crate) fn answered(&mut self, from: i32) {
        self.links.remove(&from);
    }

    /// Sends what the role has to say to nodes that are not being waited for.
    pub(crate) fn send_due(&mut self, now_ms: i64, outputs: &mut Vec<Output>) {
        match &self.role {
            Role::Prospective { .. } | Role::Candidate { .. } => self.send_votes(now_ms, outputs),
            Role::Leader(_) => self.send_begin_epoch(now_ms, outputs),
            Role::Resigned { .. } => self.send_end_epoch(now_ms, outputs),
            Role::Unattached { .. } | Role::Follower(_) => self.send_fetch(now_ms, outputs),
        }
    }
}

/// Of two states in one step only the later has to reach the disk, unless something leaves the node between them.
fn drop_superseded_state(outputs: &mut Vec<Output>) {
    let is_state = |output: &Output| matches!(output, Output::PersistElectionState(_));
    let leaves = |output: &Output| matches!(output, Output::Send { .. });
    if let Some(index) = outputs.iter().rposition(is_state)
        && !outputs[index..].iter().any(leaves)
    {
        outputs.remove(index);
    }
}
