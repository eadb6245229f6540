//! DeleteRecords v0–2: moves the start of partitions forward. Offset −1 stands for the high watermark. The answer waits until all replicas
//! that are there have moved theirs.

use std::sync::Arc;
use std::time::Duration;

use klamm_protocol::messages::DeleteRecordsRequest;
use klamm_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use klamm_protocol::{ErrorCode, Reader};
use tokio::time::Instant;

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
    let deadline = Instant::now() + Duration::from_millis(request.timeout_ms.max(0) as u64);
    context.respond_after(async move {
        let begun = environment.blocking(move || topics.into_iter().map(begin).collect::<Vec<_>>()).await;
        let mut topics = Vec::new();
        for (name, begun) in begun.map_err(|_| crate::request::Fault::Stopping)? {
            let mut partitions = Vec::with_capacity(begun.len());
            for (partition_index, begun) in begun {
                partitions.push(finish(partition_index, begun, deadline).await);
            }
            topics.push(DeleteRecordsTopicResult { name: name.into(), partitions });
        }
        Ok(DeleteRecordsResponse { topics, ..DeleteRecordsResponse::default() })
    })
}

/// A topic's partitions with what was begun in each: up to where records are to go, or why not.
type Begun = (String, Vec<(i32, Result<(Arc<Partition>, i64), ErrorCode>)>);

fn begin((name, wishes): (String, Vec<Wish>)) -> Begun {
    let begun = wishes.into_iter().map(|(index, partition, offset)| {
        let moved = partition.and_then(|partition| {
            let offset = delete(&partition, offset)?;
            Ok((partition, offset))
        });
        (index, moved)
    });
    (name, begun.collect())
}

async fn finish(
    partition_index: i32,
    begun: Result<(Arc<Partition>, i64), ErrorCode>,
    deadline: Instant,
) -> DeleteRecordsPartitionResult {
    let done = match begun {
        Ok((partition, offset)) => partition.deleted_everywhere(offset, deadline).await,
        Err(error_code) => Err(error_code),
    };
    match done {
        Ok(low_watermark) => {
            DeleteRecordsPartitionResult { partition_index, low_watermark, ..Default::default() }
        }
        Err(error_code) => DeleteRecordsPartitionResult { partition_index, low_watermark: -1, error_code },
    }
}

/// Moves the log start, and returns to where.
fn delete(partition: &Partition, offset: i64) -> Result<i64, ErrorCode> {
    partition.check_leader(-1)?;
    if crate::internal_topics::is_internal(partition.topic()) {
        return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
    }
    if !partition.config().cleanup_policy.delete && partition.config().cleanup_policy.compact {
        return Err(ErrorCode::POLICY_VIOLATION);
    }
    partition.delete_records(offset)
}
