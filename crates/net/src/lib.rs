//! Sockets: listening, dialling, framing and sending.
//!
//! This is the only crate that names sockets. The rest of Klamm sees a [`Network`] (the seam that a simulation
//! replaces), [`Stream`]s, and two buffers: [`Inbound`] cuts frames out of what a peer sends, [`Outbound`] holds what
//! is to be sent, part of it as slices of files that leave straight from the page cache.
//!
//! Invariants:
//! - A frame's announced length never allocates memory: an inbound buffer grows with the bytes that have arrived.
//! - Bytes leave in the order in which they were queued, whether they come from memory or from a file.
//! - An idle connection holds no buffer ([`BufferPool`]).

mod buffer_pool;
mod inbound;
mod network;
mod outbound;
mod stream;

pub use buffer_pool::BufferPool;
pub use inbound::{FrameError, Inbound};
pub use network::{Accepted, BoxFuture, Listener, Network, SocketBuffers, TcpNetwork};
pub use outbound::{FileSlice, FileSource, Outbound};
pub use stream::{AsyncStream, Stream};
