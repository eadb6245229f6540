//! What DescribeLogDirs shows.

use std::sync::Arc;

use klamm_protocol::Uuid;

use super::{LogDirs, Replica};
use crate::disk::Space;
use crate::error::StorageError;
use crate::names::TopicPartition;

/// A log directory and what is in it.
#[derive(Clone, Debug)]
pub struct DirectoryDescription {
    /// Its path, as the settings have it.
    pub path: String,
    /// Its id.
    pub id: Option<Uuid>,
    /// What took it offline, if anything did.
    pub error: Option<StorageError>,
    /// Whether it takes no new replicas.
    pub is_cordoned: bool,
    /// Size and room of its volume; `None` if that cannot be asked.
    pub space: Option<Space>,
    /// The replicas in it.
    pub replicas: Vec<ReplicaDescription>,
}

/// A replica in a log directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaDescription {
    /// The partition.
    pub partition: TopicPartition,
    /// Bytes of its segments.
    pub size_bytes: u64,
    /// How far it is behind: a current replica behind the high watermark, a future one behind the current.
    pub offset_lag: i64,
    /// Whether it is being filled to replace the current one.
    pub is_future: bool,
}

impl LogDirs {
    /// All directories and their replicas.
    pub fn describe(&self) -> Vec<DirectoryDescription> {
        let current = self.replicas();
        let futures: Vec<_> = self.futures.read().iter().map(|(p, f)| (p.clone(), f.clone())).collect();
        let describe = |directory: &Arc<super::LogDirectory>| {
            let is_here =
                |(_, replica): &&(TopicPartition, Replica)| Arc::ptr_eq(&replica.directory, directory);
            let replicas = current.iter().filter(is_here).map(|(partition, replica)| {
                let lag = replica.log.high_watermark() - replica.log.log_end_offset();
                describe_replica(partition, replica, lag.max(0), false)
            });
            let futures = futures.iter().filter(is_here).map(|(partition, future)| {
                let end = self.get(partition).map_or(0, |current| current.log.log_end_offset());
                describe_replica(partition, future, (end - future.log.log_end_offset()).max(0), true)
            });
            DirectoryDescription {
                path: directory.path().to_string_lossy().into_owned(),
                id: directory.id(),
                error: directory.error(),
                is_cordoned: self.is_cordoned(directory),
                space: self.disk.space(directory.path()).ok(),
                replicas: replicas.chain(futures).collect(),
            }
        };
        self.directories.iter().map(describe).collect()
    }
}

fn describe_replica(
    partition: &TopicPartition,
    replica: &Replica,
    offset_lag: i64,
    is_future: bool,
) -> ReplicaDescription {
    let (partition, size_bytes) = (partition.clone(), replica.log.size());
    ReplicaDescription { partition, size_bytes, offset_lag, is_future }
}
