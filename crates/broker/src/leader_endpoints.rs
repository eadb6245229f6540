//! Where leaders are reached, for answers that send a client to another broker (KIP-951).

use std::collections::BTreeSet;

use klamm_metadata::cluster::{BrokerRegistration, Endpoint};

use crate::broker::Broker;

/// The brokers among `ids` that have the listener, each made into what the answer holds.
pub(crate) fn leader_endpoints<T>(
    broker: &Broker,
    listener: &str,
    ids: &BTreeSet<i32>,
    make: impl Fn(&BrokerRegistration, &Endpoint) -> T,
) -> Vec<T> {
    let image = broker.image();
    let known = ids.iter().filter_map(|id| {
        let broker = image.cluster.broker(*id)?;
        Some(make(broker, broker.endpoint(listener)?))
    });
    known.collect()
}
