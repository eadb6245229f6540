//! Which replica a consumer had better read from (KIP-392): `replica.selector.class` names who chooses.

use std::sync::Arc;

use klamm_metadata::MetadataImage;

use crate::broker::Broker;
use crate::partition::{Partition, Reader};

/// A consumer that says where it is, with a selector that heeds it.
pub(crate) struct Nearby {
    rack: String,
    image: Arc<MetadataImage>,
}

impl Nearby {
    /// None where consumers read from the leader.
    pub(crate) fn of(broker: &Broker, reader: Reader, rack: &str) -> Option<Self> {
        let is_consumer = matches!(reader, Reader::Consumer { from_follower: true, .. });
        (is_consumer && broker.config().selects_replicas_by_rack() && !rack.is_empty())
            .then(|| Self { rack: rack.to_owned(), image: broker.image().clone() })
    }

    /// The follower to read from; none where the leader is as good. Only replicas in sync that have the offset are asked for: who
    /// lags would keep the consumer behind.
    pub(crate) fn replica(&self, broker: &Broker, partition: &Partition, offset: i64) -> Option<i32> {
        if self.is_here(broker.node_id()) {
            return None;
        }
        let fittest = partition.as_leader(|leader| {
            let fits = leader.followers().filter(|(id, state)| {
                leader.isr().contains(id)
                    && (state.log_start_offset..=state.end_offset).contains(&offset)
                    && self.is_here(*id)
            });
            let by_lag = |(id, state): (i32, &klamm_replica::FollowerState)| {
                ((state.end_offset, state.caught_up_ms), std::cmp::Reverse(id))
            };
            fits.map(by_lag).max().map(|(_, std::cmp::Reverse(id))| id)
        });
        fittest.flatten()
    }

    fn is_here(&self, broker_id: i32) -> bool {
        let broker = self.image.cluster.broker(broker_id).filter(|broker| !broker.fenced);
        broker.is_some_and(|broker| broker.rack.as_deref() == Some(&*self.rack))
    }
}
