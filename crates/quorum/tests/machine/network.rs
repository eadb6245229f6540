//! Replicas that speak through a network which delays, loses and reorders, write to disks that forget what was not flushed, and stop and
//! start; all from one seed. After each step, what must always hold is checked.

use std::collections::BTreeMap;

use klamm_metadata::ControlRecord;
use klamm_quorum::message::{
    EpochInfo, FetchAnswer, FetchReply, FetchRequest, Fetched, FetchedBatch, FetchedContents, Request,
    VoteResponse,
};
use klamm_quorum::{
    ElectionState, KRaftVersionError, Leadership, LogState, Output, Quorum, QuorumConfig, QuorumStart,
    ReplicaKey, VoterChangeError, VoterEndpoint, VoterNode, VoterSet,
};

pub(crate) fn voter(id: i32) -> VoterNode {
    let endpoint = VoterEndpoint { name: "CONTROLLER".into(), host: "localhost".into(), port: 9093 };
    VoterNode { key: ReplicaKey::of_id(id), endpoints: vec![endpoint], kraft_versions: (0, 1) }
}

pub(crate) fn config(id: i32) -> QuorumConfig {
    QuorumConfig {
        local: voter(id),
        bootstrap_ids: Vec::new(),
        election_timeout_ms: 1_000,
        election_backoff_ms_max: 1_000,
        fetch_timeout_ms: 2_000,
        request_timeout_ms: 2_000,
        retry_backoff_ms: 20,
        seed: id as u64,
    }
}

/// A record as a disk holds it: who wrote it, one value to tell it from others, and the voters or the level if it sets them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredRecord {
    epoch: i32,
    value: u64,
    control: Option<ControlRecord>,
}

/// What a node has on its disk, and how much of it would survive a crash.
#[derive(Clone, Debug, Default)]
struct Disk {
    records: Vec<StoredRecord>,
    flushed: usize,
    election: ElectionState,
}

#[derive(Debug)]
enum Message {
    Request(Request),
    Vote(VoteResponse),
    BeginEpoch(EpochInfo),
    EndEpoch(EpochInfo),
    Fetch(FetchReply, i64, Vec<StoredRecord>),
    Failed,
    /// The node is known to be down.
    Gone,
}

struct Node {
    quorum: Quorum,
    disk: Disk,
    leading: Option<i32>,
    flush_due_ms: Option<i64>,
}

pub(crate) struct Network {
    pub(crate) now_ms: i64,
    nodes: BTreeMap<i32, Option<Node>>,
    disks: BTreeMap<i32, Disk>,
    /// The voters of the settings, or with `kraft_version` 1 of the formatting snapshot.
    first_voters: Vec<i32>,
    kraft_version: i16,
    in_flight: Vec<(i64, i32, i32, Message)>,
    pub(crate) cut_off: Vec<i32>,
    /// One message in so many is lost; 0 for none.
    pub(crate) loss: u64,
    random: u64,
    leaders: BTreeMap<i32, i32>,
    committed: Vec<StoredRecord>,
    next_value: u64,
}

impl Network {
    /// All vote, as the settings say.
    pub(crate) fn of(ids: &[i32], seed: u64) -> Self {
        Self::with_voters(ids, ids, 0, seed)
    }

    /// Some vote at first, as the log says; the others observe.
    pub(crate) fn dynamic(ids: &[i32], voters: &[i32], seed: u64) -> Self {
        Self::with_voters(ids, voters, 1, seed)
    }

    fn with_voters(ids: &[i32], voters: &[i32], kraft_version: i16, seed: u64) -> Self {
        let mut network = Self {
            first_voters: voters.to_vec(),
            kraft_version,
            now_ms: 0,
            nodes: ids.iter().map(|&id| (id, None)).collect(),
            disks: ids.iter().map(|&id| (id, Disk::default())).collect(),
            in_flight: Vec::new(),
            cut_off: Vec::new(),
            loss: 0,
            random: seed,
            leaders: BTreeMap::new(),
            committed: Vec::new(),
            next_value: 0,
        };
        for &id in ids {
            network.start(id);
        }
        network
    }

    pub(crate) fn draw(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.random >> 33) % below.max(1)
    }

    pub(crate) fn ids(&self) -> Vec<i32> {
        self.disks.keys().copied().collect()
    }

    pub(crate) fn start(&mut self, id: i32) {
        let disk = self.disks[&id].clone();
        let mut log = LogState::default();
        for record in &disk.records {
            log.append(record.epoch, 1);
        }
        log.flushed_offset = log.end_offset;
        let mut history = vec![(-1, VoterSet::new(self.first_voters.iter().map(|&id| voter(id))))];
        let (mut kraft_version, mut older_kraft_version) = (self.kraft_version, None);
        for (offset, record) in (0..).zip(&disk.records) {
            match &record.control {
                Some(ControlRecord::Voters(record)) => history.push((offset, VoterSet::from_record(record))),
                Some(ControlRecord::KRaftVersion(record)) if record.kraft_version != kraft_version => {
                    older_kraft_version = Some((offset, kraft_version));
                    kraft_version = record.kraft_version;
                }
                _ => {}
            }
        }
        let (voters_offset, voters) = history.pop().expect("the first voters are there");
        let election = disk.election.clone();
        let older_voters = history;
        let voted = QuorumStart { voters, voters_offset, older_voters, ..QuorumStart::default() };
        let start = QuorumStart { election, log, kraft_version, older_kraft_version, ..voted };
        let seed = self.draw(u64::MAX);
        let (quorum, outputs) = Quorum::open(QuorumConfig { seed, ..config(id) }, start, self.now_ms);
        let node = Node {
            quorum,
            disk: Disk { flushed: disk.records.len(), ..disk },
            leading: None,
            flush_due_ms: None,
        };
        self.nodes.insert(id, Some(node));
        self.carry_out(id, outputs, &[]);
    }

    /// Stops a node at once: what it has not flushed is gone.
    pub(crate) fn crash(&mut self, id: i32) {
        if let Some(mut node) = self.nodes.insert(id, None).flatten() {
            node.disk.records.truncate(node.disk.flushed);
            self.disks.insert(id, node.disk);
        }
    }

    pub(crate) fn is_up(&self, id: i32) -> bool {
        self.nodes[&id].is_some()
    }

    pub(crate) fn quorum(&self, id: i32) -> &Quorum {
        &self.nodes[&id].as_ref().expect("the node is up").quorum
    }

    /// The node that was told it leads, in the highest epoch.
    pub(crate) fn leader(&self) -> Option<i32> {
        let up = self.nodes.iter().filter_map(|(&id, node)| Some((node.as_ref()?.leading?, id)));
        up.max().map(|(_, id)| id)
    }

    /// Has the leader append a record; false where nobody leads.
    pub(crate) fn append(&mut self) -> bool {
        let Some(id) = self.leader() else { return false };
        self.next_value += 1;
        let value = self.next_value;
        let node = self.nodes.get_mut(&id).and_then(Option::as_mut).expect("the leader is up");
        let Ok(slot) = node.quorum.append(1) else { return false };
        assert_eq!(slot.base_offset, node.disk.records.len() as i64);
        node.disk.records.push(StoredRecord { epoch: slot.epoch, value, control: None });
        node.flush_due_ms.get_or_insert(self.now_ms + 1);
        true
    }

    /// Has the leader change the voters; false where it may not now.
    pub(crate) fn change_voters(
        &mut self,
        change: impl FnOnce(&mut Quorum, i64) -> Result<(i64, Vec<Output>), VoterChangeError>,
    ) -> Result<i64, VoterChangeError> {
        let id = self.leader().ok_or(VoterChangeError::NotLeader)?;
        let node = self.nodes.get_mut(&id).and_then(Option::as_mut).expect("the leader is up");
        let (offset, outputs) = change(&mut node.quorum, self.now_ms)?;
        self.carry_out(id, outputs, &[]);
        Ok(offset)
    }

    /// Has the leader raise `kraft.version`.
    pub(crate) fn raise_kraft_version(&mut self, level: i16) -> Result<(), KRaftVersionError> {
        let id = self.leader().ok_or(KRaftVersionError::NotLeader)?;
        let node = self.nodes.get_mut(&id).and_then(Option::as_mut).expect("the leader is up");
        let outputs = node.quorum.raise_kraft_version(level)?;
        self.carry_out(id, outputs, &[]);
        Ok(())
    }

    /// Lets time pass, a step at a time.
    pub(crate) fn run(&mut self, ms: i64) {
        let until_ms = self.now_ms + ms;
        while self.now_ms < until_ms {
            self.now_ms += 1;
            self.deliver();
            for id in self.ids() {
                self.flush_and_tick(id);
            }
        }
    }

    pub(crate) fn run_until(&mut self, limit_ms: i64, done: impl Fn(&Self) -> bool) {
        let until_ms = self.now_ms + limit_ms;
        while !done(self) {
            assert!(self.now_ms < until_ms, "not within {limit_ms} ms");
            self.run(1);
        }
    }

    pub(crate) fn committed_count(&self) -> usize {
        self.committed.len()
    }

    fn deliver(&mut self) {
        let now_ms = self.now_ms;
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.in_flight).into_iter().partition(|(at_ms, ..)| *at_ms <= now_ms);
        self.in_flight = later;
        for (_, from, to, message) in due {
            self.receive(from, to, message);
        }
    }

    fn flush_and_tick(&mut self, id: i32) {
        let now_ms = self.now_ms;
        let Some(node) = self.nodes.get_mut(&id).and_then(Option::as_mut) else { return };
        let mut outputs = Vec::new();
        if node.flush_due_ms.is_some_and(|due_ms| due_ms <= now_ms) {
            node.flush_due_ms = None;
            node.disk.flushed = node.disk.records.len();
            outputs.extend(node.quorum.on_log_flushed(now_ms, node.disk.flushed as i64));
        }
        if node.quorum.deadline_ms().is_some_and(|deadline_ms| deadline_ms <= now_ms) {
            outputs.extend(node.quorum.tick(now_ms));
        }
        if !outputs.is_empty() {
            self.carry_out(id, outputs, &[]);
        }
    }

    fn send(&mut self, from: i32, to: i32, message: Message) {
        let lost = self.loss > 0 && self.draw(self.loss) == 0;
        let is_cut = self.cut_off.contains(&from) || self.cut_off.contains(&to);
        let delay_ms = 1 + self.draw(20) as i64;
        if !lost && !is_cut && self.is_up(to) {
            self.in_flight.push((self.now_ms + delay_ms, from, to, message));
        } else if matches!(message, Message::Request(_)) {
            let failure = if is_cut || lost { Message::Failed } else { Message::Gone };
            self.in_flight.push((self.now_ms + delay_ms, to, from, failure));
        }
    }

    fn receive(&mut self, from: i32, to: i32, message: Message) {
        let now_ms = self.now_ms;
        if !self.is_up(to) && matches!(message, Message::Request(_)) {
            self.in_flight.push((now_ms + 1, to, from, Message::Gone));
        }
        let Some(node) = self.nodes.get_mut(&to).and_then(Option::as_mut) else { return };
        let quorum = &mut node.quorum;
        let (reply, outputs, fetched) = match message {
            Message::Request(Request::Vote(request)) => {
                let (response, outputs) = quorum.handle_vote(now_ms, &request);
                (Some(Message::Vote(response)), outputs, Vec::new())
            }
            Message::Request(Request::BeginEpoch(request)) => {
                let (response, outputs) = quorum.handle_begin_epoch(now_ms, &request);
                (Some(Message::BeginEpoch(response)), outputs, Vec::new())
            }
            Message::Request(Request::EndEpoch(request)) => {
                let (response, outputs) = quorum.handle_end_epoch(now_ms, &request);
                (Some(Message::EndEpoch(response)), outputs, Vec::new())
            }
            Message::Request(Request::Fetch(request)) => {
                let (reply, outputs) = quorum.handle_fetch(now_ms, &request);
                let records = read(&node.disk, &request, &reply);
                (Some(Message::Fetch(reply, request.offset, records)), outputs, Vec::new())
            }
            Message::Vote(response) => {
                (None, quorum.handle_vote_response(now_ms, from, &response), Vec::new())
            }
            Message::BeginEpoch(info) => {
                (None, quorum.handle_begin_epoch_response(now_ms, from, &info), Vec::new())
            }
            Message::EndEpoch(info) => {
                (None, quorum.handle_end_epoch_response(now_ms, from, &info), Vec::new())
            }
            Message::Fetch(reply, offset, records) => {
                let response = fetched(&reply, offset, &records);
                (None, quorum.handle_fetch_response(now_ms, from, &response), records)
            }
            Message::Gone => (None, quorum.on_node_gone(now_ms, from), Vec::new()),
            Message::Failed => (None, quorum.on_request_failed(now_ms, from), Vec::new()),
        };
        self.carry_out(to, outputs, &fetched);
        if let Some(reply) = reply {
            self.send(to, from, reply);
        }
    }

    /// Does what a step asks for, then checks what must always hold.
    fn carry_out(&mut self, id: i32, outputs: Vec<Output>, fetched: &[StoredRecord]) {
        let mut to_send = Vec::new();
        for output in outputs {
            let node = self.nodes.get_mut(&id).and_then(Option::as_mut).expect("only nodes that are up act");
            match output {
                Output::PersistElectionState(state) => node.disk.election = state,
                Output::Truncate { end_offset } => {
                    node.disk.records.truncate(end_offset as usize);
                    node.disk.flushed = node.disk.flushed.min(end_offset as usize);
                }
                Output::AppendControl { base_offset, epoch, records, .. } => {
                    assert_eq!(base_offset, node.disk.records.len() as i64);
                    let stored = |record: ControlRecord| {
                        let is_kept =
                            matches!(record, ControlRecord::Voters(_) | ControlRecord::KRaftVersion(_));
                        StoredRecord { epoch, value: 0, control: is_kept.then_some(record) }
                    };
                    node.disk.records.extend(records.into_iter().map(stored));
                    node.flush_due_ms.get_or_insert(self.now_ms + 1);
                }
                Output::AppendFetched { base_offset, end_offset } => {
                    assert_eq!(base_offset, node.disk.records.len() as i64);
                    let appended = &fetched[..(end_offset - base_offset) as usize];
                    for (offset, record) in (base_offset..).zip(appended) {
                        record
                            .control
                            .iter()
                            .for_each(|control| node.quorum.on_control_record(offset, control));
                    }
                    node.disk.records.extend_from_slice(appended);
                    node.flush_due_ms.get_or_insert(self.now_ms + 1);
                }
                Output::Send { to, request } => to_send.push((to, request)),
                Output::HighWatermark(offset) => self.check_committed(id, offset),
                Output::Leadership(leadership) => self.check_leadership(id, leadership),
                Output::FetchSnapshot { .. } => panic!("nobody takes snapshots here"),
                Output::CommittedIsMissing { .. } => panic!("node {id}: the leader lost records"),
            }
        }
        for (to, request) in to_send {
            self.send(id, to, Message::Request(request));
        }
        let node = self.nodes[&id].as_ref().expect("the node is up");
        node.quorum.check_invariants();
        assert_eq!(node.quorum.log().end_offset, node.disk.records.len() as i64);
    }

    /// Every node commits the same records in the same order.
    fn check_committed(&mut self, id: i32, offset: i64) {
        let node = self.nodes[&id].as_ref().expect("the node is up");
        let records = &node.disk.records[..offset as usize];
        let common = records.len().min(self.committed.len());
        assert_eq!(records[..common], self.committed[..common], "node {id} commits what others did");
        self.committed.extend_from_slice(&records[common..]);
    }

    /// An epoch has one leader, and a leader has everything that was committed.
    fn check_leadership(&mut self, id: i32, leadership: Leadership) {
        let node = self.nodes.get_mut(&id).and_then(Option::as_mut).expect("the node is up");
        node.leading = match leadership {
            Leadership::Leading { epoch } => {
                let leader = *self.leaders.entry(epoch).or_insert(id);
                assert_eq!(leader, id, "epoch {epoch} has one leader");
                assert!(node.disk.records.len() >= self.committed.len());
                Some(epoch)
            }
            _ => None,
        };
    }
}

fn read(disk: &Disk, request: &FetchRequest, reply: &FetchReply) -> Vec<StoredRecord> {
    match reply.answer {
        FetchAnswer::Records { end_offset } => {
            disk.records[request.offset as usize..end_offset as usize].to_vec()
        }
        _ => Vec::new(),
    }
}

fn fetched(reply: &FetchReply, offset: i64, records: &[StoredRecord]) -> Fetched {
    let batch = |(base_offset, record): (i64, &StoredRecord)| FetchedBatch {
        base_offset,
        end_offset: base_offset + 1,
        epoch: record.epoch,
    };
    let contents = match reply.answer {
        FetchAnswer::Diverging(end) => FetchedContents::Diverging(end),
        FetchAnswer::Snapshot(id) => FetchedContents::Snapshot(id),
        _ => FetchedContents::Batches((offset..).zip(records).map(batch).collect()),
    };
    Fetched { info: reply.info, high_watermark: reply.high_watermark, contents }
}
