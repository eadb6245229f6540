//! A network in memory: connections are pipes.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;

use klamm_net::{Accepted, BoxFuture, Listener, Network, Stream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What fits into a pipe; small, so that answers do not leave in one piece.
const PIPE_BYTES: usize = 1000;

/// Hosts are not told apart, only ports.
#[derive(Default)]
pub(crate) struct MemoryNetwork {
    listeners: Mutex<BTreeMap<u16, UnboundedSender<Accepted>>>,
}

struct MemoryListener {
    address: SocketAddr,
    accepted: UnboundedReceiver<Accepted>,
}

impl Network for MemoryNetwork {
    fn listen(&self, address: SocketAddr, _: u32) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        let (sender, accepted) = unbounded_channel();
        self.listeners.lock().unwrap().insert(address.port(), sender);
        let listener: Box<dyn Listener> = Box::new(MemoryListener { address, accepted });
        Box::pin(async { Ok(listener) })
    }

    fn resolve<'a>(&'a self, _: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]) })
    }

    fn dial<'a>(&'a self, _: &'a str, port: u16) -> BoxFuture<'a, io::Result<Stream>> {
        Box::pin(async move {
            let (near, far) = tokio::io::duplex(PIPE_BYTES);
            let peer = SocketAddr::from(([10, 0, 0, 1], 1));
            let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
            let listeners = self.listeners.lock().unwrap();
            let listener = listeners.get(&port).ok_or_else(refused)?;
            listener.send(Accepted::new(peer, Stream::Other(Box::new(far)))).map_err(|_| refused())?;
            Ok(Stream::Other(Box::new(near)))
        })
    }
}

impl Listener for MemoryListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Accepted>> {
        Box::pin(async {
            match self.accepted.recv().await {
                Some(accepted) => Ok(accepted),
                None => std::future::pending().await,
            }
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
