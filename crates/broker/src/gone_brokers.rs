//! Brokers whose process is gone for certain are fenced at once; all others only when their session is over.
//!
//! Gone means that the broker's connection to this controller has ended, or that this controller has just taken over and has none yet, and
//! that nobody listens on the broker's ports any more: its listeners are open as long as its process lives. A slow, paused or unreachable
//! broker does not refuse connections.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use klamm_controller::Decision;
use klamm_metadata::MetadataImage;

use crate::broker::Broker;
use crate::controller::Unavailable;
use crate::environment::Place;
use crate::peers::PeerAddress;

/// When a broker's ports are tried, in milliseconds after the one before: a process that dies closes its sockets one by one.
const TRIES_AFTER_MS: [u64; 4] = [0, 10, 50, 200];
/// How long a dial may take. A port that does not answer is not one that refuses.
const DIAL_MS_MAX: u64 = 1000;

/// One start of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Incarnation {
    pub(crate) broker_id: i32,
    pub(crate) broker_epoch: i64,
}

/// A connection has ended over which a broker's heartbeats came.
pub(crate) fn connection_ended(broker: &Arc<Broker>, incarnation: Incarnation) {
    let losing = broker.clone();
    broker.environment().spawn(Place::Control, move || async move {
        if lose_contact(&losing, incarnation).await.is_ok() {
            look_after(&losing, incarnation).await;
        }
    });
}

async fn lose_contact(broker: &Broker, incarnation: Incarnation) -> Result<(), Unavailable> {
    let Incarnation { broker_id, broker_epoch } = incarnation;
    let noted = broker.controller().decide_mut(move |controller, _| {
        controller.lose_contact(broker_id, broker_epoch);
        Decision { records: Vec::new(), response: () }
    });
    noted.await
}

/// Looks after all brokers whenever this node's controller takes over. Ends with the node.
pub(crate) async fn look_on_takeover(broker: Arc<Broker>) {
    let mut active = broker.controller().active_controller();
    while active.changed().await.is_ok() {
        let is_here = active.borrow_and_update().as_ref().is_some_and(|active| active.is_here);
        if is_here {
            for incarnation in others_alive(&broker.image(), broker.node_id()) {
                connection_ended(&broker, incarnation);
            }
        }
    }
}

fn others_alive(image: &MetadataImage, node_id: i32) -> Vec<Incarnation> {
    let others = image.cluster.brokers().filter(|other| other.id != node_id && !other.fenced);
    others.map(|other| Incarnation { broker_id: other.id, broker_epoch: other.epoch }).collect()
}

/// Fences the broker if all its ports refuse connections: one of them alone may be meant for networks that this node is not in.
async fn look_after(broker: &Broker, incarnation: Incarnation) {
    for after_ms in TRIES_AFTER_MS {
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        let addresses = addresses_of(&broker.image(), incarnation);
        if addresses.is_empty() {
            return;
        }
        if all_refuse(broker, &addresses).await {
            return fence(broker, incarnation).await;
        }
    }
}

/// Where a broker listens that is not fenced yet.
fn addresses_of(image: &MetadataImage, incarnation: Incarnation) -> Vec<PeerAddress> {
    let registered = image.cluster.broker(incarnation.broker_id);
    let registered = registered.filter(|it| it.epoch == incarnation.broker_epoch && !it.fenced);
    let endpoints = registered.into_iter().flat_map(|registered| registered.endpoints.iter());
    endpoints.map(|endpoint| PeerAddress { host: endpoint.host.to_string(), port: endpoint.port }).collect()
}

async fn all_refuse(broker: &Broker, addresses: &[PeerAddress]) -> bool {
    for address in addresses {
        if !refuses(broker, address).await {
            return false;
        }
    }
    true
}

async fn refuses(broker: &Broker, address: &PeerAddress) -> bool {
    let dialled = broker.environment().network.dial(&address.host, address.port);
    let dialled = tokio::time::timeout(Duration::from_millis(DIAL_MS_MAX), dialled).await;
    matches!(dialled, Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused)
}

async fn fence(broker: &Broker, incarnation: Incarnation) {
    let Incarnation { broker_id, broker_epoch } = incarnation;
    tracing::warn!("the process of broker {broker_id} is gone: it is fenced");
    let fenced =
        broker.controller().decide(move |controller, _| controller.fence_gone(broker_id, broker_epoch));
    if fenced.await.is_err() {
        tracing::debug!("broker {broker_id} was not fenced: the controller is not active here any more");
    }
}
