//! The load: idempotent producers with acks=all, and a consumer that reads along.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use klamm_client::{
    Admin, ConsumeError, Consumer, ConsumerConfig, Delivery, Event, IsolationLevel, NewTopic, OffsetSpec,
    Producer, ProducerConfig, ProducerRecord, StartAt, TopicPartition,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::failure::{Failure, Result};
use crate::history::{ByPartition, Number, Placed};

pub(crate) const TOPIC: &str = "chaos";
const PARTITIONS: i32 = 6;
/// Records are sent in bursts, so many a second.
const BURSTS_PER_SECOND: u32 = 20;
/// Records that may wait for their acknowledgement, for each producer.
const IN_FLIGHT_MAX: usize = 50_000;
/// How long reading to the end may take when all is in sync.
const READ_TIME_MAX: Duration = Duration::from_secs(60);

/// What the load has seen so far.
#[derive(Default)]
struct Seen {
    acknowledged: Mutex<ByPartition>,
    tailed: Mutex<ByPartition>,
    /// What the consumer could not do.
    complaints: Mutex<Vec<String>>,
    count: AtomicU64,
    unknown: AtomicU64,
    /// The longest pause between two acknowledgements since it was asked last, in milliseconds.
    longest_gap_ms: AtomicU64,
    last: Mutex<Option<Instant>>,
    is_over: AtomicBool,
}

/// Producers and a consumer at work.
pub(crate) struct Load {
    seen: Arc<Seen>,
    producers: Vec<JoinHandle<()>>,
    tail: JoinHandle<()>,
    bootstrap: String,
}

/// What the load was told in all.
pub(crate) struct Told {
    pub(crate) acknowledged: ByPartition,
    pub(crate) tailed: ByPartition,
    pub(crate) stored: ByPartition,
    pub(crate) complaints: Vec<String>,
    /// Records of which no producer knows whether they are there.
    pub(crate) unknown: u64,
}

impl Load {
    /// Creates the topic and begins.
    pub(crate) async fn start(admin: &Admin, bootstrap: &str, producers: u8, rate: u32) -> Result<Self> {
        let topic =
            NewTopic { partitions: Some(PARTITIONS), replication_factor: Some(3), ..NewTopic::new(TOPIC) };
        for (name, created) in admin.create_topics(&[topic], false).await? {
            created.map_err(|refusal| Failure::new(format!("topic {name}: {refusal}")))?;
        }
        let seen = Arc::new(Seen::default());
        let config = consumer_config(bootstrap)?;
        let tail = tokio::spawn(tail(Consumer::new(config)?, Arc::clone(&seen)));
        let mut running = Vec::new();
        for id in 1..=producers {
            let config = ProducerConfig::from_properties([
                ("bootstrap.servers", bootstrap),
                ("acks", "all"),
                ("enable.idempotence", "true"),
                ("linger.ms", "5"),
                ("request.timeout.ms", "5000"),
                ("delivery.timeout.ms", "60000"),
            ])?;
            running.push(tokio::spawn(produce(Producer::new(config)?, id, rate, Arc::clone(&seen))));
        }
        Ok(Self { seen, producers: running, tail, bootstrap: bootstrap.to_owned() })
    }

    /// How many records were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.seen.count.load(Ordering::Relaxed)
    }

    /// The longest pause between two acknowledgements since this was asked last.
    pub(crate) fn take_longest_gap(&self) -> Duration {
        let open = lock(&self.seen.last).map_or(Duration::ZERO, |last| last.elapsed());
        let closed = Duration::from_millis(self.seen.longest_gap_ms.swap(0, Ordering::Relaxed));
        open.max(closed)
    }

    /// Stops producing, waits for what is on its way, and reads everything there is.
    pub(crate) async fn finish(self, admin: &Admin) -> Result<Told> {
        self.seen.is_over.store(true, Ordering::Relaxed);
        for producer in self.producers {
            producer.await.map_err(|error| Failure::new(format!("a producer: {error}")))?;
        }
        let ends = ends(admin).await?;
        let stored = read_all(&self.bootstrap, &ends).await?;
        let deadline = Instant::now() + READ_TIME_MAX;
        let has_read = |tailed: &ByPartition| {
            stored.iter().all(|(partition, records)| {
                let last = |records: &[Placed]| records.last().map_or(-1, |placed| placed.offset);
                last(tailed.get(partition).map_or(&[][..], Vec::as_slice)) >= last(records)
            })
        };
        while !has_read(&lock(&self.seen.tailed)) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.tail.abort();
        Ok(Told {
            acknowledged: std::mem::take(&mut lock(&self.seen.acknowledged)),
            tailed: std::mem::take(&mut lock(&self.seen.tailed)),
            complaints: std::mem::take(&mut lock(&self.seen.complaints)),
            unknown: self.seen.unknown.load(Ordering::Relaxed),
            stored,
        })
    }
}

async fn produce(producer: Producer, id: u8, rate: u32, seen: Arc<Seen>) {
    let (sender, receiver) = mpsc::channel(IN_FLIGHT_MAX);
    let noting = tokio::spawn(note_deliveries(receiver, Arc::clone(&seen)));
    let mut bursts = tokio::time::interval(Duration::from_secs(1) / BURSTS_PER_SECOND);
    bursts.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut sequence = 0u64;
    while !seen.is_over.load(Ordering::Relaxed) {
        bursts.tick().await;
        for _ in 0..rate.div_ceil(BURSTS_PER_SECOND) {
            let number = Number { producer: id, sequence };
            let partition = (sequence % PARTITIONS as u64) as i32;
            sequence += 1;
            let record = ProducerRecord { partition: Some(partition), ..ProducerRecord::new(TOPIC) };
            // What was not taken was not sent, and is no promise.
            let Ok(delivery) = producer.send(record.value(&number.to_value())).await else { continue };
            if sender.send((number, delivery)).await.is_err() {
                return;
            }
        }
    }
    drop(sender);
    producer.flush().await;
    // It ends by itself with the last delivery.
    let _ = noting.await;
    producer.close().await;
}

/// Awaits in the order of sending; within a partition that is the order of the answers.
async fn note_deliveries(mut deliveries: mpsc::Receiver<(Number, Delivery)>, seen: Arc<Seen>) {
    while let Some((number, delivery)) = deliveries.recv().await {
        match delivery.await {
            Ok(delivered) => {
                seen.count.fetch_add(1, Ordering::Relaxed);
                seen.note_time();
                if let Some(offset) = delivered.offset {
                    let placed = Placed { offset, number };
                    lock(&seen.acknowledged).entry(delivered.partition).or_default().push(placed);
                }
            }
            Err(_) => {
                seen.unknown.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Seen {
    fn note_time(&self) {
        let now = Instant::now();
        if let Some(last) = lock(&self.last).replace(now) {
            let gap = u64::try_from((now - last).as_millis()).unwrap_or(u64::MAX);
            self.longest_gap_ms.fetch_max(gap, Ordering::Relaxed);
        }
    }
}

async fn tail(mut consumer: Consumer, seen: Arc<Seen>) {
    if let Err(error) = consumer.assign(all_partitions()) {
        lock(&seen.complaints).push(error.to_string());
        return;
    }
    loop {
        match consumer.next().await {
            Ok(Event::Records(records)) => {
                let placed = placed(&records);
                let mut tailed = lock(&seen.tailed);
                tailed.entry(records.partition().partition).or_default().extend(placed);
            }
            Ok(_) => {}
            // Whoever cannot be asked now is asked again.
            Err(ConsumeError::Request(_)) => {}
            Err(error) => {
                lock(&seen.complaints).push(error.to_string());
                return;
            }
        }
    }
}

fn all_partitions() -> impl Iterator<Item = (TopicPartition, StartAt)> {
    (0..PARTITIONS).map(|partition| (TopicPartition::new(TOPIC, partition), StartAt::Offset(0)))
}

fn placed(records: &klamm_client::Records) -> Vec<Placed> {
    let records = records.iter().flatten();
    let numbered = records.filter_map(|record| {
        Some(Placed { offset: record.offset, number: Number::from_value(record.value?)? })
    });
    numbered.collect()
}

/// A consumer that does not jump: an offset that is not there any more is an error.
fn consumer_config(bootstrap: &str) -> Result<ConsumerConfig> {
    let mut config = ConsumerConfig::from_properties([
        ("bootstrap.servers", bootstrap),
        ("auto.offset.reset", "none"),
        ("request.timeout.ms", "5000"),
    ])?;
    config.isolation_level = IsolationLevel::ReadUncommitted;
    Ok(config)
}

async fn ends(admin: &Admin) -> Result<Vec<(i32, i64)>> {
    let specs = (0..PARTITIONS).map(|index| (TopicPartition::new(TOPIC, index), OffsetSpec::Latest));
    let outcomes = admin.list_offsets(&specs.collect(), IsolationLevel::ReadUncommitted).await?;
    let end = |(partition, listed): (TopicPartition, std::result::Result<klamm_client::ListedOffset, _>)| {
        let listed = listed
            .map_err(|refusal: klamm_client::Refusal| Failure::new(format!("{partition}: {refusal}")))?;
        Ok((partition.partition, listed.offset.unwrap_or(0)))
    };
    outcomes.into_iter().map(end).collect()
}

/// Reads every partition from its start to its end.
async fn read_all(bootstrap: &str, ends: &[(i32, i64)]) -> Result<ByPartition> {
    let mut consumer = Consumer::new(consumer_config(bootstrap)?)?;
    consumer.assign(all_partitions()).map_err(|error| Failure::new(error.to_string()))?;
    let mut stored = ByPartition::new();
    let deadline = Instant::now() + READ_TIME_MAX;
    let is_done = |stored: &ByPartition| {
        ends.iter().all(|(partition, end)| {
            let last = stored.get(partition).and_then(|records| records.last());
            last.map_or(0, |placed| placed.offset + 1) >= *end
        })
    };
    while !is_done(&stored) {
        let event = tokio::time::timeout_at(deadline, consumer.next()).await;
        match event.map_err(|_| Failure::new("the topic cannot be read to its end"))? {
            Ok(Event::Records(records)) => {
                stored.entry(records.partition().partition).or_default().extend(placed(&records));
            }
            Ok(_) | Err(ConsumeError::Request(_)) => {}
            Err(error) => return Err(Failure::new(format!("the topic cannot be read: {error}"))),
        }
    }
    Ok(stored)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
