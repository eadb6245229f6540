//! Producers in a closed loop, each with a connection and a number of requests in flight.

use std::net::SocketAddr;

use super::closed_loop::{Phase, Reading, Tally, Worker, measure};
use crate::failure::Result;
use crate::target::{Cluster, Node};
use crate::wire::{Acks, Connection, FrameRing, PreparedBatch, Topic, check_produced, produce_frame};

/// What a set of producers sends. Every request of a connection goes to the next partitions in turn.
#[derive(Debug, Clone)]
pub(crate) struct ProduceLoad {
    pub(crate) batch: PreparedBatch,
    pub(crate) connections: usize,
    /// Requests in flight on each connection.
    pub(crate) depth: usize,
    /// Partitions with a batch in each request.
    pub(crate) partitions_per_request: usize,
    pub(crate) acks: Acks,
}

impl ProduceLoad {
    /// One batch in a request, five requests in flight as clients have by default, `acks=1`.
    pub(crate) fn new(batch: PreparedBatch, connections: usize) -> Self {
        Self { batch, connections, depth: 5, partitions_per_request: 1, acks: Acks::Leader }
    }

    /// Produces until the counted phase is over.
    pub(crate) fn measure(
        &self,
        node: &Node,
        topic: &Topic,
        warm_up: Phase,
        counted: Phase,
    ) -> Result<Reading> {
        let all: Vec<i32> = (0..topic.partitions).collect();
        measure(&[node.pid()], warm_up, counted, self.workers(node.address(), topic, &all)?)
    }

    /// Produces to the leaders of the topic's partitions until the counted phase is over; as many connections to each
    /// node as the load has.
    pub(crate) fn measure_cluster(
        &self,
        cluster: &Cluster,
        (topic, leaders): (&Topic, &[usize]),
        warm_up: Phase,
        counted: Phase,
    ) -> Result<Reading> {
        let mut workers = Vec::new();
        for (index, node) in cluster.nodes().iter().enumerate() {
            let led: Vec<i32> = (0..topic.partitions).filter(|p| leaders[*p as usize] == index).collect();
            workers.extend(self.workers(node.address(), topic, &led)?);
        }
        measure(&cluster.pids(), warm_up, counted, workers)
    }

    /// Workers that produce to these partitions until they are told to stop.
    fn workers<'a>(&self, address: SocketAddr, topic: &Topic, partitions: &[i32]) -> Result<Vec<Worker<'a>>> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let payload = self.batch.payload_bytes * self.partitions_per_request;
        let depth = self.depth;
        let worker = |first| -> Result<Worker<'a>> {
            let ring = FrameRing::new(&self.frames(topic, partitions, first)?, depth);
            Ok(Box::new(move |tally| produce(address, ring, depth, payload, tally)))
        };
        (0..self.connections).map(worker).collect()
    }

    /// A request for each group of partitions, each connection beginning with another one.
    fn frames(&self, topic: &Topic, partitions: &[i32], first: usize) -> Result<Vec<Vec<u8>>> {
        let mut groups: Vec<&[i32]> = partitions.chunks(self.partitions_per_request).collect();
        let groups_len = groups.len();
        groups.rotate_left(first % groups_len);
        groups.iter().map(|group| produce_frame(topic, group, &self.batch, self.acks)).collect()
    }
}

fn produce(
    address: SocketAddr,
    mut ring: FrameRing,
    depth: usize,
    payload_bytes: usize,
    tally: &Tally,
) -> Result<()> {
    let mut connection = Connection::open(address)?;
    connection.send(ring.take(depth))?;
    let mut in_flight = depth;
    while in_flight > 0 {
        check_produced(connection.receive()?)?;
        let mut answered = 1;
        while let Some(answer) = connection.received()? {
            check_produced(answer)?;
            answered += 1;
        }
        tally.add(answered, answered * payload_bytes);
        in_flight -= answered;
        if !tally.is_stopped() {
            connection.send(ring.take(answered))?;
            in_flight += answered;
        }
    }
    Ok(())
}

/// Fills a topic with this batch, the same number in every partition; gives that number.
pub(crate) fn fill(node: &Node, topic: &Topic, batch: &PreparedBatch, bytes: u64) -> Result<usize> {
    let rounds = (bytes as usize / batch.bytes.len() / topic.partitions as usize).max(1);
    let mut connection = Connection::open(node.address())?;
    let frames = |partition| produce_frame(topic, &[partition], batch, Acks::Leader);
    let frames = (0..topic.partitions).map(frames).collect::<Result<Vec<_>>>()?;
    for _ in 0..rounds {
        for frame in &frames {
            connection.send(frame)?;
        }
        for _ in &frames {
            check_produced(connection.receive()?)?;
        }
    }
    Ok(rounds)
}
