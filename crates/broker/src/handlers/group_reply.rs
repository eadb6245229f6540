//! What the handlers of group requests share: calling the coordinator, and answering when it does.

use klamm_coordinator::{RequestContext as ShardContext, Response as GroupResponse, Shard, Step};

use crate::groups::{Caller, Reply, moment};
use crate::request::{Fault, HandlerResult, Outcome, RequestContext, Responder, Response};

/// Hands a request to the shard of its group.
pub(crate) fn call<'a>(
    context: &RequestContext<'_>,
    group_id: &str,
    input: impl FnOnce(&mut Shard, &ShardContext<'_>) -> Step<'a>,
) -> Reply {
    let client_host = format!("/{}", context.peer.address.ip());
    let caller = Caller {
        api_version: context.version,
        client_id: context.client_id,
        client_host: &client_host,
        now: moment(context.broker.environment()),
    };
    context.broker.groups().call(&caller, context.broker.group_partition(group_id), input)
}

/// Answers with the reply itself.
pub(crate) fn respond(context: &RequestContext<'_>, reply: Reply) -> HandlerResult {
    let responder = context.responder();
    match reply {
        Reply::Now(response) => Ok(Outcome::Respond(encode(&responder, &response)?)),
        Reply::Later(receiver) => Ok(Outcome::Later(Box::pin(async move {
            let response = receiver.await.map_err(|_| Fault::Stopping)?;
            encode(&responder, &response)
        }))),
    }
}

/// The reply, once it is there.
pub(crate) async fn wait(reply: Reply) -> Result<GroupResponse, Fault> {
    match reply {
        Reply::Now(response) => Ok(response),
        Reply::Later(receiver) => receiver.await.map_err(|_| Fault::Stopping),
    }
}

fn encode(responder: &Responder, response: &GroupResponse) -> Result<Response, Fault> {
    match response {
        GroupResponse::JoinGroup(response) => responder.encode(response),
        GroupResponse::SyncGroup(response) => responder.encode(response),
        GroupResponse::Heartbeat(response) => responder.encode(response),
        GroupResponse::LeaveGroup(response) => responder.encode(response),
        GroupResponse::OffsetCommit(response) => responder.encode(response),
        GroupResponse::OffsetDelete(response) => responder.encode(response),
        GroupResponse::OffsetFetch(_) | GroupResponse::DeleteGroups(_) => {
            unreachable!("these are parts of an answer, put together by their handlers")
        }
    }
}
