//! OffsetDelete, and the offsets of a group that is deleted.

use klamm_protocol::ErrorCode;
use klamm_protocol::messages::offset_delete_request::OffsetDeleteRequestTopic;
use klamm_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

use super::transactions::Offsets;
use crate::record::CoordinatorRecord;

impl Offsets {
    /// Deletes the named offsets of one topic; none of them while the group subscribes to it.
    pub(crate) fn delete_topic(
        &self,
        group_id: &str,
        topic: &OffsetDeleteRequestTopic<'_>,
        is_subscribed: bool,
        records: &mut Vec<CoordinatorRecord<'static>>,
    ) -> OffsetDeleteResponseTopic<'static> {
        let error_code = if is_subscribed { ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC } else { ErrorCode::NONE };
        let partitions = topic.partitions.iter().map(|partition| partition.partition_index);
        if !is_subscribed {
            let known = partitions.clone().filter(|index| self.is_known(group_id, &topic.name, *index));
            records
                .extend(known.map(|index| CoordinatorRecord::offset_tombstone(group_id, &topic.name, index)));
        }
        OffsetDeleteResponseTopic {
            name: topic.name.to_string().into(),
            partitions: partitions
                .map(|partition_index| OffsetDeleteResponsePartition { partition_index, error_code })
                .collect(),
        }
    }

    /// Deletes all offsets of a group, those of open transactions too.
    pub(crate) fn delete_all(&self, group_id: &str, records: &mut Vec<CoordinatorRecord<'static>>) {
        for (topic, partitions) in self.group(group_id).into_iter().flatten() {
            records.extend(
                partitions.keys().map(|index| CoordinatorRecord::offset_tombstone(group_id, topic, *index)),
            );
        }
        let only_open = self
            .open_partitions(group_id)
            .filter(|(topic, index)| self.committed.get(group_id, topic, *index).is_none());
        records.extend(
            only_open.map(|(topic, index)| CoordinatorRecord::offset_tombstone(group_id, topic, index)),
        );
    }

    fn is_known(&self, group_id: &str, topic: &str, partition: i32) -> bool {
        self.committed.get(group_id, topic, partition).is_some() || self.is_open(group_id, topic, partition)
    }
}
