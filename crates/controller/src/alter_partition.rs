//! AlterPartition: a leader proposes its in-sync replicas, and must have seen the partition as it is (KIP-497, KIP-704, KIP-903).

use klamm_metadata::partition::{LeaderRecoveryState, NO_LEADER_CHANGE, Partition};
use klamm_metadata::{MetadataRecord, Topic, TopicIdPartition};
use klamm_protocol::messages::alter_partition_request::PartitionData;
use klamm_protocol::messages::alter_partition_response::{
    PartitionData as PartitionResult, TopicData as TopicResult,
};
use klamm_protocol::messages::{AlterPartitionRequest, AlterPartitionResponse};
use klamm_protocol::{ErrorCode, Uuid};

use crate::elections::recovery_state;
use crate::partition_change::{Election, PartitionChange};
use crate::refusal::Refusal;
use crate::state::{Controller, Decision};

/// A replica proposed for the ISR, and the incarnation the leader saw, −1 where it does not say.
type Proposed = (i32, i64);

impl Controller {
    /// Changes the in-sync replicas that the leaders propose.
    pub fn alter_partition(&self, request: &AlterPartitionRequest) -> Decision<AlterPartitionResponse> {
        if let Err(Refusal { code, .. }) = self.broker_of_epoch(request.broker_id, request.broker_epoch) {
            let response = AlterPartitionResponse { error_code: code, ..Default::default() };
            return Decision::nothing(response);
        }
        let mut records = Vec::new();
        let mut response = AlterPartitionResponse::default();
        for wanted in &request.topics {
            let topic = self.image.topics.by_id(wanted.topic_id);
            let results = wanted.partitions.iter().map(|proposal| {
                let result = topic.map_or(Err(unknown_topic(wanted.topic_id)), |topic| {
                    self.alter_isr(request.broker_id, topic, proposal, &mut records)
                });
                result.unwrap_or_else(|refusal| PartitionResult {
                    partition_index: proposal.partition_index,
                    error_code: refusal.code,
                    ..PartitionResult::default()
                })
            });
            let partitions = results.collect();
            response.topics.push(TopicResult { topic_id: wanted.topic_id, partitions });
        }
        Decision::new(records, response)
    }

    fn alter_isr(
        &self,
        broker_id: i32,
        topic: &Topic,
        proposal: &PartitionData,
        records: &mut Vec<MetadataRecord<'static>>,
    ) -> Result<PartitionResult, Refusal> {
        let id = TopicIdPartition { topic_id: topic.id, partition: proposal.partition_index };
        let partition = self.partition(topic, proposal.partition_index)?;
        let isr = proposed_isr(proposal);
        let recovery = recovery_state(proposal.leader_recovery_state)?;
        check_epochs(broker_id, partition, proposal)?;
        check_isr(partition, &isr, recovery)?;
        self.check_eligible(&isr)?;
        let is_acceptable = |broker| self.may_lead(partition, broker, self.is_active(broker));
        let record = self.with_rules(topic, &is_acceptable, |rules| {
            let mut change = PartitionChange::of(partition, rules);
            if self.unclean_election_enabled(topic) {
                change.election = Election::Unclean;
            }
            change.isr = isr.iter().map(|&(id, _)| id).collect();
            change.recovery = recovery;
            change.record(id)
        });
        let Some(record) = record else { return Ok(altered(proposal.partition_index, partition)) };
        let lead_moves = record.leader != NO_LEADER_CHANGE && record.leader != broker_id;
        let after = partition.merge(&record);
        records.push(MetadataRecord::PartitionChange(record));
        if lead_moves {
            // The change completed a reassignment that takes the lead away: the old leader has to look again.
            return Err(Refusal::new(ErrorCode::NEW_LEADER_ELECTED, "the partition has a new leader"));
        }
        let contradiction = |error: klamm_metadata::partition::PartitionError| {
            Refusal::new(ErrorCode::UNKNOWN_SERVER_ERROR, error.to_string())
        };
        Ok(altered(proposal.partition_index, &after.map_err(contradiction)?))
    }

    fn check_eligible(&self, isr: &[Proposed]) -> Result<(), Refusal> {
        let reason = |&(id, epoch): &Proposed| match self.image.cluster.broker(id) {
            None => Some(format!("replica {id} is not registered")),
            Some(broker) if broker.in_controlled_shutdown => Some(format!("replica {id} is shutting down")),
            Some(broker) if broker.fenced => Some(format!("replica {id} is fenced")),
            Some(broker) if epoch != -1 && epoch != broker.epoch => {
                Some(format!("replica {id} has broker epoch {}, not {epoch}", broker.epoch))
            }
            Some(_) => None,
        };
        match isr.iter().find_map(reason) {
            Some(message) => Err(Refusal::new(ErrorCode::INELIGIBLE_REPLICA, message)),
            None => Ok(()),
        }
    }
}

/// From version 3 on with epochs, before without: only one of the two lists is there.
fn proposed_isr(proposal: &PartitionData) -> Vec<Proposed> {
    if proposal.new_isr_with_epochs.is_empty() {
        return proposal.new_isr.iter().map(|&id| (id, -1)).collect();
    }
    proposal.new_isr_with_epochs.iter().map(|broker| (broker.broker_id, broker.broker_epoch)).collect()
}

/// Who is ahead of this controller talks to an old one; who is behind has to catch up.
fn check_epochs(broker_id: i32, partition: &Partition, proposal: &PartitionData) -> Result<(), Refusal> {
    let refused = |code, message: &str| Err(Refusal::new(code, message));
    if proposal.leader_epoch > partition.leader_epoch || proposal.partition_epoch > partition.partition_epoch
    {
        return refused(
            ErrorCode::NOT_CONTROLLER,
            "the partition is in a later epoch than this controller knows",
        );
    }
    if proposal.leader_epoch < partition.leader_epoch {
        return refused(ErrorCode::FENCED_LEADER_EPOCH, "the leader epoch is over");
    }
    if broker_id != partition.leader {
        return refused(ErrorCode::INVALID_REQUEST, "only the leader changes its ISR");
    }
    if proposal.partition_epoch < partition.partition_epoch {
        return refused(ErrorCode::INVALID_UPDATE_VERSION, "the partition has changed meanwhile");
    }
    Ok(())
}

fn check_isr(partition: &Partition, isr: &[Proposed], recovery: LeaderRecoveryState) -> Result<(), Refusal> {
    use LeaderRecoveryState::{Recovered, Recovering};
    let invalid = |message: &str| Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
    let is_twice = |index: usize| isr[..index].iter().any(|(id, _)| *id == isr[index].0);
    if isr.is_empty() || (0..isr.len()).any(is_twice) {
        return invalid("the ISR is empty, or names a replica twice");
    }
    if isr.iter().any(|(id, _)| !partition.replicas.contains(id)) {
        return invalid("the ISR names a broker that is no replica");
    }
    if !isr.iter().any(|&(id, _)| id == partition.leader) {
        return invalid("the ISR lacks the leader");
    }
    if recovery == Recovering && isr.len() > 1 {
        return invalid("nobody can be in sync with a leader that is still recovering");
    }
    if recovery == Recovering && partition.leader_recovery_state == Recovered {
        return invalid("a recovered leader cannot be recovering again");
    }
    Ok(())
}

fn altered(partition_index: i32, partition: &Partition) -> PartitionResult {
    PartitionResult {
        partition_index,
        error_code: ErrorCode::NONE,
        leader_id: partition.leader,
        leader_epoch: partition.leader_epoch,
        isr: partition.isr.to_vec(),
        leader_recovery_state: partition.leader_recovery_state.code(),
        partition_epoch: partition.partition_epoch,
    }
}

fn unknown_topic(id: Uuid) -> Refusal {
    Refusal::new(ErrorCode::UNKNOWN_TOPIC_ID, format!("no topic has id {id}"))
}
