//! A blocking connection that hands out whole frames.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::Duration;

use klamm_protocol::{Decode, IntoStatic, Reader, Request, Writer, frame, header};
use rustix::io::Errno;
use rustix::net::RecvFlags;

use crate::failure::{Failure, Result};

/// Larger than any answer to what is asked here.
const FRAME_BYTES_MAX: usize = 256 << 20;
const INBOUND_BYTES: usize = 64 << 10;
/// An answer that takes longer will not come.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(120);

/// A connection and what it has received so far.
pub(crate) struct Connection {
    stream: TcpStream,
    inbound: Vec<u8>,
    /// The part of `inbound` that is filled and not yet handed out.
    unread: Range<usize>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        Self::open_with_patience(address, ANSWER_TIME_MAX)
    }

    /// A connection on which nothing is waited for longer than that.
    pub(crate) fn open_with_patience(address: SocketAddr, patience: Duration) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        Ok(Self { stream, inbound: vec![0; INBOUND_BYTES], unread: 0..0 })
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(crate) fn send(&mut self, frames: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(frames)?)
    }

    /// The next answer without its size; waits for it.
    pub(crate) fn receive(&mut self) -> Result<&[u8]> {
        let range = loop {
            if let Some(range) = self.next_complete()? {
                break range;
            }
            self.make_room()?;
            let received = self.stream.read(&mut self.inbound[self.unread.end..])?;
            self.count(received)?;
        };
        Ok(&self.inbound[range])
    }

    /// The next answer, if it has arrived already.
    pub(crate) fn received(&mut self) -> Result<Option<&[u8]>> {
        Ok(self.next_complete()?.map(|range| &self.inbound[range]))
    }

    /// Takes what the socket holds without waiting. Says whether there was anything.
    pub(crate) fn take_in(&mut self) -> Result<bool> {
        self.make_room()?;
        match rustix::net::recv(&self.stream, &mut self.inbound[self.unread.end..], RecvFlags::DONTWAIT) {
            Ok((received, _)) => self.count(received).map(|()| true),
            Err(Errno::AGAIN) => Ok(false),
            Err(errno) => Err(Failure::Connection(errno.into())),
        }
    }

    /// Asks and waits for the answer. Not to be used while other answers are due.
    pub(crate) fn call<R: Request>(&mut self, request: &R, version: i16) -> Result<R::Response<'static>> {
        let mut w = Writer::new();
        frame::encode_request(&mut w, request, version, 0, Some("klamm-bench"))?;
        self.send(w.as_bytes())?;
        let mut r = Reader::new(self.receive()?);
        header::decode_response(&mut r, R::KEY, version)?;
        Ok(R::Response::decode(&mut r, version)?.into_static())
    }

    fn next_complete(&mut self) -> Result<Option<Range<usize>>> {
        let Some(len) = frame::size(&self.inbound[self.unread.clone()], FRAME_BYTES_MAX)? else {
            return Ok(None);
        };
        let start = self.unread.start + frame::PREFIX_LEN;
        if self.unread.end < start + len {
            return Ok(None);
        }
        self.unread.start = start + len;
        Ok(Some(start..start + len))
    }

    /// Moves the unread part to the front, and grows the buffer to what is being received.
    fn make_room(&mut self) -> Result<()> {
        let len = self.unread.len();
        self.inbound.copy_within(self.unread.clone(), 0);
        self.unread = 0..len;
        let frame_len = frame::size(&self.inbound[..len], FRAME_BYTES_MAX)?.unwrap_or(0);
        if self.inbound.len() < frame::PREFIX_LEN + frame_len {
            self.inbound.resize(frame::PREFIX_LEN + frame_len, 0);
        }
        Ok(())
    }

    fn count(&mut self, received: usize) -> Result<()> {
        self.unread.end += received;
        match received {
            0 => Err(Failure::Other("the broker closed the connection".to_owned())),
            _ => Ok(()),
        }
    }
}
