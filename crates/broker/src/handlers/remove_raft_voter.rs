//! RemoveRaftVoter v0: takes a controller's vote away (KIP-853).

use std::time::Duration;

use klamm_protocol::messages::{RemoveRaftVoterRequest, RemoveRaftVoterResponse};
use klamm_protocol::{ErrorCode, Reader};
use klamm_quorum::VoterChangeError;
use klamm_quorum::wire::{check_cluster_id, voter_to_remove};

use crate::controller::ReplicaRequest;
use crate::request::{Fault, HandlerResult, RequestContext};

type Response = RemoveRaftVoterResponse<'static>;

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: RemoveRaftVoterRequest<'_> = context.decode(&mut body)?;
    let checked = check_cluster_id(request.cluster_id.as_deref(), context.broker.cluster_id())
        .and_then(|()| voter_to_remove(&request));
    let key = match checked {
        Ok(key) => key,
        Err(error_code) => return refuse(context, body, error_code),
    };
    let controller = context.broker.controller().clone();
    let patience_ms = context.broker.config().controller_quorum_request_timeout_ms.max(1) as u64;
    context.respond_later(async move {
        let removing = controller.ask_replica(|reply| ReplicaRequest::RemoveVoter(key, reply));
        match tokio::time::timeout(Duration::from_millis(patience_ms), removing).await {
            Err(_) => {
                Ok(refused(ErrorCode::REQUEST_TIMED_OUT, "the change was not committed in time".into()))
            }
            Ok(removed) => match removed.map_err(|_| Fault::NotController)?.answer {
                Ok(()) => Ok(Response::default()),
                Err(VoterChangeError::NotLeader) => Err(Fault::NotController),
                Err(error) => Ok(refused(error.error_code(), error.to_string())),
            },
        }
    })
}

/// A controller that does not lead the quorum says so in the quorum's words.
pub(crate) fn refuse(context: &RequestContext<'_>, _: Reader<'_>, error_code: ErrorCode) -> HandlerResult {
    let error_code = match error_code {
        ErrorCode::NOT_CONTROLLER => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        other => other,
    };
    context.respond(&Response { error_code, ..Default::default() })
}

fn refused(error_code: ErrorCode, error_message: String) -> Response {
    Response { error_code, error_message: Some(error_message.into()), ..Default::default() }
}
