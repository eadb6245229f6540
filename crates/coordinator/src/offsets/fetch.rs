//! OffsetFetch, one group of it.

use klamm_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use klamm_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use klamm_protocol::{ErrorCode, Uuid};

use super::store::CommittedOffset;
use super::transactions::Offsets;

impl Offsets {
    /// The offsets that `request` asks for: those it names, or all there are if it names none. With `require_stable`, a
    /// partition that an open transaction will decide about is answered with UNSTABLE_OFFSET_COMMIT.
    pub(crate) fn fetch(
        &self,
        request: &OffsetFetchRequestGroup<'_>,
        require_stable: bool,
    ) -> OffsetFetchResponseGroup<'static> {
        let topics = match &request.topics {
            Some(named) => {
                named.iter().map(|topic| self.fetch_topic(request, topic, require_stable)).collect()
            }
            None => self.fetch_all(&request.group_id, require_stable),
        };
        OffsetFetchResponseGroup {
            group_id: request.group_id.to_string().into(),
            topics,
            ..OffsetFetchResponseGroup::default()
        }
    }

    fn fetch_topic(
        &self,
        request: &OffsetFetchRequestGroup<'_>,
        topic: &OffsetFetchRequestTopics<'_>,
        require_stable: bool,
    ) -> OffsetFetchResponseTopics<'static> {
        let committed = self.group(&request.group_id).and_then(|topics| topics.get(topic.name.as_ref()));
        let partitions = topic.partition_indexes.iter().map(|&index| {
            if require_stable && self.is_open(&request.group_id, &topic.name, index) {
                return unstable(index);
            }
            let offset = committed.and_then(|partitions| partitions.get(&index));
            // A topic that was deleted and made anew has a new id; the old one's offsets mean nothing to it.
            match offset.filter(|offset| may_be_same(offset.topic_id, topic.topic_id)) {
                Some(offset) => found(index, offset),
                None => nothing(index),
            }
        });
        OffsetFetchResponseTopics {
            name: topic.name.to_string().into(),
            topic_id: topic.topic_id,
            partitions: partitions.collect(),
        }
    }

    fn fetch_all(&self, group_id: &str, require_stable: bool) -> Vec<OffsetFetchResponseTopics<'static>> {
        let topics = self.group(group_id).into_iter().flatten();
        let fetch_one = |topic: &str, index: i32, offset: &CommittedOffset| {
            if require_stable && self.is_open(group_id, topic, index) {
                unstable(index)
            } else {
                found(index, offset)
            }
        };
        topics
            .map(|(topic, partitions)| OffsetFetchResponseTopics {
                name: topic.to_string().into(),
                partitions: partitions
                    .iter()
                    .map(|(index, offset)| fetch_one(topic, *index, offset))
                    .collect(),
                ..OffsetFetchResponseTopics::default()
            })
            .collect()
    }
}

fn may_be_same(committed: Uuid, asked: Uuid) -> bool {
    committed == Uuid::ZERO || asked == Uuid::ZERO || committed == asked
}

fn found(partition_index: i32, offset: &CommittedOffset) -> OffsetFetchResponsePartitions<'static> {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: offset.offset,
        committed_leader_epoch: offset.leader_epoch,
        metadata: Some(offset.metadata.to_string().into()),
        error_code: ErrorCode::NONE,
    }
}

/// What stands for "no offset": it is no error.
fn nothing(partition_index: i32) -> OffsetFetchResponsePartitions<'static> {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some("".into()),
        error_code: ErrorCode::NONE,
    }
}

fn unstable(partition_index: i32) -> OffsetFetchResponsePartitions<'static> {
    OffsetFetchResponsePartitions {
        error_code: ErrorCode::UNSTABLE_OFFSET_COMMIT,
        ..nothing(partition_index)
    }
}
