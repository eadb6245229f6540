//! One client's connection: frames in, requests handled in order, answers out in the same order.
//!
//! Everything happens on one thread, in one future. Requests that are in the buffer are handled in one wake-up and their
//! answers leave in one write. A request whose answer has to wait (a long poll, a join) keeps its place in the order of
//! answers, but later requests are handled meanwhile; unless they must see its effect (a topic that is created).

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use klamm_net::{BufferPool, FrameError, Inbound, Outbound, Stream};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};

use crate::broker::Broker;
use crate::dispatch;
use crate::gone_brokers::{self, Incarnation};
use crate::limits::{REQUESTS_IN_FLIGHT_MAX, SHUTDOWN_GRACE_MS, UNSENT_BYTES_MAX};
use crate::listener::ListenerRole;
use crate::request::{Fault, LaterResponse, Outcome, Response};

/// The idle time of connections that may be idle for ever (`connections.max.idle.ms` below 0).
const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// Who is at the other end of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The connection's number, unique in this process.
    pub(crate) connection_id: u64,
    /// Where the peer connects from.
    pub(crate) address: SocketAddr,
    /// The name of the listener that accepted it.
    pub(crate) listener: Arc<str>,
    /// What is served on that listener.
    pub(crate) role: ListenerRole,
    /// The broker whose heartbeats come from there.
    pub(crate) heartbeats_of: Mutex<Option<Incarnation>>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Closed {
    /// The peer closed it.
    #[error("the peer closed it")]
    ByPeer,
    /// Nothing moved for `connections.max.idle.ms`.
    #[error("idle for too long")]
    Idle,
    /// The broker is stopping.
    #[error("the broker is stopping")]
    Stopping,
    /// The socket, or a file that was being sent, failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// What the peer sent is no frame.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// A request could not be answered.
    #[error("{0}")]
    Request(#[from] Fault),
}

/// Serves a connection until it ends.
pub(crate) async fn serve(broker: Arc<Broker>, stream: Stream, peer: Peer, pool: BufferPool) {
    let mut stopping = broker.stopping();
    let mut connection = Connection::new(broker, stream, peer, pool);
    let closed = {
        let stopped = async move { drop(stopping.wait_for(|stopping| *stopping).await) };
        tokio::pin!(stopped);
        poll_fn(|cx| match stopped.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Closed::Stopping),
            Poll::Pending => connection.poll(cx),
        })
        .await
    };
    // Requests before the one that ends the connection are answered, as they are where they come one at a time.
    if matches!(closed, Closed::Stopping | Closed::Frame(_) | Closed::Request(_)) {
        connection.send_what_is_ready().await;
    }
    connection.report(&closed);
    if matches!(closed, Closed::ByPeer | Closed::Io(_)) {
        connection.tell_of_lost_broker();
    }
}

struct Connection {
    broker: Arc<Broker>,
    peer: Arc<Peer>,
    stream: Stream,
    inbound: Inbound,
    outbound: Outbound,
    /// Requests whose answers are not yet in `outbound`, oldest first.
    unanswered: VecDeque<Answer>,
    /// True while one of them holds later requests back.
    is_held: bool,
    /// Bytes of those of them that are ready.
    ready_bytes: usize,
    idle: Pin<Box<Sleep>>,
    idle_limit: Duration,
    last_active: Instant,
    last_read: Instant,
}

/// An answer in its place in the order.
enum Answer {
    Ready(Response),
    Waiting(LaterResponse),
    /// The same for a request whose effect later ones must see: until it is answered none is handled.
    Holding(LaterResponse),
}

impl Connection {
    fn new(broker: Arc<Broker>, stream: Stream, peer: Peer, pool: BufferPool) -> Self {
        let config = broker.config();
        let idle_limit = u64::try_from(config.connections_max_idle_ms).map_or(NEVER, Duration::from_millis);
        Self {
            inbound: Inbound::new(pool, config.socket_request_max_bytes.max(0) as usize),
            peer: Arc::new(peer),
            stream,
            outbound: Outbound::default(),
            unanswered: VecDeque::new(),
            idle: Box::pin(tokio::time::sleep(idle_limit)),
            idle_limit,
            is_held: false,
            ready_bytes: 0,
            last_active: Instant::now(),
            last_read: Instant::now(),
            broker,
        }
    }

    /// Does all that can be done now. Ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Closed> {
        match self.try_poll(cx) {
            Ok(()) => self.poll_idle(cx),
            Err(closed) => Poll::Ready(closed),
        }
    }

    fn try_poll(&mut self, cx: &mut Context<'_>) -> Result<(), Closed> {
        loop {
            let handled_all = self.handle_frames()?;
            self.poll_answers(cx)?;
            self.poll_send(cx)?;
            if !self.may_handle() {
                return Ok(());
            }
            if handled_all && self.poll_read(cx)?.is_pending() {
                self.inbound.release();
                return Ok(());
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<(), Closed> {
        let unsent = self.outbound.pending_bytes();
        if unsent > 0 {
            if let Poll::Ready(sent) = self.outbound.poll_send(&mut self.stream, cx) {
                sent?;
            }
            if self.outbound.pending_bytes() < unsent {
                self.last_active = Instant::now();
            }
        }
        Ok(())
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Closed> {
        let Poll::Ready(read) = self.stream.poll_read(cx, self.inbound.spare()?) else {
            return Ok(Poll::Pending);
        };
        match read? {
            0 => Err(Closed::ByPeer),
            count => {
                self.inbound.filled(count);
                self.last_read = Instant::now();
                self.last_active = self.last_read;
                Ok(Poll::Ready(()))
            }
        }
    }

    /// Handles the requests that have arrived whole, as long as there is room for their answers. False when some are left.
    fn handle_frames(&mut self) -> Result<bool, Closed> {
        while self.may_handle() {
            let Some(range) = self.inbound.next_frame()? else { return Ok(true) };
            self.handle_frame(range)?;
        }
        Ok(false)
    }

    fn may_handle(&self) -> bool {
        !self.is_held
            && self.unanswered.len() < REQUESTS_IN_FLIGHT_MAX
            && self.outbound.pending_memory_bytes() + self.ready_bytes < UNSENT_BYTES_MAX
    }

    fn handle_frame(&mut self, range: Range<usize>) -> Result<(), Closed> {
        let frame = self.inbound.frame(range);
        match dispatch::handle(&self.broker, &self.peer, frame, self.last_read)? {
            Outcome::Respond(response) if self.unanswered.is_empty() => self.queue(response),
            Outcome::Respond(response) => {
                self.ready_bytes += response.bytes.len();
                self.unanswered.push_back(Answer::Ready(response));
            }
            Outcome::Later(waiting) => self.unanswered.push_back(Answer::Waiting(waiting)),
            Outcome::Exclusive(waiting) => {
                self.is_held = true;
                self.unanswered.push_back(Answer::Holding(waiting));
            }
            Outcome::Silent => {}
        }
        Ok(())
    }

    /// Polls what waits and queues the answers that are ready, up to the first that is not.
    fn poll_answers(&mut self, cx: &mut Context<'_>) -> Result<(), Closed> {
        for at in 0..self.unanswered.len() {
            let answer = &mut self.unanswered[at];
            let (Answer::Waiting(waiting) | Answer::Holding(waiting)) = answer else { continue };
            let Poll::Ready(response) = waiting.as_mut().poll(cx) else { continue };
            let response = match response {
                Ok(response) => response,
                Err(fault) => {
                    // Those before it may still be answered; it must not be asked again.
                    self.unanswered.truncate(at);
                    return Err(fault.into());
                }
            };
            self.is_held &= !matches!(answer, Answer::Holding(_));
            self.ready_bytes += response.bytes.len();
            *answer = Answer::Ready(response);
        }
        let is_ready = |answer: &mut Answer| matches!(answer, Answer::Ready(_));
        while let Some(Answer::Ready(response)) = self.unanswered.pop_front_if(is_ready) {
            self.ready_bytes -= response.bytes.len();
            self.queue(response);
        }
        Ok(())
    }

    fn queue(&mut self, response: Response) {
        let Response { bytes, slices, api, received_at, error_codes } = response;
        self.broker.metrics().answered(api, received_at.elapsed(), &error_codes);
        let mut sent = 0;
        for (at, slice) in slices {
            self.outbound.push_bytes(&bytes[sent..at]);
            self.outbound.push_slice(slice);
            sent = at;
        }
        self.outbound.push_bytes(&bytes[sent..]);
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Closed> {
        while self.idle.as_mut().poll(cx).is_ready() {
            let deadline = self.last_active + self.idle_limit;
            if deadline <= Instant::now() {
                return Poll::Ready(Closed::Idle);
            }
            self.idle.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    /// At the broker's end of a connection: the answers that are there leave, within a short time.
    async fn send_what_is_ready(&mut self) {
        let send = poll_fn(|cx| {
            if self.poll_answers(cx).is_err() {
                return Poll::Ready(Ok(()));
            }
            self.outbound.poll_send(&mut self.stream, cx)
        });
        let _ = tokio::time::timeout(Duration::from_millis(SHUTDOWN_GRACE_MS), send).await;
    }

    /// A broker whose heartbeats came over this connection may be gone.
    fn tell_of_lost_broker(&self) {
        if let Some(incarnation) = *self.peer.heartbeats_of.lock() {
            gone_brokers::connection_ended(&self.broker, incarnation);
        }
    }

    /// One log line where the peer did something wrong, none where it only left.
    fn report(&self, closed: &Closed) {
        let peer = self.peer.address;
        match closed {
            Closed::Frame(_) | Closed::Request(_) => {
                tracing::warn!("closed the connection from {peer}: {closed}");
            }
            Closed::ByPeer | Closed::Idle | Closed::Stopping | Closed::Io(_) => {
                tracing::debug!("closed the connection from {peer}: {closed}");
            }
        }
    }
}
