//! JoinGroup v0–9: a member joins its group, or joins again in a rebalance.

use klamm_protocol::Reader;
use klamm_protocol::messages::JoinGroupRequest;

use crate::handlers::group_reply;
use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: JoinGroupRequest<'_> = context.decode(&mut body)?;
    let random = context.broker.random_u128();
    let reply = group_reply::call(context, &request.group_id, |shard, caller| {
        shard.join_group(caller, &request, random)
    });
    group_reply::respond(context, reply)
}
