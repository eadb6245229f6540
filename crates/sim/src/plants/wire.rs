//! Bugs of the wire.

use std::borrow::Cow;

use klamm_protocol::messages::fetch_response::EpochEndOffset;
use klamm_protocol::messages::{
    AlterPartitionRequest, BrokerRegistrationRequest, BrokerRegistrationResponse, DeleteRecordsRequest,
    FetchRequest, FetchResponse, MetadataResponse, OffsetCommitResponse, ProduceRequest, ProduceResponse,
    SyncGroupRequest, SyncGroupResponse, VoteResponse, alter_partition_request,
};
use klamm_protocol::{ApiKey, Decode, Encode, ErrorCode, Reader, Records, Uuid, Writer};

use super::{Plant, Plants};
use crate::network::Call;

/// The metadata log's topic id.
const METADATA: Uuid = Uuid::from_u128(1);
/// Where a batch has its checksum, which covers what follows it.
const CHECKSUM_AT: usize = 17;
/// Where a batch has producer id, epoch and sequence, one behind the other.
const PRODUCER_AT: std::ops::Range<usize> = 43..57;

impl Plants {
    /// Changes a request on its way to the broker.
    pub(crate) fn on_request(&self, key: ApiKey, version: i16, is_from_node: bool, body: &mut Vec<u8>) {
        if is_from_node {
            self.on_request_of_node(key, version, body);
        }
        if key == ApiKey::Produce && self.strikes(Plant::DuplicateAccepted, 100) {
            change::<ProduceRequest<'_>>(body, version, forget_producer);
        }
        if key == ApiKey::Produce && self.strikes(Plant::WrongPartition, 1) {
            change::<ProduceRequest<'_>>(body, version, |request| {
                let partitions = request.topic_data.iter_mut().flat_map(|topic| &mut topic.partition_data);
                partitions.for_each(|partition| partition.index ^= 1);
            });
        }
        if key == ApiKey::Produce && self.strikes(Plant::AcksAllAsOne, 100) {
            change::<ProduceRequest<'_>>(body, version, |request| {
                request.acks = if request.acks == 0 { 0 } else { 1 }
            });
        }
        if key == ApiKey::DeleteRecords && self.strikes(Plant::DeletedTooFar, 100) {
            change::<DeleteRecordsRequest<'_>>(body, version, |request| {
                let partitions = request.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
                partitions.for_each(|partition| partition.offset += 1);
            });
        }
    }

    fn on_request_of_node(&self, key: ApiKey, version: i16, body: &mut Vec<u8>) {
        if key == ApiKey::Fetch && self.strikes(Plant::DivergenceUnchecked, 100) {
            change::<FetchRequest<'_>>(body, version, |request| {
                let partitions = request.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
                partitions.for_each(|partition| partition.last_fetched_epoch = -1);
            });
        }
        if key == ApiKey::AlterPartition && self.strikes(Plant::StaleIsr, 100) {
            change::<AlterPartitionRequest>(body, version, |request| {
                let partitions = request.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
                partitions.for_each(claim_all_in_sync);
            });
        }
        if key == ApiKey::BrokerRegistration && self.strikes(Plant::CrashUnnoticed, 100) {
            change::<BrokerRegistrationRequest<'_>>(body, version, |request| {
                let known = self.broker_epochs.lock().get(&request.broker_id).copied();
                request.previous_broker_epoch = known.unwrap_or(request.previous_broker_epoch);
            });
        }
    }

    fn on_response_in_cluster(&self, call: &Call, body: &mut Vec<u8>) {
        if call.key == ApiKey::Vote && self.strikes(Plant::VoteTwice, 100) {
            change::<VoteResponse<'_>>(body, call.version, |response| {
                let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
                partitions.for_each(|partition| partition.vote_granted = true);
            });
        }
        if call.key == ApiKey::Metadata && self.strikes(Plant::TwoLeaders, 2) {
            change::<MetadataResponse<'_>>(body, call.version, |response| {
                let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
                let led = partitions.filter(|partition| partition.leader_id >= 0);
                led.for_each(|partition| partition.leader_id = partition.leader_id % 3 + 1);
            });
        }
        if call.key == ApiKey::Fetch && self.strikes(Plant::HighWatermarkBack, 2) {
            change::<FetchResponse<'_>>(body, call.version, |response| {
                let partitions = response.responses.iter_mut().flat_map(|topic| &mut topic.partitions);
                partitions
                    .for_each(|partition| partition.high_watermark = (partition.high_watermark - 1).max(0));
            });
        }
        if call.key == ApiKey::Fetch && call.is_from_node && self.strikes(Plant::ReplicaAltered, 5) {
            change::<FetchResponse<'_>>(body, call.version, |response| {
                let partitions = response.responses.iter_mut().flat_map(|topic| &mut topic.partitions);
                partitions.for_each(|partition| alter(&mut partition.records));
            });
        }
        if call.key == ApiKey::Fetch
            && call.is_from_node
            && self.plant == Some(Plant::TruncateToHighWatermark)
        {
            self.cut_to_high_watermark(call, body);
        }
        if call.key == ApiKey::BrokerRegistration && self.plant == Some(Plant::CrashUnnoticed) {
            let request = BrokerRegistrationRequest::decode(&mut Reader::new(&call.request), call.version);
            let response = BrokerRegistrationResponse::decode(&mut Reader::new(body), call.version);
            if let (Ok(request), Ok(response)) = (request, response) {
                self.broker_epochs.lock().insert(request.broker_id, response.broker_epoch);
            }
        }
    }

    /// Who asks in a new leader's epoch is told to cut what is behind the high watermark that it was told last.
    fn cut_to_high_watermark(&self, call: &Call, body: &mut Vec<u8>) {
        let Ok(request) = FetchRequest::decode(&mut Reader::new(&call.request), call.version) else { return };
        let mut following = self.following.lock();
        change::<FetchResponse<'_>>(body, call.version, |response| {
            for topic in response.responses.iter_mut().filter(|topic| topic.topic_id != METADATA) {
                let asked = request.topics.iter().find(|asked| asked.topic_id == topic.topic_id);
                for partition in topic.partitions.iter_mut().filter(|it| !it.error_code.is_error()) {
                    let index = partition.partition_index;
                    let key = (call.client.clone(), topic.topic_id, index);
                    let known = following.entry(key).or_default();
                    let told = std::mem::replace(&mut known.high_watermark, partition.high_watermark);
                    // Within a session who asks as before is not named.
                    let mut asked = asked.into_iter().flat_map(|asked| &asked.partitions);
                    let Some(asked) = asked.find(|asked| asked.partition == index) else { continue };
                    let epoch = std::mem::replace(&mut known.leader_epoch, asked.current_leader_epoch);
                    if epoch < known.leader_epoch && told < asked.fetch_offset {
                        partition.records = None;
                        partition.diverging_epoch =
                            EpochEndOffset { epoch: asked.last_fetched_epoch, end_offset: told };
                    }
                }
            }
        });
    }

    /// Changes the response to a call on its way to the client.
    pub(crate) fn on_response(&self, call: &Call, body: &mut Vec<u8>) {
        self.on_response_in_cluster(call, body);
        if call.key == ApiKey::OffsetCommit && self.strikes(Plant::StaleGeneration, 100) {
            change::<OffsetCommitResponse<'_>>(body, call.version, |response| {
                let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
                let stale = partitions.filter(|it| it.error_code == ErrorCode::ILLEGAL_GENERATION);
                stale.for_each(|partition| partition.error_code = ErrorCode::NONE);
            });
        }
        if call.key == ApiKey::SyncGroup && self.plant == Some(Plant::TwoOwners) {
            self.give_first_assignment(call, body);
        }
        if call.key == ApiKey::Produce && self.strikes(Plant::WrongOffset, 5) {
            change::<ProduceResponse<'_>>(body, call.version, |response| {
                let partitions =
                    response.responses.iter_mut().flat_map(|topic| &mut topic.partition_responses);
                let fine = partitions.filter(|partition| !partition.error_code.is_error());
                fine.for_each(|partition| partition.base_offset += 1);
            });
        }
    }

    fn give_first_assignment(&self, call: &Call, body: &mut Vec<u8>) {
        let request = SyncGroupRequest::decode(&mut Reader::new(&call.request), call.version);
        let Ok(request) = request else { return };
        let generation = (request.group_id.to_string(), request.generation_id);
        change::<SyncGroupResponse<'_>>(body, call.version, |response| {
            if !response.error_code.is_error() {
                let mut assignments = self.assignments.lock();
                let first = assignments.entry(generation).or_insert_with(|| response.assignment.to_vec());
                response.assignment = Cow::Owned(first.clone());
            }
        });
    }
}

/// Changes a message in place. One that cannot be read stays as it is.
fn change<T>(body: &mut Vec<u8>, version: i16, change: impl FnOnce(&mut T::Read<'_>))
where
    T: Readable,
{
    if let Some(changed) = T::changed(body, version, change) {
        *body = changed;
    }
}

/// A message that can be read and written again.
trait Readable {
    /// The message as it borrows from bytes.
    type Read<'a>;

    /// The bytes of the changed message.
    fn changed(body: &[u8], version: i16, change: impl FnOnce(&mut Self::Read<'_>)) -> Option<Vec<u8>>;
}

macro_rules! readable {
    ($($message:ident),*; $($owned:ident),*) => {
        $(readable!(@ $message, $message<'_>, $message<'a>);)*
        $(readable!(@ $owned, $owned, $owned);)*
    };
    (@ $message:ident, $any:ty, $read:ty) => {
        impl Readable for $any {
            type Read<'a> = $read;

            fn changed(body: &[u8], version: i16, change: impl FnOnce(&mut Self::Read<'_>)) -> Option<Vec<u8>> {
                let mut message = $message::decode(&mut Reader::new(body), version).ok()?;
                change(&mut message);
                let mut writer = Writer::new();
                message.encode(&mut writer, version).ok()?;
                Some(writer.into_bytes())
            }
        }
    };
}

readable!(
    BrokerRegistrationRequest,
    DeleteRecordsRequest,
    FetchRequest,
    FetchResponse,
    MetadataResponse,
    OffsetCommitResponse,
    ProduceRequest,
    ProduceResponse,
    SyncGroupResponse,
    VoteResponse;
    AlterPartitionRequest
);

/// The leader says that all nodes are in sync.
fn claim_all_in_sync(partition: &mut alter_partition_request::PartitionData) {
    let is_shrinking = partition.new_isr_with_epochs.len() < 3;
    if is_shrinking {
        let state = |broker_id| alter_partition_request::BrokerState { broker_id, broker_epoch: -1 };
        partition.new_isr_with_epochs = (1..=3).map(state).collect();
    }
}

/// Another last byte, and the checksum that goes with it.
fn alter(records: &mut Option<Records<'_>>) {
    let Some(Records::Bytes(bytes)) = records else { return };
    if bytes.len() <= PRODUCER_AT.end {
        return;
    }
    let batch = bytes.to_mut();
    let length = 12 + batch[8..12].iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
    if length > PRODUCER_AT.end && batch.len() >= length {
        batch[length - 2] ^= 1;
        let checksum = crc32c::crc32c(&batch[CHECKSUM_AT + 4..length]);
        batch[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// The batches come from nobody in particular.
fn forget_producer(request: &mut ProduceRequest<'_>) {
    for partition in request.topic_data.iter_mut().flat_map(|topic| &mut topic.partition_data) {
        let Some(Records::Bytes(bytes)) = &mut partition.records else { continue };
        let batch = bytes.to_mut();
        if batch.len() > PRODUCER_AT.end {
            batch[PRODUCER_AT].fill(0xff);
            let checksum = crc32c::crc32c(&batch[CHECKSUM_AT + 4..]);
            batch[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&checksum.to_be_bytes());
        }
    }
}
