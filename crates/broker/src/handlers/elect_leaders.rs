//! ElectLeaders v0–2: moves leadership to preferred replicas, or elects uncleanly. v0 has no error for the whole request.

use klamm_protocol::messages::ElectLeadersRequest;
use klamm_protocol::{ErrorCode, Reader};

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: ElectLeadersRequest<'_> = context.decode(&mut body)?;
    let request = request.into_static();
    let has_error = context.version >= 1;
    context.decide(move |controller, _| {
        let mut decision = controller.elect_leaders(&request);
        if !has_error {
            decision.response.error_code = ErrorCode::NONE;
        }
        decision
    })
}
