//! DescribeLogDirs v1–5: the log directories, their room, and the replicas in them.

use std::collections::{BTreeMap, BTreeSet};

use klamm_log::{DirectoryDescription, ReplicaDescription};
use klamm_protocol::messages::DescribeLogDirsRequest;
use klamm_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use klamm_protocol::{ErrorCode, Reader};

use crate::request::{Fault, HandlerResult, RequestContext};

/// The partitions asked for; none stands for all.
type Wanted = Option<BTreeSet<(String, i32)>>;

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: DescribeLogDirsRequest<'_> = context.decode(&mut body)?;
    let wanted: Wanted = request.topics.map(|topics| {
        let partitions = topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|index| (topic.topic.to_string(), *index)));
        partitions.collect()
    });
    let dirs = context.broker.log_dirs().clone();
    let described = context.broker.environment().clone();
    context.respond_later(async move {
        let directories = described.blocking(move || dirs.describe()).await.map_err(|_| Fault::Stopping)?;
        let results = directories.into_iter().map(|directory| result(directory, &wanted)).collect();
        Ok(DescribeLogDirsResponse { results, ..DescribeLogDirsResponse::default() })
    })
}

fn result(directory: DirectoryDescription, wanted: &Wanted) -> DescribeLogDirsResult<'static> {
    if directory.error.is_some() {
        return DescribeLogDirsResult {
            error_code: ErrorCode::KAFKA_STORAGE_ERROR,
            log_dir: directory.path.into(),
            ..DescribeLogDirsResult::default()
        };
    }
    let mut topics: BTreeMap<String, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for replica in directory.replicas.into_iter().filter(|replica| is_wanted(replica, wanted)) {
        topics.entry(replica.partition.topic).or_default().push(DescribeLogDirsPartition {
            partition_index: replica.partition.partition,
            partition_size: replica.size_bytes as i64,
            offset_lag: replica.offset_lag,
            is_future_key: replica.is_future,
        });
    }
    let topics =
        topics.into_iter().map(|(name, partitions)| DescribeLogDirsTopic { name: name.into(), partitions });
    DescribeLogDirsResult {
        log_dir: directory.path.into(),
        is_cordoned: directory.is_cordoned,
        topics: topics.collect(),
        total_bytes: directory.space.map_or(-1, |space| space.total_bytes as i64),
        usable_bytes: directory.space.map_or(-1, |space| space.usable_bytes as i64),
        ..DescribeLogDirsResult::default()
    }
}

fn is_wanted(replica: &ReplicaDescription, wanted: &Wanted) -> bool {
    let partition = &replica.partition;
    wanted.as_ref().is_none_or(|wanted| wanted.contains(&(partition.topic.clone(), partition.partition)))
}
