//! In-sync replicas that leaders here propose, on their way to the controller: all that wait go in one request, one request at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use klamm_metadata::TopicIdPartition;
use klamm_protocol::ErrorCode;
use klamm_protocol::messages::alter_partition_request::{BrokerState, PartitionData, TopicData};
use klamm_protocol::messages::alter_partition_response::PartitionData as PartitionAnswer;
use klamm_protocol::messages::{AlterPartitionRequest, AlterPartitionResponse};
use klamm_replica::{IsrProposal, ProposalAnswer};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::broker::Broker;
use crate::limits::{ISR_CHANGE_MS_MAX, ISR_CHANGE_RETRY_MS};
use crate::partition::Partition;

type Proposals = BTreeMap<TopicIdPartition, (Arc<Partition>, IsrProposal)>;

/// Proposals that wait for the next request. Each partition has one at most.
#[derive(Default)]
pub(crate) struct IsrChanges {
    waiting: Mutex<Proposals>,
    woken: Notify,
}

impl IsrChanges {
    /// Has a proposal sent to the controller.
    pub(crate) fn propose(&self, partition: Arc<Partition>, proposal: IsrProposal) {
        let id = TopicIdPartition { topic_id: partition.topic_id(), partition: partition.index() };
        self.waiting.lock().insert(id, (partition, proposal));
        self.woken.notify_one();
    }

    fn take(&self) -> Proposals {
        std::mem::take(&mut *self.waiting.lock())
    }
}

/// Sends what is proposed, for ever.
pub(crate) async fn send_all(broker: Arc<Broker>) {
    loop {
        broker.isr_changes().woken.notified().await;
        let proposals = broker.isr_changes().take();
        if !proposals.is_empty() {
            send(&broker, proposals).await;
        }
    }
}

async fn send(broker: &Broker, proposals: Proposals) {
    let request = request(broker, &proposals);
    let answered = broker.ask_controller(request, Duration::from_millis(ISR_CHANGE_MS_MAX)).await;
    match answered {
        Ok(response) if !response.error_code.is_error() => take_answers(broker, &proposals, &response),
        Ok(AlterPartitionResponse { error_code, .. }) => {
            tracing::info!("the controller refuses changes of in-sync replicas: {error_code}");
            retry(broker, proposals.into_values().map(|(partition, _)| partition)).await;
        }
        Err(error) => {
            tracing::info!("changes of in-sync replicas wait: {error}");
            retry(broker, proposals.into_values().map(|(partition, _)| partition)).await;
        }
    }
}

fn request(broker: &Broker, proposals: &Proposals) -> AlterPartitionRequest {
    let mut topics: Vec<TopicData> = Vec::new();
    for (id, (_, proposal)) in proposals {
        let members = proposal.isr.iter();
        let data = PartitionData {
            partition_index: id.partition,
            leader_epoch: proposal.leader_epoch,
            new_isr_with_epochs: members
                .map(|&(broker_id, broker_epoch)| BrokerState { broker_id, broker_epoch })
                .collect(),
            partition_epoch: proposal.partition_epoch,
            ..PartitionData::default()
        };
        match topics.last_mut().filter(|topic| topic.topic_id == id.topic_id) {
            Some(topic) => topic.partitions.push(data),
            None => topics.push(TopicData { topic_id: id.topic_id, partitions: vec![data] }),
        }
    }
    AlterPartitionRequest { broker_id: broker.node_id(), broker_epoch: broker.epoch(), topics }
}

/// What the controller does not answer is asked again.
fn take_answers(broker: &Broker, proposals: &Proposals, response: &AlterPartitionResponse) {
    let mut left: BTreeMap<_, _> = proposals.iter().collect();
    for topic in &response.topics {
        for answer in &topic.partitions {
            let id = TopicIdPartition { topic_id: topic.topic_id, partition: answer.partition_index };
            let Some((partition, proposal)) = left.remove(&id) else { continue };
            let outcome = outcome(answer);
            tracing::debug!("{}-{}: {proposal:?} → {outcome:?}", partition.topic(), partition.index());
            let next = match outcome {
                Some(outcome) => partition.proposal_answered(proposal, outcome),
                None => partition.pending_proposal(),
            };
            if let Some(next) = next {
                broker.isr_changes().propose(partition.clone(), next);
            }
        }
    }
    for (partition, _) in left.into_values() {
        if let Some(proposal) = partition.pending_proposal() {
            broker.isr_changes().propose(partition.clone(), proposal);
        }
    }
}

/// None where it is to be asked again.
fn outcome(answer: &PartitionAnswer) -> Option<ProposalAnswer> {
    match answer.error_code {
        ErrorCode::NONE => Some(ProposalAnswer::Altered {
            leader_epoch: answer.leader_epoch,
            partition_epoch: answer.partition_epoch,
            isr: answer.isr.clone(),
        }),
        ErrorCode::OPERATION_NOT_ATTEMPTED | ErrorCode::INELIGIBLE_REPLICA => {
            Some(ProposalAnswer::NotAttempted)
        }
        ErrorCode::NOT_CONTROLLER | ErrorCode::UNKNOWN_SERVER_ERROR | ErrorCode::REQUEST_TIMED_OUT => None,
        _ => Some(ProposalAnswer::Outdated),
    }
}

async fn retry(broker: &Broker, partitions: impl Iterator<Item = Arc<Partition>>) {
    tokio::time::sleep(Duration::from_millis(ISR_CHANGE_RETRY_MS)).await;
    for partition in partitions {
        if let Some(proposal) = partition.pending_proposal() {
            broker.isr_changes().propose(partition, proposal);
        }
    }
}
