//! The sockets that a node listens on. They are open before anything else is touched, and accept once there is somebody to answer.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use klamm_config::{BrokerConfig, NodeConfig};

use super::StartError;
use crate::broker::Broker;
use crate::environment::{Environment, Place};
use crate::listener::{self, ListenerRole};

/// A listening socket and what it is for.
pub(super) struct Socket {
    pub(super) name: String,
    pub(super) role: ListenerRole,
    pub(super) address: SocketAddr,
    listener: Box<dyn klamm_net::Listener>,
}

/// The ports that the listeners really have, by name.
pub(super) fn ports(sockets: &[Socket]) -> BTreeMap<String, u16> {
    sockets.iter().map(|socket| (socket.name.clone(), socket.address.port())).collect()
}

/// Opens the sockets of all listeners, those for clients first.
pub(super) async fn open(
    environment: &Environment,
    node: &NodeConfig,
    config: &BrokerConfig,
) -> Result<Vec<Socket>, StartError> {
    let backlog = backlog(config);
    let brokers = node.broker_listeners.iter().map(|listener| (listener, ListenerRole::Broker));
    let controllers = node.controller_listeners.iter().map(|listener| (listener, ListenerRole::Controller));
    let mut sockets = Vec::new();
    for (listener, role) in brokers.chain(controllers) {
        let host = listener.host.as_deref().unwrap_or("0.0.0.0");
        let wanted = bind_address(environment, &listener.name, host, listener.port).await?;
        let socket = listener::open(environment, &listener.name, wanted, backlog).await?;
        let address = socket.local_addr().unwrap_or(wanted);
        sockets.push(Socket { name: listener.name.clone(), role, address, listener: socket });
    }
    Ok(sockets)
}

fn backlog(config: &BrokerConfig) -> u32 {
    config.socket_listen_backlog_size.max(1) as u32
}

/// Opens the metrics listener, if there is to be one.
pub(super) async fn open_metrics(
    environment: &Environment,
    node: &NodeConfig,
    config: &BrokerConfig,
) -> Result<Option<Box<dyn klamm_net::Listener>>, StartError> {
    const NAME: &str = "klamm.metrics.listener";
    let Some(wanted) = &node.metrics_listener else { return Ok(None) };
    let address = bind_address(environment, NAME, &wanted.host, wanted.port).await?;
    Ok(Some(listener::open(environment, NAME, address, backlog(config)).await?))
}

/// The address to listen on.
async fn bind_address(
    environment: &Environment,
    name: &str,
    host: &str,
    port: u16,
) -> Result<SocketAddr, StartError> {
    let resolved = environment.network.resolve(host, port).await;
    let first =
        resolved.and_then(|found| found.into_iter().next().ok_or_else(|| io::ErrorKind::NotFound.into()));
    first.map_err(|source| StartError::Address { name: name.to_owned(), host: host.to_owned(), source })
}

impl Socket {
    /// Serves whoever connects, from now on.
    pub(super) fn accept(self, broker: &Arc<Broker>) {
        let accepting = broker.clone();
        let Self { name, role, listener, .. } = self;
        broker
            .environment()
            .spawn(Place::Control, move || listener::accept_all(accepting, listener, name.into(), role));
    }
}
