//! Requests that only the active controller carries out.
//!
//! A client may send them to any broker: one whose controller is active here carries them out, any other hands them on in an Envelope
//! (KIP-590) and passes the answer's bytes back as they are. Whoever is asked may have lost its office; then its successor is asked, until
//! the request's time is up. On a controller's listener there is no second attempt: the answer says that this is not the controller.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use klamm_protocol::messages::{DefaultPrincipalData, EnvelopeRequest};
use klamm_protocol::{ApiKey, Encode, ErrorCode, Reader, Writer, header};
use tokio::time::Instant;

use crate::broker::Broker;
use crate::connection::Peer;
use crate::controller::ActiveController;
use crate::dispatch;
use crate::listener::ListenerRole;
use crate::request::{Fault, Outcome, Response};

/// How long to wait before asking again when nothing new is heard of the active controller.
const RETRY_MS: u64 = 50;

/// A request on its way to the active controller.
struct Forwarded {
    broker: Arc<Broker>,
    peer: Arc<Peer>,
    frame: Vec<u8>,
    received_at: Instant,
}

/// The answer to a request that only the active controller carries out, once it is there.
pub(crate) type CarriedOut = Pin<Box<dyn Future<Output = Result<Response, Fault>>>>;

/// Has the active controller carry out a request that came over this connection.
pub(crate) fn forward(
    broker: &Arc<Broker>,
    peer: &Arc<Peer>,
    frame: &[u8],
    received_at: Instant,
) -> CarriedOut {
    let (broker, peer, frame) = (broker.clone(), peer.clone(), frame.to_vec());
    let forwarded = Forwarded { broker, peer, frame, received_at };
    Box::pin(async move {
        match forwarded.peer.role {
            ListenerRole::Broker => forwarded.carry_out_anywhere().await,
            ListenerRole::Controller => match forwarded.carry_out_here().await {
                Err(Fault::NotController) => forwarded.refuse(ErrorCode::NOT_CONTROLLER),
                answered => answered,
            },
        }
    })
}

/// Carries out here what another node hands on; only what is served by the active controller.
pub(crate) fn carry_out(
    broker: &Arc<Broker>,
    peer: &Arc<Peer>,
    frame: &[u8],
    received_at: Instant,
) -> CarriedOut {
    let (broker, peer, frame) = (broker.clone(), peer.clone(), frame.to_vec());
    Box::pin(async move {
        let (api, _) = header::decode_request(&mut Reader::new(&frame)).map_err(Fault::Header)?;
        if !dispatch::is_by_controller(api) {
            return Err(Fault::NotServed(api));
        }
        Forwarded { broker, peer, frame, received_at }.carry_out_here().await
    })
}

/// Whether an answer says that the node which gave it is not the active controller.
pub(crate) fn is_refused(response: &Response) -> bool {
    let refusal = match response.api {
        ApiKey::DescribeQuorum | ApiKey::AddRaftVoter | ApiKey::RemoveRaftVoter => {
            ErrorCode::NOT_LEADER_OR_FOLLOWER
        }
        _ => ErrorCode::NOT_CONTROLLER,
    };
    response.error_codes.contains(&refusal)
}

impl Forwarded {
    /// Asks whichever controller is active, until one answers or the request's time is up.
    async fn carry_out_anywhere(&self) -> Result<Response, Fault> {
        let patience_ms = self.broker.config().request_timeout_ms.max(1) as u64;
        let deadline = self.received_at + Duration::from_millis(patience_ms);
        let mut active = self.broker.controller().active_controller();
        let asking = async {
            loop {
                let known = active.borrow_and_update().clone();
                let asked = async {
                    match &known {
                        Some(known) if known.is_here => self.try_here().await,
                        Some(known) => self.try_there(known, deadline).await,
                        None => Ok(None),
                    }
                };
                tokio::select! {
                    biased;
                    asked = asked => if let Some(response) = asked? {
                        return Ok(response);
                    },
                    _ = active.changed() => continue,
                }
                // Whoever was asked does not know better yet either.
                let _ = tokio::time::timeout(Duration::from_millis(RETRY_MS), active.changed()).await;
            }
        };
        match tokio::time::timeout_at(deadline, asking).await {
            Ok(answered) => answered,
            Err(_) => self.refuse(ErrorCode::REQUEST_TIMED_OUT),
        }
    }

    async fn try_here(&self) -> Result<Option<Response>, Fault> {
        match self.carry_out_here().await {
            Ok(response) => Ok(Some(response).filter(|response| !is_refused(response))),
            Err(Fault::NotController) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    async fn carry_out_here(&self) -> Result<Response, Fault> {
        match dispatch::run(&self.broker, &self.peer, &self.frame, self.received_at)? {
            Outcome::Respond(response) => Ok(response),
            Outcome::Later(later) | Outcome::Exclusive(later) => later.await,
            Outcome::Silent => Err(Fault::NotController),
        }
    }

    /// Hands the request on; none where the controller that was asked is not active, or not there.
    async fn try_there(
        &self,
        controller: &ActiveController,
        deadline: Instant,
    ) -> Result<Option<Response>, Fault> {
        let envelope = self.envelope()?;
        let left = deadline.saturating_duration_since(Instant::now());
        let called = self.broker.peers().call(&controller.host, controller.port, &envelope, left).await;
        let answer = match called {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!("a request was not handed on: {error}");
                return Ok(None);
            }
        };
        match answer.error_code {
            ErrorCode::NONE => self.unwrap(answer.response_data.as_deref().unwrap_or_default()).map(Some),
            ErrorCode::NOT_CONTROLLER => Ok(None),
            ErrorCode::UNSUPPORTED_VERSION => {
                let (api, version) = self.api()?;
                Err(Fault::UnsupportedVersion { api, version })
            }
            error_code => {
                tracing::warn!("controller {} refuses an envelope: {error_code}", controller.node_id);
                self.refuse(ErrorCode::UNKNOWN_SERVER_ERROR).map(Some)
            }
        }
    }

    fn envelope(&self) -> Result<EnvelopeRequest<'_>, Fault> {
        let client = match self.peer.address.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        Ok(EnvelopeRequest {
            request_data: (&*self.frame).into(),
            request_principal: Some(principal()?.into()),
            client_host_address: client.into(),
        })
    }

    /// The controller has written header and body as this node would have: what is missing is the length.
    fn unwrap(&self, response: &[u8]) -> Result<Response, Fault> {
        let (api, _) = self.api()?;
        let size = i32::try_from(response.len()).unwrap_or(i32::MAX);
        let bytes = [&size.to_be_bytes(), response].concat();
        Ok(Response {
            bytes,
            slices: Vec::new(),
            api,
            received_at: self.received_at,
            error_codes: Vec::new(),
        })
    }

    fn refuse(&self, error_code: ErrorCode) -> Result<Response, Fault> {
        match dispatch::refuse(&self.broker, &self.peer, &self.frame, self.received_at, error_code)? {
            Outcome::Respond(response) => Ok(response),
            _ => Err(Fault::NotController),
        }
    }

    fn api(&self) -> Result<(ApiKey, i16), Fault> {
        let (api, header) = header::decode_request(&mut Reader::new(&self.frame)).map_err(Fault::Header)?;
        Ok((api, header.request_api_version))
    }
}

/// Who asks, as Kafka writes it: its version, then the principal. Nobody is authenticated.
fn principal() -> Result<Vec<u8>, Fault> {
    let principal = DefaultPrincipalData {
        r#type: "User".into(),
        name: "ANONYMOUS".into(),
        ..DefaultPrincipalData::default()
    };
    let mut writer = Writer::new();
    writer.i16(0);
    principal.encode(&mut writer, 0).map_err(|error| Fault::Answer { api: ApiKey::Envelope, error })?;
    Ok(writer.into_bytes())
}
