//! OffsetFetch v1–10: the committed offsets of one group, or from v8 on of many. v10 names topics by id.

use klamm_coordinator::Response as GroupResponse;
use klamm_metadata::image::MetadataImage;
use klamm_protocol::messages::OffsetFetchRequest;
use klamm_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use klamm_protocol::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use klamm_protocol::{ErrorCode, Reader, Uuid};

use crate::groups::Reply;
use crate::handlers::group_reply;
use crate::request::{HandlerResult, RequestContext};

/// From this version on a request names many groups.
const GROUPS_SINCE: i16 = 8;
/// From this version on topics are named by id.
const TOPIC_IDS_SINCE: i16 = 10;
/// From this version on the answer for a group has an error of its own.
const GROUP_ERROR_SINCE: i16 = 2;

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: OffsetFetchRequest<'_> = context.decode(&mut body)?;
    let require_stable = request.require_stable;
    let image = context.broker.image();
    let groups = if context.version >= GROUPS_SINCE { request.groups } else { vec![only_group(request)] };
    let mut replies = Vec::with_capacity(groups.len());
    for mut group in groups {
        let unknown =
            if context.version >= TOPIC_IDS_SINCE { take_unknown(&image, &mut group) } else { Vec::new() };
        let reply = group_reply::call(context, &group.group_id, |shard, caller| {
            shard.offset_fetch(caller, &group, require_stable)
        });
        replies.push((reply, unknown));
    }
    respond(context, replies)
}

/// The group of a request from before v8, in the shape of later ones.
fn only_group(request: OffsetFetchRequest<'_>) -> OffsetFetchRequestGroup<'_> {
    let topics = request.topics.map(|topics| {
        topics
            .into_iter()
            .map(|topic| OffsetFetchRequestTopics {
                name: topic.name,
                partition_indexes: topic.partition_indexes,
                ..OffsetFetchRequestTopics::default()
            })
            .collect()
    });
    OffsetFetchRequestGroup { group_id: request.group_id, topics, ..OffsetFetchRequestGroup::default() }
}

/// Gives topics that are named by id their names, and takes out those that do not exist.
fn take_unknown(
    image: &MetadataImage,
    group: &mut OffsetFetchRequestGroup<'_>,
) -> Vec<OffsetFetchResponseTopics<'static>> {
    let Some(topics) = &mut group.topics else { return Vec::new() };
    let unknown: Vec<_> =
        topics.extract_if(.., |topic| image.topics.by_id(topic.topic_id).is_none()).collect();
    for topic in topics.iter_mut() {
        if let Some(known) = image.topics.by_id(topic.topic_id) {
            topic.name = known.name.to_string().into();
        }
    }
    unknown.into_iter().map(|topic| unknown_topic(topic.topic_id, &topic.partition_indexes)).collect()
}

fn unknown_topic(topic_id: Uuid, indexes: &[i32]) -> OffsetFetchResponseTopics<'static> {
    let partitions = indexes.iter().map(|&partition_index| OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some("".into()),
        error_code: ErrorCode::UNKNOWN_TOPIC_ID,
    });
    OffsetFetchResponseTopics { topic_id, partitions: partitions.collect(), ..Default::default() }
}

type Pending = (Reply, Vec<OffsetFetchResponseTopics<'static>>);

fn respond(context: &RequestContext<'_>, replies: Vec<Pending>) -> HandlerResult {
    let (broker, version) = (context.broker.clone(), context.version);
    if replies.iter().all(|(reply, _)| matches!(reply, Reply::Now(_))) {
        let groups = replies.into_iter().filter_map(|(reply, unknown)| match reply {
            Reply::Now(response) => group_of(response, unknown),
            Reply::Later(_) => None,
        });
        return context.respond(&put_together(&broker.image(), version, groups.collect()));
    }
    context.respond_later(async move {
        let mut groups = Vec::with_capacity(replies.len());
        for (reply, unknown) in replies {
            groups.extend(group_of(group_reply::wait(reply).await?, unknown));
        }
        Ok(put_together(&broker.image(), version, groups))
    })
}

fn group_of(
    response: GroupResponse,
    unknown: Vec<OffsetFetchResponseTopics<'static>>,
) -> Option<OffsetFetchResponseGroup<'static>> {
    let GroupResponse::OffsetFetch(mut group) = response else { return None };
    group.topics.extend(unknown);
    Some(group)
}

fn put_together(
    image: &MetadataImage,
    version: i16,
    mut groups: Vec<OffsetFetchResponseGroup<'static>>,
) -> OffsetFetchResponse<'static> {
    if version >= TOPIC_IDS_SINCE {
        groups.iter_mut().for_each(|group| name_by_id(image, group));
    }
    if version >= GROUPS_SINCE {
        return OffsetFetchResponse { groups, ..OffsetFetchResponse::default() };
    }
    let group = groups.into_iter().next().unwrap_or_default();
    let error_code = group.error_code;
    let topics = group.topics.into_iter().map(|topic| old_topic(topic, version, error_code)).collect();
    OffsetFetchResponse { topics, error_code, ..OffsetFetchResponse::default() }
}

/// Offsets of topics that are gone, or are other topics of the same name, are left out.
fn name_by_id(image: &MetadataImage, group: &mut OffsetFetchResponseGroup<'static>) {
    group.topics.retain_mut(|topic| {
        if topic.topic_id.is_zero() {
            topic.topic_id = image.topics.by_name(&topic.name).map_or(Uuid::ZERO, |known| known.id);
        }
        !topic.topic_id.is_zero()
    });
}

fn old_topic(
    topic: OffsetFetchResponseTopics<'static>,
    version: i16,
    group_error: ErrorCode,
) -> OffsetFetchResponseTopic<'static> {
    let partitions = topic.partitions.into_iter().map(|partition| OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: if version < GROUP_ERROR_SINCE && group_error.is_error() {
            group_error
        } else {
            partition.error_code
        },
    });
    OffsetFetchResponseTopic { name: topic.name, partitions: partitions.collect() }
}
