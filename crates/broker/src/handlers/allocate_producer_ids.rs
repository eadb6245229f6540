//! AllocateProducerIds v0: a block of producer ids for a broker (KIP-730).

use klamm_protocol::Reader;
use klamm_protocol::messages::AllocateProducerIdsRequest;

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: AllocateProducerIdsRequest = context.decode(&mut body)?;
    context.decide_for_node(request)
}
