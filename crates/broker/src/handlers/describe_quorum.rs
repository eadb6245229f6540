//! DescribeQuorum v0–2: who leads the metadata quorum, who votes, and how far each is.

use klamm_metadata::MetadataImage;
use klamm_protocol::messages::DescribeQuorumRequest;
use klamm_protocol::messages::describe_quorum_response::{
    DescribeQuorumResponse, Listener, Node, PartitionData, ReplicaState, TopicData,
};
use klamm_protocol::{ErrorCode, Reader, Uuid};
use klamm_quorum::{QuorumDescription, ReplicaDescription};

use crate::request::{Fault, HandlerResult, RequestContext};

const METADATA_TOPIC: &str = "__cluster_metadata";
/// From this version on answers tell directories and endpoints.
const DIRECTORIES_SINCE: i16 = 2;

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: DescribeQuorumRequest<'_> = context.decode(&mut body)?;
    let topics: Vec<(String, Vec<i32>)> = request
        .topics
        .iter()
        .map(|topic| {
            let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
            (topic.topic_name.to_string(), indexes.collect())
        })
        .collect();
    let asks_for_log =
        matches!(&topics[..], [(name, indexes)] if name == METADATA_TOPIC && indexes[..] == [0]);
    if !asks_for_log {
        return context.respond(&nothing_known_of(topics));
    }
    let (broker, version) = (context.broker.clone(), context.version);
    context.respond_later(async move {
        let described = broker.controller().describe_quorum().await.map_err(|_| Fault::Stopping)?;
        Ok(match described {
            Some(quorum) => answer(&quorum, &broker.image(), version),
            None => {
                DescribeQuorumResponse { error_code: ErrorCode::NOT_LEADER_OR_FOLLOWER, ..Default::default() }
            }
        })
    })
}

fn nothing_known_of(topics: Vec<(String, Vec<i32>)>) -> DescribeQuorumResponse<'static> {
    let topics = topics.into_iter().map(|(name, indexes)| {
        let partitions = indexes.into_iter().map(|partition_index| PartitionData {
            partition_index,
            error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ..PartitionData::default()
        });
        TopicData { topic_name: name.into(), partitions: partitions.collect() }
    });
    DescribeQuorumResponse { topics: topics.collect(), ..DescribeQuorumResponse::default() }
}

fn answer(
    quorum: &QuorumDescription,
    image: &MetadataImage,
    version: i16,
) -> DescribeQuorumResponse<'static> {
    let state = |replica: &ReplicaDescription| ReplicaState {
        replica_id: replica.key.id,
        replica_directory_id: match version >= DIRECTORIES_SINCE {
            true => replica.key.directory_or_zero(),
            false => Uuid::ZERO,
        },
        log_end_offset: replica.log_end_offset,
        last_fetch_timestamp: replica.last_fetch_ms,
        last_caught_up_timestamp: replica.last_caught_up_ms,
    };
    let partition = PartitionData {
        leader_id: quorum.leader_id,
        leader_epoch: quorum.leader_epoch,
        high_watermark: quorum.high_watermark,
        current_voters: quorum.voters.iter().map(state).collect(),
        observers: quorum.observers.iter().map(state).collect(),
        ..PartitionData::default()
    };
    DescribeQuorumResponse {
        topics: vec![TopicData { topic_name: METADATA_TOPIC.into(), partitions: vec![partition] }],
        nodes: if version >= DIRECTORIES_SINCE { nodes(quorum, image) } else { Vec::new() },
        ..DescribeQuorumResponse::default()
    }
}

fn nodes(quorum: &QuorumDescription, image: &MetadataImage) -> Vec<Node<'static>> {
    let voters = quorum.voters.iter().filter_map(|voter| image.cluster.controller(voter.key.id));
    voters
        .map(|controller| Node {
            node_id: controller.id,
            listeners: controller
                .endpoints
                .iter()
                .map(|endpoint| Listener {
                    name: endpoint.name.clone().into(),
                    host: endpoint.host.clone().into(),
                    port: endpoint.port,
                })
                .collect(),
        })
        .collect()
}

pub(crate) fn refuse(context: &RequestContext<'_>, _: Reader<'_>, error_code: ErrorCode) -> HandlerResult {
    context.respond(&DescribeQuorumResponse { error_code, ..Default::default() })
}
