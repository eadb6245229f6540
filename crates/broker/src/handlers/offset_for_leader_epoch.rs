//! OffsetForLeaderEpoch v2–4: where a leader epoch ends in this log, for those who must find out where theirs parts from it.

use klamm_protocol::messages::OffsetForLeaderEpochRequest;
use klamm_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use klamm_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};
use klamm_protocol::{ErrorCode, Reader};

use crate::partition::Partition;
use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: OffsetForLeaderEpochRequest<'_> = context.decode(&mut body)?;
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let partition = context.broker.partition_by_name(&topic.topic, asked.partition);
            let end = partition.and_then(|known| find(&known, asked));
            end.unwrap_or_else(|error_code| EpochEndOffset {
                error_code,
                partition: asked.partition,
                ..EpochEndOffset::default()
            })
        });
        OffsetForLeaderTopicResult { topic: topic.topic.clone(), partitions: partitions.collect() }
    });
    let topics = topics.collect();
    context.respond(&OffsetForLeaderEpochResponse { topics, ..Default::default() })
}

fn find(partition: &Partition, asked: &OffsetForLeaderPartition) -> Result<EpochEndOffset, ErrorCode> {
    partition.check_leader(asked.current_leader_epoch)?;
    let end = partition.log().end_offset_for_epoch(asked.leader_epoch);
    let (leader_epoch, end_offset) = end.map_or((-1, -1), |end| (end.epoch, end.end_offset));
    Ok(EpochEndOffset { partition: asked.partition, leader_epoch, end_offset, ..EpochEndOffset::default() })
}
