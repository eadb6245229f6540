//! From a frame to its handler, and the table of what is served.
//!
//! The table is the only place that says which APIs exist here: what is not in it is not advertised, and a request for it closes the
//! connection, as Kafka does.

use std::sync::Arc;

use klamm_protocol::header::RequestHeader;
use klamm_protocol::messages::api_versions_response::ApiVersion;
use klamm_protocol::{ApiKey, Reader};
use tokio::time::Instant;

use crate::broker::Broker;
use crate::connection::Peer;
use crate::handlers;
use crate::listener::ListenerRole;
use crate::request::{Fault, HandlerResult, RequestContext};

/// A handler of one API.
type Handler = fn(&RequestContext<'_>, Reader<'_>) -> HandlerResult;

/// On which listeners an API is served.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    Broker,
    Controller,
    Both,
}

struct Served {
    api: ApiKey,
    on: On,
    handler: Handler,
}

const fn served(api: ApiKey, on: On, handler: Handler) -> Served {
    Served { api, on, handler }
}

/// Everything that is served, by key.
const SERVED: &[Served] = &[
    served(ApiKey::Produce, On::Broker, handlers::produce::handle),
    served(ApiKey::Fetch, On::Broker, handlers::fetch::handle),
    served(ApiKey::ListOffsets, On::Broker, handlers::list_offsets::handle),
    served(ApiKey::Metadata, On::Broker, handlers::metadata::handle),
    served(ApiKey::OffsetCommit, On::Broker, handlers::offset_commit::handle),
    served(ApiKey::OffsetFetch, On::Broker, handlers::offset_fetch::handle),
    served(ApiKey::FindCoordinator, On::Broker, handlers::find_coordinator::handle),
    served(ApiKey::JoinGroup, On::Broker, handlers::join_group::handle),
    served(ApiKey::Heartbeat, On::Broker, handlers::heartbeat::handle),
    served(ApiKey::LeaveGroup, On::Broker, handlers::leave_group::handle),
    served(ApiKey::SyncGroup, On::Broker, handlers::sync_group::handle),
    served(ApiKey::DescribeGroups, On::Broker, handlers::describe_groups::handle),
    served(ApiKey::ListGroups, On::Broker, handlers::list_groups::handle),
    served(ApiKey::ApiVersions, On::Both, handlers::api_versions::handle),
    served(ApiKey::CreateTopics, On::Both, handlers::create_topics::handle),
    served(ApiKey::DeleteTopics, On::Both, handlers::delete_topics::handle),
    served(ApiKey::DeleteRecords, On::Broker, handlers::delete_records::handle),
    served(ApiKey::InitProducerId, On::Broker, handlers::init_producer_id::handle),
    served(ApiKey::OffsetForLeaderEpoch, On::Broker, handlers::offset_for_leader_epoch::handle),
    served(ApiKey::DescribeConfigs, On::Both, handlers::describe_configs::handle),
    served(ApiKey::AlterConfigs, On::Both, handlers::alter_configs::handle),
    served(ApiKey::AlterReplicaLogDirs, On::Broker, handlers::alter_replica_log_dirs::handle),
    served(ApiKey::DescribeLogDirs, On::Broker, handlers::describe_log_dirs::handle),
    served(ApiKey::CreatePartitions, On::Both, handlers::create_partitions::handle),
    served(ApiKey::DeleteGroups, On::Broker, handlers::delete_groups::handle),
    served(ApiKey::ElectLeaders, On::Both, handlers::elect_leaders::handle),
    served(ApiKey::IncrementalAlterConfigs, On::Both, handlers::incremental_alter_configs::handle),
    served(ApiKey::AlterPartitionReassignments, On::Both, handlers::alter_partition_reassignments::handle),
    served(ApiKey::ListPartitionReassignments, On::Both, handlers::list_partition_reassignments::handle),
    served(ApiKey::OffsetDelete, On::Broker, handlers::offset_delete::handle),
    served(ApiKey::DescribeQuorum, On::Both, handlers::describe_quorum::handle),
    served(ApiKey::UpdateFeatures, On::Both, handlers::update_features::handle),
    served(ApiKey::DescribeCluster, On::Both, handlers::describe_cluster::handle),
    served(ApiKey::DescribeProducers, On::Broker, handlers::describe_producers::handle),
    served(ApiKey::UnregisterBroker, On::Both, handlers::unregister_broker::handle),
    served(ApiKey::ListConfigResources, On::Broker, handlers::list_config_resources::handle),
    served(ApiKey::DescribeTopicPartitions, On::Broker, handlers::describe_topic_partitions::handle),
];

/// Handles one request frame, whose last bytes were read at `received_at`.
///
/// # Errors
/// When the connection must be closed.
pub(crate) fn handle(
    broker: &Arc<Broker>,
    peer: &Arc<Peer>,
    frame: &[u8],
    received_at: Instant,
) -> HandlerResult {
    let mut reader = Reader::new(frame);
    let (api, header) = klamm_protocol::header::decode_request(&mut reader).map_err(Fault::Header)?;
    let now_ms = broker.environment().clock.now_ms();
    let entry = find(api, peer.role).ok_or(Fault::NotServed(api))?;
    let version = header.request_api_version;
    broker.metrics().received(api, version);
    let is_served = version >= api.versions().min && version <= api.advertised_versions(false).max;
    if is_served {
        let context = RequestContext::new(broker, peer, &header, api, now_ms, received_at);
        return (entry.handler)(&context, reader);
    }
    if api != ApiKey::ApiVersions {
        return Err(Fault::UnsupportedVersion { api, version });
    }
    let header = RequestHeader { request_api_version: 0, ..header };
    let context = RequestContext::new(broker, peer, &header, api, now_ms, received_at);
    handlers::api_versions::handle_unknown_version(&context)
}

fn find(api: ApiKey, role: ListenerRole) -> Option<&'static Served> {
    SERVED.iter().find(|entry| entry.api == api && entry.is_on(role))
}

/// What ApiVersions tells on a listener.
pub(crate) fn advertised(role: ListenerRole) -> impl Iterator<Item = ApiVersion> {
    SERVED.iter().filter(move |entry| entry.is_on(role)).map(|entry| {
        let versions = entry.api.advertised_versions(false);
        ApiVersion { api_key: entry.api.as_i16(), min_version: versions.min, max_version: versions.max }
    })
}

impl Served {
    fn is_on(&self, role: ListenerRole) -> bool {
        match role {
            ListenerRole::Broker => self.on != On::Controller,
            ListenerRole::Controller => self.on != On::Broker,
        }
    }
}
