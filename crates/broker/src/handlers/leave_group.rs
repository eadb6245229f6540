//! LeaveGroup v0–5: members leave, or are removed by an administrator.

use klamm_protocol::Reader;
use klamm_protocol::messages::LeaveGroupRequest;

use crate::handlers::group_reply;
use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: LeaveGroupRequest<'_> = context.decode(&mut body)?;
    let reply =
        group_reply::call(context, &request.group_id, |shard, caller| shard.leave_group(caller, &request));
    group_reply::respond(context, reply)
}
