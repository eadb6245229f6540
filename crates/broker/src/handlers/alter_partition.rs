//! AlterPartition v2–3: a leader proposes who is in sync (KIP-497).

use klamm_protocol::Reader;
use klamm_protocol::messages::AlterPartitionRequest;

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: AlterPartitionRequest = context.decode(&mut body)?;
    context.decide_for_node(request)
}
