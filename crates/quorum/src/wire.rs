//! Between the machine's messages and Kafka's. Every one of them names the one topic and partition there is; a request that names another
//! is refused.

mod membership;
mod snapshot;

use std::borrow::Cow;

use klamm_metadata::snapshot::SnapshotId;
use klamm_protocol::messages::{
    BeginQuorumEpochRequest, BeginQuorumEpochResponse, DescribeQuorumResponse, EndQuorumEpochRequest,
    EndQuorumEpochResponse, FetchRequest as WireFetchRequest, FetchResponse, VoteRequest as WireVoteRequest,
    VoteResponse as WireVoteResponse, begin_quorum_epoch_request, begin_quorum_epoch_response,
    describe_quorum_response, end_quorum_epoch_request, end_quorum_epoch_response, fetch_request,
    fetch_response, vote_request, vote_response,
};
use klamm_protocol::{ErrorCode, Uuid};

use crate::describe::{QuorumDescription, ReplicaDescription};
use crate::log_state::OffsetAndEpoch;
use crate::message::{
    BeginEpochRequest, EndEpochRequest, EpochInfo, FetchAnswer, FetchReply, FetchRequest, NodeAddress,
    VoteRequest, VoteResponse,
};
use crate::voters::{ReplicaKey, VoterEndpoint, VoterSet};

pub use membership::{AddVoter, removal, updated_voter, voter_to_remove};
pub use snapshot::{SnapshotPiece, SnapshotRequest};

/// The metadata log's topic.
pub const TOPIC: &str = "__cluster_metadata";
/// Its id.
pub const TOPIC_ID: Uuid = Uuid::from_u128(1);
/// Its only partition.
pub const PARTITION: i32 = 0;

const NO_ID: i32 = -1;

fn topic_name() -> Cow<'static, str> {
    Cow::Borrowed(TOPIC)
}

/// Refuses requests of another cluster. A request that names none is let through, as in Kafka.
pub fn check_cluster_id(given: Option<&str>, own: &str) -> Result<(), ErrorCode> {
    match given {
        Some(given) if given != own => Err(ErrorCode::INCONSISTENT_CLUSTER_ID),
        _ => Ok(()),
    }
}

/// A list of one.
fn sole<T>(items: &[T]) -> Result<&T, ErrorCode> {
    match items {
        [item] => Ok(item),
        _ => Err(ErrorCode::INVALID_REQUEST),
    }
}

fn check_log(topic_name: &str, partition: i32) -> Result<(), ErrorCode> {
    if topic_name == TOPIC && partition == PARTITION { Ok(()) } else { Err(ErrorCode::INVALID_REQUEST) }
}

fn leader_id(id: i32) -> Option<i32> {
    (id >= 0).then_some(id)
}

/// The leader as others are told of it: only with where it listens. A replica of Kafka's ends at once when it hears of a leader without an
/// address, and whoever has its own way to the leader will hear from that.
fn reachable<'a>(info: &EpochInfo, leader: Option<&'a NodeAddress>) -> Option<&'a NodeAddress> {
    leader.filter(|leader| info.leader_id == Some(leader.id))
}

fn id_or_none(leader: Option<&NodeAddress>) -> i32 {
    leader.map_or(NO_ID, |leader| leader.id)
}

impl VoteRequest {
    /// Reads a request; an error for one that is not about the metadata log.
    pub fn from_wire(request: &WireVoteRequest<'_>) -> Result<Self, ErrorCode> {
        let topic = sole(&request.topics)?;
        let partition = sole(&topic.partitions)?;
        check_log(&topic.topic_name, partition.partition_index)?;
        Ok(Self {
            voter: ReplicaKey::new(request.voter_id, partition.voter_directory_id),
            candidate: ReplicaKey::new(partition.replica_id, partition.replica_directory_id),
            epoch: partition.replica_epoch,
            log_end: OffsetAndEpoch { offset: partition.last_offset, epoch: partition.last_offset_epoch },
            pre_vote: partition.pre_vote,
        })
    }

    /// The request as it is sent.
    pub fn to_wire(&self, cluster_id: &str) -> WireVoteRequest<'static> {
        let partition = vote_request::PartitionData {
            partition_index: PARTITION,
            replica_epoch: self.epoch,
            replica_id: self.candidate.id,
            replica_directory_id: self.candidate.directory_or_zero(),
            voter_directory_id: self.voter.directory_or_zero(),
            last_offset_epoch: self.log_end.epoch,
            last_offset: self.log_end.offset,
            pre_vote: self.pre_vote,
        };
        WireVoteRequest {
            cluster_id: Some(cluster_id.to_owned().into()),
            voter_id: self.voter.id,
            topics: vec![vote_request::TopicData { topic_name: topic_name(), partitions: vec![partition] }],
        }
    }
}

impl VoteResponse {
    /// Reads a response; an error for one that failed as a whole or is not about the metadata log.
    pub fn from_wire(response: &WireVoteResponse<'_>) -> Result<Self, ErrorCode> {
        response.error_code.check()?;
        let topic = sole(&response.topics)?;
        let partition = sole(&topic.partitions)?;
        check_log(&topic.topic_name, partition.partition_index)?;
        let info = EpochInfo {
            error: partition.error_code,
            epoch: partition.leader_epoch,
            leader_id: leader_id(partition.leader_id),
        };
        Ok(Self { info, granted: partition.vote_granted })
    }

    /// The response as it is sent; the leader's address is for versions that carry it.
    pub fn to_wire(&self, leader: Option<&NodeAddress>) -> WireVoteResponse<'static> {
        let leader = reachable(&self.info, leader);
        let partition = vote_response::PartitionData {
            partition_index: PARTITION,
            error_code: self.info.error,
            leader_id: id_or_none(leader),
            leader_epoch: self.info.epoch,
            vote_granted: self.granted,
        };
        let endpoint = |leader: &NodeAddress| vote_response::NodeEndpoint {
            node_id: leader.id,
            host: leader.host.clone().into(),
            port: leader.port,
        };
        WireVoteResponse {
            error_code: ErrorCode::NONE,
            topics: vec![vote_response::TopicData { topic_name: topic_name(), partitions: vec![partition] }],
            node_endpoints: leader.map(endpoint).into_iter().collect(),
        }
    }
}

impl BeginEpochRequest {
    /// Reads a request; an error for one that is not about the metadata log.
    pub fn from_wire(request: &BeginQuorumEpochRequest<'_>) -> Result<Self, ErrorCode> {
        let topic = sole(&request.topics)?;
        let partition = sole(&topic.partitions)?;
        check_log(&topic.topic_name, partition.partition_index)?;
        Ok(Self {
            voter: ReplicaKey::new(request.voter_id, partition.voter_directory_id),
            leader_id: partition.leader_id,
            epoch: partition.leader_epoch,
        })
    }

    /// The request as it is sent, with the addresses of the leader, which sends it.
    pub fn to_wire(&self, cluster_id: &str, endpoints: &[VoterEndpoint]) -> BeginQuorumEpochRequest<'static> {
        let partition = begin_quorum_epoch_request::PartitionData {
            partition_index: PARTITION,
            voter_directory_id: self.voter.directory_or_zero(),
            leader_id: self.leader_id,
            leader_epoch: self.epoch,
        };
        let endpoint = |endpoint: &VoterEndpoint| begin_quorum_epoch_request::LeaderEndpoint {
            name: endpoint.name.clone().into(),
            host: endpoint.host.clone().into(),
            port: endpoint.port,
        };
        let topic =
            begin_quorum_epoch_request::TopicData { topic_name: topic_name(), partitions: vec![partition] };
        BeginQuorumEpochRequest {
            cluster_id: Some(cluster_id.to_owned().into()),
            voter_id: self.voter.id,
            topics: vec![topic],
            leader_endpoints: endpoints.iter().map(endpoint).collect(),
        }
    }
}

impl EndEpochRequest {
    /// Reads a request; an error for one that is not about the metadata log.
    pub fn from_wire(request: &EndQuorumEpochRequest<'_>) -> Result<Self, ErrorCode> {
        let topic = sole(&request.topics)?;
        let partition = sole(&topic.partitions)?;
        check_log(&topic.topic_name, partition.partition_index)?;
        let by_key = partition.preferred_candidates.iter();
        let by_key = by_key.map(|info| ReplicaKey::new(info.candidate_id, info.candidate_directory_id));
        let by_id = partition.preferred_successors.iter().map(|&id| ReplicaKey::of_id(id));
        Ok(Self {
            leader_id: partition.leader_id,
            epoch: partition.leader_epoch,
            preferred_candidates: by_key.chain(by_id).collect(),
        })
    }

    /// The request as it is sent, with the addresses of the leader, which sends it.
    pub fn to_wire(&self, cluster_id: &str, endpoints: &[VoterEndpoint]) -> EndQuorumEpochRequest<'static> {
        let candidate = |key: &ReplicaKey| end_quorum_epoch_request::ReplicaInfo {
            candidate_id: key.id,
            candidate_directory_id: key.directory_or_zero(),
        };
        let partition = end_quorum_epoch_request::PartitionData {
            partition_index: PARTITION,
            leader_id: self.leader_id,
            leader_epoch: self.epoch,
            preferred_successors: Vec::new(),
            preferred_candidates: self.preferred_candidates.iter().map(candidate).collect(),
        };
        let endpoint = |endpoint: &VoterEndpoint| end_quorum_epoch_request::LeaderEndpoint {
            name: endpoint.name.clone().into(),
            host: endpoint.host.clone().into(),
            port: endpoint.port,
        };
        let topic =
            end_quorum_epoch_request::TopicData { topic_name: topic_name(), partitions: vec![partition] };
        EndQuorumEpochRequest {
            cluster_id: Some(cluster_id.to_owned().into()),
            topics: vec![topic],
            leader_endpoints: endpoints.iter().map(endpoint).collect(),
        }
    }
}

impl EpochInfo {
    /// The response to a BeginQuorumEpoch.
    pub fn to_begin_response(&self, leader: Option<&NodeAddress>) -> BeginQuorumEpochResponse<'static> {
        let leader = reachable(self, leader);
        let partition = begin_quorum_epoch_response::PartitionData {
            partition_index: PARTITION,
            error_code: self.error,
            leader_id: id_or_none(leader),
            leader_epoch: self.epoch,
        };
        let endpoint = |leader: &NodeAddress| begin_quorum_epoch_response::NodeEndpoint {
            node_id: leader.id,
            host: leader.host.clone().into(),
            port: leader.port,
        };
        let topic =
            begin_quorum_epoch_response::TopicData { topic_name: topic_name(), partitions: vec![partition] };
        BeginQuorumEpochResponse {
            error_code: ErrorCode::NONE,
            topics: vec![topic],
            node_endpoints: leader.map(endpoint).into_iter().collect(),
        }
    }

    /// Reads the response to a BeginQuorumEpoch.
    pub fn from_begin_response(response: &BeginQuorumEpochResponse<'_>) -> Result<Self, ErrorCode> {
        response.error_code.check()?;
        let topic = sole(&response.topics)?;
        let partition = sole(&topic.partitions)?;
        check_log(&topic.topic_name, partition.partition_index)?;
        let leader_id = leader_id(partition.leader_id);
        Ok(Self { error: partition.error_code, epoch: partition.leader_epoch, leader_id })
    }

    /// The response to an EndQuorumEpoch.
    pub fn to_end_response(&self, leader: Option<&NodeAddress>) -> EndQuorumEpochResponse<'static> {
        let leader = reachable(self, leader);
        let partition = end_quorum_epoch_response::PartitionData {
            partition_index: PARTITION,
            error_code: self.error,
            leader_id: id_or_none(leader),
            leader_epoch: self.epoch,
        };
        let endpoint = |leader: &NodeAddress| end_quorum_epoch_response::NodeEndpoint {
            node_id: leader.id,
            host: leader.host.clone().into(),
            port: leader.port,
        };
        let topic =
            end_quorum_epoch_response::TopicData { topic_name: topic_name(), partitions: vec![partition] };
        EndQuorumEpochResponse {
            error_code: ErrorCode::NONE,
            topics: vec![topic],
            node_endpoints: leader.map(endpoint).into_iter().collect(),
        }
    }

    /// Reads the response to an EndQuorumEpoch.
    pub fn from_end_response(response: &EndQuorumEpochResponse<'_>) -> Result<Self, ErrorCode> {
        response.error_code.check()?;
        let topic = sole(&response.topics)?;
        let partition = sole(&topic.partitions)?;
        check_log(&topic.topic_name, partition.partition_index)?;
        let leader_id = leader_id(partition.leader_id);
        Ok(Self { error: partition.error_code, epoch: partition.leader_epoch, leader_id })
    }
}

impl FetchRequest {
    /// Reads a request of version 13 or later; an error for one that is not about the metadata log. Waits and sizes are the caller's.
    pub fn from_wire(request: &WireFetchRequest<'_>) -> Result<Self, ErrorCode> {
        let topic = sole(&request.topics)?;
        let partition = sole(&topic.partitions)?;
        if topic.topic_id != TOPIC_ID || partition.partition != PARTITION {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        let replica_id = request.replica_state.replica_id.max(request.replica_id);
        Ok(Self {
            replica: ReplicaKey::new(replica_id, partition.replica_directory_id),
            epoch: partition.current_leader_epoch,
            offset: partition.fetch_offset,
            last_fetched_epoch: partition.last_fetched_epoch,
            high_watermark: partition.high_watermark,
        })
    }

    /// The request as it is sent in version 17 or later.
    pub fn to_wire(&self, cluster_id: &str, max_wait_ms: i32, max_bytes: i32) -> WireFetchRequest<'static> {
        let partition = fetch_request::FetchPartition {
            partition: PARTITION,
            current_leader_epoch: self.epoch,
            fetch_offset: self.offset,
            last_fetched_epoch: self.last_fetched_epoch,
            replica_directory_id: self.replica.directory_or_zero(),
            high_watermark: self.high_watermark,
            ..Default::default()
        };
        let topic = fetch_request::FetchTopic {
            topic_id: TOPIC_ID,
            partitions: vec![partition],
            ..Default::default()
        };
        WireFetchRequest {
            cluster_id: Some(cluster_id.to_owned().into()),
            replica_state: fetch_request::ReplicaState { replica_id: self.replica.id, ..Default::default() },
            max_wait_ms,
            max_bytes,
            topics: vec![topic],
            ..Default::default()
        }
    }
}

impl FetchReply {
    /// The response as it is sent, yet without records.
    pub fn to_wire(&self, log_start_offset: i64, leader: Option<&NodeAddress>) -> FetchResponse<'static> {
        let leader = reachable(&self.info, leader);
        let mut partition = fetch_response::PartitionData {
            partition_index: PARTITION,
            error_code: self.info.error,
            high_watermark: self.high_watermark,
            last_stable_offset: -1,
            log_start_offset,
            current_leader: fetch_response::LeaderIdAndEpoch {
                leader_id: id_or_none(leader),
                leader_epoch: self.info.epoch,
            },
            ..Default::default()
        };
        match self.answer {
            FetchAnswer::Diverging(OffsetAndEpoch { offset, epoch }) => {
                partition.diverging_epoch = fetch_response::EpochEndOffset { epoch, end_offset: offset };
            }
            FetchAnswer::Snapshot(SnapshotId { end_offset, epoch }) => {
                partition.snapshot_id = fetch_response::SnapshotId { end_offset, epoch };
            }
            FetchAnswer::Records { .. } | FetchAnswer::Refused => {}
        }
        let endpoint = |leader: &NodeAddress| fetch_response::NodeEndpoint {
            node_id: leader.id,
            host: leader.host.clone().into(),
            port: i32::from(leader.port),
            rack: None,
        };
        let topic = fetch_response::FetchableTopicResponse {
            topic_id: TOPIC_ID,
            partitions: vec![partition],
            ..Default::default()
        };
        FetchResponse {
            responses: vec![topic],
            node_endpoints: leader.map(endpoint).into_iter().collect(),
            ..Default::default()
        }
    }
}

/// The leader that a Fetch response tells of: its epoch, and where it listens.
pub fn leader_in_fetch(response: &FetchResponse<'_>) -> Option<(i32, NodeAddress)> {
    let leader = &response.responses.first()?.partitions.first()?.current_leader;
    let node = response.node_endpoints.iter().find(|node| node.node_id == leader.leader_id)?;
    let port = u16::try_from(node.port).ok()?;
    Some((leader.leader_epoch, NodeAddress { id: node.node_id, host: node.host.to_string(), port }))
}

/// Where the leader listens that a BeginQuorumEpoch comes from, if it says so.
pub fn leader_address(request: &BeginQuorumEpochRequest<'_>, listener: &str) -> Option<NodeAddress> {
    let id = request.topics.first()?.partitions.first()?.leader_id;
    let endpoint = request.leader_endpoints.iter().find(|endpoint| endpoint.name == listener)?;
    Some(NodeAddress { id, host: endpoint.host.to_string(), port: endpoint.port })
}

impl QuorumDescription {
    /// The response to DescribeQuorum.
    pub fn to_wire(&self, voters: &VoterSet) -> DescribeQuorumResponse<'static> {
        let partition = describe_quorum_response::PartitionData {
            partition_index: PARTITION,
            leader_id: self.leader_id,
            leader_epoch: self.leader_epoch,
            high_watermark: self.high_watermark,
            current_voters: self.voters.iter().map(replica_state).collect(),
            observers: self.observers.iter().map(replica_state).collect(),
            ..Default::default()
        };
        let listener = |endpoint: &VoterEndpoint| describe_quorum_response::Listener {
            name: endpoint.name.clone().into(),
            host: endpoint.host.clone().into(),
            port: endpoint.port,
        };
        let nodes = voters.iter().map(|voter| describe_quorum_response::Node {
            node_id: voter.key.id,
            listeners: voter.endpoints.iter().map(listener).collect(),
        });
        let topic =
            describe_quorum_response::TopicData { topic_name: topic_name(), partitions: vec![partition] };
        DescribeQuorumResponse { topics: vec![topic], nodes: nodes.collect(), ..Default::default() }
    }
}

fn replica_state(replica: &ReplicaDescription) -> describe_quorum_response::ReplicaState {
    describe_quorum_response::ReplicaState {
        replica_id: replica.key.id,
        replica_directory_id: replica.key.directory_or_zero(),
        log_end_offset: replica.log_end_offset,
        last_fetch_timestamp: replica.last_fetch_ms,
        last_caught_up_timestamp: replica.last_caught_up_ms,
    }
}
