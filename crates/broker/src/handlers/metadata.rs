//! Metadata v0–13: brokers, topics, partitions and their leaders. May create topics on the way.
//!
//! v0 cannot say "none": an empty list means all topics. From v10 on answers carry topic ids, from v12 on requests may.

use std::borrow::Cow;
use std::collections::HashSet;

use klamm_metadata::MetadataImage;
use klamm_metadata::partition::Partition;
use klamm_metadata::topic_name;
use klamm_metadata::topics::Topic;
use klamm_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use klamm_protocol::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use klamm_protocol::{ErrorCode, Reader, Uuid};

use crate::authorized_operations;
use crate::broker::Broker;
use crate::connection::Peer;
use crate::internal_topics;
use crate::request::{HandlerResult, Outcome, RequestContext};

/// From this version on topics may be named by id.
const BY_ID_SINCE: i16 = 12;
/// From this version on a missing listener has an error of its own.
const LISTENER_NOT_FOUND_SINCE: i16 = 6;

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let mut request: MetadataRequest<'_> = context.decode(&mut body)?;
    if let Some(refused) = refuse(context.version, &request) {
        return context.respond(&refused);
    }
    keep_each_once(&mut request);
    let missing = topics_to_create(context, &request);
    if missing.is_empty() {
        return context.respond(&answer(context.broker, context.peer, context.version, &request));
    }
    let (broker, peer, responder) = (context.broker.clone(), context.peer.clone(), context.responder());
    let request = request.into_static();
    Ok(Outcome::Exclusive(Box::pin(async move {
        broker.create_topics_automatically(missing).await;
        responder.encode(&answer(&broker, &peer, responder.version, &request))
    })))
}

/// Before v12 a topic is named by its name, and only by that; a request that does otherwise gets nothing but errors.
fn refuse(version: i16, request: &MetadataRequest<'_>) -> Option<MetadataResponse<'static>> {
    let topics = request.topics.as_ref().filter(|_| version < BY_ID_SINCE)?;
    let is_wrong = |topic: &MetadataRequestTopic<'_>| topic.name.is_none() || !topic.topic_id.is_zero();
    if !topics.iter().any(is_wrong) {
        return None;
    }
    let refused = topics.iter().map(|topic| {
        let name = topic.name.as_deref().unwrap_or_default();
        missing_topic(ErrorCode::INVALID_REQUEST, Some(name), topic.topic_id)
    });
    Some(MetadataResponse { topics: refused.collect(), ..MetadataResponse::default() })
}

/// Answers hold each topic once, however often it is asked for. Where any is named by id, those without an id are left out.
fn keep_each_once(request: &mut MetadataRequest<'_>) {
    let Some(topics) = &mut request.topics else { return };
    let by_id = topics.iter().any(|topic| !topic.topic_id.is_zero());
    let mut seen = HashSet::new();
    topics.retain_mut(|topic| {
        if by_id {
            topic.name = None;
        }
        (!by_id || !topic.topic_id.is_zero()) && seen.insert((topic.topic_id, topic.name.clone()))
    });
}

/// The topics that the request names, that do not exist, and that it allows to be created.
fn topics_to_create(context: &RequestContext<'_>, request: &MetadataRequest<'_>) -> Vec<String> {
    if !request.allow_auto_topic_creation || !context.broker.config().auto_create_topics_enable {
        return Vec::new();
    }
    let image = context.broker.image();
    let names = request.topics.iter().flatten().filter_map(|topic| topic.name.as_deref());
    let missing = names.filter(|name| image.topics.by_name(name).is_none());
    let creatable = missing.filter(|name| topic_name::reason_invalid(name).is_none());
    creatable.map(str::to_owned).collect()
}

fn answer<'r>(
    broker: &'r Broker,
    peer: &Peer,
    version: i16,
    request: &'r MetadataRequest<'_>,
) -> MetadataResponse<'static> {
    let image = broker.image();
    let view = View { image: &image, peer, version, operations: request.include_topic_authorized_operations };
    let topics = match &request.topics {
        Some(topics) if !(topics.is_empty() && version == 0) => {
            topics.iter().map(|topic| view.requested_topic(topic)).collect()
        }
        _ => image.topics.iter().map(|topic| view.topic(topic)).collect(),
    };
    let brokers = view.brokers();
    MetadataResponse {
        controller_id: some_broker(&brokers, peer),
        brokers,
        cluster_id: Some(broker.cluster_id().to_owned().into()),
        topics,
        cluster_authorized_operations: authorized_operations::if_asked(
            request.include_cluster_authorized_operations,
            authorized_operations::CLUSTER,
        ),
        ..MetadataResponse::default()
    }
}

/// Any live broker forwards what a controller must do; different connections are given different ones.
fn some_broker(brokers: &[MetadataResponseBroker<'_>], peer: &Peer) -> i32 {
    let count = brokers.len().max(1) as u64;
    brokers.get((peer.connection_id % count) as usize).map_or(-1, |broker| broker.node_id)
}

/// The image as one client sees it.
struct View<'v> {
    image: &'v MetadataImage,
    peer: &'v Peer,
    version: i16,
    operations: bool,
}

impl View<'_> {
    fn brokers(&self) -> Vec<MetadataResponseBroker<'static>> {
        let alive = self.image.cluster.brokers().filter(|broker| !broker.fenced);
        alive
            .filter_map(|broker| {
                let endpoint = broker.endpoint(&self.peer.listener)?;
                Some(MetadataResponseBroker {
                    node_id: broker.id,
                    host: endpoint.host.clone().into(),
                    port: i32::from(endpoint.port),
                    rack: broker.rack.clone().map(Cow::Owned),
                })
            })
            .collect()
    }

    fn requested_topic(&self, wanted: &MetadataRequestTopic<'_>) -> MetadataResponseTopic<'static> {
        match &wanted.name {
            Some(name) => match self.image.topics.by_name(name) {
                Some(topic) => self.topic(topic),
                None => missing_topic(name_error(name), Some(name), Uuid::ZERO),
            },
            None => match self.image.topics.by_id(wanted.topic_id) {
                Some(topic) => self.topic(topic),
                None => missing_topic(ErrorCode::UNKNOWN_TOPIC_ID, None, wanted.topic_id),
            },
        }
    }

    fn topic(&self, topic: &Topic) -> MetadataResponseTopic<'static> {
        let partitions =
            topic.partitions().map(|(index, partition)| self.partition(index, partition)).collect();
        MetadataResponseTopic {
            error_code: ErrorCode::NONE,
            name: Some(topic.name.to_string().into()),
            topic_id: topic.id,
            is_internal: internal_topics::is_internal(&topic.name),
            partitions,
            topic_authorized_operations: authorized_operations::if_asked(
                self.operations,
                authorized_operations::TOPIC,
            ),
        }
    }

    fn partition(&self, index: i32, partition: &Partition) -> MetadataResponsePartition {
        let error_code = self.leader_error(partition.leader);
        let leader_id = if error_code == ErrorCode::NONE { partition.leader } else { -1 };
        MetadataResponsePartition {
            error_code,
            partition_index: index,
            leader_id,
            leader_epoch: partition.leader_epoch,
            replica_nodes: partition.replicas.to_vec(),
            isr_nodes: partition.isr.to_vec(),
            offline_replicas: self.image.cluster.offline_replicas(partition),
        }
    }

    fn leader_error(&self, leader: i32) -> ErrorCode {
        let Some(broker) = self.image.cluster.broker(leader).filter(|broker| !broker.fenced) else {
            return ErrorCode::LEADER_NOT_AVAILABLE;
        };
        match broker.endpoint(&self.peer.listener) {
            Some(_) => ErrorCode::NONE,
            None if self.version >= LISTENER_NOT_FOUND_SINCE => ErrorCode::LISTENER_NOT_FOUND,
            None => ErrorCode::LEADER_NOT_AVAILABLE,
        }
    }
}

fn missing_topic(
    error_code: ErrorCode,
    name: Option<&str>,
    topic_id: Uuid,
) -> MetadataResponseTopic<'static> {
    MetadataResponseTopic {
        error_code,
        name: name.map(|name| name.to_owned().into()),
        topic_id,
        is_internal: name.is_some_and(internal_topics::is_internal),
        ..MetadataResponseTopic::default()
    }
}

fn name_error(name: &str) -> ErrorCode {
    match topic_name::reason_invalid(name) {
        None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        Some(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
    }
}
