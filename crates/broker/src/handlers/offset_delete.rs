//! OffsetDelete v0: removes committed offsets of topics that a group does not consume. What does not exist is answered here.

use klamm_coordinator::Response as GroupResponse;
use klamm_metadata::MetadataImage;
use klamm_protocol::messages::OffsetDeleteRequest;
use klamm_protocol::messages::offset_delete_request::OffsetDeleteRequestTopic;
use klamm_protocol::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use klamm_protocol::{ErrorCode, Reader};

use crate::handlers::group_reply;
use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let mut request: OffsetDeleteRequest<'_> = context.decode(&mut body)?;
    let image = context.broker.image();
    let unknown: Vec<_> = request.topics.iter_mut().filter_map(|topic| take_unknown(&image, topic)).collect();
    let reply =
        group_reply::call(context, &request.group_id, |shard, caller| shard.offset_delete(caller, &request));
    if unknown.is_empty() {
        return group_reply::respond(context, reply);
    }
    context.respond_later(async move {
        let mut response = OffsetDeleteResponse::default();
        if let GroupResponse::OffsetDelete(deleted) = group_reply::wait(reply).await? {
            response = deleted;
        }
        if response.error_code == ErrorCode::NONE {
            add(&mut response, unknown);
        }
        Ok(response)
    })
}

/// Takes the partitions that do not exist out of a topic, and answers them.
fn take_unknown(
    image: &MetadataImage,
    topic: &mut OffsetDeleteRequestTopic<'_>,
) -> Option<OffsetDeleteResponseTopic<'static>> {
    let count = image.topics.by_name(&topic.name).map_or(0, |known| known.partition_count());
    let is_unknown = |index: i32| usize::try_from(index).map_or(true, |index| index >= count);
    let unknown: Vec<_> = topic
        .partitions
        .extract_if(.., |partition| is_unknown(partition.partition_index))
        .map(|partition| OffsetDeleteResponsePartition {
            partition_index: partition.partition_index,
            error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        })
        .collect();
    let name = topic.name.to_string().into();
    (!unknown.is_empty()).then_some(OffsetDeleteResponseTopic { name, partitions: unknown })
}

/// Puts the answers for a topic together.
fn add(response: &mut OffsetDeleteResponse<'static>, unknown: Vec<OffsetDeleteResponseTopic<'static>>) {
    for topic in unknown {
        match response.topics.iter_mut().find(|known| known.name == topic.name) {
            Some(known) => known.partitions.extend(topic.partitions),
            None => response.topics.push(topic),
        }
    }
}
