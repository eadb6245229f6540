//! DescribeCluster v0–2: the brokers, or on the controller listener the controllers (KIP-919), and the cluster's id.

use std::borrow::Cow;

use klamm_metadata::image::MetadataImage;
use klamm_protocol::messages::describe_cluster_request::DescribeClusterRequest;
use klamm_protocol::messages::describe_cluster_response::{DescribeClusterBroker, DescribeClusterResponse};
use klamm_protocol::{ErrorCode, Reader};

use crate::authorized_operations;
use crate::connection::Peer;
use crate::listener::ListenerRole;
use crate::request::{HandlerResult, RequestContext};

/// Endpoint types of the request.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: DescribeClusterRequest = context.decode(&mut body)?;
    let expected = match context.peer.role {
        ListenerRole::Broker => BROKERS,
        ListenerRole::Controller => CONTROLLERS,
    };
    if request.endpoint_type != expected {
        return context.respond(&wrong_endpoint_type(request.endpoint_type));
    }
    let image = context.broker.image();
    let (brokers, controller_id) = match context.peer.role {
        ListenerRole::Broker => {
            let brokers = brokers(&image, context.peer, request.include_fenced_brokers);
            let live: Vec<_> =
                brokers.iter().filter(|broker| !broker.is_fenced).map(|broker| broker.broker_id).collect();
            let index = context.peer.connection_id % live.len().max(1) as u64;
            let some = live.get(index as usize).copied().unwrap_or(-1);
            (brokers, some)
        }
        ListenerRole::Controller => {
            (controllers(&image, context.peer), context.broker.controller().leader_id())
        }
    };
    context.respond(&DescribeClusterResponse {
        endpoint_type: request.endpoint_type,
        cluster_id: context.broker.cluster_id().into(),
        controller_id,
        brokers,
        cluster_authorized_operations: authorized_operations::if_asked(
            request.include_cluster_authorized_operations,
            authorized_operations::CLUSTER,
        ),
        ..DescribeClusterResponse::default()
    })
}

fn wrong_endpoint_type(asked: i8) -> DescribeClusterResponse<'static> {
    let (error_code, message) = match asked {
        BROKERS => (
            ErrorCode::MISMATCHED_ENDPOINT_TYPE,
            "this is a controller's listener; it does not describe brokers",
        ),
        CONTROLLERS => (
            ErrorCode::MISMATCHED_ENDPOINT_TYPE,
            "this is a broker's listener; it does not describe controllers",
        ),
        _ => (
            ErrorCode::UNSUPPORTED_ENDPOINT_TYPE,
            "the endpoint type is neither 1 (brokers) nor 2 (controllers)",
        ),
    };
    DescribeClusterResponse { error_code, error_message: Some(message.into()), ..Default::default() }
}

fn brokers(image: &MetadataImage, peer: &Peer, with_fenced: bool) -> Vec<DescribeClusterBroker<'static>> {
    let wanted = image.cluster.brokers().filter(|broker| with_fenced || !broker.fenced);
    wanted
        .filter_map(|broker| {
            let endpoint = broker.endpoint(&peer.listener)?;
            Some(DescribeClusterBroker {
                broker_id: broker.id,
                host: endpoint.host.clone().into(),
                port: i32::from(endpoint.port),
                rack: broker.rack.clone().map(Cow::Owned),
                is_fenced: broker.fenced,
            })
        })
        .collect()
}

fn controllers(image: &MetadataImage, peer: &Peer) -> Vec<DescribeClusterBroker<'static>> {
    let all = image.cluster.controllers();
    all.filter_map(|controller| {
        let endpoint = controller.endpoints.iter().find(|endpoint| *endpoint.name == *peer.listener)?;
        Some(DescribeClusterBroker {
            broker_id: controller.id,
            host: endpoint.host.clone().into(),
            port: i32::from(endpoint.port),
            ..DescribeClusterBroker::default()
        })
    })
    .collect()
}
