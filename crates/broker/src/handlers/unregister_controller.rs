//! UnregisterController v0: forgets a controller that is gone (KIP-1312).

use klamm_protocol::messages::{UnregisterControllerRequest, UnregisterControllerResponse};
use klamm_protocol::{ErrorCode, Reader};

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: UnregisterControllerRequest = context.decode(&mut body)?;
    context.decide(move |controller, _| controller.unregister_controller(&request))
}

pub(crate) fn refuse(context: &RequestContext<'_>, _: Reader<'_>, error_code: ErrorCode) -> HandlerResult {
    context.respond(&UnregisterControllerResponse { error_code, ..Default::default() })
}
