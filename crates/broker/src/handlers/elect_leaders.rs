//! ElectLeaders v0–2: moves leadership to preferred replicas, or elects uncleanly.

use klamm_protocol::Reader;
use klamm_protocol::messages::ElectLeadersRequest;

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: ElectLeadersRequest<'_> = context.decode(&mut body)?;
    let request = request.into_static();
    context.decide(move |controller, _| controller.elect_leaders(&request))
}
