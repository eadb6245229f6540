//! Producers: every acks mode, with and without idempotence, small and large batches, all codecs.

use std::sync::atomic::Ordering;

use klamm_client::{Producer, ProducerConfig, ProducerRecord, TopicPartition};

use super::{Workload, common, partitions};
use crate::check::{Promise, Stamp};
use crate::clock::START_MS;
use crate::shape::Shape;

/// The producer whose records come last, unlike any of the workload's.
const WITNESS: u32 = 1000;
/// Their timestamp: not in the future of any broker, however its clock jumped.
const OLD_MS: i64 = START_MS - 24 * 60 * 60 * 1000;
/// Records that may wait for their acknowledgement.
const UNACKNOWLEDGED_MAX: usize = 40;

/// Produces until the workload stops.
pub(super) async fn run(workload: Workload, index: u32) {
    let acks = *workload.dice.pick(&["all", "all", "all", "1", "0"]);
    let is_idempotent = acks == "all" && workload.dice.percent(80);
    let name = workload.name("producer");
    let in_flight_max = *workload.dice.pick(&["1", "5"]);
    // Elsewhere the word of one replica is no promise.
    let is_kept = acks == "all" || workload.shape == Shape::One;
    let promise = match (is_idempotent, in_flight_max) {
        (false, _) => Promise::None,
        (true, "1") => Promise::Once,
        (true, _) => Promise::OnceWhileUp,
    };
    let settings = [
        ("acks", acks),
        ("enable.idempotence", if is_idempotent { "true" } else { "false" }),
        ("max.in.flight.requests.per.connection", in_flight_max),
    ];
    let Some(producer) = open(&workload, &name, settings) else { return };
    let mut waiting = Vec::new();
    for sequence in 0.. {
        if workload.is_stopping() {
            break;
        }
        let partition = workload.some_partition();
        let stamp = Stamp { producer: index, sequence };
        workload.checks.sent(&partition, stamp, promise);
        let timestamp_ms = START_MS + workload.trace.now_ms() as i64;
        waiting.extend(send(&workload, &producer, &name, &partition, stamp, timestamp_ms, is_kept).await);
        waiting.retain(|task: &tokio::task::JoinHandle<bool>| !task.is_finished());
        if waiting.len() > UNACKNOWLEDGED_MAX {
            let _ = waiting.remove(0).await;
        }
        if workload.dice.percent(40) {
            workload.pause(150).await;
        }
    }
    producer.close().await;
    for task in waiting {
        let _ = task.await;
    }
}

/// Sends a record to each partition, and waits until all replicas in sync have it.
///
/// # Errors
/// Where it was not acknowledged.
pub(super) async fn one_to_each(workload: &Workload) -> Result<(), String> {
    let name = workload.name("witness");
    let settings = [("acks", "all"), ("enable.idempotence", "false"), ("linger.ms", "0")];
    let producer = open(workload, &name, settings).ok_or("no client")?;
    let sequence = workload.next_client.fetch_add(1, Ordering::Relaxed);
    let mut outcome = Ok(());
    for partition in partitions() {
        let stamp = Stamp { producer: WITNESS, sequence };
        workload.checks.sent(&partition, stamp, Promise::None);
        let sent = send(workload, &producer, &name, &partition, stamp, OLD_MS, true).await;
        let is_acknowledged = match sent {
            Some(task) => task.await.is_ok_and(|is_acknowledged| is_acknowledged),
            None => false,
        };
        if !is_acknowledged {
            outcome = Err(format!("{partition} takes no record"));
            break;
        }
    }
    producer.close().await;
    outcome
}

fn open(workload: &Workload, name: &str, promises: [(&'static str, &str); 3]) -> Option<Producer> {
    let dice = &workload.dice;
    let mut settings = common(workload, name);
    settings.extend([
        ("delivery.timeout.ms", dice.pick(&["5000", "30000"]).to_string()),
        ("max.block.ms", "5000".to_owned()),
        ("linger.ms", dice.pick(&["0", "5", "30"]).to_string()),
        ("batch.size", dice.pick(&["100", "2000", "16384"]).to_string()),
        ("compression.type", dice.pick(&["none", "none", "lz4", "zstd", "gzip", "snappy"]).to_string()),
    ]);
    settings.extend(promises.map(|(name, value)| (name, value.to_owned())));
    workload.trace.note(format_args!("{name} begins with {promises:?}"));
    let config =
        ProducerConfig::from_properties(settings.iter().map(|(name, value)| (*name, value.as_str())));
    let opened = config.and_then(|config| Producer::with_network(config, workload.network(name)));
    opened.map_err(|error| workload.trace.violation(format_args!("{name}: {error}"))).ok()
}

/// Sends a record; the task ends when its fate is known, with whether it was acknowledged.
async fn send(
    workload: &Workload,
    producer: &Producer,
    name: &str,
    partition: &TopicPartition,
    stamp: Stamp,
    timestamp_ms: i64,
    is_kept: bool,
) -> Option<tokio::task::JoinHandle<bool>> {
    let era = workload.checks.era();
    let value = stamp.value(workload.dice.below(400) as usize);
    let record = ProducerRecord::new(&partition.topic)
        .partition(partition.partition)
        .value(&value)
        .timestamp_ms(timestamp_ms);
    let delivery = match producer.send(record).await {
        Ok(delivery) => delivery,
        Err(error) => {
            workload.trace.note(format_args!("{name} cannot send {stamp}: {error}"));
            return None;
        }
    };
    let (workload, name, partition) = (workload.clone(), name.to_owned(), partition.clone());
    Some(tokio::task::spawn_local(async move {
        match delivery.await {
            Ok(delivered) => {
                let offset = delivered.offset.map_or("?".to_owned(), |offset| offset.to_string());
                workload.trace.note(format_args!("{name} has {stamp} acknowledged at {partition} {offset}"));
                if let Some(offset) = delivered.offset.filter(|_| is_kept) {
                    workload.checks.acknowledged(&partition, stamp, offset, era);
                }
                true
            }
            Err(error) => {
                workload.trace.note(format_args!("{name} gives up {stamp}: {error}"));
                false
            }
        }
    }))
}
