//! DeleteTopics v1–6: by name, or from v6 on by id.

use klamm_protocol::messages::delete_topics_response::DeletableTopicResult;
use klamm_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use klamm_protocol::{ErrorCode, Reader};

use crate::request::{HandlerResult, RequestContext};

/// From this version on there is an error for brokers that delete no topics (`delete.topic.enable`).
const DISABLED_SINCE: i16 = 3;

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: DeleteTopicsRequest<'_> = context.decode(&mut body)?;
    if !context.broker.config().delete_topic_enable {
        let error_code = match context.version >= DISABLED_SINCE {
            true => ErrorCode::TOPIC_DELETION_DISABLED,
            false => ErrorCode::INVALID_REQUEST,
        };
        return context.respond(&refusal(&request, error_code));
    }
    let request = request.into_static();
    context.decide(move |controller, _| controller.delete_topics(&request))
}

pub(crate) fn refuse(
    context: &RequestContext<'_>,
    mut body: Reader<'_>,
    error_code: ErrorCode,
) -> HandlerResult {
    let request: DeleteTopicsRequest<'_> = context.decode(&mut body)?;
    context.respond(&refusal(&request, error_code))
}

fn refusal<'r>(request: &'r DeleteTopicsRequest<'_>, error_code: ErrorCode) -> DeleteTopicsResponse<'r> {
    let by_name = request.topic_names.iter().map(|name| (Some(name), Default::default()));
    let by_either = request.topics.iter().map(|topic| (topic.name.as_ref(), topic.topic_id));
    let responses = by_name.chain(by_either).map(|(name, topic_id)| DeletableTopicResult {
        name: name.map(|name| name.as_ref().into()),
        topic_id,
        error_code,
        ..DeletableTopicResult::default()
    });
    DeleteTopicsResponse { responses: responses.collect(), ..DeleteTopicsResponse::default() }
}
