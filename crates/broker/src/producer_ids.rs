//! Producer ids, of which the controller gives a broker a block at a time.

use klamm_protocol::ErrorCode;
use klamm_protocol::messages::AllocateProducerIdsRequest;
use parking_lot::Mutex;

use crate::broker::Broker;

/// The rest of the present block.
#[derive(Default)]
pub(crate) struct ProducerIds {
    block: Mutex<std::ops::Range<i64>>,
    allocating: tokio::sync::Mutex<()>,
}

impl ProducerIds {
    /// The next id of the block, if one is left.
    pub(crate) fn take(&self) -> Option<i64> {
        self.block.lock().next()
    }

    /// The next id, from a new block if need be. Those who wait for a block share it.
    ///
    /// # Errors
    /// The controller's refusal, or `COORDINATOR_LOAD_IN_PROGRESS` while there is no controller; both can be tried again.
    pub(crate) async fn take_or_allocate(&self, broker: &Broker) -> Result<i64, ErrorCode> {
        let _turn = self.allocating.lock().await;
        loop {
            if let Some(id) = self.take() {
                return Ok(id);
            }
            *self.block.lock() = allocate(broker).await?;
        }
    }
}

async fn allocate(broker: &Broker) -> Result<std::ops::Range<i64>, ErrorCode> {
    let request = AllocateProducerIdsRequest { broker_id: broker.node_id(), broker_epoch: broker.epoch() };
    let asked = broker.ask_controller(request, broker.controller_timeout()).await;
    let response = asked.map_err(|_| ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)?;
    response.error_code.check()?;
    let start = response.producer_id_start;
    Ok(start..start + i64::from(response.producer_id_len))
}
