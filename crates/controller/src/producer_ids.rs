//! Producer ids, given to brokers in blocks.

use klamm_metadata::MetadataRecord;
use klamm_protocol::ErrorCode;
use klamm_protocol::messages::{AllocateProducerIdsRequest, AllocateProducerIdsResponse, ProducerIdsRecord};

use crate::PRODUCER_ID_BLOCK_SIZE;
use crate::refusal::Refusal;
use crate::state::{Controller, Decision};

impl Controller {
    /// Hands a broker the next block of producer ids.
    pub fn allocate_producer_ids(
        &self,
        request: &AllocateProducerIdsRequest,
    ) -> Decision<AllocateProducerIdsResponse> {
        match self.next_block(request) {
            Ok(producer_id_start) => {
                let record = ProducerIdsRecord {
                    broker_id: request.broker_id,
                    broker_epoch: request.broker_epoch,
                    next_producer_id: producer_id_start + i64::from(PRODUCER_ID_BLOCK_SIZE),
                };
                let producer_id_len = PRODUCER_ID_BLOCK_SIZE;
                let response =
                    AllocateProducerIdsResponse { producer_id_start, producer_id_len, ..Default::default() };
                Decision::new(vec![MetadataRecord::ProducerIds(record)], response)
            }
            Err(Refusal { code, .. }) => {
                Decision::nothing(AllocateProducerIdsResponse { error_code: code, ..Default::default() })
            }
        }
    }

    fn next_block(&self, request: &AllocateProducerIdsRequest) -> Result<i64, Refusal> {
        self.broker_of_epoch(request.broker_id, request.broker_epoch)?;
        let first = self.image.next_producer_id.unwrap_or(0);
        if first > i64::MAX - i64::from(PRODUCER_ID_BLOCK_SIZE) {
            return Err(Refusal::new(ErrorCode::UNKNOWN_SERVER_ERROR, "all producer ids are used up"));
        }
        Ok(first)
    }
}
