//! The requests that change the voters (KIP-853).

use klamm_protocol::messages::{
    AddRaftVoterRequest, RemoveRaftVoterRequest, UpdateRaftVoterRequest, UpdateRaftVoterResponse,
    add_raft_voter_request, update_raft_voter_request, update_raft_voter_response,
};
use klamm_protocol::{ErrorCode, Uuid};

use super::{id_or_none, reachable};
use crate::message::{EpochInfo, NodeAddress};
use crate::voter_change::VoterChangeError;
use crate::voters::{ReplicaKey, VoterEndpoint, VoterNode};

/// A request to add a voter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddVoter {
    /// Which replica.
    pub key: ReplicaKey,
    /// Where it listens.
    pub endpoints: Vec<VoterEndpoint>,
    /// Whether the answer waits until the change is committed.
    pub ack_when_committed: bool,
}

impl AddVoter {
    /// Reads a request; an error for one that names no replica, or not where it listens as `listener`.
    pub fn from_wire(request: &AddRaftVoterRequest<'_>, listener: &str) -> Result<Self, ErrorCode> {
        let endpoint = |endpoint: &add_raft_voter_request::Listener<'_>| VoterEndpoint {
            name: endpoint.name.to_string(),
            host: endpoint.host.to_string(),
            port: endpoint.port,
        };
        let endpoints: Vec<_> = request.listeners.iter().map(endpoint).collect();
        check_endpoints(&endpoints, listener)?;
        let key = named_voter(request.voter_id, request.voter_directory_id)?;
        Ok(Self { key, endpoints, ack_when_committed: request.ack_when_committed })
    }

    /// The request as it is sent.
    pub fn to_wire(&self, cluster_id: &str, timeout_ms: i32) -> AddRaftVoterRequest<'static> {
        let listener = |endpoint: &VoterEndpoint| add_raft_voter_request::Listener {
            name: endpoint.name.clone().into(),
            host: endpoint.host.clone().into(),
            port: endpoint.port,
        };
        AddRaftVoterRequest {
            cluster_id: Some(cluster_id.to_owned().into()),
            timeout_ms,
            voter_id: self.key.id,
            voter_directory_id: self.key.directory_or_zero(),
            listeners: self.endpoints.iter().map(listener).collect(),
            ack_when_committed: self.ack_when_committed,
        }
    }
}

/// The voter that a request wants removed; an error where it names none.
pub fn voter_to_remove(request: &RemoveRaftVoterRequest<'_>) -> Result<ReplicaKey, ErrorCode> {
    named_voter(request.voter_id, request.voter_directory_id)
}

/// The request that removes a voter.
pub fn removal(key: ReplicaKey, cluster_id: &str) -> RemoveRaftVoterRequest<'static> {
    RemoveRaftVoterRequest {
        cluster_id: Some(cluster_id.to_owned().into()),
        voter_id: key.id,
        voter_directory_id: key.directory_or_zero(),
    }
}

/// The voter as a request wants it described; an error for one that names no replica, not where it listens as `listener`, or impossible
/// levels.
pub fn updated_voter(request: &UpdateRaftVoterRequest<'_>, listener: &str) -> Result<VoterNode, ErrorCode> {
    let endpoint = |endpoint: &update_raft_voter_request::Listener<'_>| VoterEndpoint {
        name: endpoint.name.to_string(),
        host: endpoint.host.to_string(),
        port: endpoint.port,
    };
    let endpoints: Vec<_> = request.listeners.iter().map(endpoint).collect();
    check_endpoints(&endpoints, listener)?;
    let key = named_voter(request.voter_id, request.voter_directory_id)?;
    let levels = &request.kraft_version_feature;
    let (min, max) = (levels.min_supported_version, levels.max_supported_version);
    if min < 0 || max < min {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    Ok(VoterNode { key, endpoints, kraft_versions: (min, max) })
}

impl VoterNode {
    /// The request by which a voter has its own description replaced.
    pub fn to_update_request(&self, cluster_id: &str, epoch: i32) -> UpdateRaftVoterRequest<'static> {
        let listener = |endpoint: &VoterEndpoint| update_raft_voter_request::Listener {
            name: endpoint.name.clone().into(),
            host: endpoint.host.clone().into(),
            port: endpoint.port,
        };
        UpdateRaftVoterRequest {
            cluster_id: Some(cluster_id.to_owned().into()),
            current_leader_epoch: epoch,
            voter_id: self.key.id,
            voter_directory_id: self.key.directory_or_zero(),
            listeners: self.endpoints.iter().map(listener).collect(),
            kraft_version_feature: update_raft_voter_request::KRaftVersionFeature {
                min_supported_version: self.kraft_versions.0,
                max_supported_version: self.kraft_versions.1,
            },
        }
    }
}

impl EpochInfo {
    /// The response to an UpdateRaftVoter.
    pub fn to_update_response(&self, leader: Option<&NodeAddress>) -> UpdateRaftVoterResponse<'static> {
        let leader = reachable(self, leader);
        UpdateRaftVoterResponse {
            throttle_time_ms: 0,
            error_code: self.error,
            current_leader: update_raft_voter_response::CurrentLeader {
                leader_id: id_or_none(leader),
                leader_epoch: self.epoch,
                host: leader.map(|leader| leader.host.clone()).unwrap_or_default().into(),
                port: leader.map_or(0, |leader| i32::from(leader.port)),
            },
        }
    }
}

impl VoterChangeError {
    /// What Kafka answers: what may succeed later counts as timed out.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Self::NotLeader => ErrorCode::NOT_LEADER_OR_FOLLOWER,
            Self::StaticVoters => ErrorCode::UNSUPPORTED_VERSION,
            Self::Pending | Self::NotCaughtUp(_) => ErrorCode::REQUEST_TIMED_OUT,
            Self::AlreadyVoter(_) => ErrorCode::DUPLICATE_VOTER,
            Self::NoSuchVoter(_) => ErrorCode::VOTER_NOT_FOUND,
            Self::LastVoter | Self::KRaftVersion(_) => ErrorCode::INVALID_REQUEST,
        }
    }
}

fn named_voter(id: i32, directory_id: Uuid) -> Result<ReplicaKey, ErrorCode> {
    match id >= 0 && !directory_id.is_zero() {
        true => Ok(ReplicaKey::new(id, directory_id)),
        false => Err(ErrorCode::INVALID_REQUEST),
    }
}

fn check_endpoints(endpoints: &[VoterEndpoint], listener: &str) -> Result<(), ErrorCode> {
    match endpoints.iter().any(|endpoint| endpoint.name == listener) {
        true => Ok(()),
        false => Err(ErrorCode::INVALID_REQUEST),
    }
}
