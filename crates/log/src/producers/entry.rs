//! What is known of one producer.

use klamm_records::{BatchHeader, NO_PRODUCER_EPOCH, NO_SEQUENCE, NO_TIMESTAMP, increment_sequence};

use crate::bounds::PRODUCER_BATCHES_KEPT;

/// A batch of a producer that is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMetadata {
    /// Sequence number of its last record.
    pub last_sequence: i32,
    /// Offset of its last record.
    pub last_offset: i64,
    /// Last offset minus first.
    pub offset_delta: i32,
    /// Its largest timestamp.
    pub timestamp: i64,
}

impl BatchMetadata {
    /// Offset of its first record.
    pub fn first_offset(&self) -> i64 {
        self.last_offset - i64::from(self.offset_delta)
    }

    /// Sequence number of its first record.
    pub fn first_sequence(&self) -> i32 {
        increment_sequence(self.last_sequence, -self.offset_delta)
    }
}

/// A producer as DescribeProducers shows it, with the batches that repeated ones are compared to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerState {
    /// The producer.
    pub producer_id: i64,
    /// Its epoch, −1 if only a marker of unknown epoch was seen.
    pub producer_epoch: i16,
    /// Epoch of the transaction coordinator that wrote its last marker, −1 for none.
    pub coordinator_epoch: i32,
    /// Timestamp of its last batch or marker.
    pub last_timestamp: i64,
    /// Where its open transaction begins.
    pub current_transaction_start: Option<i64>,
    /// Its last batches in this epoch, oldest first.
    batches: Vec<BatchMetadata>,
}

impl ProducerState {
    /// A producer of which nothing is known.
    pub(crate) fn unknown(producer_id: i64) -> Self {
        Self {
            producer_id,
            producer_epoch: NO_PRODUCER_EPOCH,
            coordinator_epoch: -1,
            last_timestamp: NO_TIMESTAMP,
            current_transaction_start: None,
            batches: Vec::new(),
        }
    }

    /// Its remembered batches, oldest first.
    pub fn batches(&self) -> &[BatchMetadata] {
        &self.batches
    }

    /// Sequence number of its last record, −1 for none in this epoch.
    pub fn last_sequence(&self) -> i32 {
        self.batches.last().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    /// Offset of its last record, −1 for none in this epoch.
    pub fn last_offset(&self) -> i64 {
        self.batches.last().map_or(-1, |batch| batch.last_offset)
    }

    pub(crate) fn is_expired(&self, expired_before_ms: i64) -> bool {
        self.current_transaction_start.is_none() && self.last_timestamp <= expired_before_ms
    }

    /// The batch in the log that `header`'s repeats: of the same epoch and the same sequence numbers.
    pub(crate) fn find_duplicate(&self, header: &BatchHeader) -> Option<BatchMetadata> {
        let sequences = (header.base_sequence, header.last_sequence());
        let same = |batch: &&BatchMetadata| (batch.first_sequence(), batch.last_sequence) == sequences;
        if header.producer_epoch != self.producer_epoch {
            return None;
        }
        self.batches.iter().find(same).copied()
    }

    pub(crate) fn add_batch(&mut self, producer_epoch: i16, batch: BatchMetadata) {
        self.set_epoch(producer_epoch);
        if self.batches.len() == PRODUCER_BATCHES_KEPT {
            self.batches.remove(0);
        }
        self.batches.push(batch);
        self.last_timestamp = batch.timestamp;
    }

    pub(crate) fn end_transaction(&mut self, producer_epoch: i16, coordinator_epoch: i32, timestamp: i64) {
        self.set_epoch(producer_epoch);
        self.coordinator_epoch = coordinator_epoch;
        self.last_timestamp = timestamp;
        self.current_transaction_start = None;
    }

    fn set_epoch(&mut self, producer_epoch: i16) {
        if self.producer_epoch != producer_epoch {
            self.batches.clear();
            self.producer_epoch = producer_epoch;
        }
    }
}
