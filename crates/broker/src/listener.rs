//! Accepting connections and spreading them over the workers.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use klamm_net::{Accepted, BufferPool, Listener};

use crate::broker::Broker;
use crate::connection::{self, Peer};
use crate::environment::{Environment, Place};
use crate::limits::{ACCEPT_RETRY_MS, FREE_BUFFER_BYTES_MAX};

/// What a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListenerRole {
    /// Clients and other brokers.
    Broker,
    /// The controller quorum's own requests.
    Controller,
}

/// Counts connections and refuses those over the limits.
#[derive(Default)]
pub(crate) struct ConnectionCount {
    open: AtomicUsize,
    next_id: AtomicU64,
    closed: AtomicU64,
    refused: AtomicU64,
    per_ip: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection's place in the count, given back when dropped.
pub(crate) struct ConnectionPermit {
    broker: Arc<Broker>,
    ip: IpAddr,
}

/// Why a connection is not accepted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the broker already has {0} connections (max.connections)")]
    Total(usize),
    #[error("this address already has {0} connections (max.connections.per.ip)")]
    PerIp(usize),
}

impl ConnectionCount {
    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// How many connections there have been.
    pub(crate) fn accepted(&self) -> u64 {
        self.next_id.load(Ordering::Relaxed)
    }

    /// How many of them have ended.
    pub(crate) fn closed(&self) -> u64 {
        self.closed.load(Ordering::Relaxed)
    }

    /// How many were refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn admit(&self, ip: IpAddr, max: usize, max_per_ip: usize) -> Result<u64, Refused> {
        let admitted = self.count_in(ip, max, max_per_ip);
        if admitted.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    fn count_in(&self, ip: IpAddr, max: usize, max_per_ip: usize) -> Result<u64, Refused> {
        let open = self.open.load(Ordering::Relaxed);
        if open >= max {
            return Err(Refused::Total(open));
        }
        let mut per_ip = self.per_ip.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let count = per_ip.entry(ip).or_default();
        if *count >= max_per_ip {
            return Err(Refused::PerIp(*count));
        }
        *count += 1;
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    fn leave(&self, ip: IpAddr) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.closed.fetch_add(1, Ordering::Relaxed);
        let mut per_ip = self.per_ip.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(count) = per_ip.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                per_ip.remove(&ip);
            }
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.broker.connections().leave(self.ip);
    }
}

/// Accepts connections for ever. Each goes to the next worker in turn.
pub(crate) async fn accept_all(
    broker: Arc<Broker>,
    mut listener: Box<dyn Listener>,
    name: Arc<str>,
    role: ListenerRole,
) {
    let mut next_worker = 0;
    loop {
        match listener.accept().await {
            Ok(accepted) => {
                hand_over(&broker, accepted, &name, role, next_worker);
                next_worker += 1;
            }
            Err(error) => {
                tracing::warn!("listener {name} cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await;
            }
        }
    }
}

fn hand_over(broker: &Arc<Broker>, accepted: Accepted, name: &Arc<str>, role: ListenerRole, worker: usize) {
    let address = accepted.peer;
    let (connection_id, permit) = match admit(broker, address) {
        Ok(admitted) => admitted,
        Err(refused) => return tracing::warn!("refused a connection from {address}: {refused}"),
    };
    let peer =
        Peer { connection_id, address, listener: name.clone(), role, heartbeats_of: Default::default() };
    let broker = broker.clone();
    broker.clone().environment().spawn(Place::Worker(worker), move || async move {
        let _permit = permit;
        let sizes = broker.socket_buffers();
        match accepted.attach(sizes) {
            Ok(stream) => connection::serve(broker, stream, peer, worker_pool()).await,
            Err(error) => tracing::warn!("cannot serve the connection from {address}: {error}"),
        }
    });
}

fn admit(broker: &Arc<Broker>, address: SocketAddr) -> Result<(u64, ConnectionPermit), Refused> {
    let config = broker.config();
    let ip = address.ip();
    let of_this_ip = config.max_connections_per_ip_overrides.get(&ip.to_string());
    let max_per_ip = of_this_ip.unwrap_or(config.max_connections_per_ip).max(0) as usize;
    let id = broker.connections().admit(ip, config.max_connections.max(0) as usize, max_per_ip)?;
    Ok((id, ConnectionPermit { broker: broker.clone(), ip: address.ip() }))
}

/// The receive buffers of the current thread.
pub(crate) fn worker_pool() -> BufferPool {
    thread_local! {
        static POOL: BufferPool = BufferPool::new(FREE_BUFFER_BYTES_MAX);
    }
    POOL.with(BufferPool::clone)
}

/// Opens a listening socket with an error that names the listener and its address.
pub(crate) async fn open(
    environment: &Environment,
    name: &str,
    address: SocketAddr,
    backlog: u32,
) -> Result<Box<dyn Listener>, ListenError> {
    let opened = environment.network.listen(address, backlog).await;
    opened.map_err(|error| ListenError { name: name.to_owned(), address, error })
}

/// A listener cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("listener {name} cannot listen on {address}: {error}")]
pub struct ListenError {
    name: String,
    address: SocketAddr,
    error: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_over_a_limit_are_refused_until_others_leave() {
        let count = ConnectionCount::default();
        let [one, two]: [IpAddr; 2] = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
        assert_eq!(count.admit(one, 3, 2), Ok(0));
        assert_eq!(count.admit(one, 3, 2), Ok(1));
        assert_eq!(count.admit(one, 3, 2), Err(Refused::PerIp(2)));
        assert_eq!(count.admit(two, 3, 2), Ok(2));
        assert_eq!(count.admit(two, 3, 2), Err(Refused::Total(3)));
        count.leave(one);
        assert_eq!(count.admit(two, 3, 2), Ok(3));
        assert_eq!(count.open(), 3);
        assert_eq!((count.accepted(), count.closed(), count.refused()), (4, 1, 2));
    }
}
