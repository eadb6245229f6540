//! Topics: listing, creating, deleting, adding partitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use klamm_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use klamm_protocol::messages::delete_topics_request::DeleteTopicState;
use klamm_protocol::messages::{CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest};
use klamm_protocol::{ErrorCode, Uuid};

use super::{Admin, AdminError, Outcomes, Refusal, owned};
use crate::cluster::{Topic, Topics};

/// A topic to be created.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Number of partitions; `None` leaves it to the broker's `num.partitions`.
    pub partitions: Option<i32>,
    /// Replicas of each partition; `None` leaves it to `default.replication.factor`.
    pub replication_factor: Option<i16>,
    /// The brokers of each partition, instead of the two numbers above.
    pub assignment: BTreeMap<i32, Vec<i32>>,
    /// Topic settings.
    pub configs: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic by Kafka's defaults.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// A topic as the cluster has created it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id; zero where the broker is too old to say.
    pub id: Uuid,
    /// Number of partitions; −1 where the broker does not say.
    pub partitions: i32,
    /// Replicas of each partition; −1 where the broker does not say.
    pub replication_factor: i16,
}

/// Partitions to be added to a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPartitions {
    /// How many the topic shall have in all.
    pub total: i32,
    /// The brokers of each new partition; `None` leaves it to the cluster.
    pub assignment: Option<Vec<Vec<i32>>>,
}

impl Admin {
    /// All topics with their partitions, by name; Kafka's own only if asked for.
    pub async fn list_topics(&self, include_internal: bool) -> Result<Vec<Arc<Topic>>, AdminError> {
        let retriable = |error: &AdminError| error.is_retriable();
        let metadata = self
            .cluster
            .retrying(self.cluster.api_deadline(), retriable, || async {
                Ok(self.cluster.refresh(Topics::All, false).await?)
            })
            .await?;
        let wanted = metadata.topics().filter(|topic| include_internal || !topic.is_internal);
        let mut topics: Vec<Arc<Topic>> = wanted.cloned().collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// These topics with their partitions.
    pub async fn describe_topics<S: AsRef<str>>(
        &self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Outcomes<String, Arc<Topic>>, AdminError> {
        let names: Vec<Arc<str>> = names.into_iter().map(|name| Arc::from(name.as_ref())).collect();
        let retriable = |error: &AdminError| error.is_retriable();
        let metadata = self
            .cluster
            .retrying(self.cluster.api_deadline(), retriable, || async {
                // Asked for anew: what is known may be older than what was just created or deleted.
                Ok(self.cluster.fetch_topics(&names).await?)
            })
            .await?;
        let describe = |name: &Arc<str>| {
            let code = metadata.topic_error(name).unwrap_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            metadata.topic(name).cloned().ok_or(Refusal { code, message: None })
        };
        Ok(names.iter().map(|name| (name.to_string(), describe(name))).collect())
    }

    /// Creates topics; with `validate_only` the cluster only says whether it would.
    pub async fn create_topics(
        &self,
        topics: &[NewTopic],
        validate_only: bool,
    ) -> Result<Outcomes<String, CreatedTopic>, AdminError> {
        let request = CreateTopicsRequest {
            topics: topics.iter().map(creatable).collect(),
            timeout_ms: self.operation_timeout_ms(),
            validate_only,
        };
        let response = self
            .cluster
            .call_controller(&request, |response| first_code(response.topics.iter().map(|t| t.error_code)))
            .await?;
        let results = response.topics.into_iter().map(|topic| {
            let created = CreatedTopic {
                id: topic.topic_id,
                partitions: topic.num_partitions,
                replication_factor: topic.replication_factor,
            };
            let checked = Refusal::check(topic.error_code, topic.error_message).map(|()| created);
            (topic.name.into_owned(), checked)
        });
        Ok(results.collect())
    }

    /// Deletes topics with all their records.
    pub async fn delete_topics<S: AsRef<str>>(
        &self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Outcomes<String, ()>, AdminError> {
        let names: Vec<String> = names.into_iter().map(|name| name.as_ref().to_owned()).collect();
        let state =
            |name: &String| DeleteTopicState { name: Some(name.clone().into()), topic_id: Uuid::ZERO };
        let request = DeleteTopicsRequest {
            topics: names.iter().map(state).collect(),
            topic_names: names.iter().map(|name| name.into()).collect(),
            timeout_ms: self.operation_timeout_ms(),
        };
        let response = self
            .cluster
            .call_controller(&request, |response| first_code(response.responses.iter().map(|t| t.error_code)))
            .await?;
        let results = response.responses.into_iter().map(|topic| {
            (owned(topic.name).unwrap_or_default(), Refusal::check(topic.error_code, topic.error_message))
        });
        Ok(results.collect())
    }

    /// Adds partitions to topics.
    pub async fn create_partitions(
        &self,
        topics: &BTreeMap<String, NewPartitions>,
        validate_only: bool,
    ) -> Result<Outcomes<String, ()>, AdminError> {
        let topic = |(name, new): (&String, &NewPartitions)| CreatePartitionsTopic {
            name: name.clone().into(),
            count: new.total,
            assignments: new.assignment.as_ref().map(|partitions| {
                partitions.iter().map(|ids| CreatePartitionsAssignment { broker_ids: ids.clone() }).collect()
            }),
        };
        let request = CreatePartitionsRequest {
            topics: topics.iter().map(topic).collect(),
            timeout_ms: self.operation_timeout_ms(),
            validate_only,
        };
        let response = self
            .cluster
            .call_controller(&request, |response| first_code(response.results.iter().map(|t| t.error_code)))
            .await?;
        let results = response.results.into_iter();
        Ok(results.map(|r| (r.name.into_owned(), Refusal::check(r.error_code, r.error_message))).collect())
    }
}

/// A node that is not the controller says so for every topic.
fn first_code(mut codes: impl Iterator<Item = ErrorCode>) -> ErrorCode {
    codes.next().unwrap_or(ErrorCode::NONE)
}

fn creatable(topic: &NewTopic) -> CreatableTopic<'_> {
    let is_assigned = !topic.assignment.is_empty();
    let assignment = |(partition, brokers): (&i32, &Vec<i32>)| CreatableReplicaAssignment {
        partition_index: *partition,
        broker_ids: brokers.clone(),
    };
    let config = |(name, value): (&'_ String, &'_ String)| CreatableTopicConfig {
        name: name.clone().into(),
        value: Some(value.clone().into()),
    };
    CreatableTopic {
        name: topic.name.as_str().into(),
        num_partitions: if is_assigned { -1 } else { topic.partitions.unwrap_or(-1) },
        replication_factor: if is_assigned { -1 } else { topic.replication_factor.unwrap_or(-1) },
        assignments: topic.assignment.iter().map(assignment).collect(),
        configs: topic.configs.iter().map(config).collect(),
    }
}
