//! What has to be done now and then: retention, compaction, flushes by time, checkpoints, forgetting producers, removing files.
//!
//! All of it waits on the disk, and so runs on helper threads, one piece of work at a time.

use std::sync::Arc;
use std::time::Duration;

use klamm_log::{Cleanable, CompactionError, LogDirs};

use crate::broker::Broker;
use crate::environment::Place;
use crate::partition::Partition;

/// How often files whose deletion is due are looked for, and segments that are due for a flush by time.
const SWEEP_MS: i64 = 1000;

/// A chore: how long to wait for the next one, and what it does.
struct Chore {
    name: &'static str,
    interval_ms: fn(&Broker) -> i64,
    first_delay_ms: fn(&Broker) -> i64,
    work: fn(&Premises),
}

/// What is looked after.
#[derive(Clone)]
struct Premises {
    broker: Arc<Broker>,
    /// Where the metadata log has a directory of its own.
    metadata_dirs: Option<Arc<LogDirs>>,
}

const CHORES: &[Chore] = &[
    Chore {
        name: "retention",
        interval_ms: |broker| broker.config().log_retention_check_interval_ms,
        first_delay_ms: |broker| broker.config().log_initial_task_delay_ms,
        work: delete_old_segments,
    },
    Chore {
        name: "compaction",
        interval_ms: |broker| broker.config().log_cleaner_backoff_ms,
        first_delay_ms: |broker| broker.config().log_cleaner_backoff_ms,
        work: compact,
    },
    Chore {
        name: "checkpoint of recovery points and log starts",
        interval_ms: checkpoint_interval_ms,
        first_delay_ms: |broker| broker.config().log_initial_task_delay_ms,
        work: checkpoint_offsets,
    },
    Chore {
        name: "high watermark checkpoint",
        interval_ms: |broker| broker.config().replica_high_watermark_checkpoint_interval_ms,
        first_delay_ms: |broker| broker.config().replica_high_watermark_checkpoint_interval_ms,
        work: checkpoint_high_watermarks,
    },
    Chore {
        name: "producer expiration",
        interval_ms: |broker| i64::from(broker.config().producer_id_expiration_check_interval_ms),
        first_delay_ms: |broker| i64::from(broker.config().producer_id_expiration_check_interval_ms),
        work: forget_producers,
    },
    Chore { name: "sweep", interval_ms: |_| SWEEP_MS, first_delay_ms: |_| SWEEP_MS, work: sweep },
];

/// Starts all chores.
pub(crate) fn start(broker: &Arc<Broker>, metadata_dirs: Option<Arc<LogDirs>>) {
    for chore in CHORES {
        let premises = Premises { broker: broker.clone(), metadata_dirs: metadata_dirs.clone() };
        broker.environment().spawn(Place::Control, move || run(premises, chore));
    }
}

async fn run(premises: Premises, chore: &'static Chore) {
    let broker = premises.broker.clone();
    let mut wait_ms = (chore.first_delay_ms)(&broker);
    loop {
        tokio::time::sleep(Duration::from_millis(wait_ms.max(1) as u64)).await;
        let premises = premises.clone();
        if broker.environment().blocking(move || (chore.work)(&premises)).await.is_err() {
            return tracing::debug!("no more {}: the broker is stopping", chore.name);
        }
        wait_ms = (chore.interval_ms)(&broker);
    }
}

/// Recovery points and log starts are written together, as often as the more frequent of the two is wanted.
fn checkpoint_interval_ms(broker: &Broker) -> i64 {
    let config = broker.config();
    let (recovery_points, log_starts) = (
        config.log_flush_offset_checkpoint_interval_ms,
        config.log_flush_start_offset_checkpoint_interval_ms,
    );
    i64::from(recovery_points.min(log_starts))
}

fn delete_old_segments(Premises { broker, .. }: &Premises) {
    let now_ms = broker.environment().clock.now_ms();
    for partition in broker.hosted().partitions() {
        match partition.log().delete_old_segments(now_ms) {
            Ok(deleted) if deleted.count > 0 => tracing::info!(
                "{}-{}: {} old segments of {} bytes deleted, the log begins at {} now",
                partition.topic(),
                partition.index(),
                deleted.count,
                deleted.bytes,
                deleted.log_start_offset,
            ),
            Ok(_) => {}
            Err(error) => broker.note_storage_error(&error),
        }
    }
}

/// Compacts partition after partition, the one with the most to gain first, until none is due.
fn compact(Premises { broker, .. }: &Premises) {
    if !broker.config().log_cleaner_enable {
        return;
    }
    let now_ms = broker.environment().clock.now_ms();
    let mut due: Vec<_> = broker
        .hosted()
        .partitions()
        .filter_map(|partition| due_compaction(broker, partition, now_ms))
        .collect();
    due.sort_by(|(_, one), (_, other)| other.dirty_ratio().total_cmp(&one.dirty_ratio()));
    for (partition, cleanable) in due {
        compact_partition(broker, &partition, &cleanable);
    }
}

fn due_compaction(
    broker: &Broker,
    partition: &Arc<Partition>,
    now_ms: i64,
) -> Option<(Arc<Partition>, Cleanable)> {
    let log = partition.log();
    let config = log.config();
    if !config.compact || log.is_uncleanable() {
        return None;
    }
    match log.cleanable(now_ms) {
        Ok(cleanable) => {
            // A tombstone that is not copied yet must not go as long as what it deletes is in the copy.
            let is_due = cleanable.is_due(config.min_cleanable_dirty_ratio)
                && broker.log_dirs().move_of(&partition.name()).is_none();
            is_due.then(|| (partition.clone(), cleanable))
        }
        Err(error) => {
            broker.note_storage_error(&error);
            None
        }
    }
}

fn compact_partition(broker: &Broker, partition: &Partition, cleanable: &Cleanable) {
    let (topic, index) = (partition.topic(), partition.index());
    let map_bytes = broker.config().log_cleaner_dedupe_buffer_size.max(0) as u64;
    let now_ms = broker.environment().clock.now_ms();
    match partition.log().compact(cleanable, map_bytes, now_ms) {
        Ok(compacted) => {
            tracing::info!(
                "{topic}-{index}: {} segments compacted from {} to {} bytes, up to offset {}",
                compacted.segments,
                compacted.bytes_before,
                compacted.bytes_after,
                compacted.end_offset,
            );
            if let Err(error) = broker.log_dirs().checkpoint_compaction() {
                broker.note_storage_error(&error);
            }
        }
        Err(CompactionError::Storage(error)) => broker.note_storage_error(&error),
        Err(CompactionError::Interrupted) => tracing::debug!("{topic}-{index} is compacted another time"),
        Err(error) => {
            tracing::error!("{topic}-{index} cannot be compacted, and is left as it is: {error}");
        }
    }
}

fn checkpoint_offsets(Premises { broker, metadata_dirs }: &Premises) {
    if let Err(error) = broker.log_dirs().checkpoint_offsets() {
        broker.note_storage_error(&error);
    }
    if let Some(Err(error)) = metadata_dirs.as_ref().map(|dirs| dirs.checkpoint_offsets()) {
        tracing::error!("{error}");
    }
}

fn checkpoint_high_watermarks(Premises { broker, .. }: &Premises) {
    if let Err(error) = broker.log_dirs().checkpoint_high_watermarks() {
        broker.note_storage_error(&error);
    }
}

fn forget_producers(Premises { broker, .. }: &Premises) {
    let now_ms = broker.environment().clock.now_ms();
    broker.hosted().partitions().for_each(|partition| partition.log().remove_expired_producers(now_ms));
}

fn sweep(Premises { broker, .. }: &Premises) {
    let now_ms = broker.environment().clock.now_ms();
    if let Err(error) = broker.log_dirs().remove_deleted(now_ms) {
        broker.note_storage_error(&error);
    }
    for partition in broker.hosted().partitions() {
        partition.flush_if_due(broker.environment().clock.monotonic_ms());
    }
}
