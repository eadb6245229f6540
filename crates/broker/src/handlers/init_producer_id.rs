//! InitProducerId v0–5: an id for an idempotent producer. Transactional ids come with transactions.

use klamm_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use klamm_protocol::{ErrorCode, Reader};

use crate::request::{HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: InitProducerIdRequest<'_> = context.decode(&mut body)?;
    if (request.producer_id == -1) != (request.producer_epoch == -1) {
        return context.respond(&refusal(ErrorCode::INVALID_REQUEST));
    }
    match request.transactional_id.as_deref() {
        // Kafka's error for an empty id; any other would need a transaction coordinator.
        Some("") => return context.respond(&refusal(ErrorCode::INVALID_REQUEST)),
        Some(_) => return context.respond(&refusal(ErrorCode::UNSUPPORTED_VERSION)),
        None => {}
    }
    if let Some(producer_id) = context.broker.producer_ids().take() {
        return context.respond(&granted(producer_id));
    }
    let broker = context.broker.clone();
    context.respond_later(async move {
        Ok(match broker.producer_ids().take_or_allocate(&broker).await {
            Ok(producer_id) => granted(producer_id),
            Err(error_code) => refusal(error_code),
        })
    })
}

fn granted(producer_id: i64) -> InitProducerIdResponse {
    InitProducerIdResponse { producer_id, producer_epoch: 0, ..InitProducerIdResponse::default() }
}

fn refusal(error_code: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse {
        error_code,
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdResponse::default()
    }
}
