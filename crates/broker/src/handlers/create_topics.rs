//! CreateTopics v2–7: topics with a number of partitions or with replicas placed by hand.

use klamm_protocol::Reader;
use klamm_protocol::messages::CreateTopicsRequest;

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: CreateTopicsRequest<'_> = context.decode(&mut body)?;
    let request = request.into_static();
    context.decide(move |controller, step| controller.create_topics(step, &request, &|_| true))
}
