//! AlterConfigs v0–2: replaces all settings of a resource.

use klamm_protocol::messages::AlterConfigsRequest;
use klamm_protocol::messages::alter_configs_response::{AlterConfigsResourceResponse, AlterConfigsResponse};
use klamm_protocol::{ErrorCode, Reader};

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: AlterConfigsRequest<'_> = context.decode(&mut body)?;
    let request = request.into_static();
    context.decide(move |controller, _| controller.alter_configs(&request, true))
}

pub(crate) fn refuse(
    context: &RequestContext<'_>,
    mut body: Reader<'_>,
    error_code: ErrorCode,
) -> HandlerResult {
    let request: AlterConfigsRequest<'_> = context.decode(&mut body)?;
    let responses = request.resources.into_iter().map(|resource| AlterConfigsResourceResponse {
        error_code,
        error_message: None,
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
    });
    context.respond(&AlterConfigsResponse { responses: responses.collect(), ..Default::default() })
}
