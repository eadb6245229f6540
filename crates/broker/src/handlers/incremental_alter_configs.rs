//! IncrementalAlterConfigs v0–1: sets, removes, appends to and subtracts from single settings.

use klamm_protocol::Reader;
use klamm_protocol::messages::IncrementalAlterConfigsRequest;

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: IncrementalAlterConfigsRequest<'_> = context.decode(&mut body)?;
    let request = request.into_static();
    context.decide(move |controller, _| controller.incremental_alter_configs(&request, true))
}
