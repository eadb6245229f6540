//! AlterConfigs v0–2: replaces all settings of a resource.

use klamm_protocol::Reader;
use klamm_protocol::messages::AlterConfigsRequest;

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: AlterConfigsRequest<'_> = context.decode(&mut body)?;
    let request = request.into_static();
    context.decide(move |controller, _| controller.alter_configs(&request, true))
}
