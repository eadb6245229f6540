//! EndQuorumEpoch v0–1, on the controller listener: the leader of the metadata quorum steps down, and says who should follow it.

use klamm_protocol::Reader;
use klamm_protocol::messages::{EndQuorumEpochRequest, EndQuorumEpochResponse};
use klamm_quorum::message::EndEpochRequest;
use klamm_quorum::wire::check_cluster_id;

use crate::controller::ReplicaRequest;
use crate::request::{Fault, HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: EndQuorumEpochRequest<'_> = context.decode(&mut body)?;
    let checked = check_cluster_id(request.cluster_id.as_deref(), context.broker.cluster_id())
        .and_then(|()| EndEpochRequest::from_wire(&request));
    let end = match checked {
        Ok(end) => end,
        Err(error_code) => {
            return context.respond(&EndQuorumEpochResponse { error_code, ..Default::default() });
        }
    };
    let controller = context.broker.controller().clone();
    context.respond_later(async move {
        let asked = controller.ask_replica(|reply| ReplicaRequest::EndEpoch(end, reply)).await;
        let told = asked.map_err(|_| Fault::Stopping)?;
        Ok(told.answer.to_end_response(told.leader.as_ref()))
    })
}
