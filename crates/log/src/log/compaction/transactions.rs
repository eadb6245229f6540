//! Transactions as compaction meets them: which batches were aborted, and when a marker has outlived its transaction.

use std::collections::{BTreeMap, BTreeSet};

use klamm_records::{Batch, BatchHeader, ControlType, DecompressLimits, RecordError};

use crate::index::AbortedTransaction;

/// The transactions around the batch that was met last. Batches are met in the order of the log.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    /// Aborted ones that begin behind it, by their first offset.
    ahead: BTreeSet<(i64, i64, i64, i64)>,
    aborted: BTreeMap<i64, Aborted>,
    /// Producers with a batch of a transaction that was not aborted and whose marker did not come yet.
    committed: BTreeSet<i64>,
}

/// An aborted transaction whose marker did not come yet.
#[derive(Debug)]
struct Aborted {
    entry: AbortedTransaction,
    /// Whether a batch of it was met: its marker is needed then.
    has_batches: bool,
}

/// What becomes of a control batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Marker {
    /// Nothing of its transaction is left: it may go when its time has come.
    pub(super) is_unneeded: bool,
    /// The transaction that it aborts, which still has batches.
    pub(super) aborts: Option<AbortedTransaction>,
}

impl Transactions {
    /// Tells of aborted transactions in what comes; repeated ones are no matter.
    pub(super) fn add_aborted(&mut self, transactions: impl IntoIterator<Item = AbortedTransaction>) {
        self.ahead.extend(transactions.into_iter().map(|entry| {
            (entry.first_offset, entry.producer_id, entry.last_offset, entry.last_stable_offset)
        }));
    }

    /// Meets a batch of data; true when its transaction was aborted.
    pub(super) fn meet_batch(&mut self, header: &BatchHeader) -> bool {
        self.advance_to(header.last_offset());
        if !header.attributes.is_transactional() {
            return false;
        }
        match self.aborted.get_mut(&header.producer_id) {
            Some(aborted) => {
                aborted.has_batches = true;
                true
            }
            None => {
                self.committed.insert(header.producer_id);
                false
            }
        }
    }

    /// Meets a control batch.
    ///
    /// # Errors
    /// When its record cannot be read.
    pub(super) fn meet_control_batch(&mut self, batch: &Batch<'_>) -> Result<Marker, RecordError> {
        self.advance_to(batch.header().last_offset());
        let producer_id = batch.header().producer_id;
        let mut records = batch.records(DecompressLimits::default())?;
        // One that earlier rounds emptied.
        let Some(record) = records.next_record()? else { return Ok(Marker::unneeded()) };
        Ok(match ControlType::of(&record) {
            Ok(ControlType::Commit) if self.committed.remove(&producer_id) => Marker::default(),
            Ok(ControlType::Abort) => match self.aborted.remove(&producer_id) {
                Some(Aborted { entry, has_batches: true }) => {
                    Marker { aborts: Some(entry), ..Marker::default() }
                }
                _ => Marker::unneeded(),
            },
            Ok(ControlType::Commit) => Marker::unneeded(),
            _ => Marker::default(),
        })
    }

    /// Those that begin at or before `offset` are no longer ahead.
    fn advance_to(&mut self, offset: i64) {
        while self.ahead.first().is_some_and(|(first_offset, ..)| *first_offset <= offset) {
            let Some((first_offset, producer_id, last_offset, last_stable_offset)) = self.ahead.pop_first()
            else {
                return;
            };
            let entry = AbortedTransaction { producer_id, first_offset, last_offset, last_stable_offset };
            self.aborted.entry(producer_id).or_insert(Aborted { entry, has_batches: false });
        }
    }
}

impl Marker {
    fn unneeded() -> Self {
        Self { is_unneeded: true, aborts: None }
    }
}
