//! Fetch v4–18 for consumers and followers: records from many partitions, with incremental sessions (KIP-227) and long polling.
//!
//! A follower reads to the log's end, and what it asks for tells the leader what it has. A consumer may be sent to a replica that is
//! nearer (KIP-392).
//!
//! Records are not read here. The answer names slices of the log's files, and the connection sends them from the page cache.
//! The first partition that has records yields at least one whole batch, however small the limits are (KIP-74).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use klamm_metadata::cluster::{BrokerRegistration, Endpoint};
use klamm_net::FileSlice;
use klamm_protocol::messages::fetch_request::FetchRequest;
use klamm_protocol::messages::fetch_response::{
    FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use klamm_protocol::{ErrorCode, Reader as BytesReader, Records};
use klamm_replica::{FetchPlan, PartitionAnswer, PartitionKey, SessionRequest, TopicKey, Wanted};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::broker::Broker;
use crate::leader_endpoints::leader_endpoints;
use crate::partition::{FetchedPartition, Isolation, Partition, Reader, Waiting};
use crate::replication::Nearby;
use crate::request::{Fault, HandlerResult, Outcome, RequestContext, Responder, Response};

/// From this version on followers say of which incarnation they are.
const REPLICA_STATE_SINCE: i16 = 15;
/// From this version on consumers know that a follower may answer them.
const FOLLOWER_READS_SINCE: i16 = 11;
/// From this version on answers tell where leaders are reached (KIP-951).
const NODE_ENDPOINTS_SINCE: i16 = 16;
/// From this version on topics are named by id.
const TOPIC_IDS_SINCE: i16 = 13;
/// From this version on answers tell of leaders and diverging epochs.
const EPOCHS_SINCE: i16 = 12;
/// From this version on requests have sessions; older ones are served without.
const SESSIONS_SINCE: i16 = 7;

pub(crate) fn handle(context: &RequestContext<'_>, mut body: BytesReader<'_>) -> HandlerResult {
    let request: FetchRequest<'_> = context.decode(&mut body)?;
    let limits = Limits::new(context.broker, &request);
    let reader = reader(&request, context.version);
    let nearby = Nearby::of(context.broker, reader, &request.rack_id);
    let plan = match plan(context, request) {
        Ok(plan) => plan,
        Err(error_code) => return context.respond(&FetchResponse { error_code, ..FetchResponse::default() }),
    };
    let fetch = Fetch {
        broker: context.broker.clone(),
        responder: context.responder(),
        listener: context.peer.listener.clone(),
        plan,
        limits,
        reader,
        nearby,
    };
    let cold = fetch.cold_parts();
    if !cold.is_empty() {
        return Ok(Outcome::Later(Box::pin(fetch.read_cold(cold))));
    }
    let fetched = fetch.read(Pass::First);
    match fetch.is_complete(&fetched) {
        true => Ok(Outcome::Respond(fetch.answer(fetched)?)),
        false => Ok(Outcome::Later(Box::pin(fetch.wait()))),
    }
}

/// What the request limits the answer to.
struct Limits {
    min_bytes: usize,
    max_bytes: usize,
    deadline: Instant,
    may_wait: bool,
}

impl Limits {
    fn new(broker: &Broker, request: &FetchRequest<'_>) -> Self {
        let wait_ms = request.max_wait_ms.max(0) as u64;
        let max_bytes = request.max_bytes.min(broker.config().fetch_max_bytes).max(0) as usize;
        Self {
            min_bytes: (request.min_bytes.max(0) as usize).min(max_bytes),
            max_bytes,
            deadline: Instant::now() + Duration::from_millis(wait_ms),
            may_wait: wait_ms > 0,
        }
    }
}

/// A broker that follows says which one it is; from version 15 on with its incarnation.
fn reader(request: &FetchRequest<'_>, version: i16) -> Reader {
    let (replica_id, broker_epoch) = match version {
        ..REPLICA_STATE_SINCE => (request.replica_id, -1),
        _ => (request.replica_state.replica_id, request.replica_state.replica_epoch),
    };
    match replica_id {
        0.. => Reader::Follower { replica_id, broker_epoch },
        _ => Reader::Consumer {
            isolation: Isolation::from_wire(request.isolation_level),
            from_follower: version >= FOLLOWER_READS_SINCE,
        },
    }
}

/// Lets the session cache decide which partitions are served.
fn plan(context: &RequestContext<'_>, request: FetchRequest<'_>) -> Result<FetchPlan, ErrorCode> {
    let by_id = context.version >= TOPIC_IDS_SINCE;
    let key = |id, name: &str, partition| {
        let topic = if by_id { TopicKey::Id(id) } else { TopicKey::Name(name.into()) };
        PartitionKey { topic, partition }
    };
    let mut partitions = Vec::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let wanted = Wanted {
                fetch_offset: partition.fetch_offset,
                max_bytes: partition.partition_max_bytes,
                current_leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
                log_start_offset: partition.log_start_offset,
                high_watermark: partition.high_watermark,
            };
            partitions.push((key(topic.topic_id, &topic.topic, partition.partition), wanted));
        }
    }
    let gone = request.forgotten_topics_data.iter();
    let forgotten = gone
        .flat_map(|topic| topic.partitions.iter().map(|index| key(topic.topic_id, &topic.topic, *index)))
        .collect();
    let has_session = context.version >= SESSIONS_SINCE;
    let request = SessionRequest {
        session_id: if has_session { request.session_id } else { 0 },
        session_epoch: if has_session { request.session_epoch } else { -1 },
        privileged: matches!(reader(&request, context.version), Reader::Follower { .. }),
        by_id,
        partitions,
        forgotten,
    };
    // Only a request that begins a session needs a number from the system.
    let new_id = if request.session_epoch == 0 { context.broker.random_u32() } else { 0 };
    context.broker.fetch_sessions().begin(request, new_id, context.broker.environment().clock.monotonic_ms())
}

/// One fetch on its way: which partitions, within which limits, for whom.
struct Fetch {
    broker: Arc<Broker>,
    responder: Responder,
    /// The listener on which the request came.
    listener: Arc<str>,
    plan: FetchPlan,
    limits: Limits,
    reader: Reader,
    nearby: Option<Nearby>,
}

/// How often the partitions were asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// For the first time: what a follower has counts.
    First,
    /// Again, after a wait.
    Again,
}

/// What the partitions of a plan gave, in its order.
struct Fetched {
    partitions: Vec<FetchedPartition>,
    bytes: usize,
    is_urgent: bool,
}

/// Has slices read into the page cache on a helper thread: one who reads last year's data must not hold up the others of the thread.
pub(super) async fn warm(broker: &Broker, cold: Vec<FileSlice>) -> Result<(), Fault> {
    if cold.is_empty() {
        return Ok(());
    }
    let warmed = broker.environment().blocking(move || cold.iter().try_for_each(FileSlice::warm)).await;
    if let Err(error) = warmed.map_err(|_| Fault::Stopping)? {
        // The connection meets the same error when it sends, and ends.
        tracing::error!("a log cannot be read: {error}");
    }
    Ok(())
}

impl Fetch {
    /// What would have to be read from the device: batches, and before that the headers that tell where they end. No more of it
    /// than the answer has room for.
    fn cold_parts(&self) -> Vec<FileSlice> {
        let mut room = self.limits.max_bytes;
        let mut cold = Vec::new();
        for (key, wanted) in &self.plan.partitions {
            let bytes_max = room.min(wanted.max_bytes.max(0) as usize);
            let part = self.find(key).ok().and_then(|it| it.cold_part(wanted.fetch_offset, bytes_max));
            room -= part.as_ref().map_or(0, |part| part.length.min(room));
            cold.extend(part);
        }
        cold
    }

    /// Answers once what is cold is in memory.
    async fn read_cold(self, cold: Vec<FileSlice>) -> Result<Response, Fault> {
        warm(&self.broker, cold).await?;
        let fetched = self.read(Pass::First);
        if self.is_complete(&fetched) { self.answer(fetched) } else { self.wait().await }
    }

    /// Asks every partition once.
    fn read(&self, pass: Pass) -> Fetched {
        let mut fetched = Fetched {
            partitions: Vec::with_capacity(self.plan.partitions.len()),
            bytes: 0,
            is_urgent: false,
        };
        for (key, wanted) in &self.plan.partitions {
            let room = self.limits.max_bytes.saturating_sub(fetched.bytes);
            let max_bytes = room.min(wanted.max_bytes.max(0) as usize);
            let first = fetched.bytes == 0;
            let partition = match self.find(key) {
                Ok(partition) => self.read_one(&partition, wanted, (max_bytes, first), pass),
                Err(error_code) => self.not_here(key, error_code),
            };
            fetched.bytes += partition.record_bytes();
            fetched.is_urgent |= partition.is_urgent();
            fetched.partitions.push(partition);
        }
        fetched
    }

    fn read_one(
        &self,
        partition: &Arc<Partition>,
        wanted: &Wanted,
        (max_bytes, min_one_batch): (usize, bool),
        pass: Pass,
    ) -> FetchedPartition {
        let (max_bytes, min_one_batch) = match self.is_held_up(partition) {
            true => (0, false),
            false => (max_bytes, min_one_batch),
        };
        let mut fetched = partition.fetch(wanted, max_bytes, min_one_batch, self.reader);
        fetched.is_throttled = self.is_throttled(partition);
        match self.reader {
            Reader::Follower { replica_id, broker_epoch } if pass == Pass::First => {
                let who = (replica_id, broker_epoch);
                if let Some(proposal) = partition.count_follower(who, wanted, &mut fetched) {
                    self.broker.isr_changes().propose(partition.clone(), proposal);
                }
                fetched
            }
            Reader::Consumer { .. } if !fetched.is_urgent() => {
                let nearby = self.nearby.as_ref();
                match nearby.and_then(|nearby| nearby.replica(&self.broker, partition, wanted.fetch_offset)) {
                    Some(replica_id) => fetched.preferring(replica_id),
                    None => fetched,
                }
            }
            _ => fetched,
        }
    }

    /// Whether what a follower gets of a partition counts against a bound.
    fn is_throttled(&self, partition: &Partition) -> bool {
        let is_follower = matches!(self.reader, Reader::Follower { .. });
        is_follower
            && self.broker.throttles().leader.is_set()
            && partition.is_throttled_leader(self.broker.node_id())
    }

    /// Whether a follower has to wait, because the bound is exceeded. One that is in sync does not: it would fall out of the ISR by it.
    fn is_held_up(&self, partition: &Partition) -> bool {
        let Reader::Follower { replica_id, .. } = self.reader else { return false };
        self.is_throttled(partition)
            && self.broker.throttles().leader.due_ms(self.broker.environment().clock.monotonic_ms()).is_some()
            && partition.as_leader(|leader| !leader.isr().contains(&replica_id)).unwrap_or(false)
    }

    fn find(&self, key: &PartitionKey) -> Result<Arc<Partition>, ErrorCode> {
        match &key.topic {
            TopicKey::Id(id) => self.broker.partition_by_id(*id, key.partition),
            TopicKey::Name(name) => self.broker.partition_by_name(name, key.partition),
        }
    }

    /// A partition that is elsewhere: the answer says where.
    fn not_here(&self, key: &PartitionKey, error_code: ErrorCode) -> FetchedPartition {
        let image = self.broker.image();
        let topic = match &key.topic {
            TopicKey::Id(id) => image.topics.by_id(*id),
            TopicKey::Name(name) => image.topics.by_name(name),
        };
        let state = topic.and_then(|topic| topic.partition(key.partition));
        let state = state.filter(|_| error_code == ErrorCode::NOT_LEADER_OR_FOLLOWER);
        let current_leader =
            state.map(|state| LeaderIdAndEpoch { leader_id: state.leader, leader_epoch: state.leader_epoch });
        FetchedPartition { current_leader, ..FetchedPartition::failed(error_code) }
    }

    fn is_complete(&self, fetched: &Fetched) -> bool {
        !self.limits.may_wait
            || fetched.is_urgent
            || fetched.bytes >= self.limits.min_bytes
            || self.plan.partitions.is_empty()
    }

    /// Waits for enough bytes, for an error, or for the request's time to pass.
    async fn wait(self) -> Result<Response, Fault> {
        let woken = Arc::new(Notify::new());
        loop {
            let places = self.register(&woken);
            let fetched = self.read(Pass::Again);
            if self.is_complete(&fetched) || Instant::now() >= self.limits.deadline {
                return self.answer(fetched);
            }
            let _ = timeout_at(self.limits.deadline, woken.notified()).await;
            drop(places);
        }
    }

    /// Has `woken` notified when a partition has more than was asked for. What is held up is looked at again when the request's time is up.
    fn register(&self, woken: &Arc<Notify>) -> Vec<Waiting> {
        let partitions = self.plan.partitions.iter();
        partitions
            .filter_map(|(key, wanted)| {
                let partition = self.find(key).ok().filter(|partition| !self.is_held_up(partition))?;
                Some(partition.wake_beyond(wanted.fetch_offset, self.reader, woken))
            })
            .collect()
    }

    /// The frame: of a session only what is new, of anything else all.
    fn answer(&self, fetched: Fetched) -> Result<Response, Fault> {
        let notes: Vec<PartitionAnswer> = fetched.partitions.iter().map(FetchedPartition::note).collect();
        let is_sent = self.broker.fetch_sessions().finish(&self.plan, &notes);
        let throttled = fetched.partitions.iter().filter(|partition| partition.is_throttled);
        let throttled_bytes = throttled.map(FetchedPartition::record_bytes).sum();
        self.broker
            .throttles()
            .leader
            .record(throttled_bytes, self.broker.environment().clock.monotonic_ms());
        let (mut slices, mut leaders) = (Vec::new(), BTreeSet::new());
        let mut responses: Vec<FetchableTopicResponse<'static>> = Vec::new();
        let answers = self.plan.partitions.iter().zip(fetched.partitions).zip(is_sent);
        for (((key, _), partition), _) in answers.filter(|(_, sent)| *sent) {
            if let Some(traffic) = &partition.traffic {
                self.broker.metrics().fetched(traffic, partition.record_bytes() as u64);
            }
            let mut data = partition_data(key.partition, partition, &mut slices);
            if self.responder.version < EPOCHS_SINCE {
                (data.current_leader, data.diverging_epoch) = Default::default();
            } else if data.current_leader.leader_id >= 0 {
                leaders.insert(data.current_leader.leader_id);
            }
            match responses.last_mut() {
                Some(topic) if is_topic(topic, &key.topic) => topic.partitions.push(data),
                _ => responses.push(topic_response(&key.topic, data)),
            }
        }
        let session_id = self.plan.session_id();
        if self.responder.version < NODE_ENDPOINTS_SINCE {
            leaders.clear();
        }
        let node_endpoints = leader_endpoints(&self.broker, &self.listener, &leaders, node_endpoint);
        let response = FetchResponse { session_id, responses, node_endpoints, ..FetchResponse::default() };
        self.responder.encode_with_slices(&response, slices)
    }
}

fn node_endpoint(broker: &BrokerRegistration, endpoint: &Endpoint) -> NodeEndpoint<'static> {
    NodeEndpoint {
        node_id: broker.id,
        host: endpoint.host.clone().into(),
        port: i32::from(endpoint.port),
        rack: broker.rack.clone().map(Into::into),
    }
}

fn is_topic(response: &FetchableTopicResponse<'_>, key: &TopicKey) -> bool {
    match key {
        TopicKey::Id(id) => response.topic_id == *id,
        TopicKey::Name(name) => *response.topic == **name,
    }
}

fn topic_response(key: &TopicKey, data: PartitionData<'static>) -> FetchableTopicResponse<'static> {
    let partitions = vec![data];
    match key {
        TopicKey::Id(topic_id) => {
            FetchableTopicResponse { topic_id: *topic_id, partitions, ..Default::default() }
        }
        TopicKey::Name(name) => {
            FetchableTopicResponse { topic: name.to_string().into(), partitions, ..Default::default() }
        }
    }
}

fn partition_data(
    index: i32,
    fetched: FetchedPartition,
    slices: &mut Vec<FileSlice>,
) -> PartitionData<'static> {
    let length = fetched.record_bytes();
    slices.extend(fetched.slice);
    PartitionData {
        partition_index: index,
        error_code: fetched.error_code,
        high_watermark: fetched.high_watermark,
        last_stable_offset: fetched.last_stable_offset,
        log_start_offset: fetched.log_start_offset,
        aborted_transactions: fetched.aborted_transactions,
        current_leader: fetched.current_leader.unwrap_or_default(),
        diverging_epoch: fetched.diverging_epoch.unwrap_or_default(),
        preferred_read_replica: fetched.preferred_read_replica.unwrap_or(-1),
        records: Some(Records::External(length)),
        ..PartitionData::default()
    }
}
