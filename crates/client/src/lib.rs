//! Kafka clients: [`Producer`], [`Consumer`] and [`Admin`], native and asynchronous.
//!
//! Each client is a handle over a few tasks on the caller's tokio runtime. Decisions are made by machines without
//! I/O (what to batch, in which order to retry, what to fetch, when to rejoin a group), which take the time as an
//! argument; the tasks around them only talk. Everything goes through one cluster of connections and metadata.
//!
//! Settings have Kafka's names: [`ProducerConfig`], [`ConsumerConfig`] and [`AdminConfig`] are built from names and
//! values and say what is wrong with them.
//!
//! ```no_run
//! use klamm_client::{Consumer, ConsumerConfig, Event, Producer, ProducerConfig, ProducerRecord, StartAt, TopicPartition};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let producer = Producer::new(ProducerConfig::new("localhost:9092")?)?;
//! let delivery = producer.send(ProducerRecord::new("greetings").key("en").value("hello")).await?;
//! println!("stored at offset {:?}", delivery.await?.offset);
//!
//! let mut consumer = Consumer::new(ConsumerConfig::new("localhost:9092")?)?;
//! consumer.assign([(TopicPartition::new("greetings", 0), StartAt::Earliest)])?;
//! if let Event::Records(records) = consumer.next().await? {
//!     for record in &records {
//!         println!("{:?}", record?.value);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Invariants:
//! - Records of one partition are sent and delivered in order, retries included, while idempotence is on.
//! - Whatever can grow is bounded: records waiting to be sent by `buffer.memory`, records fetched ahead by
//!   `fetch.max.bytes`, requests in flight by a constant of the connection.
//! - No request waits for ever.

mod admin;
mod backoff;
mod clock;
mod cluster;
mod config;
mod connection;
mod consumer;
mod error;
mod producer;
mod topic_partition;

pub use klamm_protocol::{ErrorCode, Uuid};
pub use klamm_records::{Compression, Header, Headers, Record, RecordError};

pub use self::admin::*;
pub use self::cluster::{Broker, Partition, Topic};
pub use self::config::{
    Acks, AdminConfig, AutoOffsetReset, ClientConfig, ConfigError, ConsumerConfig, IsolationLevel,
    ProducerConfig,
};
pub use self::consumer::group::assignor::Assignor;
pub use self::consumer::{
    CommitError, ConsumeError, Consumer, CorruptBatch, Event, Iter as RecordsIter, Records, StartAt,
};
pub use self::error::{BrokerName, ConnectError, RequestError};
pub use self::producer::{
    Delivered, Delivery, DeliveryError, Producer, ProducerRecord, SendError, murmur2, partition_for_key,
};
pub use self::topic_partition::TopicPartition;
