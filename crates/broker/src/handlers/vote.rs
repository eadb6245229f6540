//! Vote v0–2, on the controller listener: a replica of the metadata log asks for this one's vote, or whether it would give it (KIP-996).

use klamm_protocol::Reader;
use klamm_protocol::messages::{VoteRequest as WireRequest, VoteResponse as WireResponse};
use klamm_quorum::message::VoteRequest;
use klamm_quorum::wire::check_cluster_id;

use crate::controller::ReplicaRequest;
use crate::request::{Fault, HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: WireRequest<'_> = context.decode(&mut body)?;
    let checked = check_cluster_id(request.cluster_id.as_deref(), context.broker.cluster_id())
        .and_then(|()| VoteRequest::from_wire(&request));
    let vote = match checked {
        Ok(vote) => vote,
        Err(error_code) => return context.respond(&WireResponse { error_code, ..WireResponse::default() }),
    };
    let controller = context.broker.controller().clone();
    context.respond_later(async move {
        let asked = controller.ask_replica(|reply| ReplicaRequest::Vote(vote, reply)).await;
        let told = asked.map_err(|_| Fault::Stopping)?;
        Ok(told.answer.to_wire(told.leader.as_ref()))
    })
}
