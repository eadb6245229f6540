//! DeleteGroups v0–3: deletes groups without members, and their offsets.

use klamm_coordinator::Response as GroupResponse;
use klamm_protocol::Reader;
use klamm_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

use crate::handlers::group_reply;
use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: DeleteGroupsRequest<'_> = context.decode(&mut body)?;
    let call = |group_id: &str| {
        group_reply::call(context, group_id, |shard, caller| shard.delete_groups(caller, &[group_id]))
    };
    let replies: Vec<_> = request.groups_names.iter().map(|group_id| call(group_id)).collect();
    context.respond_after(async move {
        let mut results = Vec::with_capacity(replies.len());
        for reply in replies {
            if let GroupResponse::DeleteGroups(deleted) = group_reply::wait(reply).await? {
                results.extend(deleted);
            }
        }
        Ok(DeleteGroupsResponse { results, ..DeleteGroupsResponse::default() })
    })
}
