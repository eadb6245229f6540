//! FindCoordinator v0–6: who coordinates a group. v4 and later ask for many at once.
//!
//! The topic that groups live in is created by the first request that needs it.

use klamm_protocol::messages::FindCoordinatorRequest;
use klamm_protocol::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use klamm_protocol::{ErrorCode, Reader};

use crate::broker::Broker;
use crate::connection::Peer;
use crate::internal_topics::CONSUMER_OFFSETS;
use crate::request::{HandlerResult, Outcome, RequestContext};

/// From this version on a request names many keys.
const KEYS_SINCE: i16 = 4;
/// The key type of groups.
const GROUP: i8 = 0;
/// The key types of transactions and share groups, which are known but not served.
const NOT_SERVED: std::ops::RangeInclusive<i8> = 1..=2;

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: FindCoordinatorRequest<'_> = context.decode(&mut body)?;
    let has_topic = context.broker.image().topics.by_name(CONSUMER_OFFSETS).is_some();
    if has_topic || request.key_type != GROUP {
        return context.respond(&answer(context.broker, context.peer, context.version, &request));
    }
    let (broker, peer, responder) = (context.broker.clone(), context.peer.clone(), context.responder());
    let request = request.into_static();
    Ok(Outcome::Exclusive(Box::pin(async move {
        broker.create_topics_automatically(vec![CONSUMER_OFFSETS.to_owned()]).await;
        responder.encode(&answer(&broker, &peer, responder.version, &request))
    })))
}

fn answer(
    broker: &Broker,
    peer: &Peer,
    version: i16,
    request: &FindCoordinatorRequest<'_>,
) -> FindCoordinatorResponse<'static> {
    let find = |key: &str| coordinator(broker, peer, request.key_type, key);
    if version >= KEYS_SINCE {
        let coordinators = request.coordinator_keys.iter().map(|key| find(key)).collect();
        return FindCoordinatorResponse { coordinators, ..FindCoordinatorResponse::default() };
    }
    let found = find(&request.key);
    FindCoordinatorResponse {
        error_code: found.error_code,
        error_message: found.error_message,
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..FindCoordinatorResponse::default()
    }
}

fn coordinator(broker: &Broker, peer: &Peer, key_type: i8, key: &str) -> Coordinator<'static> {
    let found = match key_type {
        GROUP => group_coordinator(broker, peer, key),
        kind if NOT_SERVED.contains(&kind) => {
            Err((ErrorCode::UNSUPPORTED_VERSION, "transactions and share groups are not served yet"))
        }
        _ => {
            Err((ErrorCode::INVALID_REQUEST, "the key type is none of 0 (group), 1 (transaction), 2 (share)"))
        }
    };
    let found = found.unwrap_or_else(|(error_code, message)| Coordinator {
        node_id: -1,
        port: -1,
        error_code,
        error_message: Some(message.into()),
        ..Coordinator::default()
    });
    Coordinator { key: key.to_owned().into(), ..found }
}

/// The leader of the group's partition of `__consumer_offsets`.
fn group_coordinator(
    broker: &Broker,
    peer: &Peer,
    group_id: &str,
) -> Result<Coordinator<'static>, (ErrorCode, &'static str)> {
    const UNAVAILABLE: (ErrorCode, &str) = (
        ErrorCode::COORDINATOR_NOT_AVAILABLE,
        "the group's partition of __consumer_offsets has no leader yet",
    );
    let image = broker.image();
    let topic = image.topics.by_name(CONSUMER_OFFSETS).ok_or(UNAVAILABLE)?;
    let partition = topic.partition(broker.group_partition(group_id)).ok_or(UNAVAILABLE)?;
    let leader = image.cluster.broker(partition.leader).filter(|leader| !leader.fenced).ok_or(UNAVAILABLE)?;
    let endpoint = leader.endpoint(&peer.listener).ok_or(UNAVAILABLE)?;
    Ok(Coordinator {
        node_id: leader.id,
        host: endpoint.host.clone().into(),
        port: i32::from(endpoint.port),
        ..Coordinator::default()
    })
}
