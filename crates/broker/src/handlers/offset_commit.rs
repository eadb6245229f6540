//! OffsetCommit v2–10: stores the offsets of a group. v10 names topics by id.
//!
//! Topics and partitions that do not exist are answered here; the coordinator sees those that do, with name and id.

use klamm_coordinator::Response as GroupResponse;
use klamm_metadata::image::MetadataImage;
use klamm_protocol::messages::OffsetCommitRequest;
use klamm_protocol::messages::offset_commit_request::OffsetCommitRequestTopic;
use klamm_protocol::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use klamm_protocol::{ErrorCode, Reader};

use crate::groups::Reply;
use crate::handlers::group_reply;
use crate::request::{HandlerResult, RequestContext};

/// From this version on topics are named by id.
const TOPIC_IDS_SINCE: i16 = 10;

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let mut request: OffsetCommitRequest<'_> = context.decode(&mut body)?;
    let image = context.broker.image();
    let asked = std::mem::take(&mut request.topics);
    let mut unknown = Vec::new();
    for topic in asked {
        let (known, missing) = resolve(&image, context.version, topic);
        request.topics.extend(known);
        unknown.extend(missing);
    }
    if request.topics.is_empty() && !unknown.is_empty() {
        return context.respond(&OffsetCommitResponse { topics: unknown, ..OffsetCommitResponse::default() });
    }
    let reply =
        group_reply::call(context, &request.group_id, |shard, caller| shard.offset_commit(caller, &request));
    if unknown.is_empty() {
        return group_reply::respond(context, reply);
    }
    respond_with(context, reply, unknown)
}

/// Splits a topic into the part that exists, with name and id, and the answer for the rest.
fn resolve<'r>(
    image: &MetadataImage,
    version: i16,
    mut asked: OffsetCommitRequestTopic<'r>,
) -> (Option<OffsetCommitRequestTopic<'r>>, Option<OffsetCommitResponseTopic<'static>>) {
    let by_id = version >= TOPIC_IDS_SINCE;
    let topic = if by_id { image.topics.by_id(asked.topic_id) } else { image.topics.by_name(&asked.name) };
    let Some(topic) = topic else {
        let error = if by_id { ErrorCode::UNKNOWN_TOPIC_ID } else { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION };
        let indexes: Vec<i32> = asked.partitions.iter().map(|partition| partition.partition_index).collect();
        return (None, Some(refused(&asked, &indexes, error)));
    };
    if by_id {
        asked.name = topic.name.to_string().into();
    }
    asked.topic_id = topic.id;
    let count = topic.partition_count();
    let missing: Vec<i32> = asked
        .partitions
        .extract_if(.., |partition| {
            usize::try_from(partition.partition_index).map_or(true, |index| index >= count)
        })
        .map(|partition| partition.partition_index)
        .collect();
    let unknown =
        (!missing.is_empty()).then(|| refused(&asked, &missing, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    ((!asked.partitions.is_empty()).then_some(asked), unknown)
}

fn refused(
    asked: &OffsetCommitRequestTopic<'_>,
    indexes: &[i32],
    error_code: ErrorCode,
) -> OffsetCommitResponseTopic<'static> {
    let partitions =
        indexes.iter().map(|&partition_index| OffsetCommitResponsePartition { partition_index, error_code });
    OffsetCommitResponseTopic {
        name: asked.name.to_string().into(),
        topic_id: asked.topic_id,
        partitions: partitions.collect(),
    }
}

/// Adds what was answered here to what the coordinator answers.
fn respond_with(
    context: &RequestContext<'_>,
    reply: Reply,
    unknown: Vec<OffsetCommitResponseTopic<'static>>,
) -> HandlerResult {
    context.respond_later(async move {
        let mut response = OffsetCommitResponse::default();
        if let GroupResponse::OffsetCommit(committed) = group_reply::wait(reply).await? {
            response = committed;
        }
        for topic in unknown {
            let same = response
                .topics
                .iter_mut()
                .find(|known| known.name == topic.name && known.topic_id == topic.topic_id);
            match same {
                Some(known) => known.partitions.extend(topic.partitions),
                None => response.topics.push(topic),
            }
        }
        Ok(response)
    })
}
