//! UpdateRaftVoter v0, on the controller listener: a voter says where it listens and what it supports (KIP-853).

use klamm_protocol::messages::UpdateRaftVoterRequest;
use klamm_protocol::{ErrorCode, Reader};
use klamm_quorum::message::EpochInfo;
use klamm_quorum::wire::{check_cluster_id, updated_voter};

use crate::controller::ReplicaRequest;
use crate::request::{Fault, HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: UpdateRaftVoterRequest<'_> = context.decode(&mut body)?;
    let listener = context.broker.controller_listener();
    let checked = check_cluster_id(request.cluster_id.as_deref(), context.broker.cluster_id())
        .and_then(|()| updated_voter(&request, listener));
    let voter = match checked {
        Ok(voter) => voter,
        Err(error) => return refuse(context, error),
    };
    let epoch = request.current_leader_epoch;
    let controller = context.broker.controller().clone();
    context.respond_later(async move {
        let asked = controller.ask_replica(|reply| ReplicaRequest::UpdateVoter(voter, epoch, reply)).await;
        let told = asked.map_err(|_| Fault::Stopping)?;
        Ok(told.answer.to_update_response(told.leader.as_ref()))
    })
}

fn refuse(context: &RequestContext<'_>, error: ErrorCode) -> HandlerResult {
    let active = context.broker.controller().active_controller().borrow().clone();
    let (epoch, leader_id) = active.map_or((-1, None), |active| (active.epoch, Some(active.node_id)));
    context.respond(&EpochInfo { error, epoch, leader_id }.to_update_response(None))
}
