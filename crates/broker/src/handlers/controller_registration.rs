//! ControllerRegistration v0: a controller tells where it listens (KIP-919).

use klamm_protocol::Reader;
use klamm_protocol::messages::ControllerRegistrationRequest;

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: ControllerRegistrationRequest<'_> = context.decode(&mut body)?;
    context.decide_for_node(request.into_static())
}
