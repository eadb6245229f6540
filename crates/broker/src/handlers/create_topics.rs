//! CreateTopics v2–7: topics with a number of partitions or with replicas placed by hand.

use klamm_protocol::messages::CreateTopicsRequest;
use klamm_protocol::messages::create_topics_response::{CreatableTopicResult, CreateTopicsResponse};
use klamm_protocol::{ErrorCode, Reader};

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: CreateTopicsRequest<'_> = context.decode(&mut body)?;
    let request = request.into_static();
    context.decide(move |controller, step| controller.create_topics(step, &request, &|_| true))
}

pub(crate) fn refuse(
    context: &RequestContext<'_>,
    mut body: Reader<'_>,
    error_code: ErrorCode,
) -> HandlerResult {
    let request: CreateTopicsRequest<'_> = context.decode(&mut body)?;
    let topics = request.topics.into_iter().map(|topic| CreatableTopicResult {
        name: topic.name,
        error_code,
        ..CreatableTopicResult::default()
    });
    context.respond(&CreateTopicsResponse { topics: topics.collect(), ..CreateTopicsResponse::default() })
}
