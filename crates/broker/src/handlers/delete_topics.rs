//! DeleteTopics v1–6: by name, or from v6 on by id.

use klamm_protocol::Reader;
use klamm_protocol::messages::DeleteTopicsRequest;

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: DeleteTopicsRequest<'_> = context.decode(&mut body)?;
    let request = request.into_static();
    context.decide(move |controller, _| controller.delete_topics(&request))
}
