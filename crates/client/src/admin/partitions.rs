//! Partitions as the controller's metadata has them, eligible leaders included (KIP-966).

use klamm_protocol::messages::DescribeTopicPartitionsRequest;
use klamm_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use klamm_protocol::messages::describe_topic_partitions_response::DescribeTopicPartitionsResponsePartition;

use super::{Admin, AdminError};
use crate::TopicPartition;

/// A partition and what became of its replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionDescription {
    /// Its name.
    pub partition: TopicPartition,
    /// The broker that leads it, if one does.
    pub leader: Option<i32>,
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// The brokers that hold it, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Those of them that are in sync.
    pub isr: Vec<i32>,
    /// Those out of sync that lack nothing that was acknowledged, and may lead when nobody in sync is left.
    pub eligible_leaders: Vec<i32>,
    /// Who was eligible last, where nobody is any more.
    pub last_known_eligible: Vec<i32>,
    /// Those of the replicas that are offline.
    pub offline: Vec<i32>,
}

impl Admin {
    /// The partitions of these topics, by name and index. Topics that do not exist, or not any more, are left out.
    pub async fn describe_partitions<S: AsRef<str>>(
        &self,
        topics: impl IntoIterator<Item = S>,
    ) -> Result<Vec<PartitionDescription>, AdminError> {
        let mut names: Vec<String> = topics.into_iter().map(|name| name.as_ref().to_owned()).collect();
        names.sort();
        let mut described = Vec::new();
        let mut cursor = None;
        // Without a name the request means every topic there is.
        while !names.is_empty() {
            let name = |name: &String| TopicRequest { name: name.clone().into() };
            let request = DescribeTopicPartitionsRequest {
                topics: names.iter().map(name).collect(),
                cursor: cursor.take(),
                ..DescribeTopicPartitionsRequest::default()
            };
            let response = self.cluster.call_any(&request).await?;
            for topic in response.topics {
                let topic_name = topic.name.unwrap_or_default();
                described.extend(topic.partitions.into_iter().map(|p| description(&topic_name, p)));
            }
            let Some(next) = response.next_cursor else { break };
            names.retain(|name| **name >= *next.topic_name);
            cursor = Some(Cursor { topic_name: next.topic_name, partition_index: next.partition_index });
        }
        Ok(described)
    }
}

fn description(topic: &str, partition: DescribeTopicPartitionsResponsePartition) -> PartitionDescription {
    PartitionDescription {
        partition: TopicPartition::new(topic, partition.partition_index),
        leader: (partition.leader_id >= 0).then_some(partition.leader_id),
        leader_epoch: partition.leader_epoch,
        replicas: partition.replica_nodes,
        isr: partition.isr_nodes,
        eligible_leaders: partition.eligible_leader_replicas.unwrap_or_default(),
        last_known_eligible: partition.last_known_elr.unwrap_or_default(),
        offline: partition.offline_replicas,
    }
}
