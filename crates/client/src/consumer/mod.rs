//! The consumer: partitions assigned by hand or by a group, read batch by batch.
//!
//! What decides (positions and buffer, fetch sessions, aborted transactions, group membership, assignors) is
//! sans-IO. One task, the [`driver`], does the talking and fetches ahead; [`Consumer::next`] takes from the buffer.

mod aborted;
mod commit;
mod driver;
mod fetch;
mod fetch_session;
pub(crate) mod group;
mod group_driver;
mod positions;
mod records;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use klamm_net::{Network, TcpNetwork};
use klamm_protocol::ErrorCode;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub use self::commit::CommitError;
use self::group::offsets::{Committer, GroupOffset};
pub use self::positions::StartAt;
use self::positions::{Delivery, Limits, Positions};
pub use self::records::{CorruptBatch, Iter, Records};
use crate::admin::{ListedOffset, OffsetSpec, Outcomes};
use crate::clock::now_ms;
use crate::cluster::{Cluster, Topic};
use crate::config::{ConfigError, ConsumerConfig};
use crate::{Admin, AdminError, RequestError, TopicPartition};

/// What a consumer has to tell.
#[derive(Debug, Clone)]
pub enum Event {
    /// Records of one partition, a batch at a time.
    Records(Records),
    /// The group gave these partitions to this consumer.
    Assigned(Vec<TopicPartition>),
    /// The group takes these partitions away. They are this consumer's until it asks for the next event, so this is
    /// the moment to commit what is done. With `enable.auto.commit` that happens by itself.
    Revoked(Vec<TopicPartition>),
    /// These partitions were given to others already, after this consumer was silent for too long.
    Lost(Vec<TopicPartition>),
    /// Everything there is was delivered (only with `enable.partition.eof`).
    EndOfPartition {
        /// The partition.
        partition: TopicPartition,
        /// The offset the next record will have.
        offset: i64,
    },
}

/// Why a consumer cannot go on as it was told to.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConsumeError {
    /// There is no offset to start at, and `auto.offset.reset` is `none`. The partition waits for a seek.
    #[error("{partition} has no offset to start at, and auto.offset.reset is none")]
    NoOffset {
        /// The partition.
        partition: TopicPartition,
    },
    /// A batch cannot be read. The partition waits for a seek behind it.
    #[error("{partition}: the batch at offset {offset} is damaged: {source}")]
    Corrupt {
        /// The partition.
        partition: TopicPartition,
        /// The position at which it was to be read.
        offset: i64,
        /// What is wrong with it.
        source: CorruptBatch,
    },
    /// A partition may not be read. It waits for a seek.
    #[error("{partition}: the broker answered {code}")]
    Partition {
        /// The partition.
        partition: TopicPartition,
        /// The broker's answer.
        code: ErrorCode,
    },
    /// The group does not take this consumer. It waits for another subscription.
    #[error("group `{group}`: the coordinator answered {code}")]
    Group {
        /// The group.
        group: String,
        /// The coordinator's answer.
        code: ErrorCode,
    },
    /// The consumer was not polled for `max.poll.interval.ms` and has left its group. It joins again.
    #[error("not polled for max.poll.interval.ms = {after_ms}: left the group")]
    PollTimeout {
        /// `max.poll.interval.ms`.
        after_ms: i32,
    },
    /// Subscribing and committing need a group.
    #[error("this needs the setting group.id")]
    NoGroup,
    /// The partition is not assigned to this consumer.
    #[error("{partition} is not assigned to this consumer")]
    NotAssigned {
        /// The partition.
        partition: TopicPartition,
    },
    /// Something was to be looked up and could not be.
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// How far the application is with giving partitions up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Revocation {
    None,
    /// The event waits to be taken.
    Announced,
    /// The application has it and may be committing.
    Taken,
    /// The application has come back.
    Done,
}

struct State {
    positions: Positions,
    /// What the group is to be told: the topics subscribed to.
    topics: Vec<String>,
    /// The group is to be left first: the application has given up what it had from it.
    has_unsubscribed: bool,
    notices: VecDeque<Result<Event, ConsumeError>>,
    /// Partitions about to be revoked are not delivered any more.
    revocation: Revocation,
    committer: Committer,
    coordinator: Option<i32>,
    last_poll_ms: i64,
    is_polling: bool,
    /// The application has not polled for too long.
    has_timed_out: bool,
}

impl State {
    /// Takes away what the group gave. False if the application has gone over to an assignment of its own meanwhile.
    fn remove_group_partitions(&mut self, partitions: &[TopicPartition]) -> bool {
        let is_subscribed = !self.topics.is_empty();
        if is_subscribed {
            partitions.iter().for_each(|partition| self.positions.remove(partition));
        }
        is_subscribed
    }

    fn unsubscribe(&mut self) {
        self.has_unsubscribed |= !self.topics.is_empty();
        self.topics.clear();
    }

    fn remove_all(&mut self) {
        let all: Vec<_> = self.positions.partitions().cloned().collect();
        all.iter().for_each(|partition| self.positions.remove(partition));
    }
}

struct Shared {
    state: Mutex<State>,
    cluster: Arc<Cluster>,
    config: ConsumerConfig,
    /// Held by the commit whose turn it is.
    committing: tokio::sync::Mutex<()>,
    /// The driver has something to reconsider.
    wake: Notify,
    /// There may be something to deliver.
    ready: Notify,
    is_closing: AtomicBool,
}

/// A consumer. Fetches ahead in the background; [`Consumer::next`] hands out what has come.
pub struct Consumer {
    shared: Arc<Shared>,
    driver: Option<JoinHandle<()>>,
}

impl Consumer {
    /// A consumer for the cluster that `config` names. Must be called within a tokio runtime.
    pub fn new(config: ConsumerConfig) -> Result<Self, ConfigError> {
        Self::with_network(config, Arc::new(TcpNetwork))
    }

    /// The same over another network, such as a simulated one.
    pub fn with_network(config: ConsumerConfig, network: Arc<dyn Network>) -> Result<Self, ConfigError> {
        config.validate()?;
        let positions = Positions::new(limits(&config));
        let committer = Committer { instance_id: config.group_instance_id.clone(), ..Committer::none() };
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                positions,
                topics: Vec::new(),
                has_unsubscribed: false,
                notices: VecDeque::new(),
                revocation: Revocation::None,
                committer,
                coordinator: None,
                last_poll_ms: now_ms(),
                is_polling: false,
                has_timed_out: false,
            }),
            cluster: Cluster::with_network(config.client.clone(), network),
            config,
            committing: tokio::sync::Mutex::default(),
            wake: Notify::new(),
            ready: Notify::new(),
            is_closing: AtomicBool::new(false),
        });
        let driver = tokio::spawn(driver::run(Arc::clone(&shared)));
        Ok(Self { shared, driver: Some(driver) })
    }

    /// Reads these topics as a member of the group: the group says which of their partitions. Takes the place of an
    /// earlier subscription or assignment. No topics at all are the same as [`Consumer::unsubscribe`].
    pub fn subscribe<S: AsRef<str>>(&self, topics: impl IntoIterator<Item = S>) -> Result<(), ConsumeError> {
        if self.shared.config.group_id.is_none() {
            return Err(ConsumeError::NoGroup);
        }
        let topics: Vec<String> = topics.into_iter().map(|topic| topic.as_ref().to_owned()).collect();
        if topics.is_empty() {
            self.unsubscribe();
            return Ok(());
        }
        let mut state = self.shared.state.lock();
        if state.topics.is_empty() {
            state.remove_all();
        }
        state.topics = topics;
        state.last_poll_ms = now_ms();
        drop(state);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Leaves the group, or gives up the assignment: nothing is read any more.
    pub fn unsubscribe(&self) {
        let mut state = self.shared.state.lock();
        state.unsubscribe();
        state.remove_all();
        drop(state);
        self.shared.wake.notify_one();
    }

    /// Reads exactly these partitions, whatever a group may think of it. Takes the place of an earlier assignment or
    /// subscription; partitions named again begin again.
    pub fn assign(
        &self,
        partitions: impl IntoIterator<Item = (TopicPartition, StartAt)>,
    ) -> Result<(), ConsumeError> {
        let wanted: BTreeMap<TopicPartition, StartAt> = partitions.into_iter().collect();
        let has_group = self.shared.config.group_id.is_some();
        if !has_group && wanted.values().any(|start| *start == StartAt::Committed) {
            return Err(ConsumeError::NoGroup);
        }
        let mut state = self.shared.state.lock();
        state.unsubscribe();
        let gone: Vec<_> =
            state.positions.partitions().filter(|p| !wanted.contains_key(p)).cloned().collect();
        gone.iter().for_each(|partition| state.positions.remove(partition));
        for (partition, start) in wanted {
            state.positions.start(partition, start);
        }
        drop(state);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Waits for the next event. After an error the consumer goes on with what is not concerned.
    ///
    /// Cancel safe: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Event, ConsumeError> {
        tokio::task::consume_budget().await;
        let _polling = self.begin_poll();
        loop {
            let ready = self.shared.ready.notified();
            tokio::pin!(ready);
            ready.as_mut().enable();
            if let Some(event) = self.take() {
                return event;
            }
            ready.await;
        }
    }

    /// The next event if there is one now.
    pub fn try_next(&mut self) -> Option<Result<Event, ConsumeError>> {
        let _polling = self.begin_poll();
        self.take()
    }

    fn begin_poll(&self) -> Polling {
        let mut state = self.shared.state.lock();
        state.is_polling = true;
        state.last_poll_ms = now_ms();
        state.positions.note_processed();
        let is_done = state.revocation == Revocation::Taken;
        if is_done {
            state.revocation = Revocation::Done;
        }
        if is_done || state.has_timed_out {
            self.shared.wake.notify_one();
        }
        Polling(Arc::clone(&self.shared))
    }

    fn take(&self) -> Option<Result<Event, ConsumeError>> {
        let mut state = self.shared.state.lock();
        if let Some(notice) = state.notices.pop_front() {
            if matches!(notice, Ok(Event::Revoked(_))) {
                state.revocation = Revocation::Taken;
                self.shared.wake.notify_one();
            }
            return Some(notice);
        }
        if state.revocation != Revocation::None {
            return None;
        }
        let delivery = state.positions.next();
        if state.positions.take_has_work() {
            self.shared.wake.notify_one();
        }
        drop(state);
        delivery.map(|delivery| self.deliver(delivery))
    }

    fn deliver(&self, delivery: Delivery) -> Result<Event, ConsumeError> {
        match delivery {
            Delivery::End { partition, offset } => Ok(Event::EndOfPartition { partition, offset }),
            Delivery::Failed(error) => Err(error),
            Delivery::Batch { partition, frame, range, from_offset } => {
                let read = Records::read(partition.clone(), &frame, range, from_offset);
                read.map(Event::Records).map_err(|source| {
                    self.shared.state.lock().positions.halt(&partition, from_offset);
                    ConsumeError::Corrupt { partition, offset: from_offset, source }
                })
            }
        }
    }

    /// Goes on reading an assigned partition elsewhere.
    pub fn seek(&self, partition: &TopicPartition, start: StartAt) -> Result<(), ConsumeError> {
        let mut state = self.shared.state.lock();
        if !state.positions.contains(partition) {
            return Err(ConsumeError::NotAssigned { partition: partition.clone() });
        }
        state.positions.start(partition.clone(), start);
        drop(state);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Stops delivering these partitions until [`Consumer::resume`].
    pub fn pause(&self, partitions: &[TopicPartition]) -> Result<(), ConsumeError> {
        self.set_paused(partitions, true)
    }

    /// Goes on delivering these partitions.
    pub fn resume(&self, partitions: &[TopicPartition]) -> Result<(), ConsumeError> {
        self.set_paused(partitions, false)?;
        self.shared.ready.notify_waiters();
        Ok(())
    }

    fn set_paused(&self, partitions: &[TopicPartition], is_paused: bool) -> Result<(), ConsumeError> {
        let mut state = self.shared.state.lock();
        for partition in partitions {
            if !state.positions.set_paused(partition, is_paused) {
                return Err(ConsumeError::NotAssigned { partition: partition.clone() });
            }
        }
        drop(state);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// The assigned partitions.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.shared.state.lock().positions.partitions().cloned().collect()
    }

    /// The offset of the record to be delivered next, once it is known.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.shared.state.lock().positions.position(partition)
    }

    /// The high watermark as the last fetch told it.
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<i64> {
        self.shared.state.lock().positions.high_watermark(partition)
    }

    /// Commits the positions of all partitions: everything delivered counts as done.
    pub async fn commit(&self) -> Result<(), CommitError> {
        commit::commit_positions(&self.shared, commit::Done::Delivered).await
    }

    /// Commits these offsets, each that of the record to be read next.
    pub async fn commit_offsets(
        &self,
        offsets: &BTreeMap<TopicPartition, GroupOffset>,
    ) -> Result<(), CommitError> {
        commit::commit_offsets(&self.shared, offsets).await
    }

    /// The group's committed offsets of these partitions.
    pub async fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, GroupOffset>, AdminError> {
        let group = self.shared.config.group_id.as_deref().unwrap_or_default();
        self.admin().list_group_offsets(group, Some(partitions)).await
    }

    /// A topic with its partitions.
    pub async fn topic(&self, topic: &str) -> Result<Arc<Topic>, AdminError> {
        let described = self.admin().describe_topics([topic]).await?.into_iter().next();
        let missing = crate::Refusal { code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message: None };
        let described = described.map_or(Err(missing), |(_, described)| described);
        described.map_err(|refusal| AdminError::Refused { what: format!("topic `{topic}`"), refusal })
    }

    /// Looks up an offset of each partition.
    pub async fn list_offsets(
        &self,
        specs: &BTreeMap<TopicPartition, OffsetSpec>,
    ) -> Result<Outcomes<TopicPartition, ListedOffset>, AdminError> {
        self.admin().list_offsets(specs, self.shared.config.isolation_level).await
    }

    /// An admin client over the same connections.
    pub fn admin(&self) -> Admin {
        Admin::over(Arc::clone(&self.shared.cluster))
    }

    /// Commits if `enable.auto.commit` is on, leaves the group and ends the consumer.
    pub async fn close(mut self) -> Result<(), CommitError> {
        let auto_commit = self.shared.config.enable_auto_commit && self.shared.config.group_id.is_some();
        let committed = if auto_commit { self.commit().await } else { Ok(()) };
        self.shared.is_closing.store(true, Ordering::Release);
        self.shared.wake.notify_one();
        if let Some(driver) = self.driver.take() {
            // It ends by itself; that it might have panicked is no news to the caller.
            let _ = driver.await;
        }
        committed
    }
}

/// The application is waiting for an event, until this is dropped.
struct Polling(Arc<Shared>);

impl Drop for Polling {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.is_polling = false;
        state.last_poll_ms = now_ms();
    }
}

fn limits(config: &ConsumerConfig) -> Limits {
    Limits {
        reset: config.auto_offset_reset,
        tells_ends: config.enable_partition_eof,
        partition_bytes_max: (config.max_partition_fetch_bytes as usize).max(1),
        bytes_max: (config.fetch_max_bytes as usize).max(1),
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.shared.is_closing.store(true, Ordering::Release);
        self.shared.wake.notify_one();
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("config", &self.shared.config).finish_non_exhaustive()
    }
}
