//! Produce v3–13: appends record batches. v3 is the first with batches of format v2; v13 names topics by id.
//!
//! Partitions are answered in the order in which they are asked for; one that fails does not keep the others from being
//! appended. With acks=0 there is no answer, and a failure closes the connection, because nothing else can tell the client.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use klamm_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use klamm_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, ProduceResponse,
    TopicProduceResponse,
};
use klamm_protocol::{ErrorCode, Reader};
use klamm_records::{AcceptedBatch, ProduceError, RecordError, RefusedRecord, validate_produce};
use tokio::time::Instant;

use crate::internal_topics;
use crate::leader_endpoints::leader_endpoints;
use crate::partition::{Acks, AppendError, Appended, HostedTopic, HostedTopics, Partition};
use crate::request::{Fault, HandlerResult, Outcome, RequestContext};

/// From this version on zstd is allowed.
const ZSTD_SINCE: i16 = 7;
/// From this version on a refusal may say who leads (KIP-951).
const CURRENT_LEADER_SINCE: i16 = 10;
/// From this version on topics are named by id.
const TOPIC_IDS_SINCE: i16 = 13;
/// The client id with which tools may write internal topics.
const ADMIN_CLIENT_ID: &str = "__admin_client";

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: ProduceRequest<'_> = context.decode(&mut body)?;
    let acks = Acks::from_wire(request.acks);
    // Borrowed throughout: threads that count references to the same topic slow each other down.
    let hosted = context.broker.hosted();
    let mut produce = Produce {
        context,
        hosted: &hosted,
        acks,
        waits: Vec::new(),
        first_error: None,
        leaders: BTreeSet::new(),
    };
    let responses =
        request.topic_data.iter().enumerate().map(|(at, topic)| produce.topic(at, topic)).collect();
    let Produce { waits, first_error, leaders, .. } = produce;
    let node_endpoints =
        leader_endpoints(context.broker, &context.peer.listener, &leaders, |broker, endpoint| NodeEndpoint {
            node_id: broker.id,
            host: endpoint.host.clone().into(),
            port: i32::from(endpoint.port),
            rack: broker.rack.clone().map(Into::into),
        });
    let response = ProduceResponse { responses, node_endpoints, ..ProduceResponse::default() };
    if acks == Ok(Acks::None) {
        return match first_error {
            None => Ok(Outcome::Silent),
            Some(error) => Err(Fault::Unacknowledged(error)),
        };
    }
    if waits.is_empty() {
        return context.respond(&response);
    }
    let timeout = Duration::from_millis(request.timeout_ms.max(0) as u64);
    let deadline = Instant::now() + timeout;
    context.respond_later(async move { Ok(finish(response, waits, deadline).await) })
}

/// An append whose answer waits until its records are where `acks` wants them.
struct CommitWait {
    topic_at: usize,
    partition_at: usize,
    partition: Arc<Partition>,
    appended: Appended,
}

/// Fills in what became of the appends that had to wait.
async fn finish(
    mut response: ProduceResponse<'static>,
    waits: Vec<CommitWait>,
    deadline: Instant,
) -> ProduceResponse<'static> {
    for wait in waits {
        if let Err(error_code) = wait.partition.settled(&wait.appended, deadline).await {
            let answer = &mut response.responses[wait.topic_at].partition_responses[wait.partition_at];
            *answer = PartitionProduceResponse {
                index: answer.index,
                error_code,
                base_offset: -1,
                ..Default::default()
            };
        }
    }
    response
}

struct Produce<'p> {
    context: &'p RequestContext<'p>,
    hosted: &'p HostedTopics,
    acks: Result<Acks, ErrorCode>,
    waits: Vec<CommitWait>,
    first_error: Option<String>,
    /// Who leads what is refused.
    leaders: BTreeSet<i32>,
}

/// Why a partition's records were not appended, as the answer tells it.
struct Refusal {
    error_code: ErrorCode,
    message: Option<String>,
    records: Vec<BatchIndexAndErrorMessage<'static>>,
    leader: Option<LeaderIdAndEpoch>,
}

impl From<ErrorCode> for Refusal {
    fn from(error_code: ErrorCode) -> Self {
        Self { error_code, message: None, records: Vec::new(), leader: None }
    }
}

impl<'p> Produce<'p> {
    fn topic(&mut self, topic_at: usize, data: &TopicProduceData<'_>) -> TopicProduceResponse<'static> {
        let topic = self.find(data);
        let mut partition_responses = Vec::with_capacity(data.partition_data.len());
        for (partition_at, partition_data) in data.partition_data.iter().enumerate() {
            let outcome = match &topic {
                Ok(topic) => self.append(*topic, data, partition_data),
                Err(error_code) => Err(Refusal::from(*error_code)),
            };
            partition_responses.push(match outcome {
                Ok((partition, appended)) => {
                    let answer = success(partition_data.index, &appended);
                    if !appended.is_settled() {
                        let partition = partition.clone();
                        self.waits.push(CommitWait { topic_at, partition_at, partition, appended });
                    }
                    answer
                }
                Err(refusal) => self.refuse(partition_data.index, refusal),
            });
        }
        TopicProduceResponse {
            name: data.name.clone().into_owned().into(),
            topic_id: data.topic_id,
            partition_responses,
        }
    }

    /// The topic with its partitions that are here; none where none is.
    fn find(&self, data: &TopicProduceData<'_>) -> Result<Option<&'p HostedTopic>, ErrorCode> {
        self.acks?;
        let topic = match self.is_by_id() {
            true => self.hosted.by_id(data.topic_id),
            false => self.hosted.by_name(&data.name),
        };
        if topic.is_some_and(|topic| internal_topics::is_internal(topic.name()))
            && self.context.client_id != ADMIN_CLIENT_ID
        {
            return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
        }
        Ok(topic.map(|topic| &**topic))
    }

    fn is_by_id(&self) -> bool {
        self.context.version >= TOPIC_IDS_SINCE
    }

    fn append(
        &self,
        topic: Option<&'p HostedTopic>,
        topic_data: &TopicProduceData<'_>,
        data: &PartitionProduceData<'_>,
    ) -> Result<(&'p Arc<Partition>, Appended), Refusal> {
        let Some(partition) = topic.and_then(|topic| topic.partition(data.index)) else {
            return Err(self.not_here(topic_data, data.index));
        };
        let records = data.records.as_ref().and_then(|records| records.as_bytes());
        let records = records.ok_or(ErrorCode::INVALID_RECORD)?;
        let mut rules = partition.produce_rules(self.context.now_ms);
        rules.zstd_allowed = self.context.version >= ZSTD_SINCE;
        let batch = validate_produce(records, &rules).map_err(Refusal::invalid)?;
        let appended = self.append_batch(partition, batch)?;
        Ok((partition, appended))
    }

    /// Says why a partition is not here, and who leads it.
    fn not_here(&self, topic: &TopicProduceData<'_>, index: i32) -> Refusal {
        let broker = self.context.broker;
        let found = match self.is_by_id() {
            true => broker.partition_by_id(topic.topic_id, index),
            false => broker.partition_by_name(&topic.name, index),
        };
        let error_code = found.err().unwrap_or(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        let image = broker.image();
        let known = match self.is_by_id() {
            true => image.topics.by_id(topic.topic_id),
            false => image.topics.by_name(&topic.name),
        };
        let state = known.and_then(|topic| topic.partition(index));
        let leader =
            state.map(|state| LeaderIdAndEpoch { leader_id: state.leader, leader_epoch: state.leader_epoch });
        let is_elsewhere = error_code == ErrorCode::NOT_LEADER_OR_FOLLOWER;
        Refusal { leader: leader.filter(|_| is_elsewhere), ..error_code.into() }
    }

    fn append_batch(
        &self,
        partition: &Arc<Partition>,
        batch: AcceptedBatch<'_>,
    ) -> Result<Appended, Refusal> {
        if batch.header().attributes.is_transactional() {
            return Err(Refusal {
                message: Some("records of transactions are not served yet".into()),
                ..ErrorCode::INVALID_TXN_STATE.into()
            });
        }
        let acks = self.acks?;
        let (records, bytes) = (batch.header().count, batch.size());
        let appended = partition.append(batch, acks, self.context.now_ms);
        let appended = appended.map_err(|error| self.not_appended(error))?;
        self.context.broker.metrics().produced(partition.traffic(), records.max(0) as u64, bytes as u64);
        Ok(appended)
    }

    /// A directory whose disk is broken goes offline by it.
    fn not_appended(&self, error: AppendError) -> Refusal {
        if let AppendError::Log(klamm_log::AppendError::Storage(error)) = &error {
            self.context.broker.log_dirs().note_error(error);
        }
        Refusal::not_appended(error)
    }

    fn refuse(&mut self, index: i32, refusal: Refusal) -> PartitionProduceResponse<'static> {
        if self.first_error.is_none() {
            let reason = refusal.message.clone().unwrap_or_else(|| refusal.error_code.to_string());
            self.first_error = Some(format!("partition {index}: {reason}"));
        }
        let knows_leader = self.context.version >= CURRENT_LEADER_SINCE;
        if let Some(leader) = refusal.leader.as_ref().filter(|_| knows_leader) {
            self.leaders.insert(leader.leader_id);
        }
        PartitionProduceResponse {
            index,
            error_code: refusal.error_code,
            base_offset: -1,
            record_errors: refusal.records,
            error_message: refusal.message.map(Into::into),
            current_leader: refusal.leader.filter(|_| knows_leader).unwrap_or_default(),
            ..PartitionProduceResponse::default()
        }
    }
}

fn success(index: i32, appended: &Appended) -> PartitionProduceResponse<'static> {
    PartitionProduceResponse {
        index,
        base_offset: appended.base_offset,
        log_append_time_ms: appended.log_append_time_ms,
        log_start_offset: appended.log_start_offset,
        ..PartitionProduceResponse::default()
    }
}

impl Refusal {
    fn invalid(error: ProduceError) -> Self {
        let message = Some(error.to_string());
        let error_code = match &error {
            ProduceError::NoBatch
            | ProduceError::SeveralBatches
            | ProduceError::OldMagic(_)
            | ProduceError::Header(_) => ErrorCode::INVALID_RECORD,
            ProduceError::Corrupt(_) => ErrorCode::CORRUPT_MESSAGE,
            ProduceError::TooLarge { .. } => ErrorCode::MESSAGE_TOO_LARGE,
            ProduceError::ZstdNotAllowed => ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
            ProduceError::Records(RecordError::Decompress(_) | RecordError::Ended) => {
                ErrorCode::UNKNOWN_SERVER_ERROR
            }
            ProduceError::Records(_) => ErrorCode::INVALID_RECORD,
            ProduceError::Refused(records) if records.iter().any(|record| record.reason.is_timestamp()) => {
                ErrorCode::INVALID_TIMESTAMP
            }
            ProduceError::Refused(_) => ErrorCode::INVALID_RECORD,
        };
        let records = match &error {
            ProduceError::Refused(records) => records.iter().map(record_error).collect(),
            _ => Vec::new(),
        };
        Self { error_code, message, records, leader: None }
    }

    fn not_appended(error: AppendError) -> Self {
        let leader = match error {
            AppendError::NotLeader { leader_id, leader_epoch } => {
                Some(LeaderIdAndEpoch { leader_id, leader_epoch })
            }
            _ => None,
        };
        Self { error_code: error.error_code(), message: Some(error.to_string()), records: Vec::new(), leader }
    }
}

fn record_error(record: &RefusedRecord) -> BatchIndexAndErrorMessage<'static> {
    BatchIndexAndErrorMessage {
        batch_index: record.index,
        batch_index_error_message: Some(record.to_string().into()),
    }
}
