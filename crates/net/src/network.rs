//! The seam to the network: listening and dialling, for real or in a simulation.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::Stream;

/// A future behind the seam.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where connections come from and go to.
pub trait Network: Send + Sync {
    /// Opens a listening socket. Port 0 picks a free one.
    ///
    /// # Errors
    /// Those of the socket: the address is taken, is not ours, may not be used.
    fn listen(&self, address: SocketAddr, backlog: u32) -> BoxFuture<'_, io::Result<Box<dyn Listener>>>;

    /// A host's addresses.
    ///
    /// # Errors
    /// When the name is not known, or cannot be looked up.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;

    /// Opens a connection to a host by name or address, trying its addresses in turn.
    ///
    /// # Errors
    /// Those of the last address tried, or of the look-up.
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Stream>>;

    /// The name that this machine has among others; none where it has no name of its own.
    fn host_name(&self) -> Option<String> {
        None
    }
}

/// A listening socket.
pub trait Listener: Send {
    /// Waits for the next connection.
    ///
    /// # Errors
    /// Those of the socket; some of them (no descriptors left) pass.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Accepted>>;

    /// The address it listens on.
    ///
    /// # Errors
    /// Those of the socket.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// A connection that was accepted, not yet bound to the thread that will serve it.
pub struct Accepted {
    /// The peer's address.
    pub peer: SocketAddr,
    stream: Unattached,
}

enum Unattached {
    Tcp(std::net::TcpStream),
    Other(Stream),
}

impl Accepted {
    /// A connection that any thread can serve.
    pub fn new(peer: SocketAddr, stream: Stream) -> Self {
        Self { peer, stream: Unattached::Other(stream) }
    }

    /// Makes the connection one of the current thread's: its readiness is watched by this thread's runtime.
    ///
    /// # Errors
    /// Those of the runtime's poller, or of setting the buffer sizes.
    pub fn attach(self, buffers: SocketBuffers) -> io::Result<Stream> {
        match self.stream {
            Unattached::Tcp(socket) => {
                buffers.apply(&socket)?;
                Ok(Stream::Tcp(TcpStream::from_std(socket)?))
            }
            Unattached::Other(stream) => Ok(stream),
        }
    }
}

/// Sizes of a socket's kernel buffers in bytes; none leaves it to the kernel, which adapts them to the connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SocketBuffers {
    /// What may be sent and not yet acknowledged.
    pub send: Option<usize>,
    /// What may be received and not yet read.
    pub receive: Option<usize>,
}

impl SocketBuffers {
    fn apply(self, socket: &std::net::TcpStream) -> io::Result<()> {
        if let Some(bytes) = self.send {
            rustix::net::sockopt::set_socket_send_buffer_size(socket, bytes)?;
        }
        if let Some(bytes) = self.receive {
            rustix::net::sockopt::set_socket_recv_buffer_size(socket, bytes)?;
        }
        Ok(())
    }
}

/// What Linux calls a machine that nobody has named.
const UNNAMED: &str = "(none)";

/// The kernel's TCP.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpNetwork;

impl Network for TcpNetwork {
    fn listen(&self, address: SocketAddr, backlog: u32) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            Ok(Box::new(socket.listen(backlog)?) as Box<dyn Listener>)
        })
    }

    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(resolve(host, port))
    }

    fn dial<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Stream>> {
        Box::pin(async move {
            let socket = TcpStream::connect(resolve(host, port).await?.as_slice()).await?;
            socket.set_nodelay(true)?;
            Ok(Stream::Tcp(socket))
        })
    }

    fn host_name(&self) -> Option<String> {
        let system = rustix::system::uname();
        let name = system.nodename().to_str().ok()?;
        (!name.is_empty() && name != UNNAMED).then(|| name.to_owned())
    }
}

/// A host's addresses. A literal address is not looked up; a name is, on a helper thread.
async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.trim_matches(['[', ']']).parse() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let name = (host.to_owned(), port);
    let found = tokio::task::spawn_blocking(move || name.to_socket_addrs()).await;
    Ok(found.map_err(io::Error::other)??.collect())
}

impl Listener for TcpListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Accepted>> {
        Box::pin(async move {
            let (socket, peer) = TcpListener::accept(self).await?;
            socket.set_nodelay(true)?;
            Ok(Accepted { peer, stream: Unattached::Tcp(socket.into_std()?) })
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_machines_name_is_the_systems() {
        let output = Command::new("uname").arg("-n").output().expect("every system has uname");
        let name = String::from_utf8(output.stdout).expect("the name is text");
        assert_eq!(TcpNetwork.host_name().unwrap_or_else(|| UNNAMED.to_owned()), name.trim());
    }
}
