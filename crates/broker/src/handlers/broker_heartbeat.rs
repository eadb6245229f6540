//! BrokerHeartbeat v0–2: a broker lives, and says what it wants.

use klamm_protocol::Reader;
use klamm_protocol::messages::BrokerHeartbeatRequest;

use crate::gone_brokers::Incarnation;
use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: BrokerHeartbeatRequest = context.decode(&mut body)?;
    let BrokerHeartbeatRequest { broker_id, broker_epoch, .. } = request;
    *context.peer.heartbeats_of.lock() = Some(Incarnation { broker_id, broker_epoch });
    context.decide_for_node(request)
}
