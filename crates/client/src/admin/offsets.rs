//! Offsets of partitions: looking them up, and deleting the records below one.

use std::collections::BTreeMap;

use klamm_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use klamm_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use klamm_protocol::messages::{DeleteRecordsRequest, ListOffsetsRequest};

use super::{Admin, AdminError, Outcomes, Refusal};
use crate::TopicPartition;
use crate::config::IsolationLevel;
use crate::topic_partition::by_topic;

/// Which offset of a partition is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first one there is.
    Earliest,
    /// The end: the high watermark, or with `read_committed` the last stable offset.
    Latest,
    /// That of the record with the largest timestamp.
    MaxTimestamp,
    /// The first on the leader's own disk (tiered storage).
    EarliestLocal,
    /// The last in remote storage (tiered storage).
    LatestTiered,
    /// The first whose record is not older than this, in milliseconds since 1970.
    Timestamp(i64),
}

impl OffsetSpec {
    /// The value on the wire.
    pub(crate) fn timestamp(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::MaxTimestamp => -3,
            Self::EarliestLocal => -4,
            Self::LatestTiered => -5,
            Self::Timestamp(ms) => ms,
        }
    }
}

/// An offset that was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset; `None` if no record is as asked for.
    pub offset: Option<i64>,
    /// The record's timestamp, where one was asked for.
    pub timestamp_ms: Option<i64>,
    /// The leader epoch of the record; −1 where unknown.
    pub leader_epoch: i32,
}

impl Admin {
    /// Looks up an offset of each partition.
    pub async fn list_offsets(
        &self,
        specs: &BTreeMap<TopicPartition, OffsetSpec>,
        isolation_level: IsolationLevel,
    ) -> Result<Outcomes<TopicPartition, ListedOffset>, AdminError> {
        self.ask_leaders(specs.keys().cloned().collect(), |cluster, leader, partitions| async move {
            let chosen = partitions.iter().filter_map(|p| Some((p, *specs.get(p)?)));
            let timeout_ms = cluster.config().request_timeout_ms;
            let request = list_offsets_request(chosen, isolation_level, timeout_ms);
            let response =
                cluster.broker(leader).await.map_err(crate::RequestError::from)?.call(&request).await?;
            let results = response.topics.into_iter().flat_map(|topic| {
                topic.partitions.into_iter().map(move |p| {
                    let partition = TopicPartition::new(&topic.name, p.partition_index);
                    let listed = ListedOffset {
                        offset: (p.offset >= 0).then_some(p.offset),
                        timestamp_ms: (p.timestamp >= 0).then_some(p.timestamp),
                        leader_epoch: p.leader_epoch,
                    };
                    (partition, Refusal::check(p.error_code, None::<&str>).map(|()| listed))
                })
            });
            Ok(results.collect())
        })
        .await
    }

    /// Deletes all records below these offsets; `None` deletes all there are. Returns the new first offsets.
    pub async fn delete_records(
        &self,
        before: &BTreeMap<TopicPartition, Option<i64>>,
    ) -> Result<Outcomes<TopicPartition, i64>, AdminError> {
        let timeout_ms = self.operation_timeout_ms();
        self.ask_leaders(before.keys().cloned().collect(), |cluster, leader, partitions| async move {
            let chosen = partitions.iter().filter_map(|p| Some((p, before.get(p)?.unwrap_or(-1))));
            let topic = |(name, partitions): (std::sync::Arc<str>, Vec<(i32, i64)>)| DeleteRecordsTopic {
                name: name.to_string().into(),
                partitions: partitions
                    .into_iter()
                    .map(|(partition_index, offset)| DeleteRecordsPartition { partition_index, offset })
                    .collect(),
            };
            let request = DeleteRecordsRequest {
                topics: by_topic(chosen).into_iter().map(topic).collect(),
                timeout_ms,
            };
            let response =
                cluster.broker(leader).await.map_err(crate::RequestError::from)?.call(&request).await?;
            let results = response.topics.into_iter().flat_map(|topic| {
                topic.partitions.into_iter().map(move |p| {
                    let checked = Refusal::check(p.error_code, None::<&str>).map(|()| p.low_watermark);
                    (TopicPartition::new(&topic.name, p.partition_index), checked)
                })
            });
            Ok(results.collect())
        })
        .await
    }
}

/// The request that looks up offsets by spec.
pub(crate) fn list_offsets_request<'p>(
    specs: impl Iterator<Item = (&'p TopicPartition, OffsetSpec)>,
    isolation_level: IsolationLevel,
    timeout_ms: u64,
) -> ListOffsetsRequest<'static> {
    let partition = |(partition_index, spec): (i32, OffsetSpec)| ListOffsetsPartition {
        partition_index,
        timestamp: spec.timestamp(),
        ..ListOffsetsPartition::default()
    };
    let topics = by_topic(specs).into_iter().map(|(name, partitions)| ListOffsetsTopic {
        name: name.to_string().into(),
        partitions: partitions.into_iter().map(partition).collect(),
    });
    ListOffsetsRequest {
        replica_id: -1,
        isolation_level: isolation_level.code(),
        topics: topics.collect(),
        timeout_ms: i32::try_from(timeout_ms).unwrap_or(i32::MAX),
    }
}
