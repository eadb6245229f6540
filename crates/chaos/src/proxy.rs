//! The wires between nodes: TCP proxies whose links can be cut, each direction by itself.
//!
//! A proxy listens only while its node does: the port of a process that is gone refuses, as it does without a proxy. It does
//! so before the ends of the process's connections are passed on, so whoever dials at once on such an end is refused.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

use crate::source::{self, Pids, node_of};

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

/// Where connections to a node come in.
struct Door {
    node: u16,
    port: u16,
    to_port: u16,
    is_open: watch::Sender<bool>,
    knocked: Notify,
}

impl Door {
    /// Returns at once if the node listens, else when nobody is let in any more.
    async fn closed_if_gone(&self) {
        if is_listening(self.to_port) {
            return;
        }
        self.knocked.notify_one();
        let mut is_open = self.is_open.subscribe();
        // The sender is here; there is no error.
        let _ = is_open.wait_for(|is_open| !is_open).await;
    }
}

/// Whether a node listens; where the kernel does not say, it does.
fn is_listening(port: u16) -> bool {
    source::is_listening(port).unwrap_or_else(|error| {
        eprintln!("klamm-chaos: who listens at port {port} is not to be known: {error}");
        true
    })
}

/// All wires of a cluster.
#[derive(Clone)]
pub(crate) struct Wires {
    cuts: watch::Sender<Cuts>,
    pids: Arc<Mutex<Pids>>,
}

const BUFFER_BYTES: usize = 64 * 1024;
/// Between two looks whether a node listens again.
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

    /// Leads connections at `port` to a node's own `to_port`, for as long as the node listens there.
    pub(crate) fn lead(&self, node: u16, port: u16, to_port: u16) {
        let door = Door { node, port, to_port, is_open: watch::Sender::new(false), knocked: Notify::new() };
        tokio::spawn(self.clone().keep(Arc::new(door)));
    }

    async fn keep(self, door: Arc<Door>) {
        loop {
            while !is_listening(door.to_port) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            match TcpListener::bind(("127.0.0.1", door.port)).await {
                Ok(listener) => self.accept(listener, &door).await,
                Err(error) => {
                    eprintln!("klamm-chaos: the proxy of node {} cannot listen: {error}", door.node);
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
        }
    }

    /// Accepts connections until the node no longer listens; the listener is gone then.
    async fn accept(&self, listener: TcpListener, door: &Arc<Door>) {
        door.is_open.send_replace(true);
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => drop(tokio::spawn(self.clone().serve(stream, Arc::clone(door)))),
                    Err(error) => eprintln!("klamm-chaos: the proxy of node {} cannot accept: {error}", door.node),
                },
                () = door.knocked.notified() => if !is_listening(door.to_port) { break },
            }
        }
        drop(listener);
        door.is_open.send_replace(false);
    }

    async fn serve(self, mut incoming: TcpStream, door: Arc<Door>) {
        let Some(source) = self.source(&incoming, door.port) else { return };
        let node = door.node;
        let mut cuts = self.cuts.subscribe();
        if has_reset(&cuts.borrow_and_update(), source, node) {
            return;
        }
        let Ok(mut outgoing) = TcpStream::connect(("127.0.0.1", door.to_port)).await else {
            return door.closed_if_gone().await;
        };
        let _ = (incoming.set_nodelay(true), outgoing.set_nodelay(true));
        let ((from_source, to_source), (from_node, to_node)) = (incoming.split(), outgoing.split());
        // The first end, of either direction or by a cut, ends the connection.
        tokio::select! {
            () = pump(from_source, to_node, cuts.clone(), (source, node)) => {}
            () = pump(from_node, to_source, cuts.clone(), (node, source)) => {}
            _ = cuts.wait_for(|cuts| has_reset(cuts, source, node)) => {}
        }
        door.closed_if_gone().await;
    }

    fn source(&self, stream: &TcpStream, port: u16) -> Option<u16> {
        let from = stream.peer_addr().ok()?.port();
        node_of(from, port, &self.pids.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn has_reset(cuts: &Cuts, a: u16, b: u16) -> bool {
    a != b && [(a, b), (b, a)].iter().any(|link| cuts.get(link) == Some(&Cut::Reset))
}

async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
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
        let (listener, to_port) = bind().await;
        tokio::spawn(serve_echo(listener));
        let wires = Wires::new();
        wires.set_pids(vec![(1, std::process::id())]);
        let port = free_port().await;
        wires.lead(2, port, to_port);
        (wires, port)
    }

    async fn bind() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    async fn free_port() -> u16 {
        bind().await.1
    }

    async fn serve_echo(listener: TcpListener) {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    }

    /// A connection as soon as the proxy listens.
    async fn connect(port: u16) -> TcpStream {
        loop {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)).await {
                return stream;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_reset_link_ends_connections_until_it_is_mended() {
        let (wires, port) = echo().await;
        let mut stream = connect(port).await;
        stream.write_all(b"x").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
        wires.cut(2, 1, Cut::Reset);
        assert!(stream.read_u8().await.is_err());
        let mut refused = connect(port).await;
        assert!(refused.read_u8().await.is_err());
        wires.mend();
        let mut stream = connect(port).await;
        stream.write_all(b"y").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'y');
    }

    #[tokio::test]
    async fn a_silent_link_keeps_what_was_said() {
        let (wires, port) = echo().await;
        wires.cut(2, 1, Cut::Silent);
        let mut stream = connect(port).await;
        stream.write_all(b"x").await.unwrap();
        let heard = tokio::time::timeout(Duration::from_millis(50), stream.read_u8()).await;
        assert!(heard.is_err(), "nothing comes back");
        wires.mend();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn the_port_of_a_node_that_is_gone_refuses_until_it_is_back() {
        let (listener, to_port) = bind().await;
        let wires = Wires::new();
        wires.set_pids(vec![(1, std::process::id())]);
        let port = free_port().await;
        wires.lead(2, port, to_port);
        let mut stream = connect(port).await;
        let (accepted, _) = listener.accept().await.unwrap();
        drop((listener, accepted));
        assert!(stream.read_u8().await.is_err(), "the node is gone");
        let refused = TcpStream::connect(("127.0.0.1", port)).await;
        assert_eq!(refused.map(drop).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
        let listener = TcpListener::bind(("127.0.0.1", to_port)).await.unwrap();
        tokio::spawn(serve_echo(listener));
        let mut stream = connect(port).await;
        stream.write_all(b"z").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'z');
    }
}
