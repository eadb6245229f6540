//! UnregisterBroker v0: forgets a broker that is gone.

use klamm_protocol::Reader;
use klamm_protocol::messages::UnregisterBrokerRequest;

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: UnregisterBrokerRequest = context.decode(&mut body)?;
    context.decide(move |controller, _| controller.unregister_broker(&request))
}
