//! Writing what is left of some segments into one.

use std::io::IoSlice;
use std::sync::Arc;

use klamm_records::AnyBatch;

use super::filter::{Filtered, Retention};
use super::transactions::Transactions;
use super::{CompactionError, for_each_batch};
use crate::bounds::COMPACTION_WRITE_BYTES;
use crate::config::LogConfig;
use crate::error::StorageError;
use crate::files::Stage;
use crate::index::AbortedTransaction;
use crate::log::Log;
use crate::segment::{Appender, NewBatch, Segment};

impl Log {
    /// Writes what is left of neighbouring segments and puts it in their place; returns its bytes.
    pub(super) fn compact_group(
        &self,
        group: &[Arc<Segment>],
        retention: &Retention<'_>,
        transactions: &mut Transactions,
    ) -> Result<u64, CompactionError> {
        let Some(first) = group.first() else { return Ok(0) };
        let cleaned = Arc::new(Segment::empty_at_stage(&self.home, first.base_offset(), Stage::Cleaned));
        // What an interrupted round left.
        cleaned.remove_files()?;
        let written = self.rewrite(group, retention, transactions, &cleaned);
        let result = written.and_then(|is_changed| match is_changed || group.len() > 1 {
            true => self.replace(group, &cleaned, retention),
            false => Ok(cleaned.remove_files()?),
        });
        if result.is_err() {
            // Should that fail as well, the next round or start removes them.
            let _ = cleaned.remove_files();
        }
        result.map(|()| cleaned.size())
    }

    /// Whether anything was left out or changed.
    fn rewrite(
        &self,
        group: &[Arc<Segment>],
        retention: &Retention<'_>,
        transactions: &mut Transactions,
        cleaned: &Segment,
    ) -> Result<bool, CompactionError> {
        let mut target = Target::new(cleaned, self.config(), retention.now_ms)?;
        let mut is_changed = false;
        for segment in group {
            let (base_offset, (end_offset, _)) = (segment.base_offset(), segment.end());
            transactions.add_aborted(self.aborted_transactions(base_offset, end_offset)?);
            for_each_batch(segment, base_offset, |batch| {
                let filtered = filter(&batch, retention, transactions, &mut target)
                    .map_err(|source| CompactionError::Record { offset: batch.last_offset(), source })?;
                is_changed |= !matches!(filtered, Filtered::Original);
                target.take(&batch, filtered)?;
                Ok(false)
            })?;
        }
        target.finish()?;
        Ok(is_changed)
    }
}

fn filter(
    batch: &AnyBatch<'_>,
    retention: &Retention<'_>,
    transactions: &mut Transactions,
    target: &mut Target<'_>,
) -> Result<Filtered, klamm_records::RecordError> {
    let is_obsolete = match batch {
        AnyBatch::V2(batch) if batch.header().attributes.is_control() => {
            let marker = transactions.meet_control_batch(batch)?;
            target.aborted.extend(marker.aborts);
            marker.is_unneeded
        }
        AnyBatch::V2(batch) => transactions.meet_batch(batch.header()),
        AnyBatch::Legacy(_) => false,
    };
    retention.filter(batch, is_obsolete)
}

/// The segment that is written, and what is to be written to it next.
struct Target<'s> {
    segment: &'s Segment,
    appender: Appender,
    config: Arc<LogConfig>,
    pending: Vec<u8>,
    batches: Vec<NewBatch>,
    /// The aborted transactions that still have batches.
    aborted: Vec<AbortedTransaction>,
}

impl<'s> Target<'s> {
    fn new(segment: &'s Segment, config: Arc<LogConfig>, now_ms: i64) -> Result<Self, StorageError> {
        // There is a file even if nothing is left.
        segment.file().handle_or_create()?;
        let appender = Appender::new(now_ms);
        Ok(Self { segment, appender, config, pending: Vec::new(), batches: Vec::new(), aborted: Vec::new() })
    }

    fn take(&mut self, batch: &AnyBatch<'_>, filtered: Filtered) -> Result<(), StorageError> {
        let (bytes, last_offset, max_timestamp) = match &filtered {
            Filtered::Nothing => return Ok(()),
            Filtered::Original => (batch.bytes(), batch.last_offset(), batch.max_timestamp()),
            Filtered::Rewritten { bytes, max_timestamp } => (&bytes[..], batch.last_offset(), *max_timestamp),
        };
        self.pending.extend_from_slice(bytes);
        self.batches.push(NewBatch { last_offset, size: bytes.len() as u64, max_timestamp });
        match self.pending.len() >= COMPACTION_WRITE_BYTES {
            true => self.write(),
            false => Ok(()),
        }
    }

    fn write(&mut self) -> Result<(), StorageError> {
        if !self.batches.is_empty() {
            let parts = &mut [IoSlice::new(&self.pending)];
            self.segment.append(&mut self.appender, &self.batches, parts, &self.config)?;
            self.pending.clear();
            self.batches.clear();
        }
        Ok(())
    }

    /// Writes the rest and has everything on the device.
    fn finish(mut self) -> Result<(), StorageError> {
        self.write()?;
        self.aborted.iter().try_for_each(|entry| self.segment.transaction_index().append(*entry))?;
        self.segment.finish(&mut self.appender)?;
        self.segment.sync()
    }
}
