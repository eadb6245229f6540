//! A network in memory: bytes arrive late, connections are cut, go deaf, or cannot be made, as the seed says.
//!
//! A connection is two pipes. What is written is cut into segments, each with the time at which it arrives; within a pipe they arrive in
//! order, between connections in any. All times are whole milliseconds of virtual time.

mod link;
mod tap;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use klamm_net::{Accepted, BoxFuture, Listener, Network, Stream};
use parking_lot::Mutex;

use crate::process::Process;
use crate::random::Dice;
use crate::shape::name;
use crate::trace::Trace;
use link::{End, Link};
pub(crate) use tap::{Call, Tap};

/// Who takes part in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Party {
    /// One of the cluster's nodes, counted from 0.
    Node(usize),
    /// Any client.
    Client,
}

/// How long a connection attempt waits before it is repeated, where nothing gets through.
const DIAL_AGAIN: Duration = Duration::from_secs(1);

/// The network. Clones are the same network.
#[derive(Clone)]
pub(crate) struct Net(Arc<Mutex<State>>);

struct State {
    dice: Dice,
    trace: Trace,
    tap: Tap,
    listeners: BTreeMap<SocketAddr, Waiting>,
    links: Vec<(u64, Arc<Mutex<Link>>)>,
    next_id: u64,
    weather: Weather,
    /// From whom nothing gets through to whom. It arrives once the way is free again.
    blocked: BTreeSet<(Party, Party)>,
}

/// How the network behaves now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// So many of a hundred segments are held up.
    pub(crate) slow_percent: u64,
    /// For up to so many milliseconds.
    pub(crate) slow_ms_max: u64,
    /// Nothing arrives, and nobody is told.
    pub(crate) is_deaf: bool,
}

impl Weather {
    /// A fast network where little happens.
    pub(crate) const FAIR: Self = Self { slow_percent: 5, slow_ms_max: 20, is_deaf: false };
}

/// How connections end from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Both sides get an error.
    Reset,
    /// Neither side gets anything any more.
    Deaf,
}

struct Waiting {
    party: Party,
    process: Option<Arc<Process>>,
    accepted: VecDeque<Accepted>,
    waker: Option<Waker>,
}

impl Net {
    /// A network without hosts.
    pub(crate) fn new(dice: Dice, trace: Trace, tap: Tap) -> Self {
        let (listeners, links) = (BTreeMap::new(), Vec::new());
        let weather = Weather::FAIR;
        Self(Arc::new(Mutex::new(State {
            dice,
            trace,
            tap,
            listeners,
            links,
            next_id: 0,
            weather,
            blocked: BTreeSet::new(),
        })))
    }

    /// Changes how it behaves.
    pub(crate) fn set_weather(&self, weather: Weather) {
        self.0.lock().weather = weather;
    }

    /// Changes between whom nothing gets through.
    pub(crate) fn set_blocked(&self, pairs: impl IntoIterator<Item = (Party, Party)>) {
        let mut state = self.0.lock();
        state.blocked = pairs.into_iter().collect();
        state.forget_closed();
        state.links.iter().for_each(|(_, link)| link.lock().wake());
    }

    /// Ends one connection in `one_of`, chosen by the seed.
    pub(crate) fn cut(&self, how: Cut, one_of: u64) {
        self.cut_those(how, |dice, _| dice.below(one_of) == 0);
    }

    /// Ends all connections of a node. A node that is up again knows nothing of those that went deaf.
    pub(crate) fn cut_from(&self, node: usize, how: Cut) {
        self.cut_those(how, |_, link| link.parties.contains(&Party::Node(node)));
    }

    fn cut_those(&self, how: Cut, is_concerned: impl Fn(&Dice, &Link) -> bool) {
        let mut state = self.0.lock();
        state.forget_closed();
        for (_, link) in &state.links {
            let mut link = link.lock();
            if is_concerned(&state.dice, &link) {
                link.cut(how);
            }
        }
    }

    /// The listeners of a dead process are gone with it.
    pub(crate) fn close_listeners(&self, node: usize) {
        let party = Party::Node(node);
        let mut state = self.0.lock();
        let listeners = std::mem::take(&mut state.listeners);
        let (closed, open): (BTreeMap<_, _>, BTreeMap<_, _>) =
            listeners.into_iter().partition(|(_, waiting)| waiting.party == party);
        state.listeners = open;
        drop(state);
        drop(closed);
    }

    async fn dial_to(&self, address: SocketAddr, host: &Host) -> io::Result<Stream> {
        let from = &host.name;
        let delay_ms = self.0.lock().delay_ms();
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        if self.0.lock().weather.is_deaf {
            return std::future::pending().await;
        }
        while self.0.lock().is_unreachable(host.party, address) {
            tokio::time::sleep(DIAL_AGAIN).await;
        }
        let mut state = self.0.lock();
        let id = state.next_id;
        let Some(party) = state.listeners.get(&address).map(|waiting| waiting.party) else {
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        let link = Arc::new(Mutex::new(Link::new(id, [from.clone(), name(party)], [host.party, party])));
        let near = End::new(link.clone(), 0, host.process.clone(), self.clone());
        let Some(waiting) = state.listeners.get_mut(&address) else {
            drop(state);
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        let far = End::new(link.clone(), 1, waiting.process.clone(), self.clone());
        let peer = SocketAddr::from(([10, 0, 1, (id % 250) as u8], 10_000 + (id % 50_000) as u16));
        waiting.accepted.push_back(Accepted::new(peer, Stream::Other(Box::new(far))));
        let waker = waiting.waker.take();
        state.next_id += 1;
        state.links.push((id, link));
        state.trace.detail(format_args!("net {from} connects as {id}"));
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        Ok(Stream::Other(Box::new(near)))
    }
}

impl State {
    /// Whether a connection cannot be made, because one of the ways is closed.
    fn is_unreachable(&self, from: Party, address: SocketAddr) -> bool {
        let listening = self.listeners.get(&address).map(|waiting| waiting.party);
        listening.is_some_and(|to| self.blocked.contains(&(from, to)) || self.blocked.contains(&(to, from)))
    }

    fn delay_ms(&self) -> u64 {
        let Weather { slow_percent, slow_ms_max, .. } = self.weather;
        if self.dice.percent(slow_percent) {
            self.dice.within(1..slow_ms_max + 1)
        } else {
            self.dice.below(2)
        }
    }

    fn forget_closed(&mut self) {
        self.links.retain(|(_, link)| Arc::strong_count(link) > 1);
    }
}

/// The network as one host sees it.
pub(crate) struct Host {
    /// The network.
    pub(crate) net: Net,
    /// Who it is, for the trace.
    pub(crate) name: String,
    /// Who it is, for the network.
    pub(crate) party: Party,
    /// The process that it is, where it can die.
    pub(crate) process: Option<Arc<Process>>,
}

impl Network for Host {
    fn listen(&self, address: SocketAddr, _: u32) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let mut state = self.net.0.lock();
            if state.listeners.contains_key(&address) {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            let process = self.process.clone();
            let (party, accepted) = (self.party, VecDeque::new());
            let waiting = Waiting { party, process: process.clone(), accepted, waker: None };
            state.listeners.insert(address, waiting);
            Ok(Box::new(Ear { net: self.net.clone(), address, process }) as Box<dyn Listener>)
        })
    }

    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        let ip = host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        Box::pin(std::future::ready(Ok(vec![SocketAddr::new(ip, port)])))
    }

    fn dial<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Stream>> {
        Box::pin(async move {
            let address = self.resolve(host, port).await?[0];
            self.net.dial_to(address, self).await
        })
    }
}

/// A listening socket.
struct Ear {
    net: Net,
    address: SocketAddr,
    process: Option<Arc<Process>>,
}

impl Listener for Ear {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Accepted>> {
        Box::pin(poll_fn(|cx| {
            let mut state = self.net.0.lock();
            let Some(waiting) = state.listeners.get_mut(&self.address) else { return Poll::Pending };
            match waiting.accepted.pop_front() {
                Some(accepted) => Poll::Ready(Ok(accepted)),
                None => {
                    waiting.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        }))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        // The listeners of a dead process are gone already, and their address may be another's.
        if !self.process.as_ref().is_some_and(|process| process.is_dead()) {
            self.net.0.lock().listeners.remove(&self.address);
        }
    }
}
