//! CreatePartitions v0–3: more partitions for topics that exist.

use klamm_protocol::Reader;
use klamm_protocol::messages::CreatePartitionsRequest;

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: CreatePartitionsRequest<'_> = context.decode(&mut body)?;
    let request = request.into_static();
    context.decide(move |controller, step| controller.create_partitions(step, &request))
}
