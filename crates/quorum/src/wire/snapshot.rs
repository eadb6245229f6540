//! The requests by which a replica loads a snapshot, piece by piece (KIP-630).

use klamm_metadata::snapshot::SnapshotId;
use klamm_protocol::messages::{
    FetchSnapshotRequest, FetchSnapshotResponse, fetch_snapshot_request, fetch_snapshot_response,
};
use klamm_protocol::{ErrorCode, Records};

use super::{PARTITION, TOPIC, check_log, id_or_none, leader_id, reachable, sole, topic_name};
use crate::message::{EpochInfo, NodeAddress};
use crate::voters::ReplicaKey;

/// Asks for a piece of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotRequest {
    /// Who asks.
    pub replica: ReplicaKey,
    /// The epoch it is in.
    pub epoch: i32,
    /// Which snapshot.
    pub id: SnapshotId,
    /// Where in the file the piece begins.
    pub position: i64,
    /// Its most bytes.
    pub max_bytes: i32,
}

impl SnapshotRequest {
    /// Reads a request; an error for one that is not about the metadata log.
    pub fn from_wire(request: &FetchSnapshotRequest<'_>) -> Result<Self, ErrorCode> {
        let topic = sole(&request.topics)?;
        let partition = sole(&topic.partitions)?;
        if topic.name != TOPIC || partition.partition != PARTITION {
            return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        }
        let fetch_snapshot_request::SnapshotId { end_offset, epoch } = partition.snapshot_id;
        Ok(Self {
            replica: ReplicaKey::new(request.replica_id, partition.replica_directory_id),
            epoch: partition.current_leader_epoch,
            id: SnapshotId { end_offset, epoch },
            position: partition.position,
            max_bytes: request.max_bytes,
        })
    }

    /// The request as it is sent.
    pub fn to_wire(&self, cluster_id: &str) -> FetchSnapshotRequest<'static> {
        let partition = fetch_snapshot_request::PartitionSnapshot {
            partition: PARTITION,
            current_leader_epoch: self.epoch,
            snapshot_id: fetch_snapshot_request::SnapshotId {
                end_offset: self.id.end_offset,
                epoch: self.id.epoch,
            },
            position: self.position,
            replica_directory_id: self.replica.directory_or_zero(),
        };
        let topic = fetch_snapshot_request::TopicSnapshot { name: topic_name(), partitions: vec![partition] };
        FetchSnapshotRequest {
            cluster_id: Some(cluster_id.to_owned().into()),
            replica_id: self.replica.id,
            max_bytes: self.max_bytes,
            topics: vec![topic],
        }
    }
}

/// A piece of a snapshot, but for its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotPiece {
    /// Error, epoch and leader.
    pub info: EpochInfo,
    /// Which snapshot.
    pub id: SnapshotId,
    /// The whole file's bytes.
    pub size: i64,
    /// Where in the file the piece begins.
    pub position: i64,
    /// The piece's bytes, at least 1 unless there is an error.
    pub length: usize,
}

impl SnapshotPiece {
    /// No piece, but an error.
    pub fn refused(info: EpochInfo, id: SnapshotId) -> Self {
        Self { info, id, size: 0, position: 0, length: 0 }
    }

    /// The response as it is sent; the bytes are added by whoever sends it.
    pub fn to_wire(&self, leader: Option<&NodeAddress>) -> FetchSnapshotResponse<'static> {
        let leader = reachable(&self.info, leader);
        let partition = fetch_snapshot_response::PartitionSnapshot {
            index: PARTITION,
            error_code: self.info.error,
            snapshot_id: fetch_snapshot_response::SnapshotId {
                end_offset: self.id.end_offset,
                epoch: self.id.epoch,
            },
            current_leader: fetch_snapshot_response::LeaderIdAndEpoch {
                leader_id: id_or_none(leader),
                leader_epoch: self.info.epoch,
            },
            size: self.size,
            position: self.position,
            unaligned_records: Some(Records::External(self.length)),
        };
        let endpoint = |leader: &NodeAddress| fetch_snapshot_response::NodeEndpoint {
            node_id: leader.id,
            host: leader.host.clone().into(),
            port: leader.port,
        };
        let topic =
            fetch_snapshot_response::TopicSnapshot { name: topic_name(), partitions: vec![partition] };
        FetchSnapshotResponse {
            throttle_time_ms: 0,
            error_code: ErrorCode::NONE,
            topics: vec![topic],
            node_endpoints: leader.map(endpoint).into_iter().collect(),
        }
    }

    /// Reads a response, with the bytes; an error for one that failed as a whole or is not about the metadata log.
    pub fn from_wire(mut response: FetchSnapshotResponse<'_>) -> Result<(Self, Vec<u8>), ErrorCode> {
        response.error_code.check()?;
        let topic = sole(&response.topics)?;
        let partition = sole(&topic.partitions)?;
        check_log(&topic.name, partition.index)?;
        let fetch_snapshot_response::SnapshotId { end_offset, epoch } = partition.snapshot_id;
        let info = EpochInfo {
            error: partition.error_code,
            epoch: partition.current_leader.leader_epoch,
            leader_id: leader_id(partition.current_leader.leader_id),
        };
        let (size, position) = (partition.size, partition.position);
        let records = response.topics[0].partitions[0].unaligned_records.take();
        let bytes = match records {
            Some(Records::Bytes(bytes)) => bytes.into_owned(),
            _ => Vec::new(),
        };
        let length = bytes.len();
        Ok((Self { info, id: SnapshotId { end_offset, epoch }, size, position, length }, bytes))
    }
}
