//! OffsetCommit.

use klamm_protocol::ErrorCode;
use klamm_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use klamm_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use klamm_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse, OffsetCommitValue};

use crate::record::CoordinatorRecord;

/// The retention time of a request that has none of its own.
const NO_RETENTION_TIME: i64 = -1;

/// What every partition of a commit is checked and stamped with.
pub(crate) struct CommitCheck {
    pub(crate) now_ms: i64,
    pub(crate) metadata_length_max: usize,
}

impl CommitCheck {
    /// The records of a commit, and the answer for when they are committed. The records borrow from the request.
    pub(crate) fn commit<'a>(
        &self,
        request: &'a OffsetCommitRequest<'_>,
    ) -> (Vec<CoordinatorRecord<'a>>, OffsetCommitResponse<'static>) {
        let count = request.topics.iter().map(|topic| topic.partitions.len()).sum();
        let mut records = Vec::with_capacity(count);
        let topics = request.topics.iter().map(|topic| OffsetCommitResponseTopic {
            name: topic.name.to_string().into(),
            topic_id: topic.topic_id,
            partitions: Vec::with_capacity(topic.partitions.len()),
        });
        let mut response =
            OffsetCommitResponse { topics: topics.collect(), ..OffsetCommitResponse::default() };
        for (topic, answered) in request.topics.iter().zip(&mut response.topics) {
            for partition in &topic.partitions {
                let error_code = self.check(partition);
                if error_code == ErrorCode::NONE {
                    let value = OffsetCommitValue {
                        topic_id: topic.topic_id,
                        ..self.value(partition, request.retention_time_ms)
                    };
                    let index = partition.partition_index;
                    records.push(CoordinatorRecord::offset(&request.group_id, &topic.name, index, value));
                }
                let partition_index = partition.partition_index;
                answered.partitions.push(OffsetCommitResponsePartition { partition_index, error_code });
            }
        }
        (records, response)
    }

    fn check(&self, partition: &OffsetCommitRequestPartition<'_>) -> ErrorCode {
        let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
        let is_too_long = metadata.len() > self.metadata_length_max
            && metadata.encode_utf16().count() > self.metadata_length_max;
        if is_too_long { ErrorCode::OFFSET_METADATA_TOO_LARGE } else { ErrorCode::NONE }
    }

    fn value<'a>(
        &self,
        partition: &'a OffsetCommitRequestPartition<'_>,
        retention_time_ms: i64,
    ) -> OffsetCommitValue<'a> {
        let expires = retention_time_ms != NO_RETENTION_TIME;
        OffsetCommitValue {
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.committed_metadata.as_deref().unwrap_or_default().into(),
            commit_timestamp: self.now_ms,
            expire_timestamp: if expires { self.now_ms.saturating_add(retention_time_ms) } else { -1 },
            ..OffsetCommitValue::default()
        }
    }
}

/// The answer to a commit that is refused as a whole.
pub(crate) fn refuse_commit(
    request: &OffsetCommitRequest<'_>,
    error_code: ErrorCode,
) -> OffsetCommitResponse<'static> {
    let topics = request.topics.iter().map(|topic| OffsetCommitResponseTopic {
        name: topic.name.to_string().into(),
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code,
            })
            .collect(),
    });
    OffsetCommitResponse { topics: topics.collect(), ..OffsetCommitResponse::default() }
}
