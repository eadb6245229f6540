//! Heartbeat v0–4: a member is alive.

use klamm_protocol::Reader;
use klamm_protocol::messages::HeartbeatRequest;

use crate::handlers::group_reply;
use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: HeartbeatRequest<'_> = context.decode(&mut body)?;
    let reply =
        group_reply::call(context, &request.group_id, |shard, caller| shard.heartbeat(caller, &request));
    group_reply::respond(context, reply)
}
