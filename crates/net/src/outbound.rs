//! What is to be sent: bytes from memory with slices of files between them.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::os::fd::BorrowedFd;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::Stream;

/// The memory kept by an outbound buffer that has nothing to send.
const IDLE_BYTES_MAX: usize = 16 * 1024;
/// What is sent of files before the thread's other connections get their turn. A megabyte takes a third of a millisecond, which somebody who
/// waits for a record would notice.
const TURN_BYTES: usize = 256 * 1024;

/// A file that parts of answers are sent from.
pub trait FileSource: Send + Sync {
    /// The file's descriptor where it has one, so that the kernel can send from it.
    fn as_fd(&self) -> Option<BorrowedFd<'_>>;
    /// Whether the range can be read without waiting for the device, as far as can be told.
    fn is_cached(&self, position: u64, length: usize) -> bool;
    /// Has the device begin to read the range, without waiting for it.
    fn prefetch(&self, position: u64, length: usize);
    /// Reads at a position, for connections that cannot send from a descriptor.
    ///
    /// # Errors
    /// Those of the disk.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
}

/// A part of a file that is to be sent.
#[derive(Clone)]
pub struct FileSlice {
    /// The file.
    pub source: Arc<dyn FileSource>,
    /// Where the part begins, in bytes.
    pub position: u64,
    /// Its length in bytes.
    pub length: usize,
}

impl FileSlice {
    /// Whether sending it would not wait for the device.
    pub fn is_cached(&self) -> bool {
        self.source.is_cached(self.position, self.length)
    }

    /// Brings it into the page cache; waits for the device.
    ///
    /// # Errors
    /// Those of the device.
    pub fn warm(&self) -> io::Result<()> {
        /// No more than a kernel reads ahead at once.
        const STEP_BYTES: usize = 128 * 1024;
        let steps =
            (0..self.length).step_by(STEP_BYTES).map(|from| (from, STEP_BYTES.min(self.length - from)));
        // The device works at all of them together. Nothing is copied: a byte of each step is waited for.
        for (from, length) in steps.clone() {
            self.source.prefetch(self.position + from as u64, length);
        }
        for (from, length) in steps.clone() {
            self.source.read_at(&mut [0], self.position + (from + length - 1) as u64)?;
        }
        // Whoever reads a log reads on: while this is on its way, the device has the next piece to read.
        let end = self.position + self.length as u64;
        for (from, length) in steps {
            self.source.prefetch(end + from as u64, length);
        }
        Ok(())
    }
}

/// A queue of bytes and file slices, sent in order.
#[derive(Default)]
pub struct Outbound {
    bytes: Vec<u8>,
    sent: usize,
    /// Slices, each with the index in `bytes` before which it goes.
    slices: VecDeque<(usize, FileSlice)>,
    slice_bytes: usize,
}

impl Outbound {
    /// Queues bytes.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Queues a part of a file.
    pub fn push_slice(&mut self, slice: FileSlice) {
        if slice.length > 0 {
            self.slice_bytes += slice.length;
            self.slices.push_back((self.bytes.len(), slice));
        }
    }

    /// How much is waiting to be sent.
    pub fn pending_bytes(&self) -> usize {
        self.pending_memory_bytes() + self.slice_bytes
    }

    /// The part of [`Outbound::pending_bytes`] that is held in memory.
    pub fn pending_memory_bytes(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// True when nothing is waiting to be sent.
    pub fn is_empty(&self) -> bool {
        self.pending_bytes() == 0
    }

    /// Sends until everything is sent, with a break after every so many bytes of files.
    ///
    /// # Errors
    /// Those of the socket or the file; `UnexpectedEof` when a file is shorter than its slice. The connection is of no
    /// use afterwards, because the peer cannot tell where the next answer begins.
    pub fn poll_send(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut turn_bytes = 0;
        loop {
            let boundary = self.slices.front().map_or(self.bytes.len(), |(at, _)| *at);
            if self.sent < boundary {
                let more = boundary < self.bytes.len() || !self.slices.is_empty();
                self.sent += ready!(stream.poll_write(cx, &self.bytes[self.sent..boundary], more))?;
            } else if let Some((_, slice)) = self.slices.front_mut() {
                if turn_bytes >= TURN_BYTES {
                    return give_way(cx);
                }
                let count = ready!(stream.poll_write_file(cx, slice, TURN_BYTES - turn_bytes))?;
                turn_bytes += count;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                slice.position += count as u64;
                slice.length -= count;
                self.slice_bytes -= count;
                if slice.length == 0 {
                    self.slices.pop_front();
                }
            } else {
                break;
            }
        }
        self.reset();
        stream.poll_flush(cx)
    }

    fn reset(&mut self) {
        self.sent = 0;
        self.bytes.clear();
        self.bytes.shrink_to(IDLE_BYTES_MAX);
        self.slices.shrink_to(16);
    }
}

/// Comes back when the thread has looked at its other connections.
fn give_way<T>(cx: &mut Context<'_>) -> Poll<T> {
    // The runtime wakes whoever yields once it has looked at the sockets, also when what yielded is gone.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;

    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::{Network, SocketBuffers, TcpNetwork};

    struct RealFile(File, bool);

    impl FileSource for RealFile {
        fn is_cached(&self, _position: u64, _length: usize) -> bool {
            true
        }
        fn prefetch(&self, _position: u64, _length: usize) {}
        fn as_fd(&self) -> Option<BorrowedFd<'_>> {
            self.1.then(|| self.0.as_fd())
        }
        fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
            self.0.read_at(buffer, position)
        }
    }

    fn file_of(bytes: &[u8], with_descriptor: bool) -> Arc<dyn FileSource> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Arc::new(RealFile(file, with_descriptor))
    }

    /// Queues memory, file, memory, file and returns it with the bytes that must arrive.
    fn mixed(with_descriptor: bool) -> (Outbound, Vec<u8>) {
        let content: Vec<u8> = (0..500_000_u32).map(|at| (at % 251) as u8).collect();
        let source = file_of(&content, with_descriptor);
        let mut outbound = Outbound::default();
        outbound.push_bytes(b"head");
        outbound.push_slice(FileSlice { source: source.clone(), position: 1000, length: 400_000 });
        outbound.push_bytes(b"middle");
        outbound.push_slice(FileSlice { source: source.clone(), position: 0, length: 0 });
        outbound.push_slice(FileSlice { source, position: 499_990, length: 10 });
        outbound.push_bytes(b"tail");
        let expected = [b"head", &content[1000..401_000], b"middle", &content[499_990..], b"tail"].concat();
        assert_eq!(outbound.pending_bytes(), expected.len());
        (outbound, expected)
    }

    #[tokio::test]
    async fn sends_memory_and_files_in_order() {
        for with_descriptor in [true, false] {
            let mut listener = TcpNetwork.listen("127.0.0.1:0".parse().unwrap(), 16).await.unwrap();
            let address = listener.local_addr().unwrap();
            let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
            let mut server = listener.accept().await.unwrap().attach(SocketBuffers::default()).unwrap();
            let (mut outbound, expected) = mixed(with_descriptor);
            let send = std::future::poll_fn(|cx| outbound.poll_send(&mut server, cx));
            let mut received = vec![0; expected.len()];
            let (sent, read) = tokio::join!(send, client.read_exact(&mut received));
            sent.unwrap();
            read.unwrap();
            assert!(received == expected);
            assert!(outbound.is_empty());
        }
    }

    #[tokio::test]
    async fn sends_over_streams_that_are_not_sockets() {
        let (near, mut far) = tokio::io::duplex(1000);
        let mut stream = Stream::Other(Box::new(near));
        let (mut outbound, expected) = mixed(true);
        let mut received = vec![0; expected.len()];
        let send = std::future::poll_fn(|cx| outbound.poll_send(&mut stream, cx));
        let (sent, read) = tokio::join!(send, far.read_exact(&mut received));
        sent.unwrap();
        read.unwrap();
        assert!(received == expected);
    }

    #[tokio::test]
    async fn others_get_their_turn_between_pieces_of_a_file() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let mut stream = Stream::Other(Box::new(near));
        let (mut outbound, expected) = mixed(true);
        let first = std::future::poll_fn(|cx| Poll::Ready(outbound.poll_send(&mut stream, cx))).await;
        assert!(first.is_pending());
        assert_eq!(outbound.pending_bytes(), expected.len() - "head".len() - TURN_BYTES);
        std::future::poll_fn(|cx| outbound.poll_send(&mut stream, cx)).await.unwrap();
        let mut received = vec![0; expected.len()];
        far.read_exact(&mut received).await.unwrap();
        assert!(received == expected);
    }

    #[tokio::test]
    async fn a_file_that_ends_early_is_an_error() {
        let (near, _far) = tokio::io::duplex(1000);
        let mut stream = Stream::Other(Box::new(near));
        let mut outbound = Outbound::default();
        outbound.push_slice(FileSlice { source: file_of(b"short", true), position: 0, length: 6 });
        let sent = std::future::poll_fn(|cx| outbound.poll_send(&mut stream, cx)).await;
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
