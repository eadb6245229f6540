//! The metadata quorum: who votes, who follows, and changes of both (KIP-853).

use std::collections::BTreeMap;

use klamm_protocol::messages::add_raft_voter_request::Listener;
use klamm_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use klamm_protocol::messages::describe_quorum_response::ReplicaState;
use klamm_protocol::messages::{AddRaftVoterRequest, DescribeQuorumRequest, RemoveRaftVoterRequest};
use klamm_protocol::{ErrorCode, Uuid};

use super::{Admin, AdminError, Refusal};

const METADATA_TOPIC: &str = "__cluster_metadata";

/// The metadata quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum {
    /// The leader; −1 if there is none.
    pub leader: i32,
    /// Its epoch.
    pub leader_epoch: i32,
    /// What a majority has.
    pub high_watermark: i64,
    /// The voters.
    pub voters: Vec<QuorumReplica>,
    /// Who else follows the metadata log.
    pub observers: Vec<QuorumReplica>,
    /// Host and port by node, as far as the broker says.
    pub endpoints: BTreeMap<i32, Vec<(String, u16)>>,
}

/// A replica of the metadata log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumReplica {
    /// The node.
    pub id: i32,
    /// Its metadata directory; zero where unknown.
    pub directory_id: Uuid,
    /// The end of its log.
    pub log_end_offset: i64,
    /// When it fetched last, in milliseconds; −1 where unknown.
    pub last_fetch_ms: i64,
    /// When it was at the leader's end last, in milliseconds; −1 where unknown.
    pub last_caught_up_ms: i64,
}

impl Admin {
    /// The metadata quorum as its leader sees it.
    pub async fn describe_quorum(&self) -> Result<Quorum, AdminError> {
        let request = DescribeQuorumRequest {
            topics: vec![TopicData {
                topic_name: METADATA_TOPIC.into(),
                partitions: vec![PartitionData { partition_index: 0 }],
            }],
        };
        let response = self.cluster.call_broker_or_controller(&request, |r| r.error_code).await?;
        let refused = |refusal| AdminError::refused("the metadata quorum", refusal);
        Refusal::check(response.error_code, response.error_message).map_err(refused)?;
        let endpoints = response.nodes.into_iter().map(|node| {
            let listeners = node.listeners.into_iter().map(|l| (l.host.into_owned(), l.port));
            (node.node_id, listeners.collect())
        });
        let endpoints = endpoints.collect();
        let partition = response.topics.into_iter().flat_map(|topic| topic.partitions).next();
        let missing = Refusal { code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message: None };
        let partition = partition.ok_or_else(|| refused(missing))?;
        Refusal::check(partition.error_code, partition.error_message).map_err(refused)?;
        Ok(Quorum {
            leader: partition.leader_id,
            leader_epoch: partition.leader_epoch,
            high_watermark: partition.high_watermark,
            voters: partition.current_voters.iter().map(replica).collect(),
            observers: partition.observers.iter().map(replica).collect(),
            endpoints,
        })
    }

    /// Makes an observer of the metadata log a voter. `listeners` are name, host and port of its controller listeners.
    pub async fn add_raft_voter(
        &self,
        voter: i32,
        directory_id: Uuid,
        listeners: &[(String, String, u16)],
    ) -> Result<(), AdminError> {
        let listener = |(name, host, port): &(String, String, u16)| Listener {
            name: name.clone().into(),
            host: host.clone().into(),
            port: *port,
        };
        let request = AddRaftVoterRequest {
            cluster_id: None,
            timeout_ms: self.operation_timeout_ms(),
            voter_id: voter,
            voter_directory_id: directory_id,
            listeners: listeners.iter().map(listener).collect(),
            ..AddRaftVoterRequest::default()
        };
        let response = self.cluster.call_broker_or_controller(&request, |r| r.error_code).await?;
        Refusal::check(response.error_code, response.error_message)
            .map_err(|refusal| AdminError::refused(format!("voter {voter}"), refusal))
    }

    /// Makes a voter an observer.
    pub async fn remove_raft_voter(&self, voter: i32, directory_id: Uuid) -> Result<(), AdminError> {
        let request =
            RemoveRaftVoterRequest { cluster_id: None, voter_id: voter, voter_directory_id: directory_id };
        let response = self.cluster.call_broker_or_controller(&request, |r| r.error_code).await?;
        Refusal::check(response.error_code, response.error_message)
            .map_err(|refusal| AdminError::refused(format!("voter {voter}"), refusal))
    }
}

fn replica(replica: &ReplicaState) -> QuorumReplica {
    QuorumReplica {
        id: replica.replica_id,
        directory_id: replica.replica_directory_id,
        log_end_offset: replica.log_end_offset,
        last_fetch_ms: replica.last_fetch_timestamp,
        last_caught_up_ms: replica.last_caught_up_timestamp,
    }
}
