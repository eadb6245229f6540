//! ListGroups v0–5: the groups that this broker coordinates, filtered by state (v4) and type (v5).

use klamm_protocol::Reader;
use klamm_protocol::messages::{ListGroupsRequest, ListGroupsResponse};

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: ListGroupsRequest<'_> = context.decode(&mut body)?;
    let listed = context.broker.groups().read_all(|shard| shard.list_groups(&request));
    context.respond(&match listed {
        Ok(groups) => {
            ListGroupsResponse { groups: groups.into_iter().flatten().collect(), ..Default::default() }
        }
        Err(error_code) => ListGroupsResponse { error_code, ..Default::default() },
    })
}
