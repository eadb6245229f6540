//! BeginQuorumEpoch v0–1, on the controller listener: the leader of the metadata quorum says that it leads.

use klamm_protocol::Reader;
use klamm_protocol::messages::{BeginQuorumEpochRequest, BeginQuorumEpochResponse};
use klamm_quorum::message::BeginEpochRequest;
use klamm_quorum::wire::{check_cluster_id, leader_address};

use crate::controller::ReplicaRequest;
use crate::request::{Fault, HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: BeginQuorumEpochRequest<'_> = context.decode(&mut body)?;
    let checked = check_cluster_id(request.cluster_id.as_deref(), context.broker.cluster_id())
        .and_then(|()| BeginEpochRequest::from_wire(&request));
    let begin = match checked {
        Ok(begin) => begin,
        Err(error_code) => {
            return context.respond(&BeginQuorumEpochResponse { error_code, ..Default::default() });
        }
    };
    let address = leader_address(&request, &context.peer.listener);
    let controller = context.broker.controller().clone();
    context.respond_later(async move {
        let asked = controller.ask_replica(|reply| ReplicaRequest::BeginEpoch(begin, address, reply)).await;
        let told = asked.map_err(|_| Fault::Stopping)?;
        Ok(told.answer.to_begin_response(told.leader.as_ref()))
    })
}
