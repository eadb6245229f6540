//! Writing a produced batch anew: with the topic's codec, or because its offsets have gaps.

use super::{ProduceError, ProduceRules, RecordChecks, check_records, check_size};
use crate::stream::{Scan, compression};
use crate::{AcceptedBatch, Batch, BatchBuilder, BatchHeader, Codec, Compression, RecordIter, TimestampType};

/// The records under another codec. They are decompressed once, looked at, and compressed from the same memory.
pub(super) fn recompress(
    batch: &Batch<'_>,
    target: Codec,
    rules: &ProduceRules,
) -> Result<AcceptedBatch<'static>, ProduceError> {
    if compression(batch.header()).map_err(ProduceError::Records)? == Compression::None {
        let checks = check_records(batch, rules)?;
        return encode(batch, batch.body(), &checks, target, rules);
    }
    let mut checks = RecordChecks::new(batch.header(), rules);
    let mut scan = Scan::keeping(batch, rules.limits).map_err(ProduceError::Records)?;
    while let Some(summary) = scan.next_summary().map_err(ProduceError::Records)? {
        checks.see(&summary);
        check_growth(BatchHeader::SIZE + scan.kept().len(), target, rules)?;
    }
    encode(batch, scan.kept(), &checks.verdict()?, target, rules)
}

/// Compresses records that were checked; `body` holds them uncompressed.
fn encode(
    batch: &Batch<'_>,
    body: &[u8],
    checks: &RecordChecks,
    target: Codec,
    rules: &ProduceRules,
) -> Result<AcceptedBatch<'static>, ProduceError> {
    if !checks.consecutive || !has_usual_base(batch.header(), body) {
        return rewrite(batch, target, rules);
    }
    let builder = builder(batch.header(), target, rules);
    let rebuilt = builder.finish_encoded(body, batch.header(), checks.max_timestamp);
    check_size(rebuilt.header(), rules)?;
    Ok(rebuilt)
}

/// Whether timestamps are relative to the first record's, as those of a new batch are.
fn has_usual_base(header: &BatchHeader, body: &[u8]) -> bool {
    let first = RecordIter::new(header, body).next().and_then(Result::ok);
    !header.attributes.has_delete_horizon()
        && first.is_some_and(|record| record.timestamp == header.base_timestamp)
}

/// The records at offsets without gaps, written one by one.
pub(super) fn rewrite(
    batch: &Batch<'_>,
    target: Codec,
    rules: &ProduceRules,
) -> Result<AcceptedBatch<'static>, ProduceError> {
    let mut builder = builder(batch.header(), target, rules);
    let mut records = batch.records(rules.limits).map_err(ProduceError::Records)?;
    while let Some(record) = records.next_record().map_err(ProduceError::Records)? {
        builder.renumber(&record);
        check_growth(builder.size(), target, rules)?;
    }
    let rebuilt = builder.finish();
    check_size(rebuilt.header(), rules)?;
    Ok(rebuilt)
}

fn builder(header: &BatchHeader, target: Codec, rules: &ProduceRules) -> BatchBuilder {
    let builder = BatchBuilder::new(0)
        .codec(target)
        .producer(header.producer_id, header.producer_epoch, header.base_sequence)
        .transactional(header.attributes.is_transactional());
    match rules.timestamp_type {
        TimestampType::CreateTime => builder,
        TimestampType::LogAppendTime => builder.log_append_time(rules.now_ms),
    }
}

/// Gives up on a batch that no codec could bring below the maximum, before it takes more memory.
fn check_growth(size: usize, target: Codec, rules: &ProduceRules) -> Result<(), ProduceError> {
    let ratio_max = match target.compression() {
        Compression::None => 1,
        Compression::Snappy => 22,
        Compression::Lz4 => 256,
        Compression::Gzip => 1033,
        Compression::Zstd => return Ok(()),
    };
    let max = rules.max_message_bytes;
    if size / ratio_max > max { Err(ProduceError::TooLarge { size: size / ratio_max, max }) } else { Ok(()) }
}
