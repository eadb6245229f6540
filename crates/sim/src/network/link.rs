//! One connection.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::{Cut, Net, Party};
use crate::process::Process;

/// What may be on its way in one direction.
const BYTES_ON_THE_WAY_MAX: usize = 256 * 1024;

/// Both directions of a connection.
pub(super) struct Link {
    id: u64,
    names: [String; 2],
    /// Who has dialled, and whom.
    pub(super) parties: [Party; 2],
    pipes: [Pipe; 2],
    is_reset: bool,
    is_deaf: bool,
}

/// What goes from one end, whose number it has, to the other.
struct Pipe {
    segments: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    last_at: Instant,
    /// The writing end is gone, which the reader learns behind the last segment.
    is_closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn new() -> Self {
        let last_at = Instant::now();
        Self { segments: VecDeque::new(), bytes: 0, last_at, is_closed: false, reader: None, writer: None }
    }

    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

impl Link {
    pub(super) fn new(id: u64, names: [String; 2], parties: [Party; 2]) -> Self {
        let pipes = [Pipe::new(), Pipe::new()];
        Self { id, names, parties, pipes, is_reset: false, is_deaf: false }
    }

    pub(super) fn wake(&mut self) {
        self.pipes.iter_mut().for_each(Pipe::wake);
    }

    pub(super) fn cut(&mut self, how: Cut) {
        match how {
            Cut::Reset => self.is_reset = true,
            Cut::Deaf => self.is_deaf = true,
        }
        self.wake();
    }
}

/// One end of a connection; 0 has dialled, 1 has accepted.
pub(super) struct End {
    link: Arc<Mutex<Link>>,
    side: usize,
    process: Option<Arc<Process>>,
    net: Net,
    arrival: Pin<Box<Sleep>>,
}

impl End {
    pub(super) fn new(link: Arc<Mutex<Link>>, side: usize, process: Option<Arc<Process>>, net: Net) -> Self {
        let arrival = Box::pin(tokio::time::sleep(Duration::ZERO));
        Self { link, side, process, net, arrival }
    }
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let mut link = this.link.lock();
        let Link { id, parties, pipes, is_reset, is_deaf, .. } = &mut *link;
        let pipe = &mut pipes[1 - this.side];
        if *is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        pipe.reader = Some(cx.waker().clone());
        let way = (parties[1 - this.side], parties[this.side]);
        if *is_deaf || this.net.0.lock().blocked.contains(&way) {
            return Poll::Pending;
        }
        let Some((at, bytes)) = pipe.segments.front_mut() else {
            return if pipe.is_closed { Poll::Ready(Ok(())) } else { Poll::Pending };
        };
        if *at > Instant::now() {
            this.arrival.as_mut().reset(*at);
            if this.arrival.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        let count = bytes.len().min(buf.remaining());
        buf.put_slice(&bytes[..count]);
        this.net.0.lock().trace.bytes(format_args!("net {id} to {}", this.side), &bytes[..count]);
        bytes.drain(..count);
        if bytes.is_empty() {
            pipe.segments.pop_front();
        }
        pipe.bytes -= count;
        pipe.writer.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut link = self.link.lock();
        let Link { id, names, pipes, is_reset, is_deaf, .. } = &mut *link;
        if *is_reset || pipes[1 - self.side].is_closed {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let pipe = &mut pipes[self.side];
        let room = BYTES_ON_THE_WAY_MAX.saturating_sub(pipe.bytes);
        if room == 0 {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut state = self.net.0.lock();
        let count = bytes.len().min(room);
        if *is_deaf || state.weather.is_deaf || self.process.as_ref().is_some_and(|process| process.is_dead())
        {
            *is_deaf = true;
            return Poll::Ready(Ok(count));
        }
        let sent = state.tap.pass(*id, names, self.side, &bytes[..count]);
        let mut rest = &sent[..];
        while !rest.is_empty() {
            let length = if state.dice.percent(80) {
                rest.len()
            } else {
                1 + state.dice.below(rest.len() as u64) as usize
            };
            let at = pipe.last_at.max(Instant::now() + Duration::from_millis(state.delay_ms()));
            pipe.last_at = at;
            pipe.segments.push_back((at, rest[..length].to_vec()));
            pipe.bytes += length;
            rest = &rest[length..];
        }
        drop(state);
        pipe.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.lock().pipes[self.side].is_closed = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut link = self.link.lock();
        link.pipes[self.side].is_closed = true;
        link.wake();
    }
}
