//! DescribeTopicPartitions v0: topics page by page, with eligible leader replicas (KIP-966).
//!
//! Topics are answered in the order of their names; a page ends after `max.request.partition.size.limit` partitions, or fewer
//! where the request says so, and names the partition with which the next page begins.

use std::collections::BTreeSet;

use klamm_metadata::MetadataImage;
use klamm_metadata::partition::Partition;
use klamm_metadata::topic_name;
use klamm_protocol::messages::describe_topic_partitions_request::DescribeTopicPartitionsRequest;
use klamm_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};
use klamm_protocol::{ErrorCode, Reader};

use crate::authorized_operations;
use crate::internal_topics;
use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: DescribeTopicPartitionsRequest<'_> = context.decode(&mut body)?;
    if !is_cursor_valid(&request) {
        return context.respond(&refused(&request));
    }
    let limit = context.broker.config().max_request_partition_size_limit;
    let limit = request.response_partition_limit.clamp(1, limit.max(1)) as usize;
    let image = context.broker.image();
    let first =
        request.cursor.as_ref().map_or(("", 0), |cursor| (&*cursor.topic_name, cursor.partition_index));
    let names: Vec<&str> = if request.topics.is_empty() {
        image.topics.iter_from(first.0).map(|topic| &*topic.name).collect()
    } else {
        let asked: BTreeSet<&str> = request.topics.iter().map(|topic| &*topic.name).collect();
        asked.into_iter().filter(|name| *name >= first.0).collect()
    };
    let mut page = Page { image: &image, room: limit, topics: Vec::new(), next: None };
    for name in names {
        let from = if name == first.0 { first.1.max(0) } else { 0 };
        if !page.add(name, from) {
            break;
        }
    }
    let Page { topics, next: next_cursor, .. } = page;
    context.respond(&DescribeTopicPartitionsResponse { topics, next_cursor, ..Default::default() })
}

/// A cursor names a partition of a topic that is asked for.
fn is_cursor_valid(request: &DescribeTopicPartitionsRequest<'_>) -> bool {
    let Some(cursor) = &request.cursor else { return true };
    let is_asked_for =
        request.topics.is_empty() || request.topics.iter().any(|topic| topic.name == cursor.topic_name);
    is_asked_for && cursor.partition_index >= 0
}

fn refused<'r>(request: &'r DescribeTopicPartitionsRequest<'_>) -> DescribeTopicPartitionsResponse<'r> {
    let topics = request.topics.iter().map(|topic| DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::INVALID_REQUEST,
        name: Some((&*topic.name).into()),
        ..Default::default()
    });
    DescribeTopicPartitionsResponse { topics: topics.collect(), ..Default::default() }
}

struct Page<'p> {
    image: &'p MetadataImage,
    /// Partitions that still fit.
    room: usize,
    topics: Vec<DescribeTopicPartitionsResponseTopic<'p>>,
    next: Option<Cursor<'p>>,
}

impl<'p> Page<'p> {
    /// Adds a topic from a partition on. False when the page is full.
    fn add(&mut self, name: &'p str, from: i32) -> bool {
        if self.room == 0 {
            self.next = Some(Cursor { topic_name: name.into(), partition_index: from });
            return false;
        }
        let Some(topic) = self.image.topics.by_name(name) else {
            self.topics.push(unknown(name));
            return true;
        };
        let partitions: Vec<_> = topic
            .partitions()
            .filter(|(index, _)| *index >= from)
            .take(self.room)
            .map(|(index, partition)| self.describe(index, partition))
            .collect();
        self.room -= partitions.len();
        let end = from + partitions.len() as i32;
        self.topics.push(DescribeTopicPartitionsResponseTopic {
            name: Some(name.into()),
            topic_id: topic.id,
            is_internal: internal_topics::is_internal(name),
            partitions,
            topic_authorized_operations: authorized_operations::TOPIC,
            ..Default::default()
        });
        let complete = end >= topic.partition_count() as i32;
        if !complete {
            self.next = Some(Cursor { topic_name: name.into(), partition_index: end });
        }
        complete
    }

    fn describe(&self, index: i32, partition: &Partition) -> DescribeTopicPartitionsResponsePartition {
        let alive = |id: i32| self.image.cluster.broker(id).is_some_and(|broker| !broker.fenced);
        let led = alive(partition.leader);
        DescribeTopicPartitionsResponsePartition {
            error_code: if led { ErrorCode::NONE } else { ErrorCode::LEADER_NOT_AVAILABLE },
            partition_index: index,
            leader_id: if led { partition.leader } else { -1 },
            leader_epoch: partition.leader_epoch,
            replica_nodes: partition.replicas.to_vec(),
            isr_nodes: partition.isr.to_vec(),
            eligible_leader_replicas: Some(partition.elr.to_vec()),
            last_known_elr: Some(partition.last_known_elr.to_vec()),
            offline_replicas: self.image.cluster.offline_replicas(partition),
        }
    }
}

fn unknown(name: &str) -> DescribeTopicPartitionsResponseTopic<'_> {
    let error_code = match topic_name::reason_invalid(name) {
        None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        Some(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
    };
    DescribeTopicPartitionsResponseTopic { error_code, name: Some(name.into()), ..Default::default() }
}
