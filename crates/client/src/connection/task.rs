//! The task of one connection: requests out in order, responses matched to them.
//!
//! Kafka answers the requests of a connection in the order in which they came, so the requests on their way are
//! a queue and a response belongs to its front. A response out of that order means that one side has lost count,
//! and the connection ends. Whoever still waits then is told so by its sender being dropped.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use klamm_net::Stream;
use tokio::sync::{mpsc, oneshot};

use super::frames::FrameReader;

/// A request on its way. `frame` is complete but for the correlation id.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) frame: Vec<u8>,
    /// Where the response goes; a request without a response (produce with `acks=0`) is done when it is written.
    pub(super) reply: oneshot::Sender<Vec<u8>>,
    pub(super) expects_response: bool,
}

/// Position of the correlation id: behind size, API key and version.
const CORRELATION_ID_AT: usize = 8;
/// Requests on their way at once. What is sent on top waits in the channel.
const IN_FLIGHT_MAX: usize = 64;

#[derive(Debug)]
struct InFlight {
    correlation_id: i32,
    reply: oneshot::Sender<Vec<u8>>,
}

struct Task {
    stream: Stream,
    requests: mpsc::Receiver<Outgoing>,
    writing: Option<Outgoing>,
    written: usize,
    next_correlation_id: i32,
    in_flight: VecDeque<InFlight>,
    reader: FrameReader,
    busy: bool,
}

/// Serves a connection until it stays unused for too long or fails. Whoever holds its handles aborts it.
pub(super) async fn run(stream: Stream, requests: mpsc::Receiver<Outgoing>, idle_max: Duration) {
    let mut task = Task {
        stream,
        requests,
        writing: None,
        written: 0,
        next_correlation_id: 0,
        in_flight: VecDeque::new(),
        reader: FrameReader::default(),
        busy: false,
    };
    loop {
        task.busy = false;
        let ended = tokio::time::timeout(idle_max, std::future::poll_fn(|cx| task.poll(cx))).await;
        match ended {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                tracing::debug!(%error, "connection lost");
                return;
            }
            Err(_) if task.busy || !task.in_flight.is_empty() => {}
            Err(_) => return,
        }
    }
}

impl Task {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(ended) = self.poll_write(cx) {
            return Poll::Ready(ended);
        }
        self.poll_read(cx)
    }

    /// Writes what is queued. Ends when nobody can queue more.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.writing.is_none() {
                if self.in_flight.len() >= IN_FLIGHT_MAX {
                    return Poll::Pending;
                }
                match ready!(self.requests.poll_recv(cx)) {
                    Some(request) => self.begin(request),
                    None => return Poll::Ready(Ok(())),
                }
            }
            if let Some(request) = &self.writing {
                let more = !self.requests.is_empty();
                let rest = &request.frame[self.written..];
                self.written += ready!(self.stream.poll_write(cx, rest, more))?;
                if self.written == request.frame.len() {
                    self.finish_writing();
                    ready!(self.stream.poll_flush(cx))?;
                }
            }
        }
    }

    fn begin(&mut self, mut request: Outgoing) {
        let id = self.next_correlation_id;
        self.next_correlation_id = id.wrapping_add(1) & i32::MAX;
        request.frame[CORRELATION_ID_AT..CORRELATION_ID_AT + 4].copy_from_slice(&id.to_be_bytes());
        (self.writing, self.written, self.busy) = (Some(request), 0, true);
    }

    fn finish_writing(&mut self) {
        let Some(request) = self.writing.take() else { return };
        if request.expects_response {
            let id = &request.frame[CORRELATION_ID_AT..CORRELATION_ID_AT + 4];
            let correlation_id = id.try_into().map_or(-1, i32::from_be_bytes);
            self.in_flight.push_back(InFlight { correlation_id, reply: request.reply });
        } else {
            // Nobody waiting any more is fine.
            let _ = request.reply.send(Vec::new());
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let count = ready!(self.stream.poll_read(cx, self.reader.spare()))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.reader.filled(count);
            let was_full = self.in_flight.len() >= IN_FLIGHT_MAX;
            while let Some(frame) = self.reader.next_frame().map_err(io::Error::other)? {
                self.answer(frame)?;
            }
            if was_full && let Poll::Ready(ended) = self.poll_write(cx) {
                return Poll::Ready(ended);
            }
        }
    }

    fn answer(&mut self, frame: Vec<u8>) -> io::Result<()> {
        let id = frame.first_chunk::<4>().map(|id| i32::from_be_bytes(*id));
        match self.in_flight.pop_front() {
            Some(request) if id == Some(request.correlation_id) => {
                self.busy = true;
                // Nobody waiting any more is fine: the caller has run out of patience.
                let _ = request.reply.send(frame);
                Ok(())
            }
            expected => {
                let expected = expected.map(|request| request.correlation_id);
                Err(io::Error::other(format!("response {id:?} where {expected:?} was due")))
            }
        }
    }
}
