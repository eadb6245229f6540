//! DescribeProducers v0: who writes to partitions that are led here, and which transactions are open.

use klamm_log::ProducerState as Remembered;
use klamm_protocol::messages::DescribeProducersRequest;
use klamm_protocol::messages::describe_producers_response::{
    DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};
use klamm_protocol::{ErrorCode, Reader};

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: DescribeProducersRequest<'_> = context.decode(&mut body)?;
    let hosted = context.broker.hosted();
    let topics = request.topics.iter().map(|topic| {
        let partitions =
            topic.partition_indexes.iter().map(|&index| match hosted.partition(&topic.name, index) {
                Some(partition) if partition.leadership().is_here => PartitionResponse {
                    partition_index: index,
                    active_producers: partition.log().producers().iter().map(describe).collect(),
                    ..PartitionResponse::default()
                },
                Some(_) => failed(index, ErrorCode::NOT_LEADER_OR_FOLLOWER),
                None => failed(index, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            });
        TopicResponse { name: topic.name.clone(), partitions: partitions.collect() }
    });
    let topics = topics.collect();
    context.respond(&DescribeProducersResponse { topics, ..DescribeProducersResponse::default() })
}

fn failed(partition_index: i32, error_code: ErrorCode) -> PartitionResponse<'static> {
    PartitionResponse { partition_index, error_code, ..PartitionResponse::default() }
}

fn describe(producer: &Remembered) -> ProducerState {
    ProducerState {
        producer_id: producer.producer_id,
        producer_epoch: i32::from(producer.producer_epoch),
        last_sequence: producer.last_sequence(),
        last_timestamp: producer.last_timestamp,
        coordinator_epoch: producer.coordinator_epoch,
        current_txn_start_offset: producer.current_transaction_start.unwrap_or(-1),
    }
}
