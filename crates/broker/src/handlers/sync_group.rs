//! SyncGroup v0–5: the leader hands in the assignment, everybody gets its part.

use klamm_protocol::Reader;
use klamm_protocol::messages::SyncGroupRequest;

use crate::handlers::group_reply;
use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: SyncGroupRequest<'_> = context.decode(&mut body)?;
    let reply =
        group_reply::call(context, &request.group_id, |shard, caller| shard.sync_group(caller, &request));
    group_reply::respond(context, reply)
}
