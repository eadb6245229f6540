//! The wires between nodes: TCP proxies whose links can be cut, each direction by itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::failure::Result;
use crate::source::{Pids, node_of};

/// How a link is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Connections end, and new ones end at once.
    Reset,
    /// Bytes wait until it is mended, and nobody is told.
    Silent,
}

/// The links that are cut, by who speaks and who listens.
type Cuts = BTreeMap<(u16, u16), Cut>;

/// All wires of a cluster.
#[derive(Clone)]
pub(crate) struct Wires {
    cuts: watch::Sender<Cuts>,
    pids: Arc<Mutex<Pids>>,
}

const BUFFER_BYTES: usize = 64 * 1024;
/// A connection may show in the kernel's table a moment after it was accepted.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

impl Wires {
    pub(crate) fn new() -> Self {
        Self { cuts: watch::Sender::default(), pids: Arc::default() }
    }

    /// Says which processes the nodes are.
    pub(crate) fn set_pids(&self, pids: Pids) {
        *self.pids.lock().unwrap_or_else(PoisonError::into_inner) = pids;
    }

    /// Cuts what `from` says to `to`.
    pub(crate) fn cut(&self, from: u16, to: u16, cut: Cut) {
        self.cuts.send_modify(|cuts| {
            cuts.insert((from, to), cut);
        });
    }

    /// Mends everything.
    pub(crate) fn mend(&self) {
        self.cuts.send_modify(BTreeMap::clear);
    }

    /// Leads connections at `port` to a node's own `to_port`.
    pub(crate) async fn lead(&self, node: u16, port: u16, to_port: u16) -> Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let wires = self.clone();
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => drop(tokio::spawn(wires.clone().serve(stream, node, port, to_port))),
                    Err(error) => eprintln!("klamm-chaos: the proxy of node {node} cannot accept: {error}"),
                }
            }
        });
        Ok(())
    }

    async fn serve(self, incoming: TcpStream, node: u16, port: u16, to_port: u16) {
        let Some(source) = self.source(&incoming, port).await else { return };
        let mut cuts = self.cuts.subscribe();
        if has_reset(&cuts.borrow_and_update(), source, node) {
            return;
        }
        // Whoever is down refuses, and so do we.
        let Ok(outgoing) = TcpStream::connect(("127.0.0.1", to_port)).await else { return };
        let _ = (incoming.set_nodelay(true), outgoing.set_nodelay(true));
        let ((from_source, to_source), (from_node, to_node)) = (incoming.into_split(), outgoing.into_split());
        // The first end, of either direction or by a cut, ends the connection.
        tokio::select! {
            () = pump(from_source, to_node, cuts.clone(), (source, node)) => {}
            () = pump(from_node, to_source, cuts.clone(), (node, source)) => {}
            _ = cuts.wait_for(|cuts| has_reset(cuts, source, node)) => {}
        }
    }

    async fn source(&self, stream: &TcpStream, port: u16) -> Option<u16> {
        let from = stream.peer_addr().ok()?.port();
        for _ in 0..3 {
            let pids = self.pids.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(source) = node_of(from, port, &pids) {
                return Some(source);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        None
    }
}

fn has_reset(cuts: &Cuts, a: u16, b: u16) -> bool {
    a != b && [(a, b), (b, a)].iter().any(|link| cuts.get(link) == Some(&Cut::Reset))
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut cuts: watch::Receiver<Cuts>,
    link: (u16, u16),
) {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => read,
        };
        let is_open = |cuts: &Cuts| link.0 == link.1 || cuts.get(&link) != Some(&Cut::Silent);
        if cuts.wait_for(is_open).await.is_err() || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wires from this process, which is node 1, to an echo that is node 2.
    async fn echo() -> (Wires, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to_port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let wires = Wires::new();
        wires.set_pids(vec![(1, std::process::id())]);
        wires.lead(2, port, to_port).await.unwrap();
        (wires, port)
    }

    #[tokio::test]
    async fn a_reset_link_ends_connections_until_it_is_mended() {
        let (wires, port) = echo().await;
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
        wires.cut(2, 1, Cut::Reset);
        assert!(stream.read_u8().await.is_err());
        let mut refused = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        assert!(refused.read_u8().await.is_err());
        wires.mend();
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(b"y").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'y');
    }

    #[tokio::test]
    async fn a_silent_link_keeps_what_was_said() {
        let (wires, port) = echo().await;
        wires.cut(2, 1, Cut::Silent);
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        let heard = tokio::time::timeout(Duration::from_millis(50), stream.read_u8()).await;
        assert!(heard.is_err(), "nothing comes back");
        wires.mend();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
    }
}
