//! CreatePartitions: topics grow, never shrink.

use klamm_metadata::partition::Partition;
use klamm_metadata::{MetadataRecord, Topic};
use klamm_protocol::ErrorCode;
use klamm_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use klamm_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use klamm_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use crate::RECORDS_PER_DECISION_MAX;
use crate::refusal::{Refusal, error_fields};
use crate::repeated::first_of_each;
use crate::state::{Controller, Decision, Step};

impl Controller {
    /// Adds partitions to topics.
    pub fn create_partitions(
        &self,
        step: &mut Step<'_>,
        request: &CreatePartitionsRequest<'_>,
    ) -> Decision<CreatePartitionsResponse<'static>> {
        let mut records: Vec<MetadataRecord<'static>> = Vec::new();
        let mut response = CreatePartitionsResponse::default();
        for (wanted, is_repeated) in first_of_each(&request.topics, |topic| topic.name.as_ref()) {
            let result = if is_repeated {
                let message = format!("topic '{}' is there twice in one request", wanted.name);
                Err(Refusal::new(ErrorCode::INVALID_REQUEST, message))
            } else {
                self.grow_topic(step, wanted, RECORDS_PER_DECISION_MAX - records.len())
            };
            let (error_code, error_message) = error_fields(&result);
            records.extend(result.unwrap_or_default());
            let name = wanted.name.to_string().into();
            response.results.push(CreatePartitionsTopicResult { name, error_code, error_message });
        }
        if request.validate_only {
            records.clear();
        }
        Decision::new(records, response)
    }

    fn grow_topic(
        &self,
        step: &mut Step<'_>,
        wanted: &CreatePartitionsTopic<'_>,
        partitions_max: usize,
    ) -> Result<Vec<MetadataRecord<'static>>, Refusal> {
        let topic = self.topic(&wanted.name)?;
        let present = topic.partition_count();
        let additional = usize::try_from(wanted.count).unwrap_or(0).saturating_sub(present);
        if additional == 0 {
            let message =
                format!("topic '{}' has {present} partitions: {} is not more", topic.name, wanted.count);
            return Err(Refusal::new(ErrorCode::INVALID_PARTITIONS, message));
        }
        if additional > partitions_max {
            let message = format!("one request creates at most {RECORDS_PER_DECISION_MAX} partitions");
            return Err(Refusal::new(ErrorCode::POLICY_VIOLATION, message));
        }
        let replicas = topic.partition(0).map_or(1, |partition| partition.replicas.len());
        let partitions = match &wanted.assignments {
            Some(assignments) => self.assigned_growth(topic, additional, assignments, replicas)?,
            None => self.place_partitions(step, additional, replicas)?,
        };
        Ok(self.partition_records(topic.id, present as i32, &partitions).collect())
    }

    fn assigned_growth(
        &self,
        topic: &Topic,
        additional: usize,
        assignments: &[CreatePartitionsAssignment],
        replicas: usize,
    ) -> Result<Vec<Partition>, Refusal> {
        if assignments.len() != additional {
            let message = format!("{additional} partitions to add, but {} assigned", assignments.len());
            return Err(Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
        }
        let indexes = topic.partition_count() as i32..;
        let partition = |(index, assignment): (i32, &CreatePartitionsAssignment)| {
            self.assigned_partition(index, &assignment.broker_ids, replicas)
        };
        indexes.zip(assignments).map(partition).collect()
    }
}
