//! A partition of three replicas and its controller on a network that loses and delays, with brokers that die and come back. After every
//! step: what is in sync has what is committed, the high watermark of an epoch never falls, whoever is elected has what was acknowledged.

use std::collections::BTreeMap;

use klamm_metadata::partition::Partition;
use klamm_replica::follower::truncation;
use klamm_replica::{EpochEnd, FollowerFetch, IsrProposal, Leader, LeaderStep, Moment, ProposalAnswer};

use crate::partition::{LAG_MS, moment, partition};

const BROKERS: [i32; 3] = [1, 2, 3];
const MIN_ISR: i32 = 2;
/// How long a follower waits for an answer.
const FETCH_MS_MAX: i64 = 200;

/// Epoch and number of a record.
type Record = (i32, u64);

#[derive(Default)]
struct Broker {
    is_up: bool,
    epoch: i64,
    log: Vec<Record>,
    high_watermark: i64,
    /// The partition as this broker's metadata has it.
    known: Partition,
    leader: Option<Leader>,
    /// The latest fetch, whose answer alone counts, and when to give it up.
    awaited: (u64, i64),
    /// Of each broker that may be in sync, its epoch, as the metadata has it.
    brokers: BTreeMap<i32, i64>,
}

#[derive(Clone)]
enum Message {
    Metadata(Box<Partition>, BTreeMap<i32, i64>),
    Fetch { number: u64, epoch: i32, fetch: FollowerFetch, last_epoch: i32 },
    Records { number: u64, records: Vec<Record>, high_watermark: i64 },
    Diverging { number: u64, end: EpochEnd },
    Proposal(i64, IsrProposal),
    Answer(IsrProposal, ProposalAnswer),
}

struct Network {
    now_ms: i64,
    seed: u64,
    brokers: BTreeMap<i32, Broker>,
    partition: Partition,
    /// Registered and unfenced brokers, with their epochs.
    live: BTreeMap<i32, i64>,
    next_epoch: i64,
    next_record: u64,
    /// Due time, a number for the order, receiver (0 the controller), sender.
    in_flight: BTreeMap<(i64, u64), (i32, i32, Message)>,
    sent: u64,
    acknowledged: Vec<Record>,
    is_lossy: bool,
}

impl Broker {
    fn end(&self) -> i64 {
        self.log.len() as i64
    }

    fn epoch_end(&self, epoch: i32) -> EpochEnd {
        let end = self.log.iter().take_while(|(of, _)| *of <= epoch).count();
        // Below the first epoch that is known a log answers with where it begins.
        let known = if end == 0 { epoch } else { self.log[end - 1].0 };
        EpochEnd { epoch: known, end_offset: end as i64 }
    }

    fn moment(&self, now_ms: i64) -> Moment {
        let at = moment(now_ms, self.high_watermark, self.end());
        Moment { min_insync_replicas: MIN_ISR, ..at }
    }
}

impl Network {
    fn new(seed: u64) -> Self {
        let live: BTreeMap<i32, i64> = BROKERS.iter().map(|&id| (id, i64::from(id))).collect();
        let brokers = BROKERS.iter().map(|&id| {
            (id, Broker { is_up: true, epoch: i64::from(id), brokers: live.clone(), ..Broker::default() })
        });
        let mut network = Self {
            now_ms: 0,
            seed: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            brokers: brokers.collect(),
            partition: partition(1, (1, 1), &BROKERS, &BROKERS),
            live,
            next_epoch: 10,
            next_record: 0,
            in_flight: BTreeMap::new(),
            sent: 0,
            acknowledged: Vec::new(),
            is_lossy: true,
        };
        network.tell_all();
        network
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 11) % below
    }

    fn send(&mut self, from: i32, to: i32, message: Message) {
        // The metadata is a log: late, but never lost, and in order.
        let is_metadata = matches!(message, Message::Metadata(..));
        if self.is_lossy && !is_metadata && self.draw(12) == 0 {
            return;
        }
        let mut due = self.now_ms + 1 + self.draw(60) as i64;
        if is_metadata {
            let earlier = self.in_flight.iter().filter(|(_, (receiver, _, message))| {
                *receiver == to && matches!(message, Message::Metadata(..))
            });
            due = earlier.map(|((due, _), _)| *due).fold(due, i64::max);
        }
        self.sent += 1;
        self.in_flight.insert((due, self.sent), (to, from, message));
    }

    fn tell_all(&mut self) {
        for id in BROKERS {
            let message = Message::Metadata(Box::new(self.partition.clone()), self.live.clone());
            self.send(0, id, message);
        }
    }

    /// A change by the controller; leaders come from the ISR.
    fn change(&mut self, isr: Vec<i32>, leader: i32) {
        let elected = leader != self.partition.leader;
        self.partition.isr = isr.into();
        self.partition.leader = leader;
        self.partition.leader_epoch += i32::from(elected);
        self.partition.partition_epoch += 1;
        if elected && leader > 0 {
            let log = &self.brokers[&leader].log;
            let kept = self.acknowledged.iter().enumerate().all(|(at, record)| log.get(at) == Some(record));
            assert!(kept, "{leader} is elected and lacks what was acknowledged, at {} ms", self.now_ms);
        }
        self.tell_all();
    }

    fn crash(&mut self, id: i32) {
        let broker = self.brokers.get_mut(&id).unwrap();
        (broker.is_up, broker.leader, broker.known) = (false, None, Partition::default());
        broker.awaited = (0, 0);
        self.live.remove(&id);
        if !self.partition.isr.contains(&id) {
            return self.tell_all();
        }
        let mut isr: Vec<i32> = self.partition.isr.iter().copied().filter(|one| *one != id).collect();
        if isr.is_empty() {
            isr.push(id);
        }
        let is_led = self.partition.leader != id && self.partition.leader > 0;
        let next = isr.iter().copied().find(|one| self.live.contains_key(one)).unwrap_or(-1);
        let leader = if is_led { self.partition.leader } else { next };
        self.change(isr, leader);
    }

    fn restart(&mut self, id: i32) {
        self.next_epoch += 1;
        self.live.insert(id, self.next_epoch);
        let broker = self.brokers.get_mut(&id).unwrap();
        (broker.is_up, broker.epoch) = (true, self.next_epoch);
        if self.partition.leader < 0 && self.partition.isr.contains(&id) {
            let isr = self.partition.isr.to_vec();
            return self.change(isr, id);
        }
        self.tell_all();
    }

    fn alter(&mut self, from: i32, broker_epoch: i64, proposal: &IsrProposal) {
        let current = (self.partition.leader, self.partition.leader_epoch, self.partition.partition_epoch);
        let is_current = current == (from, proposal.leader_epoch, proposal.partition_epoch)
            && self.live.get(&from) == Some(&broker_epoch);
        let may_be =
            |(id, epoch): &(i32, i64)| self.live.get(id).is_some_and(|live| *epoch == -1 || live == epoch);
        let answer = if !is_current {
            ProposalAnswer::Outdated
        } else if !proposal.isr.iter().all(may_be) {
            ProposalAnswer::NotAttempted
        } else {
            let isr: Vec<i32> = proposal.isr.iter().map(|(id, _)| *id).collect();
            self.change(isr.clone(), from);
            let (leader_epoch, partition_epoch) =
                (self.partition.leader_epoch, self.partition.partition_epoch);
            ProposalAnswer::Altered { leader_epoch, partition_epoch, isr }
        };
        self.send(0, from, Message::Answer(proposal.clone(), answer));
    }

    fn carry_out(&mut self, id: i32, step: LeaderStep) {
        let broker = self.brokers.get_mut(&id).unwrap();
        if let Some(high_watermark) = step.high_watermark {
            assert!(high_watermark > broker.high_watermark && high_watermark <= broker.end());
            broker.high_watermark = high_watermark;
            let committed = &broker.log[..high_watermark as usize];
            let agreed = committed.iter().zip(&self.acknowledged).all(|(one, other)| one == other);
            assert!(agreed, "two histories are acknowledged, at {} ms", self.now_ms);
            if committed.len() > self.acknowledged.len() {
                self.acknowledged = committed.to_vec();
            }
        }
        let epoch = broker.epoch;
        if let Some(proposal) = step.proposal {
            self.send(id, 0, Message::Proposal(epoch, proposal));
        }
    }

    fn follow_metadata(&mut self, id: i32, partition: Partition, live: BTreeMap<i32, i64>) {
        let now_ms = self.now_ms;
        let broker = self.brokers.get_mut(&id).unwrap();
        broker.brokers = live.clone();
        let at = broker.moment(now_ms);
        let epoch_of = |id| live.get(&id).copied();
        let mut step = LeaderStep::default();
        // A new incarnation leads only once it is registered as itself.
        if partition.leader != id || live.get(&id) != Some(&broker.epoch) {
            broker.leader = None;
        } else if let Some(leader) = &mut broker.leader {
            step = leader.update(&partition, epoch_of, at);
        } else {
            let leader = Leader::new(id, &partition, epoch_of, at);
            step = leader.appended(at);
            broker.leader = Some(leader);
        }
        if broker.known.leader_epoch != partition.leader_epoch {
            broker.awaited = (0, 0);
        }
        broker.known = partition;
        self.carry_out(id, step);
    }

    fn serve(&mut self, id: i32, (number, epoch): (u64, i32), fetch: FollowerFetch, last_epoch: i32) {
        let now_ms = self.now_ms;
        let broker = self.brokers.get_mut(&id).unwrap();
        let at = broker.moment(now_ms);
        let end = broker.epoch_end(last_epoch);
        let Some(leader) = broker.leader.as_mut().filter(|leader| leader.leader_epoch() == epoch) else {
            return;
        };
        let to = fetch.replica_id;
        if last_epoch >= 0 && (end.epoch < last_epoch || end.end_offset < fetch.fetch_offset) {
            return self.send(id, to, Message::Diverging { number, end });
        }
        let records: Vec<Record> =
            broker.log[fetch.fetch_offset as usize..].iter().take(20).copied().collect();
        let Ok(step) = leader.fetched(fetch, at) else { return };
        self.carry_out(id, step);
        let high_watermark = self.brokers[&id].high_watermark;
        self.send(id, to, Message::Records { number, records, high_watermark });
    }

    fn receive(&mut self, to: i32, from: i32, message: Message) {
        if let Message::Proposal(broker_epoch, proposal) = &message {
            return self.alter(from, *broker_epoch, proposal);
        }
        let now_ms = self.now_ms;
        let broker = self.brokers.get_mut(&to).unwrap();
        if !broker.is_up {
            return;
        }
        match message {
            Message::Metadata(partition, live) => self.follow_metadata(to, *partition, live),
            Message::Fetch { number, epoch, fetch, last_epoch } => {
                self.serve(to, (number, epoch), fetch, last_epoch);
            }
            Message::Records { number, records, high_watermark } if broker.awaited.0 == number => {
                broker.awaited = (0, 0);
                broker.log.extend(records);
                broker.high_watermark = broker.high_watermark.max(high_watermark.min(broker.end()));
            }
            Message::Diverging { number, end } if broker.awaited.0 == number => {
                broker.awaited = (0, 0);
                let cut = truncation(end, Some(broker.epoch_end(end.epoch)), broker.end());
                broker.log.truncate(cut.offset as usize);
                broker.high_watermark = broker.high_watermark.min(cut.offset);
            }
            Message::Answer(proposal, answer) => {
                let at = broker.moment(now_ms);
                let Some(leader) = &mut broker.leader else { return };
                let step = leader.proposal_answered(&proposal, answer, at);
                self.carry_out(to, step);
            }
            _ => {}
        }
    }

    /// Followers ask, leaders append and look for those who lag.
    fn act(&mut self, id: i32) {
        let (now_ms, may_append) = (self.now_ms, self.draw(3) == 0);
        let broker = self.brokers.get_mut(&id).unwrap();
        if !broker.is_up {
            return;
        }
        let Some(epoch) = broker.leader.as_ref().map(Leader::leader_epoch) else {
            let known = &broker.known;
            let (leader, epoch) = (known.leader, known.leader_epoch);
            if leader < 1 || leader == id || broker.awaited.1 > now_ms {
                return;
            }
            self.sent += 1;
            let number = self.sent;
            broker.awaited = (number, now_ms + FETCH_MS_MAX);
            let last_epoch = broker.log.last().map_or(-1, |(epoch, _)| *epoch);
            let fetch = FollowerFetch {
                replica_id: id,
                broker_epoch: broker.epoch,
                fetch_offset: broker.end(),
                log_start_offset: 0,
            };
            return self.send(id, leader, Message::Fetch { number, epoch, fetch, last_epoch });
        };
        if may_append {
            self.next_record += 1;
            broker.log.push((epoch, self.next_record));
        }
        let at = broker.moment(now_ms);
        let leader = broker.leader.as_mut().unwrap();
        let mut step = leader.check_lag(at);
        step.proposal = step.proposal.or_else(|| leader.proposal().cloned());
        self.carry_out(id, step);
    }

    fn run(&mut self, ms: i64) {
        let until_ms = self.now_ms + ms;
        while self.now_ms < until_ms {
            self.now_ms += 1;
            while let Some(entry) = self.in_flight.first_entry().filter(|entry| entry.key().0 <= self.now_ms)
            {
                let (to, from, message) = entry.remove();
                self.receive(to, from, message);
                self.check();
            }
            for id in BROKERS {
                if self.draw(25) == 0 {
                    self.act(id);
                    self.check();
                }
            }
        }
    }

    fn check(&self) {
        self.partition.check_invariants();
        for id in self.partition.isr.iter() {
            let log = &self.brokers[id].log;
            let has_all =
                self.acknowledged.iter().enumerate().all(|(at, record)| log.get(at) == Some(record));
            assert!(has_all, "{id} is in sync and lacks what was acknowledged, at {} ms", self.now_ms);
        }
        self.brokers.values().filter_map(|broker| broker.leader.as_ref()).for_each(Leader::check_invariants);
    }

    /// One more broker dies or comes back, or the leadership moves.
    fn disturb(&mut self) {
        let id = BROKERS[self.draw(3) as usize];
        match (self.brokers[&id].is_up, self.draw(3)) {
            (true, 0) => self.crash(id),
            (true, _) if self.partition.isr.contains(&id) && self.partition.leader > 0 => {
                let isr = self.partition.isr.to_vec();
                self.change(isr, id);
            }
            (true, _) => {}
            (false, _) => self.restart(id),
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost() {
    let mut acknowledged = 0;
    for seed in 1..=40 {
        let mut network = Network::new(seed);
        network.run(200);
        for _ in 0..30 {
            network.disturb();
            let ms = network.draw(2 * LAG_MS as u64) as i64;
            network.run(ms);
        }
        network.is_lossy = false;
        for id in BROKERS {
            if !network.brokers[&id].is_up {
                network.restart(id);
            }
        }
        network.run(4 * LAG_MS);
        assert_eq!(network.partition.isr.len(), 3, "seed {seed}: all are in sync again");
        acknowledged += network.acknowledged.len();
    }
    assert!(acknowledged > 5_000, "{acknowledged} records are few");
}
