//! AssignReplicasToDirs v0: a broker tells in which directories its replicas are (KIP-858).

use klamm_protocol::Reader;
use klamm_protocol::messages::AssignReplicasToDirsRequest;

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: AssignReplicasToDirsRequest = context.decode(&mut body)?;
    context.decide_for_node(request)
}
