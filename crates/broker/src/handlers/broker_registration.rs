//! BrokerRegistration v0–4: a broker starts, and is given its epoch.

use klamm_protocol::Reader;
use klamm_protocol::messages::BrokerRegistrationRequest;

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: BrokerRegistrationRequest<'_> = context.decode(&mut body)?;
    context.decide_for_node(request.into_static())
}
