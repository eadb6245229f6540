//! Leader elections: asked for, and made by the controller itself to balance leaders or to bring partitions back.

use klamm_metadata::partition::{LeaderRecoveryState, Partition};
use klamm_metadata::{MetadataRecord, Topic, TopicIdPartition};
use klamm_protocol::ErrorCode;
use klamm_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use klamm_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse, PartitionChangeRecord};

use crate::partition_change::{Election, PartitionChange};
use crate::refusal::{Refusal, error_fields};
use crate::state::{Controller, Decision};

impl Controller {
    /// Elects the preferred leader (type 0), or any live replica of a partition without leader (type 1).
    pub fn elect_leaders(
        &self,
        request: &ElectLeadersRequest<'_>,
    ) -> Decision<ElectLeadersResponse<'static>> {
        let election = match request.election_type {
            0 => Election::Preferred,
            1 => Election::Unclean,
            _ => {
                let response =
                    ElectLeadersResponse { error_code: ErrorCode::INVALID_REQUEST, ..Default::default() };
                return Decision::nothing(response);
            }
        };
        let mut records = Vec::new();
        let mut response = ElectLeadersResponse::default();
        match &request.topic_partitions {
            Some(wanted) => {
                for topic in wanted {
                    let results = topic.partitions.iter().map(|&partition| {
                        self.partition_result(&topic.topic, partition, election, &mut records)
                    });
                    let partition_result = results.collect();
                    let topic = topic.topic.to_string().into();
                    response.replica_election_results.push(ReplicaElectionResult { topic, partition_result });
                }
            }
            None => response.replica_election_results = self.elect_everywhere(election, &mut records),
        }
        Decision::new(records, response)
    }

    /// Partitions that need no election are left out of the answer.
    fn elect_everywhere(
        &self,
        election: Election,
        records: &mut Vec<MetadataRecord<'static>>,
    ) -> Vec<ReplicaElectionResult<'static>> {
        let mut results = Vec::new();
        for topic in self.image.topics.iter() {
            let all = topic.partitions();
            let all = all.map(|(index, _)| self.partition_result(&topic.name, index, election, records));
            let partition_result: Vec<_> =
                all.filter(|result| result.error_code != ErrorCode::ELECTION_NOT_NEEDED).collect();
            if !partition_result.is_empty() {
                let topic = topic.name.to_string().into();
                results.push(ReplicaElectionResult { topic, partition_result });
            }
        }
        results
    }

    fn partition_result(
        &self,
        topic: &str,
        partition_id: i32,
        election: Election,
        records: &mut Vec<MetadataRecord<'static>>,
    ) -> PartitionResult<'static> {
        let result = self.topic(topic).and_then(|topic| self.elect(topic, partition_id, election));
        let (error_code, error_message) = error_fields(&result);
        records.extend(result.ok().map(MetadataRecord::PartitionChange));
        PartitionResult { partition_id, error_code, error_message }
    }

    fn elect(&self, topic: &Topic, index: i32, election: Election) -> Result<PartitionChangeRecord, Refusal> {
        let partition = self.partition(topic, index)?;
        let is_needed = match election {
            Election::Unclean => !partition.has_leader(),
            _ => !partition.has_preferred_leader(),
        };
        if !is_needed {
            return Err(Refusal::new(ErrorCode::ELECTION_NOT_NEEDED, "the leader is the one wanted"));
        }
        let id = TopicIdPartition { topic_id: topic.id, partition: index };
        self.election_record(topic, id, partition, election).ok_or_else(|| match election {
            Election::Unclean => {
                Refusal::new(ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE, "no replica is alive")
            }
            _ => {
                let message = "the first replica is not alive, or not in sync";
                Refusal::new(ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE, message)
            }
        })
    }

    fn election_record(
        &self,
        topic: &Topic,
        id: TopicIdPartition,
        partition: &Partition,
        election: Election,
    ) -> Option<PartitionChangeRecord> {
        let is_acceptable = |broker| self.may_lead(partition, broker, self.is_active(broker));
        self.with_rules(topic, &is_acceptable, |rules| {
            let mut change = PartitionChange::of(partition, rules);
            change.election = election;
            change.record(id)
        })
    }

    /// Whether some partition is not led by its first replica.
    pub fn has_imbalanced_partitions(&self) -> bool {
        !self.index.imbalanced().is_empty()
    }

    /// Moves leaders back to their preferred replicas, as many as one step may; `auto.leader.rebalance.enable` asks for it now and then. The
    /// response says whether there may be more.
    pub fn balance_leaders(&self) -> Decision<bool> {
        let imbalanced = self.index.imbalanced();
        let elections = imbalanced.iter().filter_map(|&id| {
            let topic = self.image.topics.by_id(id.topic_id)?;
            self.election_record(topic, id, topic.partition(id.partition)?, Election::Preferred)
        });
        self.at_most_one_step(elections)
    }

    /// Elects any live replica for partitions without leader whose topic allows it. The response says whether there may be more.
    pub fn elect_unclean_leaders(&self) -> Decision<bool> {
        let leaderless = self.index.leaderless();
        let elections = leaderless.iter().filter_map(|&id| {
            let topic = self.image.topics.by_id(id.topic_id)?;
            let allowed = self.unclean_election_enabled(topic);
            let partition = topic.partition(id.partition).filter(|_| allowed)?;
            self.election_record(topic, id, partition, Election::Unclean)
        });
        self.at_most_one_step(elections)
    }

    fn at_most_one_step(&self, elections: impl Iterator<Item = PartitionChangeRecord>) -> Decision<bool> {
        let limit = self.config.elections_per_step_max;
        let records: Vec<_> = elections.take(limit).map(MetadataRecord::PartitionChange).collect();
        let may_be_more = records.len() >= limit;
        Decision::new(records, may_be_more)
    }
}

/// The recovery state a request names, if it names one.
pub(crate) fn recovery_state(code: i8) -> Result<LeaderRecoveryState, Refusal> {
    LeaderRecoveryState::from_code(code).ok_or_else(|| {
        Refusal::new(ErrorCode::INVALID_REQUEST, format!("unknown leader recovery state {code}"))
    })
}
