//! Moving replicas to other brokers (KIP-455): started, cancelled and listed here; completed by the ISR change that makes it possible.

use std::collections::BTreeSet;

use klamm_metadata::partition::Partition;
use klamm_metadata::{MetadataRecord, Topic, TopicIdPartition};
use klamm_protocol::ErrorCode;
use klamm_protocol::messages::alter_partition_reassignments_request::ReassignablePartition;
use klamm_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use klamm_protocol::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use klamm_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, PartitionChangeRecord,
};

use crate::partition_change::{Election, PartitionChange};
use crate::refusal::{Refusal, error_fields};
use crate::state::{Controller, Decision};

impl Controller {
    /// Starts, changes or, without replicas, cancels reassignments.
    pub fn alter_partition_reassignments(
        &self,
        request: &AlterPartitionReassignmentsRequest<'_>,
    ) -> Decision<AlterPartitionReassignmentsResponse<'static>> {
        let may_change_factor = request.allow_replication_factor_change;
        let mut records = Vec::new();
        let mut response = AlterPartitionReassignmentsResponse {
            allow_replication_factor_change: may_change_factor,
            error_message: None,
            ..Default::default()
        };
        // Each is decided by what is there now: the second change of a partition would not go with the first.
        let mut named = BTreeSet::new();
        for topic in &request.topics {
            let results = topic.partitions.iter().map(|target| {
                let result = match named.insert((&topic.name, target.partition_index)) {
                    true => {
                        self.topic(&topic.name).and_then(|it| self.reassign(it, target, may_change_factor))
                    }
                    false => Err(Refusal::new(ErrorCode::INVALID_REQUEST, "The partition is named twice.")),
                };
                let (error_code, error_message) = error_fields(&result);
                records.extend(result.ok().flatten().map(MetadataRecord::PartitionChange));
                let partition_index = target.partition_index;
                ReassignablePartitionResponse { partition_index, error_code, error_message }
            });
            let partitions = results.collect();
            let name = topic.name.to_string().into();
            response.responses.push(ReassignableTopicResponse { name, partitions });
        }
        Decision::new(records, response)
    }

    fn reassign(
        &self,
        topic: &Topic,
        target: &ReassignablePartition,
        may_change_factor: bool,
    ) -> Result<Option<PartitionChangeRecord>, Refusal> {
        let partition = self.partition(topic, target.partition_index)?;
        let id = TopicIdPartition { topic_id: topic.id, partition: target.partition_index };
        match &target.replicas {
            None => self.cancel_reassignment(topic, id, partition),
            Some(replicas) => {
                self.check_assignment(replicas, None)?;
                if !may_change_factor {
                    check_factor(partition, replicas.len())?;
                }
                Ok(self.start_reassignment(topic, id, partition, replicas))
            }
        }
    }

    /// Those to leave stay behind the target until all of it is in sync. Where another reassignment is running, what it has added and
    /// the new target has as well is still being added, and what the new target does not have is to leave like any other: Kafka's
    /// controller keeps counting it among those to wait for when nothing else is added, and never ends.
    fn start_reassignment(
        &self,
        topic: &Topic,
        id: TopicIdPartition,
        partition: &Partition,
        target: &[i32],
    ) -> Option<PartitionChangeRecord> {
        let removing = difference(&partition.replicas, target);
        let before = difference(&partition.replicas, &partition.adding_replicas);
        let adding = difference(target, &before);
        let is_acceptable = |broker| self.may_lead(partition, broker, self.is_active(broker));
        self.with_rules(topic, &is_acceptable, |rules| {
            let mut change = PartitionChange::of(partition, rules);
            change.replicas = target.iter().chain(&removing).copied().collect();
            change.removing = removing;
            change.adding = adding;
            change.record(id)
        })
    }

    fn cancel_reassignment(
        &self,
        topic: &Topic,
        id: TopicIdPartition,
        partition: &Partition,
    ) -> Result<Option<PartitionChangeRecord>, Refusal> {
        if !partition.is_reassigning() {
            let message = "the partition is not being reassigned";
            return Err(Refusal::new(ErrorCode::NO_REASSIGNMENT_IN_PROGRESS, message));
        }
        let without_added = |ids: &[i32]| -> Vec<i32> {
            ids.iter().copied().filter(|id| !partition.adding_replicas.contains(id)).collect()
        };
        let replicas = without_added(&partition.replicas);
        let mut isr = without_added(&partition.isr);
        let unclean_enabled = self.unclean_election_enabled(topic);
        if isr.is_empty() {
            // Only replicas that the reassignment added are in sync: going back would lose what only they hold.
            let first = replicas.first().copied().filter(|_| unclean_enabled);
            isr.push(first.ok_or_else(|| {
                let message = "going back would need an unclean leader election";
                Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message)
            })?);
        }
        let is_acceptable = |broker| self.may_lead(partition, broker, self.is_active(broker));
        Ok(self.with_rules(topic, &is_acceptable, |rules| {
            let mut change = PartitionChange::of(partition, rules);
            if unclean_enabled {
                change.election = Election::Unclean;
            }
            (change.isr, change.replicas) = (isr, replicas);
            change.removing.clear();
            change.adding.clear();
            change.record(id)
        }))
    }

    /// The reassignments that are running, all or those of the partitions named.
    pub fn list_partition_reassignments(
        &self,
        request: &ListPartitionReassignmentsRequest<'_>,
    ) -> ListPartitionReassignmentsResponse<'static> {
        let topics = match &request.topics {
            Some(wanted) => {
                let known = wanted.iter().filter_map(|wanted| {
                    let topic = self.image.topics.by_name(&wanted.name)?;
                    ongoing(topic, wanted.partition_indexes.iter().copied())
                });
                known.collect()
            }
            None => self.all_reassignments(),
        };
        ListPartitionReassignmentsResponse { topics, error_message: None, ..Default::default() }
    }

    fn all_reassignments(&self) -> Vec<OngoingTopicReassignment<'static>> {
        let reassigning = self.index.reassigning();
        let topic_ids: BTreeSet<_> = reassigning.iter().map(|id| id.topic_id).collect();
        let topics = topic_ids.into_iter().filter_map(|id| self.image.topics.by_id(id));
        topics.filter_map(|topic| ongoing(topic, topic.partitions().map(|(index, _)| index))).collect()
    }
}

fn ongoing(topic: &Topic, indexes: impl Iterator<Item = i32>) -> Option<OngoingTopicReassignment<'static>> {
    let partition = |index| {
        let partition = topic.partition(index).filter(|partition| partition.is_reassigning())?;
        Some(OngoingPartitionReassignment {
            partition_index: index,
            replicas: partition.replicas.to_vec(),
            adding_replicas: partition.adding_replicas.to_vec(),
            removing_replicas: partition.removing_replicas.to_vec(),
        })
    };
    let partitions: Vec<_> = indexes.filter_map(partition).collect();
    (!partitions.is_empty())
        .then(|| OngoingTopicReassignment { name: topic.name.to_string().into(), partitions })
}

/// Sorted, as records carry them.
fn difference(ids: &[i32], without: &[i32]) -> Vec<i32> {
    let left: BTreeSet<i32> = ids.iter().copied().filter(|id| !without.contains(id)).collect();
    left.into_iter().collect()
}

fn check_factor(partition: &Partition, wanted: usize) -> Result<(), Refusal> {
    let staying = partition.replicas.iter().filter(|id| !partition.removing_replicas.contains(id)).count();
    if staying == wanted {
        return Ok(());
    }
    let message = format!("the partition has {staying} replicas, {wanted} are asked for");
    Err(Refusal::new(ErrorCode::INVALID_REPLICATION_FACTOR, message))
}
