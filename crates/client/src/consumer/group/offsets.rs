//! A group's committed offsets on the wire: fetching and committing.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use klamm_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use klamm_protocol::messages::{OffsetCommitRequest, OffsetFetchRequest, OffsetFetchResponse};
use klamm_protocol::{ApiKey, ErrorCode, Uuid};

use crate::cluster::{Cluster, Metadata};
use crate::connection::Connection;
use crate::topic_partition::by_topic;
use crate::{RequestError, TopicPartition};

/// A committed offset: that of the record to read next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOffset {
    /// The offset.
    pub offset: i64,
    /// The leader epoch of the record before it, if known.
    pub leader_epoch: Option<i32>,
    /// Whatever the committer wants to keep with it.
    pub metadata: String,
}

impl GroupOffset {
    /// An offset and nothing else.
    pub fn new(offset: i64) -> Self {
        Self { offset, leader_epoch: None, metadata: String::new() }
    }
}

/// Why offsets could not be fetched or committed.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum OffsetsError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the coordinator answered {0}")]
    Refused(ErrorCode),
}

impl OffsetsError {
    pub(crate) fn is_retriable(&self) -> bool {
        match self {
            Self::Request(error) => error.is_retriable(),
            Self::Refused(code) => code.is_retriable(),
        }
    }
}

/// In whose name offsets are committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committer {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) generation: i32,
    /// How often all partitions were lost. A coordinator that was restarted may give a generation's number out once more.
    pub(crate) losses: u64,
}

impl Committer {
    /// Nobody: for groups without members.
    pub(crate) fn none() -> Self {
        Self { member_id: String::new(), instance_id: None, generation: -1, losses: 0 }
    }
}

/// Since version 10 both requests name topics by their id.
const FIRST_VERSION_WITH_IDS: i16 = 10;
/// Since version 8 OffsetFetch asks for several groups.
const FIRST_VERSION_WITH_GROUPS: i16 = 8;

/// The version to use: the newest, or the last by name if some topic's id is not known.
fn version(connection: &Connection, api: ApiKey, ids_known: bool) -> Result<i16, RequestError> {
    let newest = connection.version_of(api)?;
    Ok(if ids_known { newest } else { newest.min(FIRST_VERSION_WITH_IDS - 1) })
}

fn ids_known<'p>(metadata: &Metadata, mut partitions: impl Iterator<Item = &'p TopicPartition>) -> bool {
    partitions.all(|p| !topic_id(metadata, &p.topic).is_zero())
}

fn topic_id(metadata: &Metadata, name: &str) -> Uuid {
    metadata.topic(name).map_or(Uuid::ZERO, |topic| topic.id)
}

/// A topic's name, which an answer gives as such or by its id.
fn topic_name(metadata: &Metadata, name: &str, id: Uuid) -> Option<Arc<str>> {
    if name.is_empty() { metadata.topic_name(id).cloned() } else { Some(Arc::from(name)) }
}

/// Fetches committed offsets; of all partitions that have one if none are named. Waits out open transactions
/// (KIP-447) by answering UNSTABLE_OFFSET_COMMIT, which is retriable.
pub(crate) async fn fetch(
    cluster: &Cluster,
    connection: &Connection,
    group: &str,
    member: Option<&Committer>,
    partitions: Option<&[TopicPartition]>,
) -> Result<BTreeMap<TopicPartition, GroupOffset>, OffsetsError> {
    let metadata = cluster.metadata();
    let known = partitions.is_some_and(|partitions| ids_known(&metadata, partitions.iter()));
    let version = version(connection, ApiKey::OffsetFetch, known)?;
    let request = fetch_request(&metadata, version, group, member, partitions);
    let response = connection.call_version(&request, version).await?;
    committed(&metadata, response)
}

fn fetch_request<'r>(
    metadata: &Metadata,
    version: i16,
    group: &'r str,
    member: Option<&'r Committer>,
    partitions: Option<&[TopicPartition]>,
) -> OffsetFetchRequest<'r> {
    let topics = partitions.map(|partitions| {
        let indexes = |list: Vec<(i32, ())>| list.into_iter().map(|(index, ())| index).collect::<Vec<i32>>();
        let topics = by_topic(partitions.iter().map(|p| (p, ()))).into_iter();
        topics.map(|(name, list)| (name, indexes(list))).collect::<Vec<_>>()
    });
    if version < FIRST_VERSION_WITH_GROUPS {
        let topic = |(name, partition_indexes): (Arc<str>, Vec<i32>)| OffsetFetchRequestTopic {
            name: name.to_string().into(),
            partition_indexes,
        };
        return OffsetFetchRequest {
            group_id: group.into(),
            topics: topics.map(|topics| topics.into_iter().map(topic).collect()),
            require_stable: version >= 7,
            ..OffsetFetchRequest::default()
        };
    }
    let topic = |(name, partition_indexes): (Arc<str>, Vec<i32>)| OffsetFetchRequestTopics {
        topic_id: topic_id(metadata, &name),
        name: name.to_string().into(),
        partition_indexes,
    };
    let asked = OffsetFetchRequestGroup {
        group_id: group.into(),
        member_id: member.map(|member| member.member_id.as_str().into()),
        // The classic protocol has no member epoch.
        member_epoch: -1,
        topics: topics.map(|topics| topics.into_iter().map(topic).collect()),
    };
    OffsetFetchRequest { groups: vec![asked], require_stable: true, ..OffsetFetchRequest::default() }
}

fn committed(
    metadata: &Metadata,
    response: OffsetFetchResponse<'static>,
) -> Result<BTreeMap<TopicPartition, GroupOffset>, OffsetsError> {
    response.error_code.check().map_err(OffsetsError::Refused)?;
    let mut offsets = BTreeMap::new();
    for topic in response.topics {
        let name: Arc<str> = Arc::from(&*topic.name);
        for p in topic.partitions {
            p.error_code.check().map_err(OffsetsError::Refused)?;
            let offset = group_offset(p.committed_offset, p.committed_leader_epoch, p.metadata);
            let partition = TopicPartition { topic: Arc::clone(&name), partition: p.partition_index };
            offsets.extend(offset.map(|offset| (partition, offset)));
        }
    }
    for group in response.groups {
        group.error_code.check().map_err(OffsetsError::Refused)?;
        for topic in group.topics {
            let Some(name) = topic_name(metadata, &topic.name, topic.topic_id) else { continue };
            for p in topic.partitions {
                p.error_code.check().map_err(OffsetsError::Refused)?;
                let offset = group_offset(p.committed_offset, p.committed_leader_epoch, p.metadata);
                let partition = TopicPartition { topic: Arc::clone(&name), partition: p.partition_index };
                offsets.extend(offset.map(|offset| (partition, offset)));
            }
        }
    }
    Ok(offsets)
}

/// A partition without a committed offset has −1.
fn group_offset(offset: i64, leader_epoch: i32, metadata: Option<Cow<'_, str>>) -> Option<GroupOffset> {
    let leader_epoch = Some(leader_epoch).filter(|epoch| *epoch >= 0);
    let metadata = metadata.map_or(String::new(), Cow::into_owned);
    (offset >= 0).then_some(GroupOffset { offset, leader_epoch, metadata })
}

/// Commits offsets and returns each partition's answer.
pub(crate) async fn commit(
    cluster: &Cluster,
    connection: &Connection,
    group: &str,
    committer: &Committer,
    offsets: &BTreeMap<TopicPartition, GroupOffset>,
) -> Result<Vec<(TopicPartition, ErrorCode)>, OffsetsError> {
    let metadata = cluster.metadata();
    let version = version(connection, ApiKey::OffsetCommit, ids_known(&metadata, offsets.keys()))?;
    let partition = |(partition_index, offset): (i32, &GroupOffset)| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: offset.offset,
        committed_leader_epoch: offset.leader_epoch.unwrap_or(-1),
        committed_metadata: Some(offset.metadata.clone().into()),
    };
    let topics = by_topic(offsets.iter()).into_iter().map(|(name, partitions)| OffsetCommitRequestTopic {
        topic_id: topic_id(&metadata, &name),
        name: name.to_string().into(),
        partitions: partitions.into_iter().map(partition).collect(),
    });
    let request = OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: committer.generation,
        member_id: committer.member_id.as_str().into(),
        group_instance_id: committer.instance_id.as_deref().map(Into::into),
        topics: topics.collect(),
        ..OffsetCommitRequest::default()
    };
    let response = connection.call_version(&request, version).await?;
    let mut answers = Vec::new();
    for topic in response.topics {
        let Some(name) = topic_name(&metadata, &topic.name, topic.topic_id) else { continue };
        for p in topic.partitions {
            let partition = TopicPartition { topic: Arc::clone(&name), partition: p.partition_index };
            answers.push((partition, p.error_code));
        }
    }
    // Most refusals concern the whole group and come with every partition.
    let all_refused = answers.iter().all(|(_, code)| code.is_error());
    match answers.first() {
        Some((_, code)) if all_refused && code.is_retriable() => Err(OffsetsError::Refused(*code)),
        _ => Ok(answers),
    }
}
