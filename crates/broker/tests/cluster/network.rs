//! Names instead of addresses: every socket is one on loopback with a free port, and a name leads to it.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use klamm_net::{BoxFuture, Listener, Network, Stream, TcpNetwork};

/// The network of a cluster. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Names(Arc<Mutex<BTreeMap<SocketAddr, SocketAddr>>>);

impl Names {
    /// The socket that stands for a node's port.
    pub(crate) fn real(&self, host: &str, port: u16) -> Option<SocketAddr> {
        self.0.lock().unwrap().get(&named(host, port)).copied()
    }
}

/// `node7` is 10.0.0.7.
fn named(host: &str, port: u16) -> SocketAddr {
    let number = host.trim_start_matches("node").parse().expect("a host is called node and its number");
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, number)), port)
}

impl Network for Names {
    fn listen(&self, address: SocketAddr, backlog: u32) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = TcpNetwork.listen((Ipv4Addr::LOCALHOST, 0).into(), backlog).await?;
            self.0.lock().unwrap().insert(address, listener.local_addr()?);
            Ok(listener)
        })
    }

    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(std::future::ready(Ok(vec![named(host, port)])))
    }

    fn dial<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Stream>> {
        Box::pin(async move {
            let real = self.real(host, port).ok_or(io::ErrorKind::ConnectionRefused)?;
            TcpNetwork.dial(&real.ip().to_string(), real.port()).await
        })
    }
}
