//! Replication between brokers: fetchers that follow leaders elsewhere, and in-sync replicas on their way to the controller.
//!
//! Invariants:
//! - A partition is fetched by one fetcher at most, and only while another broker leads it.
//! - What a leader answered counts only in the leader epoch, and at the place in the log, for which it was asked.

mod answers;
mod fetcher;
mod fetchers;
mod isr_changes;
mod nearby;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use fetchers::{Fetchers, key_of};
pub(crate) use isr_changes::IsrChanges;
pub(crate) use nearby::Nearby;

use crate::broker::Broker;
use crate::environment::Place;

/// Starts what every broker does for its replicas.
pub(crate) fn start(broker: &Arc<Broker>) {
    let sending = broker.clone();
    broker.environment().spawn(Place::Control, move || isr_changes::send_all(sending));
    let checking = broker.clone();
    broker.environment().spawn(Place::Control, move || check_lag(checking));
}

/// Looks for followers that lag, often enough that none does so for much more than half as long again as it may.
async fn check_lag(broker: Arc<Broker>) {
    loop {
        let interval_ms = (broker.config().replica_lag_time_max_ms / 2).max(1) as u64;
        tokio::time::sleep(Duration::from_millis(interval_ms)).await;
        let hosted = broker.hosted().clone();
        for partition in hosted.partitions() {
            if let Some(proposal) = partition.check_lag() {
                broker.isr_changes().propose(partition.clone(), proposal);
            }
        }
    }
}
