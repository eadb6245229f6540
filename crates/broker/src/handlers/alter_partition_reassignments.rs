//! AlterPartitionReassignments v0–1: moves partitions to other brokers, or cancels that.

use klamm_protocol::Reader;
use klamm_protocol::messages::AlterPartitionReassignmentsRequest;

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: AlterPartitionReassignmentsRequest<'_> = context.decode(&mut body)?;
    let request = request.into_static();
    context.decide(move |controller, _| controller.alter_partition_reassignments(&request))
}
