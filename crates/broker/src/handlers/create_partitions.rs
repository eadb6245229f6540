//! CreatePartitions v0–3: more partitions for topics that exist.

use klamm_protocol::messages::CreatePartitionsRequest;
use klamm_protocol::messages::create_partitions_response::{
    CreatePartitionsResponse, CreatePartitionsTopicResult,
};
use klamm_protocol::{ErrorCode, Reader};

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: CreatePartitionsRequest<'_> = context.decode(&mut body)?;
    let request = request.into_static();
    context.decide(move |controller, step| controller.create_partitions(step, &request))
}

pub(crate) fn refuse(
    context: &RequestContext<'_>,
    mut body: Reader<'_>,
    error_code: ErrorCode,
) -> HandlerResult {
    let request: CreatePartitionsRequest<'_> = context.decode(&mut body)?;
    let results = request.topics.into_iter().map(|topic| CreatePartitionsTopicResult {
        name: topic.name,
        error_code,
        ..CreatePartitionsTopicResult::default()
    });
    context.respond(&CreatePartitionsResponse { results: results.collect(), ..Default::default() })
}
