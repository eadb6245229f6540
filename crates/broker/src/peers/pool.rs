//! Connections that rest between requests.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use klamm_protocol::Request;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::connection::{Link, PeerConnection};
use super::error::{PeerAddress, PeerError};
use crate::environment::Environment;
use crate::limits::{PEER_CONNECTION_IDLE_MS_MAX, PEER_CONNECTIONS_IDLE_MAX, PEERS_IDLE_MAX};

/// The connections to other nodes that nobody uses right now.
pub(crate) struct Peers {
    environment: Environment,
    client_id: String,
    idle: Mutex<BTreeMap<PeerAddress, VecDeque<Idle>>>,
}

struct Idle {
    link: Link,
    since: Instant,
}

impl Peers {
    /// No connections yet. `client_id` is how this node names itself.
    pub(crate) fn new(environment: Environment, client_id: String) -> Self {
        Self { environment, client_id, idle: Mutex::default() }
    }

    /// Sends a request over a connection that rests, or over a new one, and waits up to `timeout` for the response.
    pub(crate) async fn call<R: Request>(
        &self,
        host: &str,
        port: u16,
        request: &R,
        timeout: Duration,
    ) -> Result<R::Response<'static>, PeerError> {
        let deadline = Instant::now() + timeout;
        let address = PeerAddress { host: host.to_owned(), port };
        let mut connection = match self.take(&address) {
            Some(link) => PeerConnection::resume(link),
            None => PeerConnection::dial(&self.environment, host, port, &self.client_id, timeout).await?,
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let response = connection.call(request, left).await;
        if response.is_ok() {
            self.give_back(address, connection);
        }
        response
    }

    fn take(&self, address: &PeerAddress) -> Option<Link> {
        let mut idle = self.idle.lock();
        let links = idle.get_mut(address)?;
        while let Some(mut resting) = links.pop_back() {
            let is_fresh = resting.since.elapsed() < Duration::from_millis(PEER_CONNECTION_IDLE_MS_MAX);
            if is_fresh && !resting.link.is_stale() {
                return Some(resting.link);
            }
        }
        idle.remove(address);
        None
    }

    fn give_back(&self, address: PeerAddress, connection: PeerConnection) {
        let Some(link) = connection.rest() else { return };
        let mut idle = self.idle.lock();
        if idle.len() >= PEERS_IDLE_MAX && !idle.contains_key(&address) {
            idle.pop_first();
        }
        let links = idle.entry(address).or_default();
        links.push_back(Idle { link, since: Instant::now() });
        if links.len() > PEER_CONNECTIONS_IDLE_MAX {
            links.pop_front();
        }
    }
}
