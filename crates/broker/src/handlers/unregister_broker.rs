//! UnregisterBroker v0: forgets a broker that is gone.

use klamm_protocol::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};
use klamm_protocol::{ErrorCode, Reader};

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: UnregisterBrokerRequest = context.decode(&mut body)?;
    context.decide(move |controller, _| controller.unregister_broker(&request))
}

pub(crate) fn refuse(context: &RequestContext<'_>, _: Reader<'_>, error_code: ErrorCode) -> HandlerResult {
    context.respond(&UnregisterBrokerResponse { error_code, ..Default::default() })
}
