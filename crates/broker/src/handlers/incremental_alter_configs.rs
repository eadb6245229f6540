//! IncrementalAlterConfigs v0–1: sets, removes, appends to and subtracts from single settings.

use klamm_protocol::messages::IncrementalAlterConfigsRequest;
use klamm_protocol::messages::incremental_alter_configs_response::{
    AlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
};
use klamm_protocol::{ErrorCode, Reader};

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: IncrementalAlterConfigsRequest<'_> = context.decode(&mut body)?;
    let request = request.into_static();
    context.decide(move |controller, _| controller.incremental_alter_configs(&request, true))
}

pub(crate) fn refuse(
    context: &RequestContext<'_>,
    mut body: Reader<'_>,
    error_code: ErrorCode,
) -> HandlerResult {
    let request: IncrementalAlterConfigsRequest<'_> = context.decode(&mut body)?;
    let responses = request.resources.into_iter().map(|resource| AlterConfigsResourceResponse {
        error_code,
        error_message: None,
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
    });
    context.respond(&IncrementalAlterConfigsResponse { responses: responses.collect(), ..Default::default() })
}
