//! A look into a running node for whoever checks a whole cluster: what it takes for the metadata, and how its replicas stand.
//!
//! Nothing can be changed through it, and it does not keep a broker alive that is gone.

use std::sync::{Arc, Weak};

use klamm_metadata::MetadataImage;
use klamm_metadata::topics::TopicIdPartition;

use crate::broker::Broker;
use crate::partition::Partition;

/// A look into a running node. Clones look into the same one.
#[derive(Clone)]
pub struct Observer(Weak<Broker>);

/// How a replica stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// The epoch of the leader that it knows.
    pub leader_epoch: i32,
    /// The partition's epoch as its leader machine has it; none where this broker does not lead.
    pub led_in: Option<i32>,
    /// The first offset that may be read.
    pub log_start_offset: i64,
    /// What is below this is committed.
    pub high_watermark: i64,
    /// The offset behind the last record.
    pub log_end_offset: i64,
    /// The disk has failed it.
    pub is_failed: bool,
}

impl Observer {
    pub(crate) fn new(broker: &Arc<Broker>) -> Self {
        Self(Arc::downgrade(broker))
    }

    /// The metadata by which the node answers now; none if it is gone.
    pub fn image(&self) -> Option<Arc<MetadataImage>> {
        Some(Arc::clone(&self.0.upgrade()?.image()))
    }

    /// The replicas that are here, in the order of topic id and index; none if the node is gone.
    pub fn replicas(&self) -> Vec<(TopicIdPartition, ReplicaStatus)> {
        let Some(broker) = self.0.upgrade() else { return Vec::new() };
        let hosted = broker.hosted();
        let mut replicas: Vec<_> = hosted.partitions().map(|partition| status(partition)).collect();
        replicas.sort_unstable_by_key(|(id, _)| *id);
        replicas
    }
}

fn status(partition: &Partition) -> (TopicIdPartition, ReplicaStatus) {
    let id = TopicIdPartition { topic_id: partition.topic_id(), partition: partition.index() };
    let log = partition.log();
    let led_in = partition.as_leader(klamm_replica::Leader::partition_epoch);
    let status = ReplicaStatus {
        leader_epoch: partition.leadership().leader_epoch,
        led_in,
        log_start_offset: log.log_start_offset(),
        // Read before the log's end, which it never passes.
        high_watermark: log.high_watermark(),
        log_end_offset: log.log_end_offset(),
        is_failed: log.is_failed(),
    };
    (id, status)
}
