//! AlterReplicaLogDirs v1–2: moves replicas between the log directories of this broker. The copying goes on after the answer.

use std::path::Path;
use std::sync::Arc;

use klamm_log::{MoveError, TopicPartition};
use klamm_protocol::messages::AlterReplicaLogDirsRequest;
use klamm_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsResponse,
};
use klamm_protocol::{ErrorCode, Reader};

use crate::broker::Broker;
use crate::replica_move;
use crate::request::{Fault, HandlerResult, RequestContext};

/// A replica, and the directory it is to go to.
type Move = (TopicPartition, String);

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: AlterReplicaLogDirsRequest<'_> = context.decode(&mut body)?;
    let mut moves: Vec<Move> = Vec::new();
    for dir in &request.dirs {
        for topic in &dir.topics {
            let replicas =
                topic.partitions.iter().map(|&partition| TopicPartition::new(&*topic.name, partition));
            moves.extend(replicas.map(|replica| (replica, dir.path.to_string())));
        }
    }
    let broker = context.broker.clone();
    context.respond_after(async move {
        let starting = broker.clone();
        let started = broker.environment().blocking(move || start_all(&starting, moves)).await;
        Ok(answer(started.map_err(|_| Fault::Stopping)?))
    })
}

fn start_all(broker: &Arc<Broker>, moves: Vec<Move>) -> Vec<(TopicPartition, ErrorCode)> {
    moves
        .into_iter()
        .map(|(replica, path)| {
            let error_code = start(broker, &replica, Path::new(&path)).err().unwrap_or(ErrorCode::NONE);
            (replica, error_code)
        })
        .collect()
}

fn start(broker: &Arc<Broker>, replica: &TopicPartition, path: &Path) -> Result<(), ErrorCode> {
    let target = broker.log_dirs().directories().iter().find(|directory| directory.path() == path);
    if target.is_some_and(|directory| broker.log_dirs().is_cordoned(directory)) {
        return Err(ErrorCode::INVALID_REPLICA_ASSIGNMENT);
    }
    let target = target.and_then(|directory| directory.id()).ok_or(ErrorCode::LOG_DIR_NOT_FOUND)?;
    let hosted = broker.hosted();
    let topic = hosted.by_name(&replica.topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let partition = topic.partition(replica.partition).ok_or(ErrorCode::REPLICA_NOT_AVAILABLE)?;
    let started = broker.log_dirs().start_move(replica, target, broker.environment().clock.now_ms());
    match started {
        Ok(true) => replica_move::start(broker, partition.clone(), target),
        Ok(false) => {}
        Err(MoveError::NoReplica(_)) => return Err(ErrorCode::REPLICA_NOT_AVAILABLE),
        Err(MoveError::NoDirectory) => return Err(ErrorCode::LOG_DIR_NOT_FOUND),
        Err(error) => {
            tracing::error!("{replica} cannot be moved to {}: {error}", path.display());
            return Err(ErrorCode::KAFKA_STORAGE_ERROR);
        }
    }
    Ok(())
}

fn answer(results: Vec<(TopicPartition, ErrorCode)>) -> AlterReplicaLogDirsResponse<'static> {
    let mut topics: Vec<AlterReplicaLogDirTopicResult<'static>> = Vec::new();
    for (replica, error_code) in results {
        let result = AlterReplicaLogDirPartitionResult { partition_index: replica.partition, error_code };
        match topics.iter_mut().find(|topic| topic.topic_name == replica.topic) {
            Some(topic) => topic.partitions.push(result),
            None => topics.push(AlterReplicaLogDirTopicResult {
                topic_name: replica.topic.into(),
                partitions: vec![result],
            }),
        }
    }
    AlterReplicaLogDirsResponse { results: topics, ..AlterReplicaLogDirsResponse::default() }
}
