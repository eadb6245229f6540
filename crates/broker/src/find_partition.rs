//! Finding the partition that a request names, and what to say where it is not here.

use std::sync::Arc;

use klamm_metadata::Topic;
use klamm_protocol::{ErrorCode, Uuid};

use crate::broker::Broker;
use crate::partition::Partition;

impl Broker {
    /// The partition of a topic that is named by its id.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_ID`, and as [`Broker::partition_by_name`].
    pub(crate) fn partition_by_id(&self, topic: Uuid, index: i32) -> Result<Arc<Partition>, ErrorCode> {
        let hosted = self.hosted();
        match hosted.by_id(topic).and_then(|topic| topic.partition(index)) {
            Some(partition) => Ok(partition.clone()),
            None => {
                let image = self.image();
                let known = image.topics.by_id(topic).ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?;
                Err(self.why_not_here(known, index))
            }
        }
    }

    /// The partition of a topic that is named by its name.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION` where there is no such partition, `KAFKA_STORAGE_ERROR` where its log cannot be used,
    /// `NOT_LEADER_OR_FOLLOWER` where it is elsewhere.
    pub(crate) fn partition_by_name(&self, topic: &str, index: i32) -> Result<Arc<Partition>, ErrorCode> {
        let hosted = self.hosted();
        match hosted.partition(topic, index) {
            Some(partition) => Ok(partition.clone()),
            None => {
                let image = self.image();
                let known = image.topics.by_name(topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
                Err(self.why_not_here(known, index))
            }
        }
    }

    fn why_not_here(&self, topic: &Topic, index: i32) -> ErrorCode {
        match topic.partition(index) {
            None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            Some(state) if state.replicas.contains(&self.node_id()) => ErrorCode::KAFKA_STORAGE_ERROR,
            Some(_) => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        }
    }
}
