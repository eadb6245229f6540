//! One connection's two-way byte stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::FileSlice;

/// What any other kind of connection (a simulated one) must be able to do.
pub trait AsyncStream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> AsyncStream for T {}

/// A connection. TCP is a variant of its own because it alone can send from the page cache.
pub enum Stream {
    /// A kernel socket.
    Tcp(TcpStream),
    /// Anything else.
    Other(Box<dyn AsyncStream>),
}

impl Stream {
    /// Reads into `buffer`; 0 means that the peer will send no more.
    ///
    /// After a read that did not fill the buffer, a socket is taken for empty without another call to see that it is.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut read = ReadBuf::new(buffer);
        match self {
            Stream::Tcp(socket) => ready!(Pin::new(socket).poll_read(cx, &mut read))?,
            Stream::Other(stream) => ready!(Pin::new(stream).poll_read(cx, &mut read))?,
        }
        Poll::Ready(Ok(read.filled().len()))
    }

    /// Sends some of `bytes`. `more` says that something follows at once, so that a packet need not leave yet.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8], more: bool) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(socket) => poll_socket(socket, cx, |socket| send(socket, bytes, more)),
            Stream::Other(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    /// Sends some of a file's bytes, `bytes_max` at most; 0 means that the file ends before the slice does.
    pub fn poll_write_file(
        &mut self,
        cx: &mut Context<'_>,
        slice: &FileSlice,
        bytes_max: usize,
    ) -> Poll<io::Result<usize>> {
        let length = slice.length.min(bytes_max);
        match self {
            Stream::Tcp(socket) if slice.source.as_fd().is_some() => {
                poll_socket(socket, cx, |socket| send_file(socket, slice, length))
            }
            _ => self.poll_write_copied(cx, slice, length),
        }
    }

    /// Waits until nothing is left in a user-space buffer of the stream. A kernel socket has none.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(_) => Poll::Ready(Ok(())),
            Stream::Other(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    /// Where no `sendfile` is possible: one bounded copy through memory.
    fn poll_write_copied(
        &mut self,
        cx: &mut Context<'_>,
        slice: &FileSlice,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        const COPY_BYTES_MAX: usize = 64 * 1024;
        let mut buffer = vec![0; length.min(COPY_BYTES_MAX)];
        let count = slice.source.read_at(&mut buffer, slice.position)?;
        self.poll_write(cx, &buffer[..count], false)
    }
}

fn poll_socket(
    socket: &TcpStream,
    cx: &mut Context<'_>,
    mut write: impl FnMut(&TcpStream) -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(socket.poll_write_ready(cx))?;
        match socket.try_io(Interest::WRITABLE, || write(socket)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            done => return Poll::Ready(done),
        }
    }
}

fn send(socket: &TcpStream, bytes: &[u8], more: bool) -> io::Result<usize> {
    use rustix::net::SendFlags;
    let flags = if more { SendFlags::MORE | SendFlags::NOSIGNAL } else { SendFlags::NOSIGNAL };
    Ok(rustix::net::send(socket, bytes, flags)?)
}

fn send_file(socket: &TcpStream, slice: &FileSlice, length: usize) -> io::Result<usize> {
    let file = slice.source.as_fd().ok_or(io::ErrorKind::Unsupported)?;
    let mut position = slice.position;
    Ok(rustix::fs::sendfile(socket, file, Some(&mut position), length)?)
}
