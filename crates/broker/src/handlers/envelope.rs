//! Envelope v0: a broker hands on what its client asked for and only the active controller can do (KIP-590).
//!
//! The request inside is carried out as if it had come to this listener, for the client that it comes from. Errors of the envelope itself
//! are told apart from those of the request: the broker acts on the former and hands on the latter.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use klamm_protocol::messages::{DefaultPrincipalData, EnvelopeRequest, EnvelopeResponse};
use klamm_protocol::{Decode, ErrorCode, Reader, frame};

use crate::connection::Peer;
use crate::forwarding;
use crate::request::{Fault, HandlerResult, RequestContext};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let envelope: EnvelopeRequest<'_> = context.decode(&mut body)?;
    let client = match unwrap_client(context.peer, &envelope) {
        Ok(client) => Arc::new(client),
        Err(error_code) => return context.respond(&failed(error_code)),
    };
    let carried_out =
        forwarding::carry_out(context.broker, &client, &envelope.request_data, context.received_at());
    context.respond_after(async move {
        Ok(match carried_out.await {
            Ok(response) if forwarding::is_refused(&response) => failed(ErrorCode::NOT_CONTROLLER),
            Ok(response) => {
                let response_data = Some(response.bytes[frame::PREFIX_LEN..].to_vec().into());
                EnvelopeResponse { response_data, error_code: ErrorCode::NONE }
            }
            Err(fault) => failed(error_code(&fault)),
        })
    })
}

fn failed(error_code: ErrorCode) -> EnvelopeResponse<'static> {
    EnvelopeResponse { response_data: None, error_code }
}

/// The client that the envelope was written for.
fn unwrap_client(broker: &Peer, envelope: &EnvelopeRequest<'_>) -> Result<Peer, ErrorCode> {
    let ip = client_ip(&envelope.client_host_address).ok_or(ErrorCode::INVALID_REQUEST)?;
    let principal = envelope.request_principal.as_deref().unwrap_or_default();
    let mut reader = Reader::new(principal);
    let decoded = reader.i16().and_then(|version| DefaultPrincipalData::decode(&mut reader, version));
    decoded.map_err(|_| ErrorCode::PRINCIPAL_DESERIALIZATION_FAILURE)?;
    Ok(Peer {
        connection_id: broker.connection_id,
        address: SocketAddr::new(ip, 0),
        listener: broker.listener.clone(),
        role: broker.role,
        heartbeats_of: Default::default(),
    })
}

fn client_ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// What is wrong with a request that could not be carried out at all.
fn error_code(fault: &Fault) -> ErrorCode {
    match fault {
        Fault::Header(_) | Fault::UnsupportedVersion { .. } | Fault::Body { .. } => {
            ErrorCode::UNSUPPORTED_VERSION
        }
        Fault::NotServed(_) => ErrorCode::INVALID_REQUEST,
        Fault::NotController | Fault::Stopping => ErrorCode::NOT_CONTROLLER,
        Fault::Answer { .. } | Fault::Unacknowledged(_) => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}
