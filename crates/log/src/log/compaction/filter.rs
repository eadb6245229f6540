//! Which records of a batch stay, and the batch that is left.

use std::collections::BTreeMap;

use klamm_records::{
    AnyBatch, Batch, BatchBuilder, BatchHeader, DecompressLimits, LegacyBatch, Record, RecordError,
    TimestampType,
};

use super::offset_map::OffsetMap;
use crate::producers::ProducerState;

/// What decides whether a record stays.
pub(super) struct Retention<'a> {
    pub(super) map: &'a OffsetMap,
    /// The producers that are remembered.
    pub(super) producers: BTreeMap<i64, ProducerState>,
    pub(super) high_watermark: i64,
    pub(super) delete_retention_ms: i64,
    /// How often the log had been cut when the round began.
    pub(super) cuts: u64,
    pub(super) now_ms: i64,
}

/// What is left of a batch.
#[derive(Debug)]
pub(super) enum Filtered {
    Nothing,
    /// All of it, as it is.
    Original,
    Rewritten {
        bytes: Vec<u8>,
        max_timestamp: i64,
    },
}

/// What a look at the records shows.
#[derive(Default)]
struct Survey {
    kept: usize,
    has_dropped: bool,
    has_tombstones: bool,
    first_kept: Option<i64>,
}

impl Retention<'_> {
    /// What is left of a batch. It is obsolete when its transaction was aborted; a marker, when nothing of its transaction is left.
    pub(super) fn filter(&self, batch: &AnyBatch<'_>, is_obsolete: bool) -> Result<Filtered, RecordError> {
        match batch {
            AnyBatch::V2(batch) => self.filter_batch(batch, is_obsolete),
            AnyBatch::Legacy(batch) => self.filter_legacy(batch),
        }
    }

    fn filter_batch(&self, batch: &Batch<'_>, is_obsolete: bool) -> Result<Filtered, RecordError> {
        let header = batch.header();
        let is_control = header.attributes.is_control();
        let horizon_ms = header.delete_horizon_ms();
        let is_past = horizon_ms.is_some_and(|horizon_ms| horizon_ms <= self.now_ms);
        let drops_all = is_obsolete && (!is_control || is_past);
        let stays_empty = self.is_last_of_producer(header) || header.next_offset() == self.high_watermark;
        if drops_all {
            return Ok(if stays_empty {
                rewritten(BatchBuilder::rewriting(header))
            } else {
                Filtered::Nothing
            });
        }
        let stays = |record: &Record<'_>| is_control || self.stays(record, is_past);
        let survey = survey(AnyBatch::V2(*batch), stays)?;
        let starts_waiting = horizon_ms.is_none() && (survey.has_tombstones || is_obsolete && is_control);
        if survey.kept == 0 {
            return Ok(match stays_empty {
                true => rewritten(BatchBuilder::rewriting(header)),
                false => Filtered::Nothing,
            });
        }
        if !survey.has_dropped && !starts_waiting {
            return Ok(Filtered::Original);
        }
        let mut builder = BatchBuilder::rewriting(header);
        let starting = starts_waiting.then(|| self.now_ms.saturating_add(self.delete_retention_ms));
        if let Some(horizon_ms) = horizon_ms.or(starting) {
            builder = builder.delete_horizon_ms(horizon_ms);
        }
        retain(AnyBatch::V2(*batch), stays, &mut builder)?;
        Ok(rewritten(builder))
    }

    /// Old message sets become batches of today.
    fn filter_legacy(&self, batch: &LegacyBatch<'_>) -> Result<Filtered, RecordError> {
        let stays = |record: &Record<'_>| self.stays(record, false);
        let survey = survey(AnyBatch::Legacy(*batch), stays)?;
        let Some(first_kept) = survey.first_kept else { return Ok(Filtered::Nothing) };
        let mut builder =
            BatchBuilder::new(first_kept).codec(batch.attributes.compression().unwrap_or_default());
        if batch.attributes.timestamp_type() == TimestampType::LogAppendTime {
            builder = builder.log_append_time(batch.timestamp);
        }
        if survey.has_tombstones {
            builder = builder.delete_horizon_ms(self.now_ms.saturating_add(self.delete_retention_ms));
        }
        retain(AnyBatch::Legacy(*batch), stays, &mut builder)?;
        Ok(rewritten(builder))
    }

    /// Whether a record stays; of tombstones none when the time of their batch is over. A record without a key has no place in a compacted
    /// log.
    fn stays(&self, record: &Record<'_>, is_past: bool) -> bool {
        if record.offset >= self.map.end_offset() {
            return true;
        }
        let Some(key) = record.key else { return false };
        let is_newest = self.map.get(key).is_none_or(|newest| record.offset >= newest);
        is_newest && (record.value.is_some() || !is_past)
    }

    /// Whether the batch holds the last that a producer wrote: its sequence number, or after a marker only its epoch.
    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        if !header.has_producer_id() {
            return false;
        }
        self.producers.get(&header.producer_id).is_some_and(|producer| match producer.last_offset() {
            -1 => header.attributes.is_control() && header.producer_epoch == producer.producer_epoch,
            last_offset => header.last_offset() == last_offset,
        })
    }
}

fn rewritten(builder: BatchBuilder) -> Filtered {
    let batch = builder.finish();
    let max_timestamp = batch.header().max_timestamp;
    Filtered::Rewritten { bytes: batch.into_bytes(), max_timestamp }
}

fn survey(batch: AnyBatch<'_>, stays: impl Fn(&Record<'_>) -> bool) -> Result<Survey, RecordError> {
    let mut survey = Survey::default();
    let mut records = batch.records(DecompressLimits::default())?;
    while let Some(record) = records.next_record()? {
        if stays(&record) {
            survey.kept += 1;
            survey.has_tombstones |= record.value.is_none();
            survey.first_kept.get_or_insert(record.offset);
        } else {
            survey.has_dropped = true;
        }
    }
    Ok(survey)
}

fn retain(
    batch: AnyBatch<'_>,
    stays: impl Fn(&Record<'_>) -> bool,
    builder: &mut BatchBuilder,
) -> Result<(), RecordError> {
    let mut records = batch.records(DecompressLimits::default())?;
    while let Some(record) = records.next_record()? {
        if stays(&record) {
            builder.retain(&record);
        }
    }
    Ok(())
}
