//! Producers that keep at it while nodes come and go, and the times at which they were acknowledged.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};
use crate::wire::{
    Acks, BatchShape, Connection, PreparedBatch, Topic, check_produced, partition_states, produce_frame,
};

const VALUE_BYTES: usize = 100;
/// Between one acknowledged record and the next.
const PAUSE: Duration = Duration::from_millis(2);
/// Between a failure and the next try.
const BACKOFF: Duration = Duration::from_millis(10);
/// How long an answer is waited for before the leader is looked up anew.
const PATIENCE: Duration = Duration::from_millis(250);

/// One producer with `acks=all` on one partition, a record at a time.
pub(crate) struct Probe {
    acknowledged: Receiver<Acknowledged>,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

/// When a record was sent, and when its acknowledgement came.
#[derive(Debug, Clone, Copy)]
struct Acknowledged {
    sent: Instant,
    at: Instant,
}

impl Probe {
    /// Begins to produce; a topic's partition is looked for on all nodes.
    pub(crate) fn start(nodes: &[SocketAddr], topic: &Topic, partition: i32) -> Result<Self> {
        let batch = PreparedBatch::new(BatchShape::single(VALUE_BYTES));
        let request = produce_frame(topic, &[partition], &batch, Acks::All)?;
        let producer =
            Producer { nodes: nodes.to_vec(), topic: topic.name.clone(), partition, request, asked: 0 };
        let (acknowledge, acknowledged) = channel();
        let (stop, stopped) = channel();
        let thread = thread::spawn(move || producer.run(&acknowledge, &stopped));
        Ok(Self { acknowledged, stop, thread })
    }

    /// When the first record that was sent after `moment` was acknowledged.
    pub(crate) fn first_after(&self, moment: Instant, time_max: Duration) -> Result<Instant> {
        let deadline = moment + time_max;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.acknowledged.recv_timeout(left) {
                Ok(record) if record.sent >= moment => return Ok(record.at),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Failure::Other(format!("nothing was acknowledged for {time_max:?}")));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::Other("the producer panicked".to_owned()));
                }
            }
        }
    }

    /// Ends it, and gives the longest time without an acknowledgement since `moment`.
    fn longest_gap_since(self, moment: Instant) -> Duration {
        let end = Instant::now();
        drop(self.stop);
        // It ends by itself; a panic shows as a gap up to the end.
        let _ = self.thread.join();
        let (mut last, mut longest) = (moment, Duration::ZERO);
        for record in self.acknowledged.iter().filter(|record| record.at > moment) {
            longest = longest.max(record.at - last);
            last = record.at;
        }
        longest.max(end.saturating_duration_since(last))
    }
}

/// A probe on each of several partitions.
pub(crate) struct Probes(Vec<Probe>);

impl Probes {
    /// Begins to produce to all partitions of a topic.
    pub(crate) fn start(nodes: &[SocketAddr], topic: &Topic) -> Result<Self> {
        let probe = |partition| Probe::start(nodes, topic, partition);
        Ok(Self((0..topic.partitions).map(probe).collect::<Result<Vec<_>>>()?))
    }

    /// Waits until each has been acknowledged a record that was sent from now on.
    pub(crate) fn wait_until_all_go(&self, time_max: Duration) -> Result<()> {
        let now = Instant::now();
        self.0.iter().try_for_each(|probe| probe.first_after(now, time_max).map(drop))
    }

    /// Ends them, and gives the longest time since `moment` that any of them was not acknowledged anything.
    pub(crate) fn longest_gap_since(self, moment: Instant) -> Duration {
        self.0.into_iter().map(|probe| probe.longest_gap_since(moment)).max().unwrap_or_default()
    }
}

struct Producer {
    nodes: Vec<SocketAddr>,
    topic: String,
    partition: i32,
    request: Vec<u8>,
    /// The node that was last asked for the leader.
    asked: usize,
}

impl Producer {
    fn run(mut self, acknowledge: &Sender<Acknowledged>, stopped: &Receiver<()>) {
        let mut leader = None;
        loop {
            let pause = match self.produce(&mut leader) {
                Ok(record) => acknowledge.send(record).map_or(Duration::ZERO, |()| PAUSE),
                Err(_) => {
                    leader = None;
                    BACKOFF
                }
            };
            if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    fn produce(&mut self, leader: &mut Option<Connection>) -> Result<Acknowledged> {
        let connection = match leader {
            Some(connection) => connection,
            None => leader.insert(self.connect()?),
        };
        let sent = Instant::now();
        connection.send(&self.request)?;
        check_produced(connection.receive()?)?;
        Ok(Acknowledged { sent, at: Instant::now() })
    }

    /// Asks the next node for the leader, and connects to it.
    fn connect(&mut self) -> Result<Connection> {
        self.asked = (self.asked + 1) % self.nodes.len();
        let mut any = Connection::open_with_patience(self.nodes[self.asked], PATIENCE)?;
        let states = partition_states(&mut any, &self.topic)?;
        let leader = states.get(self.partition as usize).and_then(|state| state.leader);
        let leader = leader.ok_or_else(|| Failure::Other("there is no leader".to_owned()))?;
        Connection::open_with_patience(self.nodes[leader], PATIENCE)
    }
}
