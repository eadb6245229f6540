//! OffsetDelete v0: removes committed offsets of topics that a group does not consume.

use klamm_protocol::Reader;
use klamm_protocol::messages::OffsetDeleteRequest;

use crate::handlers::group_reply;
use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: OffsetDeleteRequest<'_> = context.decode(&mut body)?;
    let reply =
        group_reply::call(context, &request.group_id, |shard, caller| shard.offset_delete(caller, &request));
    group_reply::respond(context, reply)
}
