//! One connection to another node.

use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use klamm_net::{Inbound, Outbound, Stream};
use klamm_protocol::{ApiKey, Decode, IntoStatic, Reader, Request, Writer, frame, header};

use super::error::{PeerAddress, PeerError, Unreadable};
use super::versions::{self, Versions};
use crate::environment::Environment;
use crate::limits::PEER_FRAME_BYTES_MAX;
use crate::listener::worker_pool;

/// A connection to another node, in the hands of one task.
pub(crate) struct PeerConnection {
    inbound: Inbound,
    link: Link,
}

/// What is left of a connection that rests: any thread can take it up again.
pub(super) struct Link {
    stream: Stream,
    peer: PeerAddress,
    client_id: Arc<str>,
    versions: Versions,
    next_correlation_id: i32,
}

/// An answer that lies in the connection's receive buffer, header included.
pub(crate) struct Answer<'c> {
    /// The version of the request and of the answer.
    pub(crate) version: i16,
    /// The answer's frame without its length.
    pub(crate) frame: &'c [u8],
    peer: &'c PeerAddress,
}

impl PeerConnection {
    /// Opens a connection and agrees on versions, all within `timeout`. `client_id` is how this node names itself.
    pub(crate) async fn dial(
        environment: &Environment,
        host: &str,
        port: u16,
        client_id: &str,
        timeout: Duration,
    ) -> Result<Self, PeerError> {
        let peer = PeerAddress { host: host.to_owned(), port };
        let late = || PeerError::TimedOut { peer: peer.clone(), after_ms: timeout.as_millis() as u64 };
        let opening = async {
            let dialled = environment.network.dial(host, port).await;
            let stream = dialled.map_err(|source| not_dialled(peer.clone(), source))?;
            let versions = Versions::only_negotiation();
            let (peer, client_id) = (peer.clone(), client_id.into());
            let mut connection =
                Self::resume(Link { stream, peer, client_id, versions, next_correlation_id: 0 });
            connection.link.versions = versions::negotiate(&mut connection, timeout).await?;
            Ok(connection)
        };
        tokio::time::timeout(timeout, opening).await.unwrap_or_else(|_| Err(late()))
    }

    /// Takes up a connection that rested.
    pub(super) fn resume(link: Link) -> Self {
        Self { inbound: Inbound::new(worker_pool(), PEER_FRAME_BYTES_MAX), link }
    }

    /// Lays the connection down; none when it has bytes that nobody asked for.
    pub(super) fn rest(self) -> Option<Link> {
        (self.inbound.pending_bytes() == 0).then_some(self.link)
    }

    /// Sends a request at the newest version both know, and waits for its response.
    ///
    /// # Errors
    /// The connection is of no more use after any of them but `Unsupported` and `Encode`.
    pub(crate) async fn call<R: Request>(
        &mut self,
        request: &R,
        timeout: Duration,
    ) -> Result<R::Response<'static>, PeerError> {
        let answer = self.call_frame(request, timeout).await?;
        Ok(answer.decode::<R>()?.into_static())
    }

    /// The same; the answer stays where it was received, and what is decoded from it borrows from there.
    ///
    /// # Errors
    /// As [`PeerConnection::call`].
    pub(crate) async fn call_frame<R: Request>(
        &mut self,
        request: &R,
        timeout: Duration,
    ) -> Result<Answer<'_>, PeerError> {
        let newest = self.link.versions.newest(R::KEY);
        let version =
            newest.ok_or_else(|| PeerError::Unsupported { peer: self.link.peer.clone(), api: R::KEY })?;
        let range = self.exchange(request, version, timeout).await?;
        Ok(Answer { version, frame: self.inbound.frame(range), peer: &self.link.peer })
    }

    /// A request whose response may be in version 0 whatever it was asked in: ApiVersions.
    pub(super) async fn call_version<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        timeout: Duration,
    ) -> Result<R::Response<'static>, PeerError> {
        let range = self.exchange(request, version, timeout).await?;
        let (frame, peer) = (self.inbound.frame(range), &self.link.peer);
        let decode = |version| Answer { version, frame, peer }.decode::<R>();
        Ok(decode(version).or_else(|error| decode(0).map_err(|_| error))?.into_static())
    }

    pub(super) fn unreadable(&self, api: ApiKey, reason: Unreadable) -> PeerError {
        PeerError::Unreadable { peer: self.link.peer.clone(), api, reason }
    }

    /// Sends a request and receives the frame that answers it.
    async fn exchange<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        timeout: Duration,
    ) -> Result<Range<usize>, PeerError> {
        let correlation_id = self.link.next_correlation_id;
        self.link.next_correlation_id = correlation_id.wrapping_add(1) & i32::MAX;
        let mut writer = Writer::new();
        frame::encode_request(&mut writer, request, version, correlation_id, Some(&self.link.client_id))
            .map_err(|source| PeerError::Encode { peer: self.link.peer.clone(), api: R::KEY, source })?;
        let mut outbound = Outbound::default();
        outbound.push_bytes(writer.as_bytes());
        let answered = tokio::time::timeout(timeout, async {
            poll_fn(|cx| outbound.poll_send(&mut self.link.stream, cx)).await?;
            self.inbound.release();
            poll_fn(|cx| poll_frame(&mut self.inbound, &mut self.link.stream, cx)).await
        });
        let range = match answered.await {
            Ok(Ok(range)) => range,
            Ok(Err(Broken::Io(source))) => {
                return Err(PeerError::Disconnected { peer: self.link.peer.clone(), source });
            }
            Ok(Err(Broken::Frame(error))) => return Err(self.unreadable(R::KEY, error.into())),
            Err(_) => {
                let after_ms = timeout.as_millis() as u64;
                return Err(PeerError::TimedOut { peer: self.link.peer.clone(), after_ms });
            }
        };
        match Reader::new(self.inbound.frame(range.clone())).i32() {
            Ok(found) if found == correlation_id => Ok(range),
            Ok(found) => {
                Err(self.unreadable(R::KEY, Unreadable::Correlation { expected: correlation_id, found }))
            }
            Err(error) => Err(self.unreadable(R::KEY, error.into())),
        }
    }
}

impl Link {
    /// Whether the peer has closed it, or says what nobody asked for.
    pub(super) fn is_stale(&mut self) -> bool {
        let mut byte = [0];
        self.stream.poll_read(&mut Context::from_waker(Waker::noop()), &mut byte).is_ready()
    }
}

impl<'c> Answer<'c> {
    /// Reads the response to an `R`.
    ///
    /// # Errors
    /// When it cannot be decoded.
    pub(crate) fn decode<R: Request>(&self) -> Result<R::Response<'c>, PeerError> {
        let mut reader = Reader::new(self.frame);
        let decoded = header::decode_response(&mut reader, R::KEY, self.version)
            .and_then(|_| R::Response::decode(&mut reader, self.version));
        decoded.map_err(|error| PeerError::Unreadable {
            peer: self.peer.clone(),
            api: R::KEY,
            reason: error.into(),
        })
    }
}

/// Why no frame came.
enum Broken {
    Io(io::Error),
    Frame(klamm_net::FrameError),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn poll_frame(
    inbound: &mut Inbound,
    stream: &mut Stream,
    cx: &mut Context<'_>,
) -> Poll<Result<Range<usize>, Broken>> {
    loop {
        if let Some(range) = inbound.next_frame().map_err(Broken::Frame)? {
            return Poll::Ready(Ok(range));
        }
        match ready!(stream.poll_read(cx, inbound.spare().map_err(Broken::Frame)?))? {
            0 => return Poll::Ready(Err(Broken::Io(io::ErrorKind::UnexpectedEof.into()))),
            count => inbound.filled(count),
        }
    }
}

fn not_dialled(peer: PeerAddress, source: io::Error) -> PeerError {
    match source.kind() {
        io::ErrorKind::ConnectionRefused => PeerError::Refused { peer },
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            PeerError::Disconnected { peer, source }
        }
        _ => PeerError::Unreachable { peer, source },
    }
}
