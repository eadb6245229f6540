//! ListPartitionReassignments v0: the moves under way.

use klamm_controller::Decision;
use klamm_protocol::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};
use klamm_protocol::{ErrorCode, Reader};

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: ListPartitionReassignmentsRequest<'_> = context.decode(&mut body)?;
    let request = request.into_static();
    context.decide(move |controller, _| {
        let response = controller.list_partition_reassignments(&request);
        Decision { records: Vec::new(), response }
    })
}

pub(crate) fn refuse(context: &RequestContext<'_>, _: Reader<'_>, error_code: ErrorCode) -> HandlerResult {
    context.respond(&ListPartitionReassignmentsResponse { error_code, ..Default::default() })
}
