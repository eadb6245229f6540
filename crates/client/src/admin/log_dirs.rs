//! Where brokers keep what: their log directories.

use klamm_protocol::messages::DescribeLogDirsRequest;
use klamm_protocol::messages::describe_log_dirs_response::DescribeLogDirsResult;

use super::{Admin, AdminError, Refusal};
use crate::TopicPartition;

/// A log directory of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDir {
    /// Its path on the broker.
    pub path: String,
    /// What is wrong with it, if anything.
    pub state: Result<(), Refusal>,
    /// What lies in it.
    pub replicas: Vec<LogDirReplica>,
    /// Size of its volume in bytes; −1 where unknown.
    pub total_bytes: i64,
    /// Free bytes of its volume; −1 where unknown.
    pub usable_bytes: i64,
    /// Whether new replicas are kept out of it (KIP-1066).
    pub is_cordoned: bool,
}

/// A replica in a log directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDirReplica {
    /// Its partition.
    pub partition: TopicPartition,
    /// Its size on disk in bytes.
    pub size_bytes: i64,
    /// How far it is behind the high watermark, or a future replica behind the current one.
    pub offset_lag: i64,
    /// Whether it is on its way here from another directory.
    pub is_future: bool,
}

impl Admin {
    /// A broker's log directories with all that lies in them.
    pub async fn describe_log_dirs(&self, broker: i32) -> Result<Vec<LogDir>, AdminError> {
        let response = self.cluster.call_broker(broker, &DescribeLogDirsRequest { topics: None }).await?;
        Refusal::check(response.error_code, None::<&str>)
            .map_err(|refusal| AdminError::refused(format!("log directories of broker {broker}"), refusal))?;
        Ok(response.results.into_iter().map(log_dir).collect())
    }
}

fn log_dir(result: DescribeLogDirsResult<'_>) -> LogDir {
    let replicas = result.topics.into_iter().flat_map(|topic| {
        topic.partitions.into_iter().map(move |p| LogDirReplica {
            partition: TopicPartition::new(&topic.name, p.partition_index),
            size_bytes: p.partition_size,
            offset_lag: p.offset_lag,
            is_future: p.is_future_key,
        })
    });
    LogDir {
        path: result.log_dir.into_owned(),
        state: Refusal::check(result.error_code, None::<&str>),
        replicas: replicas.collect(),
        total_bytes: result.total_bytes,
        usable_bytes: result.usable_bytes,
        is_cordoned: result.is_cordoned,
    }
}
