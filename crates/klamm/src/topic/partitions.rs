//! The partitions that a command line names.

use std::collections::BTreeMap;

use klamm_client::{Admin, Partition, Topic, TopicPartition};

use crate::advice::sort_out;
use crate::arguments::TopicPartitions;
use crate::failure::Failure;

/// The partitions that are meant, by name; naming one that does not exist is an error.
pub(crate) async fn partitions_of(
    admin: &Admin,
    wanted: &[TopicPartitions],
) -> Result<BTreeMap<TopicPartition, Partition>, Failure> {
    let outcomes = admin.describe_topics(wanted.iter().map(|wanted| &wanted.topic)).await?;
    let (topics, missing) = sort_out(outcomes, |name| format!("topic {name}"));
    missing?;
    let mut partitions = BTreeMap::new();
    for (wanted, (_, topic)) in wanted.iter().zip(topics) {
        partitions.extend(chosen(wanted, &topic)?);
    }
    Ok(partitions)
}

/// The partitions of a topic that were asked for, or all.
fn chosen(wanted: &TopicPartitions, topic: &Topic) -> Result<Vec<(TopicPartition, Partition)>, Failure> {
    let find = |index: &i32| topic.partitions.iter().find(|partition| partition.index == *index);
    if let Some(missing) = wanted.partitions.iter().find(|index| find(index).is_none()) {
        return Err(Failure::new(format!("{} has no partition {missing}", wanted.topic)));
    }
    let is_chosen = |index: i32| wanted.partitions.is_empty() || wanted.partitions.contains(&index);
    let chosen = topic.partitions.iter().filter(|partition| is_chosen(partition.index));
    Ok(chosen.map(|p| (TopicPartition::new(&wanted.topic, p.index), p.clone())).collect())
}
