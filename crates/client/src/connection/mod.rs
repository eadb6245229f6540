//! A connection to one broker: negotiated versions, pipelined requests, each with its time limit.
//!
//! Invariants:
//! - Requests leave in the order in which [`Connection::enqueue`] took them.
//! - After a timeout the connection is closed: its answers could no longer be told apart from late ones.
//! - Every request gets an answer or an error; none waits for ever.

mod frames;
mod task;
mod versions;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use klamm_net::Network;
use klamm_protocol::{ApiKey, Decode, IntoStatic, Reader, Request, Writer, frame, header};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use self::task::Outgoing;
pub(crate) use self::versions::{Features, Versions};
use crate::config::ClientConfig;
use crate::error::{BrokerName, ConnectError, RequestError};

/// Requests that may wait for the task to take them.
const QUEUE_MAX: usize = 64;

/// A handle; clones share the connection, which ends with the last of them.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    broker: BrokerName,
    versions: Versions,
    client_id: String,
    timeout: Duration,
    requests: mpsc::Sender<Outgoing>,
    is_given_up: AtomicBool,
    task: Arc<TaskGuard>,
}

/// Ends the connection's task with the last handle: nobody could take an answer any more.
#[derive(Debug)]
struct TaskGuard(tokio::task::AbortHandle);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A request that has been queued, and what its response is read with.
#[derive(Debug)]
pub(crate) struct Pending {
    connection: Connection,
    api: ApiKey,
    version: i16,
    deadline: Instant,
    answer: oneshot::Receiver<Vec<u8>>,
}

/// A response's bytes, not decoded yet.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    bytes: Vec<u8>,
    version: i16,
    broker: BrokerName,
}

impl Connection {
    /// Dials the broker and agrees with it on versions.
    pub(crate) async fn open(
        network: &dyn Network,
        broker: BrokerName,
        config: &ClientConfig,
    ) -> Result<Self, ConnectError> {
        let limit_ms = config.connection_setup_timeout_ms;
        let opening = Self::open_unlimited(network, broker.clone(), config);
        match tokio::time::timeout(Duration::from_millis(limit_ms), opening).await {
            Ok(opened) => opened,
            Err(_) => Err(ConnectError::TimedOut { broker, after_ms: limit_ms }),
        }
    }

    async fn open_unlimited(
        network: &dyn Network,
        broker: BrokerName,
        config: &ClientConfig,
    ) -> Result<Self, ConnectError> {
        let dialled = network.dial(&broker.host, broker.port).await;
        let stream = dialled
            .map_err(|source| ConnectError::Dial { broker: broker.clone(), source: Arc::new(source) })?;
        let (requests, receiver) = mpsc::channel(QUEUE_MAX);
        let idle_max = Duration::from_millis(config.connections_max_idle_ms);
        let task = tokio::spawn(task::run(stream, receiver, idle_max)).abort_handle();
        let task = Arc::new(TaskGuard(task));
        let connect = |versions, requests| Self {
            inner: Arc::new(Inner {
                broker: broker.clone(),
                versions,
                client_id: config.client_id.clone(),
                timeout: Duration::from_millis(config.request_timeout_ms),
                requests,
                is_given_up: AtomicBool::new(false),
                task: Arc::clone(&task),
            }),
        };
        let unnegotiated = connect(Versions::only_negotiation(), requests.clone());
        let versions = versions::negotiate(&unnegotiated).await?;
        Ok(connect(versions, requests))
    }

    /// Whom it leads to.
    pub(crate) fn broker(&self) -> &BrokerName {
        &self.inner.broker
    }

    /// The features that the broker supports and the cluster has, asked for anew.
    pub(crate) async fn features(&self) -> Result<Features, ConnectError> {
        Ok(versions::negotiate(self).await?.features().clone())
    }

    /// Whether it is of no more use.
    pub(crate) fn is_closed(&self) -> bool {
        self.inner.is_given_up.load(Ordering::Relaxed) || self.inner.requests.is_closed()
    }

    /// The newest version of a request that both sides speak.
    pub(crate) fn version_of(&self, api: ApiKey) -> Result<i16, RequestError> {
        let broker = || self.broker().clone();
        self.inner.versions.best(api).ok_or_else(|| RequestError::Unsupported { broker: broker(), api })
    }

    /// Sends a request and waits for its response, detached from the bytes it came in.
    pub(crate) async fn call<R: Request>(&self, request: &R) -> Result<R::Response<'static>, RequestError> {
        let version = self.version_of(R::KEY)?;
        self.call_version(request, version).await
    }

    /// The same in a given version.
    pub(crate) async fn call_version<R: Request>(
        &self,
        request: &R,
        version: i16,
    ) -> Result<R::Response<'static>, RequestError> {
        let response = self.enqueue(request, version, self.inner.timeout).await?.response().await?;
        Ok(response.decode::<R>()?.into_static())
    }

    /// Queues a request. It is on its way when this returns, behind all that were queued before.
    pub(crate) async fn enqueue<R: Request>(
        &self,
        request: &R,
        version: i16,
        timeout: Duration,
    ) -> Result<Pending, RequestError> {
        let frame = self.encode(request, version)?;
        self.enqueue_frame(R::KEY, version, frame, timeout, true).await
    }

    /// Queues a request that the broker does not answer; the future ends when it is written.
    pub(crate) async fn enqueue_unanswered<R: Request>(
        &self,
        request: &R,
        version: i16,
    ) -> Result<Pending, RequestError> {
        let frame = self.encode(request, version)?;
        self.enqueue_frame(R::KEY, version, frame, self.inner.timeout, false).await
    }

    /// `request.timeout.ms`.
    pub(crate) fn timeout(&self) -> Duration {
        self.inner.timeout
    }

    fn encode<R: Request>(&self, request: &R, version: i16) -> Result<Vec<u8>, RequestError> {
        let mut writer = Writer::new();
        frame::encode_request(&mut writer, request, version, 0, Some(&self.inner.client_id))
            .map_err(|source| RequestError::Encode { broker: self.broker().clone(), api: R::KEY, source })?;
        Ok(writer.into_bytes())
    }

    async fn enqueue_frame(
        &self,
        api: ApiKey,
        version: i16,
        frame: Vec<u8>,
        timeout: Duration,
        expects_response: bool,
    ) -> Result<Pending, RequestError> {
        let (reply, answer) = oneshot::channel();
        let deadline = Instant::now() + timeout;
        let sent = self.inner.requests.send(Outgoing { frame, reply, expects_response }).await;
        sent.map_err(|_| RequestError::Disconnected { broker: self.broker().clone(), api })?;
        Ok(Pending { connection: self.clone(), api, version, deadline, answer })
    }

    /// Closes the connection. All that wait for an answer get an error.
    pub(crate) fn close(&self) {
        if !self.inner.is_given_up.swap(true, Ordering::Relaxed) {
            self.inner.task.0.abort();
        }
    }
}

impl Pending {
    /// Waits for the response.
    pub(crate) async fn response(self) -> Result<Response, RequestError> {
        let Self { connection, api, version, deadline, answer } = self;
        let broker = connection.broker().clone();
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(bytes)) => Ok(Response { bytes, version, broker }),
            Ok(Err(_)) => {
                connection.inner.is_given_up.store(true, Ordering::Relaxed);
                Err(RequestError::Disconnected { broker, api })
            }
            Err(_) => {
                connection.close();
                let after_ms = connection.inner.timeout.as_millis() as u64;
                Err(RequestError::TimedOut { broker, api, after_ms })
            }
        }
    }
}

impl Response {
    /// The version it was asked for in.
    pub(crate) fn version(&self) -> i16 {
        self.version
    }

    /// Who has answered.
    pub(crate) fn broker(&self) -> &BrokerName {
        &self.broker
    }

    /// The bytes, header included.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Reads the response to an `R`.
    pub(crate) fn decode<R: Request>(&self) -> Result<R::Response<'_>, RequestError> {
        decode::<R>(&self.bytes, self.version).map_err(|source| RequestError::Decode {
            broker: self.broker.clone(),
            api: R::KEY,
            source,
        })
    }
}

/// Reads header and body of the response to an `R`.
pub(crate) fn decode<R: Request>(
    bytes: &[u8],
    version: i16,
) -> Result<R::Response<'_>, klamm_protocol::DecodeError> {
    let mut reader = Reader::new(bytes);
    header::decode_response(&mut reader, R::KEY, version)?;
    R::Response::decode(&mut reader, version)
}
