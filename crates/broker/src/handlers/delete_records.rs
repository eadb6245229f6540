//! DeleteRecords v0–2: moves the start of partitions forward. Offset −1 stands for the high watermark.

use std::sync::Arc;

use klamm_protocol::messages::DeleteRecordsRequest;
use klamm_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use klamm_protocol::{ErrorCode, Reader};

use crate::partition::Partition;
use crate::request::{HandlerResult, RequestContext};

/// What a partition is asked for, or why it is not here.
type Wish = (i32, Result<Arc<Partition>, ErrorCode>, i64);

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: DeleteRecordsRequest<'_> = context.decode(&mut body)?;
    let topics: Vec<(String, Vec<Wish>)> = request
        .topics
        .iter()
        .map(|topic| {
            let wishes = topic.partitions.iter().map(|partition| {
                let known = context.broker.partition_by_name(&topic.name, partition.partition_index);
                (partition.partition_index, known, partition.offset)
            });
            (topic.name.to_string(), wishes.collect())
        })
        .collect();
    let environment = context.broker.environment().clone();
    context.respond_after(async move {
        let done = environment.blocking(move || topics.into_iter().map(delete_of_topic).collect()).await;
        let topics = done.map_err(|_| crate::request::Fault::Stopping)?;
        Ok(DeleteRecordsResponse { topics, ..DeleteRecordsResponse::default() })
    })
}

fn delete_of_topic((name, wishes): (String, Vec<Wish>)) -> DeleteRecordsTopicResult<'static> {
    let partitions = wishes.into_iter().map(|(partition_index, partition, offset)| {
        match partition.and_then(|partition| delete(&partition, offset)) {
            Ok(low_watermark) => {
                DeleteRecordsPartitionResult { partition_index, low_watermark, ..Default::default() }
            }
            Err(error_code) => {
                DeleteRecordsPartitionResult { partition_index, low_watermark: -1, error_code }
            }
        }
    });
    DeleteRecordsTopicResult { name: name.into(), partitions: partitions.collect() }
}

/// Moves the log start, and returns where it is now.
fn delete(partition: &Partition, offset: i64) -> Result<i64, ErrorCode> {
    partition.check_leader(-1)?;
    if crate::internal_topics::is_internal(partition.topic()) {
        return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
    }
    if !partition.config().cleanup_policy.delete && partition.config().cleanup_policy.compact {
        return Err(ErrorCode::POLICY_VIOLATION);
    }
    let log = partition.log();
    let high_watermark = log.high_watermark();
    let offset = if offset == -1 { high_watermark } else { offset };
    if offset < 0 || offset > high_watermark {
        return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    log.advance_log_start(offset);
    Ok(log.log_start_offset())
}
