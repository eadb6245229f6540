//! Topics that live as long as a measurement.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use klamm_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use klamm_protocol::messages::delete_topics_request::DeleteTopicState;
use klamm_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use klamm_protocol::messages::{CreateTopicsRequest, DeleteTopicsRequest, ListOffsetsRequest};
use klamm_protocol::{ErrorCode, Uuid};

use super::{Connection, PartitionState, partition_states};
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
        let topic = Self::create_soon(address, name, (partitions, 1), configs)?;
        topic.wait_until_ready(address)?;
        Ok(topic)
    }

    /// Creates a topic with a replica on every node, and waits until all are in sync and all leaders answer.
    pub(crate) fn create_replicated(nodes: &[SocketAddr], name: &str, partitions: i32) -> Result<Self> {
        let topic = Self::create_soon(nodes[0], name, (partitions, nodes.len()), &[])?;
        topic.wait_until_replicated(nodes)?;
        Ok(topic)
    }

    /// Creates a topic, as soon as the broker can.
    pub(crate) fn create_soon(
        address: SocketAddr,
        name: &str,
        size: (i32, usize),
        configs: &[(&str, &str)],
    ) -> Result<Self> {
        let mut connection = Connection::open(address)?;
        // A broker that has only just started may not know itself or the others yet.
        let id = patiently(|| Self::try_create(&mut connection, name, size, configs))?;
        Ok(Self { name: name.to_owned(), id, partitions: size.0 })
    }

    /// Asks once for a topic of so many partitions and replicas; gives its id.
    pub(crate) fn try_create(
        connection: &mut Connection,
        name: &str,
        (partitions, replicas): (i32, usize),
        configs: &[(&str, &str)],
    ) -> Result<Uuid> {
        let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
            name: name.to_string().into(),
            value: Some(value.to_string().into()),
        };
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: replicas as i16,
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
        let all: Vec<i32> = (0..self.partitions).collect();
        let mut connection = Connection::open(address)?;
        patiently(|| self.check_ready(&mut connection, &all))
    }

    /// Waits until every replica is in sync, as every node sees it, and every leader answers.
    pub(crate) fn wait_until_replicated(&self, nodes: &[SocketAddr]) -> Result<()> {
        for (index, address) in nodes.iter().enumerate() {
            let mut connection = Connection::open(*address)?;
            let led = patiently(|| self.led_by(index, nodes.len(), &mut connection))?;
            patiently(|| self.check_ready(&mut connection, &led))?;
        }
        Ok(())
    }

    /// Waits until each partition is answered for by one of these nodes as its leader.
    pub(crate) fn wait_until_led(&self, nodes: &[SocketAddr]) -> Result<()> {
        let mut connections = nodes.iter().map(|node| Connection::open(*node)).collect::<Result<Vec<_>>>()?;
        let mut left: Vec<i32> = (0..self.partitions).collect();
        patiently(|| {
            for connection in &mut connections {
                left = self.refused(connection, &left)?;
            }
            match left.is_empty() {
                true => Ok(()),
                false => accepted("ListOffsets", ErrorCode::LEADER_NOT_AVAILABLE),
            }
        })
    }

    /// Fails where a partition has fewer replicas in sync: what was acknowledged meanwhile had less to wait for.
    pub(crate) fn check_in_sync(&self, address: SocketAddr, replicas: usize) -> Result<()> {
        let states = partition_states(&mut Connection::open(address)?, &self.name)?;
        match states.iter().position(|state| state.in_sync != replicas) {
            None => Ok(()),
            Some(index) => Err(Failure::Other(format!(
                "{}-{index} has {} replicas in sync, not {replicas}",
                self.name, states[index].in_sync
            ))),
        }
    }

    /// The node that leads each partition.
    pub(crate) fn leaders(&self, address: SocketAddr) -> Result<Vec<usize>> {
        let states = partition_states(&mut Connection::open(address)?, &self.name)?;
        let leaders: Option<Vec<usize>> = states.iter().map(|state| state.leader).collect();
        leaders.ok_or_else(|| Failure::Other(format!("{} has partitions without a leader", self.name)))
    }

    /// The partitions that a node leads, provided that all have a leader and so many replicas in sync.
    fn led_by(&self, node: usize, in_sync: usize, connection: &mut Connection) -> Result<Vec<i32>> {
        let states = partition_states(connection, &self.name)?;
        let is_whole = |state: &PartitionState| state.leader.is_some() && state.in_sync == in_sync;
        if states.len() != self.partitions as usize || !states.iter().all(is_whole) {
            return accepted("Metadata", ErrorCode::LEADER_NOT_AVAILABLE).map(|()| Vec::new());
        }
        let led = states.iter().enumerate().filter(|(_, state)| state.leader == Some(node));
        Ok(led.map(|(index, _)| index as i32).collect())
    }

    fn check_ready(&self, connection: &mut Connection, partitions: &[i32]) -> Result<()> {
        match self.refused(connection, partitions)?.is_empty() {
            true => Ok(()),
            false => accepted("ListOffsets", ErrorCode::LEADER_NOT_AVAILABLE),
        }
    }

    /// Those of these partitions for which the broker does not answer as their leader.
    fn refused(&self, connection: &mut Connection, partitions: &[i32]) -> Result<Vec<i32>> {
        let partition = |partition_index: &i32| ListOffsetsPartition {
            partition_index: *partition_index,
            current_leader_epoch: -1,
            timestamp: LATEST,
        };
        let topic = ListOffsetsTopic {
            name: self.name.as_str().into(),
            partitions: partitions.iter().map(partition).collect(),
        };
        let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
        let response = connection.call(&request, LIST_OFFSETS_VERSION)?;
        let answered = response.topics.iter().flat_map(|topic| &topic.partitions);
        let refused = answered.filter(|partition| partition.error_code != ErrorCode::NONE);
        Ok(refused.map(|partition| partition.partition_index).collect())
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

/// Asks again until it is not refused.
pub(super) fn patiently<T>(mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + READY_TIME_MAX;
    loop {
        match ask() {
            Err(Failure::Refused { .. }) if Instant::now() < deadline => thread::sleep(LOOK),
            done => return done,
        }
    }
}
