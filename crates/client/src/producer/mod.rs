//! The producer: `send` puts a record into a batch, a task sends the batches, a future tells what became of it.
//!
//! What decides (accumulator, sequences, partitioner) is sans-IO; [`sender`] is the only part that talks.

mod accumulator;
mod batch;
mod delivery;
mod partitioner;
mod sender;
mod sequence;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use klamm_net::{Network, TcpNetwork};
use klamm_protocol::{ErrorClass, ErrorCode};
use klamm_records::NewRecord;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::accumulator::{Accumulator, AppendError, Appended, Limits};
pub use self::delivery::{Delivered, Delivery, DeliveryError};
pub use self::partitioner::{murmur2, partition_for_key};
use crate::clock::{now_ms, wall_ms};
use crate::cluster::{Cluster, Topic, Topics};
use crate::config::{ConfigError, ProducerConfig};
use crate::error::RequestError;

/// A record to be sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProducerRecord<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition; `None` leaves it to the partitioner.
    pub partition: Option<i32>,
    /// Milliseconds since 1970; `None` is now.
    pub timestamp_ms: Option<i64>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone on compacted topics.
    pub value: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: &'a [klamm_records::Header<'a>],
}

impl<'a> ProducerRecord<'a> {
    /// A record without key, value and headers.
    pub fn new(topic: &'a str) -> Self {
        Self { topic, ..Self::default() }
    }

    /// With this key.
    #[must_use]
    pub fn key(self, key: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self { key: Some(key.as_ref()), ..self }
    }

    /// With this value.
    #[must_use]
    pub fn value(self, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self { value: Some(value.as_ref()), ..self }
    }

    /// For this partition.
    #[must_use]
    pub fn partition(self, partition: i32) -> Self {
        Self { partition: Some(partition), ..self }
    }

    /// With this timestamp, in milliseconds since 1970.
    #[must_use]
    pub fn timestamp_ms(self, timestamp_ms: i64) -> Self {
        Self { timestamp_ms: Some(timestamp_ms), ..self }
    }

    /// With these headers.
    #[must_use]
    pub fn headers(self, headers: &'a [klamm_records::Header<'a>]) -> Self {
        Self { headers, ..self }
    }
}

/// Why a record was not accepted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SendError {
    /// The cluster does not have the topic, or will not show it.
    #[error("topic `{topic}`: {code}")]
    UnknownTopic {
        /// The topic.
        topic: String,
        /// What the cluster says of it.
        code: ErrorCode,
    },
    /// The topic has fewer partitions.
    #[error("topic `{topic}` has {count} partitions, there is no partition {partition}")]
    NoSuchPartition {
        /// The topic.
        topic: String,
        /// The partition asked for.
        partition: i32,
        /// How many there are.
        count: i32,
    },
    /// The record exceeds `max.request.size`.
    #[error("a record of {size} bytes exceeds max.request.size = {max}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// `buffer.memory` has been full for `max.block.ms`.
    #[error("no room in buffer.memory for {waited_ms} ms: the brokers do not keep up")]
    BufferFull {
        /// `max.block.ms`.
        waited_ms: u64,
    },
    /// The topic could not be looked up.
    #[error("cannot look up topic `{topic}`: {source}")]
    Lookup {
        /// The topic.
        topic: String,
        /// Why.
        source: RequestError,
    },
    /// The producer has been closed.
    #[error("the producer is closed")]
    Closed,
}

/// What the application's side and the sending task share.
struct Shared {
    accumulator: Mutex<Accumulator>,
    cluster: Arc<Cluster>,
    config: ProducerConfig,
    /// The sender has something to reconsider.
    wake: Notify,
    /// A batch was settled: there is room, and a flush may be over.
    settled: Notify,
    is_closing: AtomicBool,
}

/// A producer. Sends from any number of tasks; records of one partition keep the order of `send`.
///
/// Dropping it lets go of what was accepted in the background, as long as the runtime lives; [`Producer::close`]
/// waits for that.
pub struct Producer {
    shared: Arc<Shared>,
    sender: Option<JoinHandle<()>>,
}

impl Producer {
    /// A producer for the cluster that `config` names. Must be called within a tokio runtime.
    pub fn new(config: ProducerConfig) -> Result<Self, ConfigError> {
        Self::with_network(config, Arc::new(TcpNetwork))
    }

    /// The same over another network, such as a simulated one.
    pub fn with_network(config: ProducerConfig, network: Arc<dyn Network>) -> Result<Self, ConfigError> {
        config.validate()?;
        let shared = Arc::new(Shared {
            accumulator: Mutex::new(Accumulator::new(limits(&config), now_ms() as u64)),
            cluster: Cluster::with_network(config.client.clone(), network),
            config,
            wake: Notify::new(),
            settled: Notify::new(),
            is_closing: AtomicBool::new(false),
        });
        let sender = tokio::spawn(sender::run(Arc::clone(&shared)));
        Ok(Self { shared, sender: Some(sender) })
    }

    /// Accepts a record. Waits for the topic's metadata when it is new, and for room when `buffer.memory` is used up.
    /// The future it returns tells what became of the record and need not be waited for.
    pub async fn send(&self, record: ProducerRecord<'_>) -> Result<Delivery, SendError> {
        // Without this a loop of sends on a single-threaded runtime would never let the sender run.
        tokio::task::consume_budget().await;
        match self.append(&record) {
            Ok(delivery) => Ok(delivery),
            Err(AppendError::UnknownTopic | AppendError::Full) => self.send_slowly(&record).await,
            Err(error) => Err(self.send_error(&record, error)),
        }
    }

    /// Accepts a record if that is possible without waiting; `None` if it is not.
    pub fn try_send(&self, record: &ProducerRecord<'_>) -> Result<Option<Delivery>, SendError> {
        match self.append(record) {
            Ok(delivery) => Ok(Some(delivery)),
            Err(AppendError::UnknownTopic | AppendError::Full) => Ok(None),
            Err(error) => Err(self.send_error(record, error)),
        }
    }

    fn append(&self, record: &ProducerRecord<'_>) -> Result<Delivery, AppendError> {
        let now = now_ms();
        let new = NewRecord {
            timestamp: record.timestamp_ms.unwrap_or_else(wall_ms),
            key: record.key,
            value: record.value,
            headers: record.headers,
        };
        let appended = self.shared.accumulator.lock().append(record.topic, record.partition, &new, now);
        if matches!(&appended, Ok(Appended { wake_sender: true, .. }) | Err(AppendError::Full)) {
            self.shared.wake.notify_one();
        }
        appended.map(|appended| appended.delivery)
    }

    async fn send_slowly(&self, record: &ProducerRecord<'_>) -> Result<Delivery, SendError> {
        let deadline = Instant::now() + Duration::from_millis(self.shared.config.max_block_ms);
        loop {
            let settled = self.shared.settled.notified();
            tokio::pin!(settled);
            // Registered before the next attempt, so that no room is overlooked.
            settled.as_mut().enable();
            match self.append(record) {
                Ok(delivery) => return Ok(delivery),
                Err(AppendError::UnknownTopic) => self.look_up(record, deadline).await?,
                Err(AppendError::Full) => {
                    let waited = tokio::time::timeout_at(deadline, settled).await;
                    waited
                        .map_err(|_| SendError::BufferFull { waited_ms: self.shared.config.max_block_ms })?;
                }
                Err(error) => return Err(self.send_error(record, error)),
            }
        }
    }

    /// Makes the accumulator know a topic.
    async fn look_up(&self, record: &ProducerRecord<'_>, deadline: Instant) -> Result<(), SendError> {
        if self.shared.is_closing.load(Ordering::Acquire) {
            return Err(SendError::Closed);
        }
        let topic = self.topic_until(record.topic, deadline).await?;
        let count = topic.partitions.len() as i32;
        self.shared.accumulator.lock().set_partition_count(record.topic, count);
        Ok(())
    }

    /// A topic with its partitions; waits for it, as `send` does, when it is about to be created.
    pub async fn topic(&self, topic: &str) -> Result<Arc<Topic>, SendError> {
        let deadline = Instant::now() + Duration::from_millis(self.shared.config.max_block_ms);
        self.topic_until(topic, deadline).await
    }

    async fn topic_until(&self, topic: &str, deadline: Instant) -> Result<Arc<Topic>, SendError> {
        let cluster = &self.shared.cluster;
        let names = [Arc::from(topic)];
        cluster
            .retrying(deadline, is_worth_waiting, || async {
                if let Some(known) = cluster.metadata().topic(topic) {
                    return Ok(Arc::clone(known));
                }
                let refreshed = cluster.refresh(Topics::Named(&names), true).await;
                let metadata =
                    refreshed.map_err(|source| SendError::Lookup { topic: topic.to_owned(), source })?;
                let code = metadata.topic_error(topic).unwrap_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
                let unknown = || SendError::UnknownTopic { topic: topic.to_owned(), code };
                metadata.topic(topic).cloned().ok_or_else(unknown)
            })
            .await
    }

    fn send_error(&self, record: &ProducerRecord<'_>, error: AppendError) -> SendError {
        let topic = record.topic.to_owned();
        match error {
            AppendError::NoSuchPartition { count } => {
                SendError::NoSuchPartition { topic, partition: record.partition.unwrap_or(-1), count }
            }
            AppendError::TooLarge { size, max } => SendError::TooLarge { size, max },
            AppendError::Full => SendError::BufferFull { waited_ms: 0 },
            AppendError::UnknownTopic => {
                SendError::UnknownTopic { topic, code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION }
            }
        }
    }

    /// Waits until everything accepted before this call is acknowledged or given up.
    pub async fn flush(&self) {
        self.shared.flush().await;
    }

    /// Flushes and ends the producer. Returns when its task has ended.
    pub async fn close(mut self) {
        self.flush().await;
        self.shared.is_closing.store(true, Ordering::Release);
        self.shared.wake.notify_one();
        if let Some(sender) = self.sender.take() {
            // It ends by itself; that it might have panicked is no news to the caller.
            let _ = sender.await;
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.shared.accumulator.lock().begin_flush();
        self.shared.is_closing.store(true, Ordering::Release);
        self.shared.wake.notify_one();
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl Shared {
    fn flush(&self) -> impl Future<Output = ()> + '_ {
        let mark = self.accumulator.lock().begin_flush();
        self.wake.notify_one();
        async move {
            loop {
                let settled = self.settled.notified();
                tokio::pin!(settled);
                settled.as_mut().enable();
                if self.accumulator.lock().is_flushed(mark) {
                    return;
                }
                settled.await;
            }
        }
    }
}

/// A topic may be about to be created; one we may not see, or that cannot exist, is not.
fn is_worth_waiting(error: &SendError) -> bool {
    match error {
        SendError::UnknownTopic { code, .. } => code.class() == ErrorClass::Refresh || code.is_retriable(),
        SendError::Lookup { source, .. } => source.is_retriable(),
        _ => false,
    }
}

fn limits(config: &ProducerConfig) -> Limits {
    Limits {
        batch_size: config.batch_size,
        linger_ms: config.linger_ms,
        buffer_memory: config.buffer_memory,
        max_request_size: config.max_request_size,
        delivery_timeout_ms: config.delivery_timeout_ms,
        retries: config.retries,
        retry_backoff_ms: config.client.retry_backoff_ms as i64,
        retry_backoff_max_ms: config.client.retry_backoff_max_ms as i64,
        partition_in_flight_max: config.max_in_flight,
        idempotent: config.idempotent(),
        ignore_keys: config.partitioner_ignore_keys,
    }
}
