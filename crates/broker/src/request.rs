//! One request on its way through the broker: what a handler is given, and what it gives back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use klamm_controller::{Controller, Decision, Step};
use klamm_net::FileSlice;
use klamm_protocol::header::RequestHeader;
use klamm_protocol::{ApiKey, Decode, DecodeError, Encode, EncodeError, ErrorCode, Reader, Writer, frame};
use tokio::time::Instant;

use crate::broker::Broker;
use crate::connection::Peer;
use crate::controller::NodeRequest;

/// Most answers to Produce, Fetch and Heartbeat are not longer.
const USUAL_ANSWER_BYTES: usize = 128;

/// What a handler knows about the request it handles.
pub(crate) struct RequestContext<'c> {
    /// The broker.
    pub(crate) broker: &'c Arc<Broker>,
    /// Who asks.
    pub(crate) peer: &'c Arc<Peer>,
    /// The client's id for itself, empty when it gives none.
    pub(crate) client_id: &'c str,
    /// The version of the request and of its answer.
    pub(crate) version: i16,
    /// Milliseconds since 1970 at which the request's handling began.
    pub(crate) now_ms: i64,
    responder: Responder,
}

/// What is needed to answer a request later, when its frame is gone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Responder {
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    correlation_id: i32,
    received_at: Instant,
}

/// An encoded answer: bytes, and slices of files each with the index in the bytes before which it goes.
pub(crate) struct Response {
    pub(crate) bytes: Vec<u8>,
    pub(crate) slices: Vec<(usize, FileSlice)>,
    pub(crate) api: ApiKey,
    /// When the request's last bytes were read.
    pub(crate) received_at: Instant,
    /// The errors that the answer reports.
    pub(crate) error_codes: Vec<ErrorCode>,
}

/// The answer to a request that had to wait.
pub(crate) type LaterResponse = Pin<Box<dyn Future<Output = Result<Response, Fault>>>>;

/// What a handler made of a request.
pub(crate) enum Outcome {
    /// The answer is there.
    Respond(Response),
    /// The request has no answer (Produce with acks=0).
    Silent,
    /// The answer comes when something else has happened. Later requests of the connection need not wait for it.
    Later(LaterResponse),
    /// The answer comes when the request is carried out, and later requests of the connection wait until it is: what they ask may depend
    /// on it.
    Exclusive(LaterResponse),
}

/// Why a connection is closed instead of a request being answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The frame is shorter than a request header, or its header cannot be read.
    #[error("its header cannot be read: {0}")]
    Header(DecodeError),
    /// The API is not served on this listener.
    #[error("{0} is not served here")]
    NotServed(ApiKey),
    /// The version is not served.
    #[error("{api} version {version} is not served")]
    UnsupportedVersion {
        /// The API.
        api: ApiKey,
        /// The version asked for.
        version: i16,
    },
    /// The body cannot be read.
    #[error("the {api} request cannot be read: {error}")]
    Body {
        /// The API.
        api: ApiKey,
        /// What is wrong.
        error: DecodeError,
    },
    /// The answer does not exist in the request's version. A flaw of the broker.
    #[error("the {api} answer cannot be written: {error}")]
    Answer {
        /// The API.
        api: ApiKey,
        /// What is wrong.
        error: EncodeError,
    },
    /// A Produce request without acknowledgement failed; closing tells the client.
    #[error("records sent with acks=0 were refused: {0}")]
    Unacknowledged(String),
    /// Only the active controller can do it, and that is not here.
    #[error("there is no active controller here")]
    NotController,
    /// The broker is stopping.
    #[error("the broker is stopping")]
    Stopping,
}

/// A handler's result.
pub(crate) type HandlerResult = Result<Outcome, Fault>;

impl<'c> RequestContext<'c> {
    pub(crate) fn new(
        broker: &'c Arc<Broker>,
        peer: &'c Arc<Peer>,
        header: &'c RequestHeader<'_>,
        api: ApiKey,
        now_ms: i64,
        received_at: Instant,
    ) -> Self {
        let version = header.request_api_version;
        let responder = Responder { api, version, correlation_id: header.correlation_id, received_at };
        let client_id = header.client_id.as_deref().unwrap_or_default();
        Self { broker, peer, client_id, version, now_ms, responder }
    }

    /// Reads the request's body. Bytes after it are ignored, as Kafka does.
    pub(crate) fn decode<'a, T: Decode<'a>>(&self, body: &mut Reader<'a>) -> Result<T, Fault> {
        let api = self.responder.api;
        T::decode(body, self.version).map_err(|error| Fault::Body { api, error })
    }

    /// Answers at once.
    pub(crate) fn respond(&self, message: &impl Encode) -> HandlerResult {
        Ok(Outcome::Respond(self.responder.encode(message)?))
    }

    /// Answers when `wait` is done; later requests of the connection are handled meanwhile.
    pub(crate) fn respond_later<M: Encode + 'static>(
        &self,
        wait: impl Future<Output = Result<M, Fault>> + 'static,
    ) -> HandlerResult {
        let responder = self.responder;
        Ok(Outcome::Later(Box::pin(async move { responder.encode(&wait.await?) })))
    }

    /// Answers when `work` is done; later requests of the connection wait for it.
    pub(crate) fn respond_after<M: Encode + 'static>(
        &self,
        work: impl Future<Output = Result<M, Fault>> + 'static,
    ) -> HandlerResult {
        let responder = self.responder;
        Ok(Outcome::Exclusive(Box::pin(async move { responder.encode(&work.await?) })))
    }

    /// Answers with what the controller decides, once it is committed.
    pub(crate) fn decide<M: Encode + Send + 'static>(
        &self,
        decide: impl FnOnce(&Controller, &mut Step<'_>) -> Decision<M> + Send + 'static,
    ) -> HandlerResult {
        let controller = self.broker.controller().clone();
        self.respond_after(async move { controller.decide(decide).await.map_err(|_| Fault::NotController) })
    }

    /// The same for a request of another node, which learns from the answer where there is no active controller.
    pub(crate) fn decide_for_node<R: NodeRequest>(&self, request: R) -> HandlerResult {
        let controller = self.broker.controller().clone();
        self.respond_later(async move {
            let decided = controller.decide_mut(move |controller, step| request.decide(controller, step));
            Ok(decided.await.unwrap_or_else(|_| R::refused(ErrorCode::NOT_CONTROLLER)))
        })
    }

    /// When the request's last bytes were read.
    pub(crate) fn received_at(&self) -> Instant {
        self.responder.received_at
    }

    /// What answers this request later.
    pub(crate) fn responder(&self) -> Responder {
        self.responder
    }
}

impl Responder {
    /// The whole frame of an answer.
    pub(crate) fn encode(&self, message: &impl Encode) -> Result<Response, Fault> {
        self.encode_with_slices(message, Vec::new())
    }

    /// The whole frame of an answer whose external records are `slices`, in the order in which they occur.
    pub(crate) fn encode_with_slices(
        &self,
        message: &impl Encode,
        slices: Vec<FileSlice>,
    ) -> Result<Response, Fault> {
        let mut writer = Writer::appending_to(Vec::with_capacity(USUAL_ANSWER_BYTES));
        let Self { api, version, correlation_id, received_at } = *self;
        frame::encode_response(&mut writer, api, version, correlation_id, message)
            .map_err(|error| Fault::Answer { api, error })?;
        let error_codes = writer.take_error_codes();
        let (bytes, gaps) = writer.into_parts();
        debug_assert_eq!(gaps.len(), slices.len());
        let slices = gaps.iter().map(|gap| gap.position).zip(slices).collect();
        Ok(Response { bytes, slices, api, received_at, error_codes })
    }
}
