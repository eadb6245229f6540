//! Replaying a partition of `__consumer_offsets` when this broker becomes its leader.
//!
//! The replay runs on a helper thread into a shard of its own; until it takes the place of the loading one, requests are
//! answered with COORDINATOR_LOAD_IN_PROGRESS. What was replayed counts once it is committed: another leader might not have it.

use std::sync::Arc;

use klamm_coordinator::Shard;
use klamm_records::{AnyBatch, DecompressLimits, EndTxnMarker, NO_PRODUCER_ID, any_batches};

use super::hosted_shard::HostedShard;
use super::moment;
use crate::environment::{Environment, Place};
use crate::partition::{LogReadError, Partition};

/// How much of the log is read at a time (`offsets.load.buffer.size` in Kafka).
const READ_BYTES: usize = 5 * 1024 * 1024;

/// Why a shard could not be loaded.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    Log(#[from] LogReadError),
    #[error("offset {offset}: {reason}")]
    Record { offset: i64, reason: String },
}

/// Starts the replay.
pub(super) fn start(environment: &Environment, hosted: Arc<HostedShard>) {
    let executors = environment.executors.clone();
    let environment = environment.clone();
    executors.run_blocking(Box::new(move || {
        let partition = hosted.partition();
        let mut shard = Shard::new(hosted.settings().clone());
        shard.start_loading();
        match replay(partition, &mut shard) {
            Ok(end_offset) => finish(&environment, hosted, shard, end_offset),
            Err(error) => tracing::error!(
                "the groups of __consumer_offsets-{} cannot be loaded, its group requests stay refused: {error}",
                partition.index()
            ),
        }
    }));
}

/// Waits until what was replayed is committed. Where the lead is lost meanwhile, the shard is dropped, as is its place.
fn finish(environment: &Environment, hosted: Arc<HostedShard>, mut shard: Shard, end_offset: i64) {
    let clocks = environment.clone();
    environment.spawn(Place::Control, move || async move {
        let partition = hosted.partition().clone();
        match partition.commits(end_offset, hosted.leader_epoch()).await {
            Ok(()) => {
                shard.finish_loading(end_offset, moment(&clocks));
                hosted.loaded(shard);
            }
            Err(error) => tracing::info!(
                "what was loaded of __consumer_offsets-{} is dropped: {error}",
                partition.index()
            ),
        }
    });
}

/// Replays the whole log and returns where it ends.
fn replay(partition: &Partition, shard: &mut Shard) -> Result<i64, LoadError> {
    let mut offset = partition.log_start_offset();
    loop {
        let bytes = partition.read_bytes(offset, READ_BYTES)?;
        let mut next = offset;
        for batch in any_batches(&bytes) {
            let batch =
                batch.map_err(|error| LoadError::Record { offset: next, reason: error.to_string() })?;
            next = replay_batch(&batch, offset, shard)?;
        }
        if next == offset {
            return Ok(offset);
        }
        offset = next;
    }
}

fn replay_batch(batch: &AnyBatch<'_>, from: i64, shard: &mut Shard) -> Result<i64, LoadError> {
    let next = batch.last_offset() + 1;
    let broken = |reason: String| LoadError::Record { offset: next - 1, reason };
    let (producer_id, is_control) = match batch {
        AnyBatch::V2(batch) => {
            let header = batch.header();
            let producer_id =
                if header.attributes.is_transactional() { header.producer_id } else { NO_PRODUCER_ID };
            (producer_id, header.attributes.is_control())
        }
        AnyBatch::Legacy(_) => (NO_PRODUCER_ID, false),
    };
    let mut records =
        batch.records(DecompressLimits::default()).map_err(|error| broken(error.to_string()))?;
    while let Some(record) = records.next_record().map_err(|error| broken(error.to_string()))? {
        if record.offset < from {
            continue;
        }
        if is_control {
            if let Ok(marker) = EndTxnMarker::parse(&record) {
                shard.replay_marker(record.offset, producer_id, marker.committed);
            }
        } else if let Some(key) = record.key {
            let replayed = shard.replay_bytes(record.offset, producer_id, key, record.value);
            replayed.map_err(|error| broken(error.to_string()))?;
        }
    }
    Ok(next)
}
