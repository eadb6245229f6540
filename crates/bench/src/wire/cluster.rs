//! What a broker says of its cluster. Nodes are known by their place in it, one less than their id.

use std::net::SocketAddr;

use klamm_protocol::ErrorCode;
use klamm_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use klamm_protocol::messages::metadata_request::MetadataRequestTopic;
use klamm_protocol::messages::{DescribeQuorumRequest, MetadataRequest};

use super::Connection;
use super::topic::patiently;
use crate::failure::{Failure, Result, accepted};

const METADATA_VERSION: i16 = 12;
const DESCRIBE_QUORUM_VERSION: i16 = 1;

/// A partition as a broker knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartitionState {
    pub(crate) leader: Option<usize>,
    /// How many of its replicas are in sync.
    pub(crate) in_sync: usize,
}

/// The partitions of a topic, by index.
pub(crate) fn partition_states(connection: &mut Connection, topic: &str) -> Result<Vec<PartitionState>> {
    let wanted = MetadataRequestTopic { name: Some(topic.into()), ..Default::default() };
    let request = MetadataRequest {
        topics: Some(vec![wanted]),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    let mut response = connection.call(&request, METADATA_VERSION)?;
    let mut topic = response.topics.pop().ok_or_else(|| Failure::Other("no topic in the answer".into()))?;
    accepted("Metadata", topic.error_code)?;
    topic.partitions.sort_by_key(|partition| partition.partition_index);
    let state = |partition: &_| {
        let klamm_protocol::messages::metadata_response::MetadataResponsePartition {
            leader_id,
            isr_nodes,
            ..
        } = partition;
        PartitionState { leader: place(*leader_id), in_sync: isr_nodes.len() }
    };
    Ok(topic.partitions.iter().map(state).collect())
}

/// Waits until so many brokers are alive, as one of them sees it.
pub(crate) fn wait_until_alive(brokers: usize, address: SocketAddr) -> Result<()> {
    let mut connection = Connection::open(address)?;
    patiently(|| {
        let request = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
        let alive = connection.call(&request, METADATA_VERSION)?.brokers.len();
        match alive == brokers {
            true => Ok(()),
            false => accepted("Metadata", ErrorCode::BROKER_NOT_AVAILABLE),
        }
    })
}

/// The node whose controller leads the quorum.
pub(crate) fn active_controller(connection: &mut Connection) -> Result<Option<usize>> {
    let partitions = vec![PartitionData { partition_index: 0 }];
    let topics = vec![TopicData { topic_name: "__cluster_metadata".into(), partitions }];
    let response = connection.call(&DescribeQuorumRequest { topics }, DESCRIBE_QUORUM_VERSION)?;
    accepted("DescribeQuorum", response.error_code)?;
    let partition = response.topics.first().and_then(|topic| topic.partitions.first());
    Ok(partition.and_then(|partition| place(partition.leader_id)))
}

fn place(node_id: i32) -> Option<usize> {
    usize::try_from(node_id).ok()?.checked_sub(1)
}
