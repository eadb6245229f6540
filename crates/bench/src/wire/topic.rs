//! Topics that live as long as a measurement.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use klamm_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use klamm_protocol::messages::delete_topics_request::DeleteTopicState;
use klamm_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use klamm_protocol::messages::{CreateTopicsRequest, DeleteTopicsRequest, ListOffsetsRequest};
use klamm_protocol::{ErrorCode, Uuid};

use super::Connection;
use crate::failure::{Failure, Result, accepted};

const CREATE_VERSION: i16 = 7;
const DELETE_VERSION: i16 = 6;
const LIST_OFFSETS_VERSION: i16 = 9;
const LATEST: i64 = -1;
const READY_TIME_MAX: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(5);

/// A topic of the broker under test.
#[derive(Debug, Clone)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) id: Uuid,
    pub(crate) partitions: i32,
}

impl Topic {
    /// Creates a topic and waits until all its partitions can be used.
    pub(crate) fn create(
        address: SocketAddr,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Result<Self> {
        let mut connection = Connection::open(address)?;
        let deadline = Instant::now() + READY_TIME_MAX;
        let id = loop {
            match Self::try_create(&mut connection, name, partitions, configs) {
                // A broker that has only just started may not know itself yet.
                Err(Failure::Refused { .. }) if Instant::now() < deadline => thread::sleep(LOOK),
                done => break done?,
            }
        };
        let topic = Self { name: name.to_owned(), id, partitions };
        topic.wait_until_ready(address)?;
        Ok(topic)
    }

    fn try_create(
        connection: &mut Connection,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Result<Uuid> {
        let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
            name: name.to_string().into(),
            value: Some(value.to_string().into()),
        };
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: 1,
            configs: configs.iter().map(config).collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 60_000, validate_only: false };
        let response = connection.call(&request, CREATE_VERSION)?;
        let created =
            response.topics.first().ok_or_else(|| Failure::Other("no topic in the answer".into()))?;
        accepted("CreateTopics", created.error_code)?;
        Ok(created.topic_id)
    }

    /// Waits until every partition has a leader that answers.
    pub(crate) fn wait_until_ready(&self, address: SocketAddr) -> Result<()> {
        let deadline = Instant::now() + READY_TIME_MAX;
        let mut connection = Connection::open(address)?;
        loop {
            match self.check_ready(&mut connection) {
                Err(Failure::Refused { .. }) if Instant::now() < deadline => thread::sleep(LOOK),
                done => return done,
            }
        }
    }

    fn check_ready(&self, connection: &mut Connection) -> Result<()> {
        let partition = |partition_index| ListOffsetsPartition {
            partition_index,
            current_leader_epoch: -1,
            timestamp: LATEST,
        };
        let topic = ListOffsetsTopic {
            name: self.name.as_str().into(),
            partitions: (0..self.partitions).map(partition).collect(),
        };
        let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
        let response = connection.call(&request, LIST_OFFSETS_VERSION)?;
        let mut partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.try_for_each(|partition| accepted("ListOffsets", partition.error_code))
    }

    /// Deletes the topic, so that the next measurement begins with a clean disk and page cache.
    pub(crate) fn delete(&self, address: SocketAddr) -> Result<()> {
        let state = DeleteTopicState { name: Some(self.name.as_str().into()), topic_id: Uuid::ZERO };
        let request = DeleteTopicsRequest { topics: vec![state], timeout_ms: 60_000, ..Default::default() };
        let response = Connection::open(address)?.call(&request, DELETE_VERSION)?;
        let code = response.responses.first().map_or(ErrorCode::NONE, |topic| topic.error_code);
        accepted("DeleteTopics", code)
    }
}
