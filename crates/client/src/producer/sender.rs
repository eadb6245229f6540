//! The task that sends batches: it drains the accumulator whenever something changes, keeps the connections to
//! the leaders, and hands every answer back to the accumulator.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use klamm_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use klamm_protocol::messages::produce_response::PartitionProduceResponse;
use klamm_protocol::messages::{InitProducerIdRequest, ProduceRequest};
use klamm_protocol::{ApiKey, Records, Uuid};
use tokio::task::JoinSet;

use super::Shared;
use super::accumulator::{Answer, Drained, Settled};
use super::batch::Batch;
use super::delivery::BatchAck;
use super::sequence::ProducerIdentity;
use crate::clock::now_ms;
use crate::cluster::{Cluster, Metadata, Topics, asks_for_refresh};
use crate::config::Acks;
use crate::connection::{Connection, Pending};
use crate::error::{ConnectError, RequestError};

/// Since version 13 a produce request names topics by their id.
const FIRST_VERSION_WITH_IDS: i16 = 13;

/// What a background step has come to.
enum Event {
    Connected { node: i32, result: Result<Connection, ConnectError> },
    Answered { node: i32, batches: Vec<Batch>, answers: Result<Answers, RequestError> },
    Refreshed(Result<Arc<Metadata>, RequestError>),
    Identified(Result<ProducerIdentity, RequestError>),
}

/// A produce response by topic and partition; `None` for `acks=0`, where none comes.
type Answers = Option<HashMap<(Arc<str>, i32), PartitionAnswer>>;

struct PartitionAnswer {
    answer: Answer,
    /// The leader and its epoch, when the broker is not it (KIP-951).
    leader: Option<(i32, i32)>,
}

#[derive(Default)]
struct Node {
    connection: Option<Connection>,
    is_connecting: bool,
    in_flight: usize,
}

impl Node {
    fn is_ready(&self, in_flight_max: usize) -> bool {
        self.in_flight < in_flight_max && self.connection.as_ref().is_some_and(|c| !c.is_closed())
    }
}

struct Sender {
    shared: Arc<Shared>,
    nodes: BTreeMap<i32, Node>,
    events: JoinSet<Event>,
    wants_refresh: bool,
    is_refreshing: bool,
    refresh_not_before_ms: i64,
    is_identifying: bool,
}

/// Runs until the producer is closed and everything is settled.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut sender = Sender {
        shared,
        nodes: BTreeMap::new(),
        events: JoinSet::new(),
        wants_refresh: false,
        is_refreshing: false,
        refresh_not_before_ms: 0,
        is_identifying: false,
    };
    while !sender.is_done() {
        let now = now_ms();
        let drained = sender.drain(now);
        let wake_at = sender.act(drained, now).await;
        sender.wait(wake_at, now).await;
    }
    sender.shared.accumulator.lock().close();
}

impl Sender {
    fn is_done(&self) -> bool {
        self.shared.is_closing.load(Ordering::Acquire) && self.shared.accumulator.lock().is_flushed(u64::MAX)
    }

    fn drain(&mut self, now: i64) -> (Drained, BTreeSet<i32>) {
        let metadata = self.shared.cluster.metadata();
        let in_flight_max = self.shared.config.max_in_flight;
        let unready = RefCell::new(BTreeSet::new());
        let can_take = |node: i32| {
            let state = self.nodes.get(&node);
            let connected = state.and_then(|n| n.connection.as_ref()).is_some_and(|c| !c.is_closed());
            if !connected {
                unready.borrow_mut().insert(node);
            }
            state.is_some_and(|node| node.is_ready(in_flight_max))
        };
        let mut accumulator = self.shared.accumulator.lock();
        let drained = accumulator.drain(now, |topic, partition| metadata.leader(topic, partition), can_take);
        drop(accumulator);
        (drained, unready.into_inner())
    }

    /// Carries out what the drain asked for and says when to look again.
    async fn act(&mut self, (drained, unready): (Drained, BTreeSet<i32>), now: i64) -> Option<i64> {
        if drained.freed {
            self.shared.settled.notify_waiters();
        }
        for node in unready {
            self.connect(node);
        }
        if drained.needs_identity {
            self.identify();
        }
        self.wants_refresh |= drained.leader_unknown || self.shared.cluster.is_stale();
        let refresh_at = self.refresh(now);
        for (node, batches) in drained.by_node {
            self.send(node, batches).await;
        }
        match (drained.next_ms, refresh_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    async fn wait(&mut self, wake_at: Option<i64>, now: i64) {
        let pause_ms = wake_at.map_or(u64::from(u32::MAX), |at| (at - now).max(0) as u64);
        let shared = Arc::clone(&self.shared);
        // In this order, and not in a random one: what has happened is handled first, and runs can be repeated.
        tokio::select! {
            biased;
            Some(event) = self.events.join_next(), if !self.events.is_empty() => {
                if let Ok(event) = event {
                    self.handle(event);
                }
                while let Some(Ok(event)) = self.events.try_join_next() {
                    self.handle(event);
                }
            }
            () = shared.wake.notified() => {}
            () = tokio::time::sleep(Duration::from_millis(pause_ms)) => {}
        }
    }

    fn connect(&mut self, id: i32) {
        let node = self.nodes.entry(id).or_default();
        if node.is_connecting {
            return;
        }
        node.is_connecting = true;
        let cluster = Arc::clone(&self.shared.cluster);
        self.events.spawn(async move { Event::Connected { node: id, result: cluster.broker(id).await } });
    }

    fn identify(&mut self) {
        if !std::mem::replace(&mut self.is_identifying, true) {
            let cluster = Arc::clone(&self.shared.cluster);
            self.events.spawn(async move { Event::Identified(init_producer_id(&cluster).await) });
        }
    }

    /// Begins a refresh if one is wanted and due. Says when it will be due if it is not.
    fn refresh(&mut self, now: i64) -> Option<i64> {
        if !self.wants_refresh || self.is_refreshing {
            return None;
        }
        if now < self.refresh_not_before_ms {
            return Some(self.refresh_not_before_ms);
        }
        (self.wants_refresh, self.is_refreshing) = (false, true);
        self.refresh_not_before_ms = now + self.shared.config.client.retry_backoff_ms as i64;
        let cluster = Arc::clone(&self.shared.cluster);
        let topics = self.shared.accumulator.lock().topics();
        self.events
            .spawn(async move { Event::Refreshed(cluster.refresh(Topics::Named(&topics), true).await) });
        None
    }

    async fn send(&mut self, id: i32, mut batches: Vec<Batch>) {
        let codec = self.shared.config.codec();
        batches.iter_mut().for_each(|batch| batch.seal(codec));
        let Some(connection) = self.nodes.get(&id).and_then(|node| node.connection.clone()) else { return };
        let metadata = self.shared.cluster.metadata();
        let queued = self.enqueue(&connection, &batches, &metadata).await;
        self.nodes.entry(id).or_default().in_flight += 1;
        let expects_answers = self.shared.config.acks != Acks::None;
        self.events.spawn(async move {
            let answers = match queued {
                Ok(pending) => answers(pending, expects_answers, &metadata).await,
                Err(error) => Err(error),
            };
            Event::Answered { node: id, batches, answers }
        });
    }

    async fn enqueue(
        &self,
        connection: &Connection,
        batches: &[Batch],
        metadata: &Metadata,
    ) -> Result<Pending, RequestError> {
        let request = self.request(batches, metadata);
        let ids_known = request.topic_data.iter().all(|topic| !topic.topic_id.is_zero());
        let newest = connection.version_of(ApiKey::Produce)?;
        let version = if ids_known { newest } else { newest.min(FIRST_VERSION_WITH_IDS - 1) };
        match self.shared.config.acks {
            Acks::None => connection.enqueue_unanswered(&request, version).await,
            _ => connection.enqueue(&request, version, connection.timeout()).await,
        }
    }

    fn request<'b>(&self, batches: &'b [Batch], metadata: &Metadata) -> ProduceRequest<'b> {
        let mut topics: BTreeMap<&'b str, Vec<PartitionProduceData<'b>>> = BTreeMap::new();
        for batch in batches {
            topics.entry(&batch.topic).or_default().push(PartitionProduceData {
                index: batch.partition,
                records: Some(Records::Bytes(batch.bytes().into())),
            });
        }
        let topic_data = topics.into_iter().map(|(name, partition_data)| TopicProduceData {
            name: name.into(),
            topic_id: metadata.topic(name).map_or(Uuid::ZERO, |topic| topic.id),
            partition_data,
        });
        ProduceRequest {
            transactional_id: None,
            acks: self.shared.config.acks.code(),
            timeout_ms: i32::try_from(self.shared.config.client.request_timeout_ms).unwrap_or(i32::MAX),
            topic_data: topic_data.collect(),
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Connected { node, result } => self.connected(node, result),
            Event::Answered { node, batches, answers } => self.answered(node, batches, answers),
            Event::Refreshed(result) => self.refreshed(result),
            Event::Identified(result) => {
                self.is_identifying = false;
                let mut accumulator = self.shared.accumulator.lock();
                match result {
                    Ok(identity) => accumulator.set_identity(identity),
                    Err(error) => accumulator.give_up_waiting(&error.to_string()),
                }
                self.shared.settled.notify_waiters();
            }
        }
    }

    fn connected(&mut self, id: i32, result: Result<Connection, ConnectError>) {
        let node = self.nodes.entry(id).or_default();
        node.is_connecting = false;
        match result {
            Ok(connection) => node.connection = Some(connection),
            Err(error) => {
                tracing::debug!(%error, "leader not reachable");
                // Perhaps another broker leads its partitions by now.
                self.wants_refresh = true;
            }
        }
    }

    fn refreshed(&mut self, result: Result<Arc<Metadata>, RequestError>) {
        self.is_refreshing = false;
        match result {
            Ok(metadata) => {
                let mut accumulator = self.shared.accumulator.lock();
                for name in accumulator.topics() {
                    let count = metadata.topic(&name).map_or(0, |topic| topic.partitions.len());
                    accumulator.set_partition_count(&name, count as i32);
                }
            }
            Err(error) => {
                tracing::debug!(%error, "metadata not refreshed");
                self.wants_refresh = true;
            }
        }
    }

    fn answered(&mut self, id: i32, batches: Vec<Batch>, answers: Result<Answers, RequestError>) {
        let node = self.nodes.entry(id).or_default();
        node.in_flight -= 1;
        if node.connection.as_ref().is_some_and(Connection::is_closed) {
            node.connection = None;
        }
        if answers.is_err() {
            self.wants_refresh = true;
        }
        let mut answers = answers.map_err(|error| error.to_string());
        let now = now_ms();
        for batch in batches {
            let answer = self.answer_for(&batch, &mut answers);
            if let Answer::Refused { code, .. } = &answer {
                self.wants_refresh |= asks_for_refresh(*code);
            }
            let retried = self.shared.accumulator.lock().settle(batch, answer, now);
            if retried != Settled::Retried {
                self.shared.settled.notify_waiters();
            }
        }
    }

    fn answer_for(&self, batch: &Batch, answers: &mut Result<Answers, String>) -> Answer {
        match answers {
            Err(reason) => Answer::Lost { reason: reason.clone() },
            Ok(None) => Answer::Acknowledged(BatchAck { base_offset: None, log_append_time_ms: None }),
            Ok(Some(answers)) => match answers.remove(&(Arc::clone(&batch.topic), batch.partition)) {
                Some(PartitionAnswer { answer, leader }) => {
                    if let Some((leader, epoch)) = leader {
                        let (topic, partition) = (&batch.topic, batch.partition);
                        self.shared.cluster.note_leader(topic, partition, leader, epoch);
                    }
                    answer
                }
                None => Answer::Lost { reason: "the broker's answer leaves the partition out".to_owned() },
            },
        }
    }
}

/// Asks for a producer id until there is one or a final refusal.
async fn init_producer_id(cluster: &Cluster) -> Result<ProducerIdentity, RequestError> {
    let request = InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: i32::MAX,
        ..InitProducerIdRequest::default()
    };
    let deadline = cluster.api_deadline();
    cluster
        .retrying(deadline, RequestError::is_retriable, || async {
            let connection = cluster.any_broker().await?;
            let response = connection.call(&request).await?;
            let broker = connection.broker().clone();
            let refused = |code| RequestError::Refused { broker, api: ApiKey::InitProducerId, code };
            response.error_code.check().map_err(refused)?;
            Ok(ProducerIdentity { id: response.producer_id, epoch: response.producer_epoch })
        })
        .await
}

/// Waits for a response and sorts it by partition.
async fn answers(pending: Pending, expected: bool, metadata: &Metadata) -> Result<Answers, RequestError> {
    let response = pending.response().await?;
    if !expected {
        return Ok(None);
    }
    let response = response.decode::<ProduceRequest<'_>>()?;
    let mut answers = HashMap::new();
    for topic in response.responses {
        let by_id = metadata.topic_name(topic.topic_id).filter(|_| topic.name.is_empty());
        let name = by_id.cloned().unwrap_or_else(|| Arc::from(&*topic.name));
        for partition in topic.partition_responses {
            answers.insert((Arc::clone(&name), partition.index), partition_answer(partition));
        }
    }
    Ok(Some(answers))
}

fn partition_answer(response: PartitionProduceResponse<'_>) -> PartitionAnswer {
    let known = |value: i64| Some(value).filter(|value| *value >= 0);
    let leader = Some((response.current_leader.leader_id, response.current_leader.leader_epoch));
    let answer = if response.error_code.is_error() {
        let record_errors = response.record_errors.into_iter();
        let first = record_errors.filter_map(|e| e.batch_index_error_message).next();
        let message = response.error_message.or(first).map(std::borrow::Cow::into_owned);
        Answer::Refused { code: response.error_code, message }
    } else {
        Answer::Acknowledged(BatchAck {
            base_offset: known(response.base_offset),
            log_append_time_ms: known(response.log_append_time_ms),
        })
    };
    PartitionAnswer { answer, leader: leader.filter(|(leader, _)| *leader >= 0) }
}
