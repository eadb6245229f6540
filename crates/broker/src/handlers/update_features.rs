//! UpdateFeatures v0–2: raises or lowers finalized feature levels.

use klamm_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use klamm_protocol::{ErrorCode, Reader};

use crate::request::{Fault, HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: UpdateFeaturesRequest<'_> = context.decode(&mut body)?;
    let request = request.into_static();
    let controller = context.broker.controller().clone();
    context.respond_after(async move {
        controller.update_features(request).await.map_err(|_| Fault::NotController)
    })
}

pub(crate) fn refuse(context: &RequestContext<'_>, _: Reader<'_>, error_code: ErrorCode) -> HandlerResult {
    context.respond(&UpdateFeaturesResponse { error_code, ..Default::default() })
}
