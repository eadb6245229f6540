//! Readers in a closed loop, each on its own partitions from beginning to end and over again.

use std::net::SocketAddr;

use super::closed_loop::{Phase, Reading, Tally, Worker, measure};
use crate::failure::{Failure, Result};
use crate::target::Node;
use crate::wire::{Connection, FetchRange, Fetcher, PreparedBatch, Topic};

/// What a set of readers fetches from a topic that was filled with one batch over and over.
#[derive(Debug, Clone)]
pub(crate) struct FetchLoad {
    pub(crate) connections: usize,
    /// Partitions in each request; every connection has as many of its own.
    pub(crate) partitions_per_request: usize,
    /// Most bytes of a partition in an answer.
    pub(crate) bytes_max: i32,
}

/// How far the readers may go, and how bytes become offsets.
#[derive(Debug, Clone, Copy)]
struct Extent {
    batch_bytes: usize,
    batch_records: usize,
    end_offset: i64,
}

impl FetchLoad {
    /// The partitions that the topic must have.
    pub(crate) fn partitions(&self) -> i32 {
        (self.connections * self.partitions_per_request) as i32
    }

    /// Fetches until the counted phase is over. Every partition holds `batches` of these batches.
    pub(crate) fn measure(
        &self,
        node: &Node,
        topic: &Topic,
        (batch, batches): (&PreparedBatch, usize),
        warm_up: Phase,
        counted: Phase,
    ) -> Result<Reading> {
        let extent = Extent {
            batch_bytes: batch.bytes.len(),
            batch_records: batch.records,
            end_offset: (batches * batch.records) as i64,
        };
        let range = FetchRange { bytes_max: self.bytes_max, wait_ms_max: 500 };
        let address = node.address();
        let width = self.partitions_per_request;
        let worker = |index: usize| -> Worker<'_> {
            let partitions: Vec<i32> = (index * width..(index + 1) * width).map(|p| p as i32).collect();
            Box::new(move |tally| read_around(address, topic, range, extent, &partitions, tally))
        };
        measure(&[node.pid()], warm_up, counted, (0..self.connections).map(worker).collect())
    }
}

fn read_around(
    address: SocketAddr,
    topic: &Topic,
    range: FetchRange,
    extent: Extent,
    partitions: &[i32],
    tally: &Tally,
) -> Result<()> {
    let mut fetcher = Fetcher::new(Connection::open(address)?, topic, range);
    let mut positions: Vec<(i32, i64)> = partitions.iter().map(|partition| (*partition, 0)).collect();
    while !tally.is_stopped() {
        let (mut bytes, mut next) = (0, positions.clone());
        fetcher.fetch(&positions, |part| {
            bytes += part.records.len();
            let batches = part.records.len() / extent.batch_bytes;
            let position = next.iter_mut().find(|(partition, _)| *partition == part.partition);
            let (_, offset) = position.ok_or_else(|| Failure::Other("an answer not asked for".to_owned()))?;
            *offset += (batches * extent.batch_records) as i64;
            if *offset >= extent.end_offset {
                *offset = 0;
            }
            Ok(())
        })?;
        if bytes == 0 {
            return Err(Failure::Other("a fetch of stored data came back empty".to_owned()));
        }
        tally.add(1, bytes);
        positions = next;
    }
    Ok(())
}
