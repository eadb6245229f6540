//! AssignReplicasToDirs: a broker says in which log directories it keeps replicas (KIP-858).

use klamm_metadata::cluster::BrokerRegistration;
use klamm_metadata::{MetadataRecord, TopicIdPartition};
use klamm_protocol::messages::assign_replicas_to_dirs_response::{DirectoryData, PartitionData, TopicData};
use klamm_protocol::messages::{AssignReplicasToDirsRequest, AssignReplicasToDirsResponse};
use klamm_protocol::{ErrorCode, Uuid};

use crate::brokers::BrokerEvent;
use crate::partition_change::PartitionChange;
use crate::refusal::{Refusal, error_fields};
use crate::state::{Controller, Decision};

impl Controller {
    /// Notes the directories of a broker's replicas. A replica in a directory that has failed leaves its ISR. One that was in a directory
    /// which the broker has no more is another now, most likely empty: it is not eligible to lead for what the lost one held.
    pub fn assign_replicas_to_dirs(
        &self,
        request: &AssignReplicasToDirsRequest,
    ) -> Decision<AssignReplicasToDirsResponse> {
        let supported = self.image.metadata_version().supports_directory_assignment();
        let broker = self
            .required(supported, "assigning replicas to directories")
            .and_then(|()| self.broker_of_epoch(request.broker_id, request.broker_epoch));
        let broker = match broker {
            Ok(broker) => broker,
            Err(Refusal { code, .. }) => {
                let response = AssignReplicasToDirsResponse { error_code: code, ..Default::default() };
                return Decision::nothing(response);
            }
        };
        let mut records = Vec::new();
        let mut offline = Vec::new();
        let mut response = AssignReplicasToDirsResponse::default();
        for directory in &request.directories {
            let mut topics = Vec::new();
            for topic in &directory.topics {
                let partitions = topic.partitions.iter().map(|partition| {
                    let partition_index = partition.partition_index;
                    let id = TopicIdPartition { topic_id: topic.topic_id, partition: partition_index };
                    let result = self.assign(broker, id, directory.id, &mut records);
                    if result.is_ok() && !broker.has_online_directory(directory.id) {
                        offline.push(id);
                    }
                    PartitionData { partition_index, error_code: error_fields(&result).0 }
                });
                topics.push(TopicData { topic_id: topic.topic_id, partitions: partitions.collect() });
            }
            response.directories.push(DirectoryData { id: directory.id, topics });
        }
        self.change_partitions(BrokerEvent::Leaves(broker.id), offline, &mut records);
        Decision::new(records, response)
    }

    fn assign(
        &self,
        broker: &BrokerRegistration,
        id: TopicIdPartition,
        directory: Uuid,
        records: &mut Vec<MetadataRecord<'static>>,
    ) -> Result<(), Refusal> {
        let topic = self.image.topics.by_id(id.topic_id).ok_or_else(|| {
            Refusal::new(ErrorCode::UNKNOWN_TOPIC_ID, format!("no topic has id {}", id.topic_id))
        })?;
        let partition = self.partition(topic, id.partition)?;
        if !partition.replicas.contains(&broker.id) {
            let message = format!("broker {} holds no replica of the partition", broker.id);
            return Err(Refusal::new(ErrorCode::NOT_LEADER_OR_FOLLOWER, message));
        }
        // With another copy to lose: where there is one replica, whatever the broker has is all there is.
        let is_lost = partition.replicas.len() > 1
            && partition.directory(broker.id).is_some_and(|before| !broker.has_online_directory(before));
        let is_acceptable = |broker| self.may_lead(partition, broker, self.is_active(broker));
        let record = self.with_rules(topic, &is_acceptable, |rules| {
            let mut change = PartitionChange::of(partition, rules);
            change.directory = Some((broker.id, directory));
            change.lost_copy = is_lost.then_some(broker.id);
            change.record(id)
        });
        records.extend(record.map(MetadataRecord::PartitionChange));
        Ok(())
    }
}
