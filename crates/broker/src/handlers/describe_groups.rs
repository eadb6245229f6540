//! DescribeGroups v0–6: state, members and assignments of classic groups.

use klamm_protocol::Reader;
use klamm_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse};

use crate::authorized_operations;
use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: DescribeGroupsRequest<'_> = context.decode(&mut body)?;
    let operations =
        authorized_operations::if_asked(request.include_authorized_operations, authorized_operations::GROUP);
    let described = request.groups.iter().map(|group_id| {
        let version = context.version;
        let mut group = context
            .broker
            .groups()
            .read(context.broker.group_partition(group_id), |shard| shard.describe_group(group_id, version));
        group.authorized_operations = operations;
        group
    });
    let groups = described.collect();
    context.respond(&DescribeGroupsResponse { groups, ..DescribeGroupsResponse::default() })
}
