//! Verification of transactions with their coordinator before their first batch (KIP-890).
//!
//! A guard is handed out before the coordinator is asked and must still be the current one when the batch comes: a marker
//! that was written in between makes it worthless.

use std::collections::BTreeMap;

use klamm_records::BatchHeader;

use super::append::StagedProducer;
use super::{ProducerError, ProducerState};

/// Proof that the coordinator was asked about a producer's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerificationGuard(u64);

#[derive(Debug, Default)]
pub(crate) struct Verifications {
    entries: BTreeMap<i64, Verification>,
    guards_made: u64,
}

#[derive(Debug)]
struct Verification {
    guard: VerificationGuard,
    lowest_sequence: i32,
    epoch: i16,
    supports_epoch_bump: bool,
    started_ms: i64,
}

impl Verifications {
    /// The guard for a producer that is about to start a transaction with this batch.
    pub(crate) fn start(
        &mut self,
        header: &BatchHeader,
        supports_epoch_bump: bool,
        now_ms: i64,
    ) -> VerificationGuard {
        let (sequence, epoch) = (header.base_sequence, header.producer_epoch);
        let guards_made = &mut self.guards_made;
        let entry = self.entries.entry(header.producer_id).or_insert_with(|| {
            *guards_made += 1;
            let guard = VerificationGuard(*guards_made);
            Verification { guard, lowest_sequence: sequence, epoch, supports_epoch_bump, started_ms: now_ms }
        });
        if entry.supports_epoch_bump && epoch > entry.epoch {
            (entry.epoch, entry.lowest_sequence) = (epoch, sequence);
        }
        entry.lowest_sequence = entry.lowest_sequence.min(sequence);
        entry.guard
    }

    pub(super) fn is_verified(&self, producer_id: i64, guard: Option<VerificationGuard>) -> bool {
        guard.is_some() && self.entries.get(&producer_id).map(|entry| entry.guard) == guard
    }

    /// Batches that overtook the one that was verified first, or that begin in the middle, are out of order.
    pub(super) fn check_sequence(
        &self,
        header: &BatchHeader,
        state: &ProducerState,
    ) -> Result<(), ProducerError> {
        let Some(entry) = self.entries.get(&header.producer_id) else { return Ok(()) };
        let (producer_id, sequence) = (header.producer_id, header.base_sequence);
        let begins_in_the_middle = entry.supports_epoch_bump && sequence != 0 && state.batches().is_empty();
        if begins_in_the_middle || sequence > entry.lowest_sequence {
            let last_sequence = state.last_sequence();
            return Err(ProducerError::OutOfOrderSequence { producer_id, sequence, last_sequence });
        }
        Ok(())
    }

    /// A transactional batch or a marker was written: the guard has done its duty, unless it is for the next transaction.
    pub(super) fn forget_used(&mut self, producer: &StagedProducer) {
        let state = &producer.state;
        let is_for_next = |entry: &Verification| {
            entry.supports_epoch_bump && producer.is_marker && state.producer_epoch == entry.epoch
        };
        if producer.is_transactional && !self.entries.get(&state.producer_id).is_some_and(is_for_next) {
            self.entries.remove(&state.producer_id);
        }
    }

    pub(crate) fn remove_expired(&mut self, expired_before_ms: i64) {
        self.entries.retain(|_, entry| entry.started_ms > expired_before_ms);
    }
}
