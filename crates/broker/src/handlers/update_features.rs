//! UpdateFeatures v0–2: raises or lowers finalized feature levels.

use klamm_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use klamm_protocol::{ErrorCode, Reader};

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: UpdateFeaturesRequest<'_> = context.decode(&mut body)?;
    let request = request.into_static();
    let kraft_version = context.broker.controller().kraft_version();
    context.decide(move |controller, _| controller.update_features(&request, kraft_version))
}

pub(crate) fn refuse(context: &RequestContext<'_>, _: Reader<'_>, error_code: ErrorCode) -> HandlerResult {
    context.respond(&UpdateFeaturesResponse { error_code, ..Default::default() })
}
