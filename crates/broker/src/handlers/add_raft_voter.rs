//! AddRaftVoter v0–1: makes a controller that follows the metadata log a voter (KIP-853).
//!
//! The leader asks the new voter first which levels of `kraft.version` it supports.

use std::sync::Arc;
use std::time::Duration;

use klamm_metadata::features::KRAFT_VERSION;
use klamm_protocol::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, ApiVersionsRequest, ApiVersionsResponse,
};
use klamm_protocol::{ErrorCode, Reader};
use klamm_quorum::wire::{AddVoter, check_cluster_id};
use klamm_quorum::{VoterChangeError, VoterNode};
use tokio::time::{Instant, timeout_at};

use crate::broker::Broker;
use crate::controller::ReplicaRequest;
use crate::request::{Fault, HandlerResult, RequestContext};

type Response = AddRaftVoterResponse<'static>;

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: AddRaftVoterRequest<'_> = context.decode(&mut body)?;
    let listener = context.broker.controller_listener();
    let checked = check_cluster_id(request.cluster_id.as_deref(), context.broker.cluster_id())
        .and_then(|()| AddVoter::from_wire(&request, listener));
    let addition = match checked {
        Ok(addition) => addition,
        Err(error_code) => return refuse(context, body, error_code),
    };
    let broker = context.broker.clone();
    context.respond_later(async move { add(&broker, addition).await })
}

/// A controller that does not lead the quorum says so in the quorum's words.
pub(crate) fn refuse(context: &RequestContext<'_>, _: Reader<'_>, error_code: ErrorCode) -> HandlerResult {
    let error_code = match error_code {
        ErrorCode::NOT_CONTROLLER => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        other => other,
    };
    context.respond(&Response { error_code, ..Default::default() })
}

async fn add(broker: &Arc<Broker>, addition: AddVoter) -> Result<Response, Fault> {
    let patience_ms = broker.config().controller_quorum_request_timeout_ms.max(1) as u64;
    let deadline = Instant::now() + Duration::from_millis(patience_ms);
    let id = addition.key.id;
    let asked = broker.controller().ask_replica(|reply| ReplicaRequest::CheckAddition(id, reply)).await;
    if let Err(error) = asked.map_err(|_| Fault::NotController)?.answer {
        return answer(&error);
    }
    let voter = match described(broker, &addition, deadline).await {
        Ok(voter) => voter,
        Err(error_message) => return Ok(late(error_message)),
    };
    let waits = addition.ack_when_committed;
    let adding = broker.controller().ask_replica(|reply| ReplicaRequest::AddVoter(voter, waits, reply));
    match timeout_at(deadline, adding).await {
        Err(_) => Ok(late("the change of the voters was not committed in time".to_owned())),
        Ok(added) => match added.map_err(|_| Fault::NotController)?.answer {
            Ok(()) => Ok(Response::default()),
            Err(error) => answer(&error),
        },
    }
}

/// The new voter with the levels that it says it supports.
async fn described(broker: &Broker, addition: &AddVoter, deadline: Instant) -> Result<VoterNode, String> {
    let endpoint = addition.endpoints.iter().find(|endpoint| endpoint.name == broker.controller_listener());
    let endpoint = endpoint.ok_or("the new voter does not say where it listens")?;
    let left = deadline.saturating_duration_since(Instant::now());
    let request = ApiVersionsRequest {
        client_software_name: "klamm".into(),
        client_software_version: env!("CARGO_PKG_VERSION").into(),
        ..ApiVersionsRequest::default()
    };
    let called = broker.peers().call(&endpoint.host, endpoint.port, &request, left).await;
    let response =
        called.map_err(|error| format!("the new voter was not asked what it supports: {error}"))?;
    let kraft_versions = kraft_versions(&response);
    Ok(VoterNode { key: addition.key, endpoints: addition.endpoints.clone(), kraft_versions })
}

/// What says nothing of it supports only the level without voters in the log.
fn kraft_versions(response: &ApiVersionsResponse<'_>) -> (i16, i16) {
    let mut features = response.supported_features.iter();
    let found = features.find(|feature| feature.name == KRAFT_VERSION.name);
    found.map_or((0, 0), |feature| (feature.min_version, feature.max_version))
}

fn answer(error: &VoterChangeError) -> Result<Response, Fault> {
    match error {
        VoterChangeError::NotLeader => Err(Fault::NotController),
        error => Ok(Response {
            error_code: error.error_code(),
            error_message: Some(error.to_string().into()),
            ..Default::default()
        }),
    }
}

fn late(error_message: String) -> Response {
    let error_code = ErrorCode::REQUEST_TIMED_OUT;
    Response { error_code, error_message: Some(error_message.into()), ..Default::default() }
}
