//! ElectLeaders v0–2: moves leadership to preferred replicas, or elects uncleanly. v0 has no error for the whole request.

use klamm_protocol::messages::ElectLeadersRequest;
use klamm_protocol::messages::elect_leaders_response::{
    ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};
use klamm_protocol::{ErrorCode, Reader};

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: ElectLeadersRequest<'_> = context.decode(&mut body)?;
    let request = request.into_static();
    let has_error = context.version >= 1;
    context.decide(move |controller, _| {
        let mut decision = controller.elect_leaders(&request);
        if !has_error {
            decision.response.error_code = ErrorCode::NONE;
        }
        decision
    })
}

pub(crate) fn refuse(
    context: &RequestContext<'_>,
    mut body: Reader<'_>,
    error_code: ErrorCode,
) -> HandlerResult {
    let request: ElectLeadersRequest<'_> = context.decode(&mut body)?;
    let of_all = if context.version >= 1 { error_code } else { ErrorCode::NONE };
    let results = request.topic_partitions.into_iter().flatten().map(|topic| {
        let of_partition = |partition_id| PartitionResult { partition_id, error_code, error_message: None };
        let partition_result = topic.partitions.into_iter().map(of_partition).collect();
        ReplicaElectionResult { topic: topic.topic, partition_result }
    });
    context.respond(&ElectLeadersResponse {
        error_code: of_all,
        replica_election_results: results.collect(),
        ..Default::default()
    })
}
