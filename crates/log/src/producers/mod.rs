//! Producer state of a partition: what makes producers idempotent and transactions visible as a whole.
//!
//! For each producer: its epoch, its last batches, and the offset where its open transaction began. For the partition:
//! the open transactions and those whose marker is not replicated yet, which together decide the last stable offset.
//!
//! Invariants ([`ProducerStates::check_invariants`]):
//! - state is changed only by what is in the log, in its order, so a rebuild from any snapshot gives the same;
//! - the open transactions are exactly those that producers have open;
//! - the snapshot at offset `n` holds the effect of all batches below `n`.

mod append;
mod entry;
pub(crate) mod snapshot;
mod verification;

use std::collections::BTreeMap;

use append::CompletedTransaction;
pub use append::{AppendOrigin, ProducerError};
pub(crate) use append::{EndMarker, Rules, Staged};
pub use entry::{BatchMetadata, ProducerState};
pub use snapshot::read_snapshot;
pub use verification::VerificationGuard;
use verification::Verifications;

use crate::index::AbortedTransaction;

#[derive(Debug, Default)]
pub(crate) struct ProducerStates {
    producers: BTreeMap<i64, ProducerState>,
    /// First offset to producer of each open transaction.
    ongoing: BTreeMap<i64, i64>,
    /// First offset to marker offset of each transaction that ended above the high watermark.
    unreplicated: BTreeMap<i64, i64>,
    verifications: Verifications,
    /// The offset up to which batches took effect.
    end_offset: i64,
}

impl ProducerStates {
    /// No producers, at this offset.
    pub(crate) fn starting_at(offset: i64) -> Self {
        Self { end_offset: offset, ..Self::default() }
    }

    /// The producers of a snapshot, without those that expired.
    pub(crate) fn from_snapshot(offset: i64, producers: Vec<ProducerState>, expired_before_ms: i64) -> Self {
        let mut states = Self::starting_at(offset);
        for producer in producers.into_iter().filter(|producer| !producer.is_expired(expired_before_ms)) {
            if let Some(first_offset) = producer.current_transaction_start {
                states.ongoing.insert(first_offset, producer.producer_id);
            }
            states.producers.insert(producer.producer_id, producer);
        }
        states
    }

    pub(crate) fn end_offset(&self) -> i64 {
        self.end_offset
    }

    pub(crate) fn set_end_offset(&mut self, offset: i64) {
        self.end_offset = offset;
    }

    pub(crate) fn get(&self, producer_id: i64) -> Option<&ProducerState> {
        self.producers.get(&producer_id)
    }

    /// All producers, by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ProducerState> {
        self.producers.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.producers.len()
    }

    /// Takes over what an append changed; returns the transactions that it aborted, for the index.
    pub(crate) fn commit(&mut self, staged: Staged, next_offset: i64) -> Vec<AbortedTransaction> {
        for producer in staged.producers {
            self.verifications.forget_used(&producer);
            self.producers.insert(producer.state.producer_id, producer.state);
        }
        self.ongoing.extend(staged.started);
        self.end_offset = next_offset;
        staged.completed.into_iter().filter_map(|completed| self.complete(completed)).collect()
    }

    fn complete(&mut self, completed: CompletedTransaction) -> Option<AbortedTransaction> {
        let CompletedTransaction { producer_id, first_offset, last_offset, is_aborted } = completed;
        self.ongoing.remove(&first_offset);
        self.unreplicated.insert(first_offset, last_offset);
        let last_stable_offset = self.ongoing.keys().next().copied().unwrap_or(last_offset + 1);
        is_aborted.then_some(AbortedTransaction {
            producer_id,
            first_offset,
            last_offset,
            last_stable_offset,
        })
    }

    /// The first offset of a transaction that is open or whose marker is not replicated.
    pub(crate) fn first_unstable_offset(&self) -> Option<i64> {
        let first = |map: &BTreeMap<i64, i64>| map.keys().next().copied();
        [first(&self.ongoing), first(&self.unreplicated)].into_iter().flatten().min()
    }

    /// Transactions whose markers are below `offset` are stable from now on.
    pub(crate) fn on_high_watermark(&mut self, offset: i64) {
        self.unreplicated.retain(|_, marker_offset| *marker_offset >= offset);
    }

    pub(crate) fn on_log_start(&mut self, log_start_offset: i64) {
        self.on_high_watermark(log_start_offset);
        self.end_offset = self.end_offset.max(log_start_offset);
    }

    /// Forgets producers without an open transaction whose last write was at or before this time.
    pub(crate) fn remove_expired(&mut self, expired_before_ms: i64) {
        self.producers.retain(|_, producer| !producer.is_expired(expired_before_ms));
        self.verifications.remove_expired(expired_before_ms);
    }

    /// Whether the producer has a transaction open in this epoch.
    pub(crate) fn has_ongoing_transaction(&self, producer_id: i64, producer_epoch: i16) -> bool {
        let ongoing = |state: &ProducerState| {
            state.current_transaction_start.is_some() && state.producer_epoch == producer_epoch
        };
        self.get(producer_id).is_some_and(ongoing)
    }

    pub(crate) fn verifications(&mut self) -> &mut Verifications {
        &mut self.verifications
    }

    /// Panics if what must always hold does not.
    pub(crate) fn check_invariants(&self) {
        let open: BTreeMap<i64, i64> = self
            .iter()
            .filter_map(|producer| Some((producer.current_transaction_start?, producer.producer_id)))
            .collect();
        assert_eq!(open, self.ongoing, "open transactions");
        for producer in self.iter() {
            assert!(producer.last_offset() < self.end_offset, "{producer:?} is beyond {}", self.end_offset);
        }
    }
}
