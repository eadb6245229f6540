//! Batches of the metadata log as a leader's answer brings them: checked before the quorum hears of them.

use klamm_metadata::ControlRecord;
use klamm_metadata::log_batch::{BatchContents, LogBatch, LogBatchError, decode_batch};
use klamm_metadata::snapshot::SnapshotId;
use klamm_protocol::messages::FetchResponse;
use klamm_protocol::{ErrorCode, Records};
use klamm_quorum::OffsetAndEpoch;
use klamm_quorum::message::{EpochInfo, Fetched, FetchedBatch, FetchedContents};
use klamm_quorum::wire::{PARTITION, TOPIC_ID};
use klamm_records::{BatchError, batches};

/// An answer to a Fetch that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchedError {
    /// It is about another log, or several.
    #[error("it is not about the metadata log")]
    OtherLog,
    /// A batch is damaged.
    #[error("a batch behind offset {offset} is damaged: {source}")]
    Damaged {
        /// Everything before it is intact.
        offset: i64,
        /// What is wrong.
        source: BatchError,
    },
    /// A batch is intact, but cannot be understood: it is of newer software, or never was what a controller writes.
    #[error(transparent)]
    Records(#[from] LogBatchError),
}

/// The batches of an answer: their bytes, and what is in them.
#[derive(Default)]
pub(super) struct FetchedBatches {
    bytes: Vec<u8>,
    /// Each with where it ends in the bytes.
    batches: Vec<(LogBatch, usize)>,
}

impl FetchedBatches {
    /// The batches before an offset, which are the first ones: their bytes and their contents.
    pub(super) fn take_before(&mut self, end_offset: i64) -> (&[u8], Vec<LogBatch>) {
        let count = self.batches.partition_point(|(batch, _)| batch.last_offset < end_offset);
        let end = count.checked_sub(1).map_or(0, |last| self.batches[last].1);
        let taken = self.batches.drain(..count).map(|(batch, _)| batch).collect();
        (&self.bytes[..end], taken)
    }
}

/// Reads an answer. Of a batch that is cut short at the end, and comes whole with the next Fetch, nothing is kept.
pub(super) fn read(response: FetchResponse<'static>) -> Result<(Fetched, FetchedBatches), FetchedError> {
    let mut topics = response.responses;
    let (Some(mut topic), true) = (topics.pop(), topics.is_empty()) else {
        return Err(FetchedError::OtherLog);
    };
    let (Some(partition), true) = (topic.partitions.pop(), topic.partitions.is_empty()) else {
        return Err(FetchedError::OtherLog);
    };
    if topic.topic_id != TOPIC_ID || partition.partition_index != PARTITION {
        return Err(FetchedError::OtherLog);
    }
    let leader = partition.current_leader;
    let info = EpochInfo {
        error: partition.error_code,
        epoch: leader.leader_epoch,
        leader_id: (leader.leader_id >= 0).then_some(leader.leader_id),
    };
    let (diverging, snapshot) = (partition.diverging_epoch, partition.snapshot_id);
    let mut fetched = FetchedBatches::default();
    let contents = if info.error != ErrorCode::NONE {
        FetchedContents::Batches(Vec::new())
    } else if diverging.epoch >= 0 || diverging.end_offset >= 0 {
        FetchedContents::Diverging(OffsetAndEpoch { offset: diverging.end_offset, epoch: diverging.epoch })
    } else if snapshot.end_offset >= 0 {
        FetchedContents::Snapshot(SnapshotId { end_offset: snapshot.end_offset, epoch: snapshot.epoch })
    } else {
        if let Some(Records::Bytes(bytes)) = partition.records {
            fetched.bytes = bytes.into_owned();
        }
        fetched.batches = decode(&fetched.bytes)?;
        FetchedContents::Batches(fetched.batches.iter().map(|(batch, _)| summary(batch)).collect())
    };
    Ok((Fetched { info, high_watermark: partition.high_watermark, contents }, fetched))
}

fn decode(bytes: &[u8]) -> Result<Vec<(LogBatch, usize)>, FetchedError> {
    let mut decoded: Vec<(LogBatch, usize)> = Vec::new();
    let mut position = 0;
    for batch in batches(bytes) {
        let offset = decoded.last().map_or(0, |(batch, _)| batch.last_offset + 1);
        let intact = batch.and_then(|batch| batch.check_crc().map(|()| batch));
        let batch = intact.map_err(|source| FetchedError::Damaged { offset, source })?;
        position += batch.bytes().len();
        decoded.push((decode_batch(&batch)?, position));
    }
    Ok(decoded)
}

fn summary(batch: &LogBatch) -> FetchedBatch {
    FetchedBatch {
        base_offset: batch.base_offset,
        end_offset: batch.last_offset + 1,
        epoch: batch.leader_epoch,
    }
}

/// The control records of a batch, with their offsets.
pub(super) fn control_records(batch: &LogBatch) -> impl Iterator<Item = (i64, &ControlRecord)> {
    let records = match &batch.contents {
        BatchContents::Control(records) => &records[..],
        BatchContents::Metadata(_) => &[],
    };
    (batch.base_offset..).zip(records)
}
