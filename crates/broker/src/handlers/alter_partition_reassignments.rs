//! AlterPartitionReassignments v0–1: moves partitions to other brokers, or cancels that.

use klamm_protocol::messages::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};
use klamm_protocol::{ErrorCode, Reader};

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: AlterPartitionReassignmentsRequest<'_> = context.decode(&mut body)?;
    let request = request.into_static();
    context.decide(move |controller, _| controller.alter_partition_reassignments(&request))
}

pub(crate) fn refuse(context: &RequestContext<'_>, _: Reader<'_>, error_code: ErrorCode) -> HandlerResult {
    context.respond(&AlterPartitionReassignmentsResponse { error_code, ..Default::default() })
}
