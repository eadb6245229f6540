//! The controller while this node leads the quorum: what it is asked to decide, what it decides by itself, and its coming and going.
//!
//! A controller begins with the image that every node has replayed, so a node that takes the lead over reads nothing again. When the lead
//! is lost the controller goes, with what it had decided and nobody had committed; whoever waits for that learns that it is no controller.

use klamm_controller::{Appended, Controller, ControllerConfig, Step, bootstrap_records};
use klamm_metadata::MetadataRecord;
use klamm_metadata::log_batch::{BatchContents, LogBatch, encode_metadata_batch};
use klamm_protocol::messages::NoOpRecord;
use klamm_quorum::Leadership;

use super::decision::{Decide, Decided};
use super::driver::{Driver, DriverError};
use super::publication::Answer;

impl Driver {
    /// Without an active controller the request is dropped, which tells whoever waits for it.
    pub(super) fn decide(&mut self, request: Decide) -> Result<(), DriverError> {
        let now_ms = self.now_ms();
        let Some(controller) = &mut self.controller else { return Ok(()) };
        let random = self.parts.environment.random.clone();
        let mut step = Step {
            now_ms,
            next_offset: self.parts.quorum.log().end_offset,
            random: &mut move || random.next_u128() as u64,
        };
        let Decided { records, answer } = request(controller, &mut step);
        self.append(records, Some(answer))
    }

    /// Has brokers fenced that are overdue, and elections held whose time has come.
    pub(super) fn decide_what_is_due(&mut self) -> Result<(), DriverError> {
        let now_ms = self.now_ms();
        let Some(controller) = &self.controller else { return Ok(()) };
        if let Some(overdue) = controller.overdue_broker(now_ms) {
            let records = controller.fence_overdue(overdue).records;
            return self.append(records, None);
        }
        if let Some(records) = self.parts.elections.hold(now_ms, controller) {
            self.append(records, None)?;
        }
        if self.parts.idleness.is_over(now_ms) {
            self.end_idleness(now_ms)?;
        }
        Ok(())
    }

    /// Writes a record that changes nothing: nodes whose metadata stands still are told from those that nothing happens to. A controller
    /// that is the only node would write it for nobody.
    fn end_idleness(&mut self, now_ms: i64) -> Result<(), DriverError> {
        let Some(controller) = &self.controller else { return Ok(()) };
        let own_id = self.parts.quorum.local().key.id;
        let is_alone = self.parts.quorum.current_voters().len() == 1
            && controller.image().cluster.brokers().all(|broker| broker.id == own_id);
        self.parts.idleness.begin(now_ms);
        if is_alone {
            return Ok(());
        }
        self.append(vec![MetadataRecord::NoOp(NoOpRecord::default())], None)
    }

    /// Appends the records of a decision and has `answer` called when they, or if there are none all before them, are committed.
    pub(super) fn append(
        &mut self,
        records: Vec<MetadataRecord<'static>>,
        answer: Option<Answer>,
    ) -> Result<(), DriverError> {
        if !records.is_empty() && !self.append_records(records)? {
            // Whoever asked learns that there is no controller here by the answer being dropped.
            return Ok(());
        }
        let end_offset = self.parts.quorum.log().end_offset;
        if let Some(answer) = answer {
            self.answer_at(end_offset, answer);
        }
        Ok(())
    }

    /// False when this node does not lead, and nothing was appended.
    fn append_records(&mut self, records: Vec<MetadataRecord<'static>>) -> Result<bool, DriverError> {
        let (now_ms, timestamp_ms) = (self.now_ms(), self.timestamp_ms());
        let Some(controller) = &mut self.controller else { return Ok(false) };
        let version = controller.image().metadata_version();
        let Ok(slot) = self.parts.quorum.append(records.len()) else { return Ok(false) };
        let bytes = encode_metadata_batch(slot.base_offset, slot.epoch, timestamp_ms, &records, version)?;
        self.parts.log.append(&bytes, slot.epoch, timestamp_ms)?;
        self.parts.idleness.begin(now_ms);
        for (offset, record) in (slot.base_offset..).zip(&records) {
            controller.apply(Appended { offset, timestamp_ms, now_ms }, record)?;
        }
        self.uncommitted.push_back(LogBatch {
            base_offset: slot.base_offset,
            last_offset: slot.base_offset + records.len() as i64 - 1,
            leader_epoch: slot.epoch,
            timestamp_ms,
            contents: BatchContents::Metadata(records),
        });
        Ok(true)
    }

    /// Starts or stops the controller as leadership comes and goes.
    pub(super) fn follow(&mut self, leadership: Leadership) -> Result<(), DriverError> {
        self.leadership = Some(leadership);
        let now_ms = self.now_ms();
        let Leadership::Leading { epoch } = leadership else {
            if self.controller.take().is_some() {
                tracing::info!("the controller of this node is no longer active");
            }
            self.answers.clear();
            return Ok(());
        };
        tracing::debug!("the controller of this node is active in epoch {epoch}");
        let image = self.loader.image().clone();
        let first = bootstrap_records(
            &image,
            self.loader.in_transaction(),
            &self.parts.bootstrap,
            self.parts.min_insync_replicas,
        );
        let quorum_node_ids = self.parts.quorum.current_voters().ids().collect();
        let config = ControllerConfig { quorum_node_ids, ..self.parts.controller_config.clone() };
        self.controller = Some(Controller::new(config, self.parts.rules.clone(), image, now_ms));
        self.parts.elections.begin(now_ms);
        self.parts.idleness.begin(now_ms);
        self.append(first, None)
    }
}
