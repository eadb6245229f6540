//! Carrying out what the quorum asks for, in its order.

use std::sync::Arc;

use klamm_metadata::loader::{MetadataLoader, Published};
use klamm_metadata::log_batch::{BatchContents, LogBatch, encode_control_batch};
use klamm_metadata::snapshot::{Snapshot, SnapshotId};
use klamm_metadata::{ControlRecord, MetadataDelta, MetadataImage, Provenance};
use klamm_quorum::{Output, VoterSet};

use super::download::{Download, Source};
use super::driver::{Driver, DriverError};
use super::fetched::control_records;
use super::publication::{Answer, Publication};

impl Driver {
    pub(super) async fn carry_out(&mut self, outputs: Vec<Output>) -> Result<(), DriverError> {
        for output in outputs {
            match output {
                Output::PersistElectionState(state) => {
                    let text = self.parts.quorum.election_state_json(&state);
                    let log = self.parts.log.clone();
                    self.parts.environment.blocking(move || log.save_election_state(&text)).await??;
                }
                Output::Truncate { end_offset } => self.truncate(end_offset).await?,
                Output::AppendControl { base_offset, epoch, records } => {
                    self.append_control(base_offset, epoch, records)?;
                }
                Output::AppendFetched { end_offset, .. } => self.append_fetched(end_offset)?,
                Output::Send { to, request } => {
                    self.outbound.send(to, request, self.parts.quorum.current_voters());
                }
                Output::FetchSnapshot { from, id } => self.download(from, id),
                Output::HighWatermark(high_watermark) => self.commit(high_watermark)?,
                Output::Leadership(leadership) => self.follow(leadership)?,
                Output::CommittedIsMissing { leader_end, high_watermark } => {
                    return Err(DriverError::CommittedIsMissing { leader_end, high_watermark });
                }
            }
        }
        Ok(())
    }

    /// The lead was lost, and with it what this node alone had.
    async fn truncate(&mut self, end_offset: i64) -> Result<(), DriverError> {
        tracing::info!("the metadata log is cut to offset {end_offset}, as the leader's is");
        self.uncommitted.retain(|batch| batch.last_offset < end_offset);
        self.log_was_cut();
        let (log, timestamp_ms) = (self.parts.log.clone(), self.timestamp_ms());
        self.parts.environment.blocking(move || log.truncate(end_offset, timestamp_ms)).await??;
        Ok(())
    }

    fn append_control(
        &mut self,
        base_offset: i64,
        epoch: i32,
        records: Vec<ControlRecord>,
    ) -> Result<(), DriverError> {
        let timestamp_ms = self.timestamp_ms();
        let bytes = encode_control_batch(base_offset, epoch, timestamp_ms, &records)?;
        self.parts.log.append(&bytes, epoch, timestamp_ms)?;
        let batch = LogBatch {
            base_offset,
            last_offset: base_offset + records.len() as i64 - 1,
            leader_epoch: epoch,
            timestamp_ms,
            contents: BatchContents::Control(records),
        };
        self.note_voters(&batch);
        self.uncommitted.push_back(batch);
        Ok(())
    }

    fn append_fetched(&mut self, end_offset: i64) -> Result<(), DriverError> {
        let timestamp_ms = self.timestamp_ms();
        let (bytes, batches) = self.fetched.take_before(end_offset);
        self.parts.log.append(bytes, self.parts.quorum.epoch(), timestamp_ms)?;
        for batch in batches {
            for (offset, record) in control_records(&batch) {
                self.parts.quorum.on_control_record(offset, record);
            }
            self.note_voters(&batch);
            self.uncommitted.push_back(batch);
        }
        Ok(())
    }

    fn note_voters(&mut self, batch: &LogBatch) {
        let is_voters = |(_, record): (i64, &ControlRecord)| matches!(record, ControlRecord::Voters(_));
        if control_records(batch).any(is_voters) {
            let voters = self.parts.quorum.current_voters();
            self.outbound.voters_changed(voters);
            if let Some(controller) = &mut self.controller {
                controller.follow_voters(voters.ids().collect());
            }
        }
    }

    fn download(&mut self, from: i32, id: SnapshotId) {
        let quorum = &self.parts.quorum;
        let is_same =
            |download: &Download| (download.id, download.from, download.epoch) == (id, from, quorum.epoch());
        if self.download.as_ref().is_some_and(is_same) {
            return;
        }
        tracing::info!("loading snapshot {id} of the metadata log from node {from}");
        let source = Source {
            id,
            from,
            epoch: quorum.epoch(),
            address: self.outbound.address(from, quorum.current_voters()),
            replica: quorum.local().key,
            piece_bytes_max: self.parts.snapshot_piece_bytes_max,
        };
        self.download = Some(Download::start(&self.outbound, self.parts.log.clone(), source));
    }

    /// Has a snapshot replace the log and the image.
    pub(super) async fn install(&mut self, id: SnapshotId, snapshot: Snapshot) -> Result<(), DriverError> {
        let provenance = Provenance {
            last_offset: id.end_offset - 1,
            last_epoch: id.epoch,
            last_timestamp_ms: snapshot.last_contained_log_timestamp_ms,
        };
        let image = MetadataImage::from_snapshot(&snapshot.records, provenance)?;
        self.uncommitted.clear();
        self.log_was_cut();
        let (log, timestamp_ms) = (self.parts.log.clone(), self.timestamp_ms());
        self.parts.environment.blocking(move || log.install_snapshot(id, timestamp_ms)).await??;
        let old = std::mem::replace(&mut self.loader, MetadataLoader::new(image.clone()));
        let voters = snapshot.quorum.voters.as_ref().map(VoterSet::from_record);
        let kraft_version = snapshot.quorum.kraft_version;
        let outputs = self.parts.quorum.on_snapshot_loaded(self.now_ms(), id, kraft_version, voters);
        self.outbound.voters_changed(self.parts.quorum.current_voters());
        if self.has_published {
            let delta = MetadataDelta::between(old.image(), &image);
            self.publish(image, Some(delta));
        } else {
            self.publish_first();
        }
        self.carry_out(outputs).await
    }

    /// Replays what is committed now, has the image published, and then the answers given.
    fn commit(&mut self, high_watermark: i64) -> Result<(), DriverError> {
        while self.uncommitted.front().is_some_and(|batch| batch.last_offset < high_watermark) {
            let Some(batch) = self.uncommitted.pop_front() else { break };
            self.parts.snapshots.note(&batch);
            if let Some(Published { image, delta }) = self.replay(batch)?
                && self.has_published
            {
                self.publish(image, Some(delta));
            }
        }
        self.publish_first();
        let later = self.answers.split_off(&(high_watermark + 1));
        let due = std::mem::replace(&mut self.answers, later);
        self.give(due.into_values().flatten().collect());
        Ok(())
    }

    fn replay(&mut self, batch: LogBatch) -> Result<Option<Published>, DriverError> {
        let provenance = Provenance {
            last_offset: batch.last_offset,
            last_epoch: batch.leader_epoch,
            last_timestamp_ms: batch.timestamp_ms,
        };
        let records = match &batch.contents {
            BatchContents::Metadata(records) => &records[..],
            BatchContents::Control(_) => &[],
        };
        Ok(self.loader.apply(records, provenance)?)
    }

    /// Publishes the first image once it has all that is known to be committed: a node that was away for long does not act on what was.
    pub(super) fn publish_first(&mut self) {
        let committed = match self.parts.quorum.is_leader() {
            true => Some(self.parts.quorum.high_watermark()),
            false => self.heard_high_watermark,
        };
        let image = self.loader.image();
        let is_caught_up = committed.is_some_and(|committed| image.provenance.last_offset + 1 >= committed);
        if !self.has_published && is_caught_up {
            self.publish(image.clone(), None);
        }
    }

    fn publish(&mut self, image: MetadataImage, delta: Option<MetadataDelta>) {
        self.has_published = true;
        // The publishing task may have been stopped before this one.
        let _ = self
            .publications
            .send(Publication { image: Some((Arc::new(image), delta)), answers: Vec::new() });
    }

    /// Calls answers, behind what was published before.
    pub(super) fn give(&mut self, answers: Vec<Answer>) {
        if !answers.is_empty() {
            let _ = self.publications.send(Publication { image: None, answers });
        }
    }

    /// Has `answer` called once everything before an offset is committed and published.
    pub(super) fn answer_at(&mut self, end_offset: i64, answer: Answer) {
        match self.parts.quorum.high_watermark() >= end_offset {
            true => self.give(vec![answer]),
            false => self.answers.entry(end_offset).or_default().push(answer),
        }
    }
}
