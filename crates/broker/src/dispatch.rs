//! From a frame to its handler, and the table of what is served.
//!
//! The table is the only place that says which APIs exist here: what is not in it is not advertised, and a request for it closes the
//! connection, as Kafka does.

use std::sync::Arc;

use klamm_protocol::header::{self, RequestHeader};
use klamm_protocol::messages::api_versions_response::ApiVersion;
use klamm_protocol::{ApiKey, ErrorCode, Reader};
use tokio::time::Instant;

use crate::broker::Broker;
use crate::connection::Peer;
use crate::forwarding;
use crate::handlers;
use crate::listener::ListenerRole;
use crate::request::{Fault, HandlerResult, Outcome, RequestContext};

/// A handler of one API.
type Handler = fn(&RequestContext<'_>, Reader<'_>) -> HandlerResult;

/// On which listeners an API is served.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    Broker,
    Controller,
    Both,
}

/// Answers a request with nothing but an error.
type Refusal = fn(&RequestContext<'_>, Reader<'_>, ErrorCode) -> HandlerResult;

struct Served {
    api: ApiKey,
    on: On,
    handler: Handler,
    /// For what only the active controller carries out, the answer where there is none.
    refusal: Option<Refusal>,
}

const fn served(api: ApiKey, on: On, handler: Handler) -> Served {
    Served { api, on, handler, refusal: None }
}

/// What brokers hand on to the active controller, and controllers refuse where they are not active.
const fn by_controller(api: ApiKey, handler: Handler, refusal: Refusal) -> Served {
    Served { api, on: On::Both, handler, refusal: Some(refusal) }
}

/// Everything that is served, by key.
const SERVED: &[Served] = &[
    served(ApiKey::Produce, On::Broker, handlers::produce::handle),
    served(ApiKey::Fetch, On::Broker, handlers::fetch::handle),
    served(ApiKey::Fetch, On::Controller, handlers::metadata_fetch::handle),
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
    by_controller(ApiKey::CreateTopics, handlers::create_topics::handle, handlers::create_topics::refuse),
    by_controller(ApiKey::DeleteTopics, handlers::delete_topics::handle, handlers::delete_topics::refuse),
    served(ApiKey::DeleteRecords, On::Broker, handlers::delete_records::handle),
    served(ApiKey::InitProducerId, On::Broker, handlers::init_producer_id::handle),
    served(ApiKey::OffsetForLeaderEpoch, On::Broker, handlers::offset_for_leader_epoch::handle),
    served(ApiKey::DescribeConfigs, On::Both, handlers::describe_configs::handle),
    by_controller(ApiKey::AlterConfigs, handlers::alter_configs::handle, handlers::alter_configs::refuse),
    served(ApiKey::AlterReplicaLogDirs, On::Broker, handlers::alter_replica_log_dirs::handle),
    served(ApiKey::DescribeLogDirs, On::Broker, handlers::describe_log_dirs::handle),
    by_controller(
        ApiKey::CreatePartitions,
        handlers::create_partitions::handle,
        handlers::create_partitions::refuse,
    ),
    served(ApiKey::DeleteGroups, On::Broker, handlers::delete_groups::handle),
    by_controller(ApiKey::ElectLeaders, handlers::elect_leaders::handle, handlers::elect_leaders::refuse),
    by_controller(
        ApiKey::IncrementalAlterConfigs,
        handlers::incremental_alter_configs::handle,
        handlers::incremental_alter_configs::refuse,
    ),
    by_controller(
        ApiKey::AlterPartitionReassignments,
        handlers::alter_partition_reassignments::handle,
        handlers::alter_partition_reassignments::refuse,
    ),
    by_controller(
        ApiKey::ListPartitionReassignments,
        handlers::list_partition_reassignments::handle,
        handlers::list_partition_reassignments::refuse,
    ),
    served(ApiKey::OffsetDelete, On::Broker, handlers::offset_delete::handle),
    served(ApiKey::Vote, On::Controller, handlers::vote::handle),
    served(ApiKey::BeginQuorumEpoch, On::Controller, handlers::begin_quorum_epoch::handle),
    served(ApiKey::EndQuorumEpoch, On::Controller, handlers::end_quorum_epoch::handle),
    by_controller(
        ApiKey::DescribeQuorum,
        handlers::describe_quorum::handle,
        handlers::describe_quorum::refuse,
    ),
    served(ApiKey::AlterPartition, On::Controller, handlers::alter_partition::handle),
    by_controller(
        ApiKey::UpdateFeatures,
        handlers::update_features::handle,
        handlers::update_features::refuse,
    ),
    served(ApiKey::Envelope, On::Controller, handlers::envelope::handle),
    served(ApiKey::FetchSnapshot, On::Controller, handlers::fetch_snapshot::handle),
    served(ApiKey::DescribeCluster, On::Both, handlers::describe_cluster::handle),
    served(ApiKey::DescribeProducers, On::Broker, handlers::describe_producers::handle),
    served(ApiKey::BrokerRegistration, On::Controller, handlers::broker_registration::handle),
    served(ApiKey::BrokerHeartbeat, On::Controller, handlers::broker_heartbeat::handle),
    by_controller(
        ApiKey::UnregisterBroker,
        handlers::unregister_broker::handle,
        handlers::unregister_broker::refuse,
    ),
    served(ApiKey::AllocateProducerIds, On::Controller, handlers::allocate_producer_ids::handle),
    served(ApiKey::ControllerRegistration, On::Controller, handlers::controller_registration::handle),
    served(ApiKey::AssignReplicasToDirs, On::Controller, handlers::assign_replicas_to_dirs::handle),
    by_controller(ApiKey::AddRaftVoter, handlers::add_raft_voter::handle, handlers::add_raft_voter::refuse),
    by_controller(
        ApiKey::RemoveRaftVoter,
        handlers::remove_raft_voter::handle,
        handlers::remove_raft_voter::refuse,
    ),
    served(ApiKey::UpdateRaftVoter, On::Controller, handlers::update_raft_voter::handle),
    served(ApiKey::ListConfigResources, On::Broker, handlers::list_config_resources::handle),
    served(ApiKey::DescribeTopicPartitions, On::Broker, handlers::describe_topic_partitions::handle),
    by_controller(
        ApiKey::UnregisterController,
        handlers::unregister_controller::handle,
        handlers::unregister_controller::refuse,
    ),
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
    let (api, header) = header::decode_request(&mut reader).map_err(Fault::Header)?;
    let entry = find(api, peer.role).ok_or(Fault::NotServed(api))?;
    broker.metrics().received(api, header.request_api_version);
    if entry.refusal.is_some() && is_served(api, header.request_api_version) {
        return Ok(Outcome::Exclusive(forwarding::forward(broker, peer, frame, received_at)));
    }
    serve(broker, peer, (entry, header), reader, received_at)
}

/// Carries out a request here, whoever should.
///
/// # Errors
/// As [`handle`], and where only an active controller could.
pub(crate) fn run(
    broker: &Arc<Broker>,
    peer: &Arc<Peer>,
    frame: &[u8],
    received_at: Instant,
) -> HandlerResult {
    let mut reader = Reader::new(frame);
    let (api, header) = header::decode_request(&mut reader).map_err(Fault::Header)?;
    let entry = find(api, peer.role).ok_or(Fault::NotServed(api))?;
    serve(broker, peer, (entry, header), reader, received_at)
}

/// Answers a request that only the active controller carries out with an error.
///
/// # Errors
/// As [`handle`].
pub(crate) fn refuse(
    broker: &Arc<Broker>,
    peer: &Arc<Peer>,
    frame: &[u8],
    received_at: Instant,
    error_code: ErrorCode,
) -> HandlerResult {
    let mut reader = Reader::new(frame);
    let (api, header) = header::decode_request(&mut reader).map_err(Fault::Header)?;
    let refusal = find(api, peer.role).and_then(|entry| entry.refusal).ok_or(Fault::NotServed(api))?;
    let now_ms = broker.environment().clock.now_ms();
    refusal(&RequestContext::new(broker, peer, &header, api, now_ms, received_at), reader, error_code)
}

fn serve(
    broker: &Arc<Broker>,
    peer: &Arc<Peer>,
    (entry, header): (&Served, RequestHeader<'_>),
    body: Reader<'_>,
    received_at: Instant,
) -> HandlerResult {
    let (api, version) = (entry.api, header.request_api_version);
    let now_ms = broker.environment().clock.now_ms();
    if is_served(api, version) {
        let context = RequestContext::new(broker, peer, &header, api, now_ms, received_at);
        return (entry.handler)(&context, body);
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

fn is_served(api: ApiKey, version: i16) -> bool {
    version >= api.versions().min && version <= api.advertised_versions(false).max
}

/// Whether only the active controller carries it out.
pub(crate) fn is_by_controller(api: ApiKey) -> bool {
    SERVED.iter().any(|entry| entry.api == api && entry.refusal.is_some())
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
