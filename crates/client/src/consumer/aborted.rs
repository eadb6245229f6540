//! Which batches of a `read_committed` fetch belong to aborted transactions: sans-IO.
//!
//! The broker names the aborted transactions that overlap the answer by producer and first offset. A producer's
//! transactional batches from there on are void until its abort marker.

use std::collections::BTreeSet;

use klamm_records::{Batch, DecompressLimits, RecordIter};

/// An aborted transaction as a fetch names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AbortedTransaction {
    pub(super) producer_id: i64,
    pub(super) first_offset: i64,
}

/// Follows the aborted transactions through the batches of one partition in one answer.
#[derive(Debug, Default)]
pub(super) struct AbortedFilter {
    /// By first offset, the last one first.
    coming: Vec<AbortedTransaction>,
    active: BTreeSet<i64>,
}

impl AbortedFilter {
    pub(super) fn new(mut aborted: Vec<AbortedTransaction>) -> Self {
        aborted.sort_by_key(|transaction| std::cmp::Reverse(transaction.first_offset));
        Self { coming: aborted, active: BTreeSet::new() }
    }

    /// Whether the next batch is void. Batches are given in order, control batches too.
    pub(super) fn is_aborted(&mut self, batch: &Batch<'_>) -> bool {
        let header = batch.header();
        while let Some(transaction) = self.coming.pop_if(|t| t.first_offset <= header.last_offset()) {
            self.active.insert(transaction.producer_id);
        }
        if header.attributes.is_control() {
            if is_abort_marker(batch) {
                self.active.remove(&header.producer_id);
            }
            return false;
        }
        header.attributes.is_transactional() && self.active.contains(&header.producer_id)
    }
}

/// A control record's key is an int16 version and an int16 type; type 0 is an abort.
fn is_abort_marker(batch: &Batch<'_>) -> bool {
    let Ok(body) = batch.decompress(DecompressLimits::default()) else { return false };
    let first = RecordIter::new(batch.header(), &body).next();
    let key = first.and_then(Result::ok).and_then(|record| record.key);
    key.is_some_and(|key| key.get(2..4) == Some(&[0, 0]))
}

#[cfg(test)]
mod tests {
    use klamm_records::{BatchBuilder, NewRecord};

    use super::*;

    fn data(offset: i64, producer: i64, transactional: bool) -> Vec<u8> {
        let mut builder = BatchBuilder::new(offset).producer(producer, 0, 0).transactional(transactional);
        builder.append(&NewRecord::default());
        builder.build()
    }

    fn marker(offset: i64, producer: i64, kind: u8) -> Vec<u8> {
        let mut builder =
            BatchBuilder::new(offset).producer(producer, 0, -1).transactional(true).control(true);
        builder.append(&NewRecord { key: Some(&[0, 0, 0, kind]), ..NewRecord::default() });
        builder.build()
    }

    #[test]
    fn a_producer_is_void_from_its_first_offset_to_its_marker() {
        let batches = [
            (data(0, 1, true), false),
            (data(1, 2, true), true),
            (data(2, 1, true), true),
            (data(3, 1, false), false),
            (data(4, 3, true), false),
            (marker(5, 1, 0), false),
            (data(6, 1, true), false),
            (data(7, 2, true), true),
            (marker(8, 2, 1), false),
            (data(9, 2, true), true),
            (marker(10, 2, 0), false),
            (data(11, 1, true), true),
        ];
        let aborted = [(1, 2), (2, 1), (1, 11)];
        let mut filter = AbortedFilter::new(
            aborted
                .map(|(producer_id, first_offset)| AbortedTransaction { producer_id, first_offset })
                .to_vec(),
        );
        for (bytes, expected) in &batches {
            let batch = Batch::parse(bytes).expect("whole");
            assert_eq!(filter.is_aborted(&batch), *expected, "{:?}", batch.header());
        }
    }
}
