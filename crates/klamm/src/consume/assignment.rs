//! Which partitions to read, from where, and up to where.

use std::collections::BTreeMap;

use klamm_client::{Admin, IsolationLevel, OffsetSpec, StartAt, TopicPartition};

use crate::advice::sort_out;
use crate::consume::position::Position;
use crate::failure::Failure;

/// The partitions of the topics: those with these numbers, or all where there are none.
pub(crate) async fn partitions(
    admin: &Admin,
    topics: &[String],
    numbers: Option<&[i32]>,
) -> Result<Vec<TopicPartition>, Failure> {
    let (topics, missing) = sort_out(admin.describe_topics(topics).await?, |name| format!("topic {name}"));
    missing?;
    let mut partitions = Vec::new();
    for (name, topic) in topics {
        let existing: Vec<i32> = topic.partitions.iter().map(|partition| partition.index).collect();
        let wanted = numbers.unwrap_or(&existing);
        if let Some(number) = wanted.iter().find(|number| !existing.contains(number)) {
            return Err(Failure::new(format!(
                "topic {name} has no partition {number}: it has {}",
                existing.len()
            )));
        }
        partitions.extend(wanted.iter().map(|number| TopicPartition::new(&name, *number)));
    }
    Ok(partitions)
}

/// Where to begin in each partition.
pub(crate) async fn starts(
    admin: &Admin,
    partitions: &[TopicPartition],
    position: Position,
    isolation_level: IsolationLevel,
) -> Result<Vec<(TopicPartition, StartAt)>, Failure> {
    let start = match position {
        Position::Beginning => StartAt::Earliest,
        Position::End => StartAt::Latest,
        Position::Offset(offset) => StartAt::Offset(offset),
        Position::Time(ms) => StartAt::Timestamp(ms),
        Position::BeforeEnd(count) => {
            return starts_before_end(admin, partitions, count, isolation_level).await;
        }
    };
    Ok(partitions.iter().map(|partition| (partition.clone(), start)).collect())
}

async fn starts_before_end(
    admin: &Admin,
    partitions: &[TopicPartition],
    count: i64,
    isolation_level: IsolationLevel,
) -> Result<Vec<(TopicPartition, StartAt)>, Failure> {
    let beginnings = list(admin, partitions, OffsetSpec::Earliest, isolation_level).await?;
    let ends = list(admin, partitions, OffsetSpec::Latest, isolation_level).await?;
    let start = |(partition, end): (TopicPartition, i64)| {
        let beginning = beginnings.get(&partition).copied().unwrap_or(0);
        (partition, StartAt::Offset(end.saturating_sub(count).max(beginning)))
    };
    Ok(ends.into_iter().map(start).collect())
}

/// Where each partition ends now.
pub(crate) async fn ends(
    admin: &Admin,
    partitions: &[TopicPartition],
    isolation_level: IsolationLevel,
) -> Result<BTreeMap<TopicPartition, i64>, Failure> {
    list(admin, partitions, OffsetSpec::Latest, isolation_level).await
}

async fn list(
    admin: &Admin,
    partitions: &[TopicPartition],
    spec: OffsetSpec,
    isolation_level: IsolationLevel,
) -> Result<BTreeMap<TopicPartition, i64>, Failure> {
    let specs = partitions.iter().map(|partition| (partition.clone(), spec)).collect();
    let (listed, refused) = sort_out(admin.list_offsets(&specs, isolation_level).await?, ToString::to_string);
    refused?;
    Ok(listed.into_iter().map(|(partition, listed)| (partition, listed.offset.unwrap_or(0))).collect())
}
