//! A batch on its way from the application to the broker.

use std::sync::Arc;

use klamm_records::{BatchBuilder, BatchHeader, Codec, NewRecord};

use super::delivery::{BatchAck, BatchOutcome, Delivery, DeliveryError};
use super::sequence::Sequence;

/// Records of one partition that travel and succeed or fail together.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    /// Index of the partition's queue in the accumulator.
    pub(crate) queue: usize,
    /// Rises over all batches of a producer; the order within a partition.
    pub(crate) ordinal: u64,
    pub(crate) created_ms: i64,
    pub(crate) retry_at_ms: i64,
    pub(crate) attempts: u32,
    pub(crate) sequence: Option<Sequence>,
    /// Bytes that count against `buffer.memory`.
    pub(crate) buffered_bytes: usize,
    pub(crate) count: i32,
    /// What stood in the way last, for the message of a final failure.
    pub(crate) last_failure: String,
    pub(crate) outcome: Arc<BatchOutcome>,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Open(BatchBuilder),
    Sealed { bytes: Vec<u8>, stamped: Option<Sequence> },
}

impl Batch {
    pub(crate) fn new(topic: Arc<str>, partition: i32, queue: usize, ordinal: u64, now_ms: i64) -> Self {
        Self {
            topic,
            partition,
            queue,
            ordinal,
            created_ms: now_ms,
            retry_at_ms: 0,
            attempts: 0,
            sequence: None,
            buffered_bytes: 0,
            count: 0,
            last_failure: "no leader to send it to".to_owned(),
            outcome: Arc::default(),
            content: Content::Open(BatchBuilder::new(0)),
        }
    }

    /// Whether `record` fits below `batch_size`. The first record always does.
    pub(crate) fn has_room(&self, record: &NewRecord<'_>, batch_size: usize) -> bool {
        match &self.content {
            Content::Open(builder) => builder.is_empty() || builder.size_with(record) <= batch_size,
            Content::Sealed { .. } => false,
        }
    }

    /// Appends a record to an open batch and returns its future.
    pub(crate) fn append(&mut self, record: &NewRecord<'_>) -> Delivery {
        let index = self.count as u32;
        if let Content::Open(builder) = &mut self.content {
            builder.append(record);
            self.buffered_bytes = builder.size();
            self.count += 1;
        }
        Delivery {
            outcome: Arc::clone(&self.outcome),
            partition: self.partition,
            index,
            timestamp_ms: record.timestamp,
        }
    }

    /// Bytes of the batch as far as they are known: before compression while it is open.
    pub(crate) fn size(&self) -> usize {
        match &self.content {
            Content::Open(builder) => builder.size(),
            Content::Sealed { bytes, .. } => bytes.len(),
        }
    }

    /// Turns the records into a batch's bytes with its sequence in them; a batch that was numbered anew since is
    /// stamped again. Costs a compression, so it is not done under the accumulator's lock.
    pub(crate) fn seal(&mut self, codec: Codec) {
        let sequence = self.sequence;
        let content =
            std::mem::replace(&mut self.content, Content::Sealed { bytes: Vec::new(), stamped: None });
        let (id, epoch, first) = numbers(sequence);
        let bytes = match content {
            Content::Open(builder) => builder.codec(codec).producer(id, epoch, first).build(),
            Content::Sealed { bytes, stamped } if stamped == sequence => bytes,
            Content::Sealed { bytes, .. } => stamp(bytes, sequence),
        };
        self.content = Content::Sealed { bytes, stamped: sequence };
    }

    /// The sealed bytes; empty before [`Batch::seal`].
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.content {
            Content::Open(_) => &[],
            Content::Sealed { bytes, .. } => bytes,
        }
    }

    pub(crate) fn acknowledge(&self, ack: BatchAck) {
        self.outcome.complete(Ok(ack));
    }

    pub(crate) fn fail(&self, error: DeliveryError) {
        self.outcome.complete(Err(error));
    }
}

/// Writes other numbers into a batch's bytes, which `seal` has made.
fn stamp(mut bytes: Vec<u8>, sequence: Option<Sequence>) -> Vec<u8> {
    if let Ok(mut header) = BatchHeader::parse(&bytes) {
        (header.producer_id, header.producer_epoch, header.base_sequence) = numbers(sequence);
        header.crc = header.compute_crc(&bytes[BatchHeader::SIZE..]);
        bytes[..BatchHeader::SIZE].copy_from_slice(&header.write());
    }
    bytes
}

fn numbers(sequence: Option<Sequence>) -> (i64, i16, i32) {
    use klamm_records::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE};
    sequence.map_or((NO_PRODUCER_ID, NO_PRODUCER_EPOCH, NO_SEQUENCE), |s| {
        (s.identity.id, s.identity.epoch, s.first)
    })
}
