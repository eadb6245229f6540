//! Moving replicas between brokers (KIP-455).

use std::collections::BTreeMap;

use klamm_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use klamm_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use klamm_protocol::messages::{AlterPartitionReassignmentsRequest, ListPartitionReassignmentsRequest};

use super::{Admin, AdminError, Outcomes, Refusal};
use crate::TopicPartition;
use crate::topic_partition::by_topic;

/// A reassignment under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reassignment {
    /// Everyone who holds the partition at the moment, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Those of them that are to hold it, and may still have to catch up.
    pub adding: Vec<i32>,
    /// Those of them that are to give it up.
    pub removing: Vec<i32>,
}

impl Reassignment {
    /// Who will hold the partition when it is done.
    pub fn target(&self) -> Vec<i32> {
        self.replicas.iter().copied().filter(|id| !self.removing.contains(id)).collect()
    }
}

impl Admin {
    /// Gives partitions these replicas, the preferred leader first; `None` cancels a move under way. The answer says
    /// that it has begun: [`Admin::list_partition_reassignments`] shows what is still under way.
    pub async fn alter_partition_reassignments(
        &self,
        replicas: &BTreeMap<TopicPartition, Option<Vec<i32>>>,
    ) -> Result<Outcomes<TopicPartition, ()>, AdminError> {
        let topics = by_topic(replicas).into_iter().map(|(name, partitions)| ReassignableTopic {
            name: name.to_string().into(),
            partitions: partitions.into_iter().map(reassignable).collect(),
        });
        let request = AlterPartitionReassignmentsRequest {
            timeout_ms: self.operation_timeout_ms(),
            topics: topics.collect(),
            ..AlterPartitionReassignmentsRequest::default()
        };
        let response = self.cluster.call_controller(&request, |response| response.error_code).await?;
        Refusal::check(response.error_code, response.error_message)
            .map_err(|refusal| AdminError::refused("the reassignment", refusal))?;
        let results = response.responses.into_iter().flat_map(|topic| {
            topic.partitions.into_iter().map(move |p| {
                let partition = TopicPartition::new(&topic.name, p.partition_index);
                (partition, Refusal::check(p.error_code, p.error_message))
            })
        });
        Ok(results.collect())
    }

    /// The moves under way, of these partitions or of all.
    pub async fn list_partition_reassignments(
        &self,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, Reassignment>, AdminError> {
        let topics = partitions.map(|partitions| {
            let topics = by_topic(partitions.iter().map(|partition| (partition, ()))).into_iter();
            let topic = |(name, partitions): (std::sync::Arc<str>, Vec<(i32, ())>)| {
                let partition_indexes = partitions.into_iter().map(|(index, ())| index).collect();
                ListPartitionReassignmentsTopics { name: name.to_string().into(), partition_indexes }
            };
            topics.map(topic).collect()
        });
        let request = ListPartitionReassignmentsRequest { timeout_ms: self.operation_timeout_ms(), topics };
        let response = self.cluster.call_controller(&request, |response| response.error_code).await?;
        Refusal::check(response.error_code, response.error_message)
            .map_err(|refusal| AdminError::refused("the reassignments", refusal))?;
        let moves = response.topics.into_iter().flat_map(|topic| {
            topic.partitions.into_iter().map(move |p| {
                let reassignment = Reassignment {
                    replicas: p.replicas,
                    adding: p.adding_replicas,
                    removing: p.removing_replicas,
                };
                (TopicPartition::new(&topic.name, p.partition_index), reassignment)
            })
        });
        Ok(moves.collect())
    }
}

fn reassignable((partition_index, replicas): (i32, &Option<Vec<i32>>)) -> ReassignablePartition {
    ReassignablePartition { partition_index, replicas: replicas.clone() }
}
