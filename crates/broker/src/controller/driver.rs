//! The task that drives quorum, controller and metadata log.
//!
//! It alone touches them. Requests are decided one by one on the controller's state, which is ahead of the disk; their records are appended
//! at once, and one flush at a time, on a helper thread, makes durable what was appended before it began. What the quorum then calls
//! committed is replayed into the image, the image is published, and only then are the requests answered.
//!
//! The loop waits for the disk only where the quorum's order asks for it (a vote, a log that is cut or replaced). Flushes, snapshots, publishing
//! and other nodes' answers come back as its inputs.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use klamm_controller::{ConfigRules, Controller, ControllerConfig};
use klamm_metadata::loader::MetadataLoader;
use klamm_metadata::log_batch::LogBatch;
use klamm_metadata::snapshot::Snapshot;
use klamm_metadata::{MetadataDelta, MetadataImage, MetadataRecord};
use klamm_protocol::EncodeError;
use klamm_quorum::role::Role;
use klamm_quorum::{Leadership, OffsetAndEpoch, Output, Quorum, QuorumDescription};
use tokio::sync::{mpsc, oneshot, watch};

use super::decision::{Request, Requests};
use super::download::{Download, DownloadError};
use super::fetched::{self, FetchedBatches, FetchedError};
use super::idleness::Idleness;
use super::joining::Joining;
use super::metadata_log::{MetadataLog, MetadataLogError};
use super::outbound::{Answered, Outbound, OutboundConfig, PeerAnswer, PeerAnswers};
use super::periodic_elections::PeriodicElections;
use super::publication::{Answer, Publication, publish_all};
use super::snapshots::{SnapshotPolicy, WrittenSnapshot};
use super::status::Status;
use crate::environment::{Environment, ExecutorStopped, Place, Stopped};

/// How often snapshots, deletions and sessions are looked after.
const TICK_MS: i64 = 500;

/// Who is told of new images.
pub(crate) trait Publisher {
    /// Makes `image` the one that this node works with. `delta` says what changed since the one before; none for the first.
    fn publish(
        &mut self,
        image: Arc<MetadataImage>,
        delta: Option<MetadataDelta>,
    ) -> Pin<Box<dyn Future<Output = ()> + '_>>;
}

/// The metadata log can no longer be followed: the node must stop.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The log on disk failed.
    #[error(transparent)]
    Log(#[from] MetadataLogError),
    /// A record could not be applied.
    #[error("the metadata log holds a record that cannot be applied: {0}")]
    Apply(#[from] klamm_metadata::ApplyError),
    /// A record could not be written. A flaw of the controller.
    #[error("a metadata record cannot be written: {0}")]
    Encode(#[from] EncodeError),
    /// The leader's log holds what this software cannot read.
    #[error("the leader's metadata log cannot be read: {0}")]
    Records(#[from] klamm_metadata::log_batch::LogBatchError),
    /// A log that was flushed has lost what was committed, here or at the leader.
    #[error(
        "the leader's metadata log parts from this node's at offset {}, before {high_watermark}, up to where it is committed: \
         one of the two has lost records",
        leader_end.offset
    )]
    CommittedIsMissing {
        /// Where the logs part.
        leader_end: OffsetAndEpoch,
        /// Everything before it is committed here.
        high_watermark: i64,
    },
    /// The node is stopping already.
    #[error(transparent)]
    Stopped(#[from] ExecutorStopped),
}

/// What the driver starts with.
pub(crate) struct DriverParts {
    pub(crate) environment: Environment,
    pub(crate) log: Arc<MetadataLog>,
    pub(crate) quorum: Quorum,
    /// What opening the quorum asked for.
    pub(crate) outputs: Vec<Output>,
    /// The image of the latest snapshot.
    pub(crate) snapshot: MetadataImage,
    /// The batches behind the snapshot, of which it is not known yet whether they are committed.
    pub(crate) batches: Vec<LogBatch>,
    /// The records that a new cluster begins with.
    pub(crate) bootstrap: Vec<MetadataRecord<'static>>,
    pub(crate) controller_config: ControllerConfig,
    pub(crate) rules: Arc<dyn ConfigRules>,
    pub(crate) min_insync_replicas: i32,
    pub(crate) snapshots: SnapshotPolicy,
    pub(crate) elections: PeriodicElections,
    pub(crate) idleness: Idleness,
    pub(crate) outbound: OutboundConfig,
    /// `controller.quorum.auto.join.enable`, on a controller.
    pub(crate) joins_automatically: bool,
    /// How often a controller looks whether its vote is described as it should be: `controller.quorum.fetch.timeout.ms`.
    pub(crate) joining_period_ms: i64,
    /// `controller.quorum.fetch.snapshot.max.bytes`.
    pub(crate) snapshot_piece_bytes_max: i32,
    pub(crate) status: Arc<Status>,
    pub(crate) requests: Requests,
    pub(crate) stopping: watch::Receiver<bool>,
}

type Work<T> = Pin<Box<dyn Future<Output = T>>>;
/// Up to where the log is durable.
type Flushed = Stopped<Result<i64, MetadataLogError>>;
/// The snapshot, if one was written.
type SnapshotEnd = Stopped<Result<Option<WrittenSnapshot>, DriverError>>;

pub(crate) struct Driver {
    pub(super) parts: DriverParts,
    pub(super) outbound: Outbound,
    peer_answers: PeerAnswers,
    pub(super) loader: MetadataLoader,
    pub(super) controller: Option<Controller>,
    /// Appended or found in the log, and not committed yet.
    pub(super) uncommitted: VecDeque<LogBatch>,
    /// Answers that wait until everything before an offset is committed.
    pub(super) answers: BTreeMap<i64, Vec<Answer>>,
    /// What the answer that is being handled brought.
    pub(super) fetched: FetchedBatches,
    pub(super) download: Option<Download>,
    flush: Option<Work<Flushed>>,
    /// The flush that is under way began before the log was cut: what it made durable may be gone.
    pub(super) is_flush_outdated: bool,
    snapshot: Option<Work<SnapshotEnd>>,
    pub(super) publications: mpsc::UnboundedSender<Publication>,
    pub(super) has_published: bool,
    /// Up to where the leader last said that records are committed; none before it was heard.
    pub(super) heard_high_watermark: Option<i64>,
    pub(super) leadership: Option<Leadership>,
    joining: Joining,
    resigned: Vec<oneshot::Sender<()>>,
    /// When what is done now and then is to be done next.
    next_tick_ms: i64,
}

impl Driver {
    /// A driver that tells `publisher` of new images, on a task of its own.
    pub(crate) fn new(mut parts: DriverParts, publisher: impl Publisher + Send + 'static) -> Self {
        let now_ms = parts.environment.clock.monotonic_ms();
        let (publications, received) = mpsc::unbounded_channel();
        parts.environment.spawn(Place::Control, move || publish_all(publisher, received));
        let local = parts.quorum.local();
        let (outbound, peer_answers) = Outbound::new(
            parts.environment.clone(),
            local.key.id,
            local.endpoints.clone(),
            parts.outbound.clone(),
        );
        Self {
            loader: MetadataLoader::new(std::mem::take(&mut parts.snapshot)),
            uncommitted: std::mem::take(&mut parts.batches).into(),
            joining: Joining::new(parts.joins_automatically, parts.joining_period_ms, now_ms),
            next_tick_ms: now_ms + TICK_MS,
            parts,
            outbound,
            peer_answers,
            controller: None,
            answers: BTreeMap::new(),
            fetched: FetchedBatches::default(),
            download: None,
            flush: None,
            is_flush_outdated: false,
            snapshot: None,
            publications,
            has_published: false,
            heard_high_watermark: None,
            leadership: None,
            resigned: Vec::new(),
        }
    }

    /// Runs until the node stops.
    ///
    /// # Errors
    /// When the log or its content can no longer be trusted.
    pub(crate) async fn run(mut self) -> Result<(), DriverError> {
        match self.run_until_stopped().await {
            Err(DriverError::Stopped(ExecutorStopped)) => Ok(()),
            result => result,
        }
    }

    async fn run_until_stopped(&mut self) -> Result<(), DriverError> {
        let outputs = std::mem::take(&mut self.parts.outputs);
        self.carry_out(outputs).await?;
        let mut stopping = self.parts.stopping.clone();
        loop {
            self.start_flush();
            self.tell_status();
            let wait = self.time_to_deadline();
            if wait.is_zero() {
                self.tick().await?;
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => return Ok(()),
                flushed = end_of(&mut self.flush) => self.on_flushed(flushed?).await?,
                written = end_of(&mut self.snapshot) => self.on_snapshot_written(written??),
                loaded = end_of_download(&mut self.download) => self.on_downloaded(loaded).await?,
                Some(answer) = self.peer_answers.recv() => self.on_answer(answer).await?,
                Some(request) = self.parts.requests.recv() => self.handle_all(request).await?,
                () = tokio::time::sleep(wait) => self.tick().await?,
            }
        }
    }

    /// For intervals: quorum, sessions and whatever is due now and then must not notice that the wall clock is set.
    pub(super) fn now_ms(&self) -> i64 {
        self.parts.environment.clock.monotonic_ms()
    }

    /// For what is written down.
    pub(super) fn timestamp_ms(&self) -> i64 {
        self.parts.environment.clock.now_ms()
    }

    /// How long nothing is due that nobody asks for.
    fn time_to_deadline(&self) -> Duration {
        let quorum = self.parts.quorum.deadline_ms();
        let session = self.controller.as_ref().and_then(Controller::next_session_end_ms);
        let idle = self.controller.as_ref().and_then(|_| self.parts.idleness.due_ms());
        let next = [quorum, session, idle].into_iter().flatten().fold(self.next_tick_ms, i64::min);
        let wait_ms = next.saturating_sub(self.now_ms()).clamp(0, TICK_MS);
        Duration::from_millis(wait_ms as u64)
    }

    async fn tick(&mut self) -> Result<(), DriverError> {
        let now_ms = self.now_ms();
        self.next_tick_ms = now_ms + TICK_MS;
        let outputs = self.parts.quorum.tick(now_ms);
        self.carry_out(outputs).await?;
        self.decide_what_is_due()?;
        self.joining.tick(now_ms, &self.parts.quorum, &self.outbound);
        self.start_snapshot();
        Ok(())
    }

    /// Handles a request and all others that wait by now.
    async fn handle_all(&mut self, first: Request) -> Result<(), DriverError> {
        self.handle(first).await?;
        while let Ok(request) = self.parts.requests.try_recv() {
            self.handle(request).await?;
        }
        Ok(())
    }

    async fn handle(&mut self, request: Request) -> Result<(), DriverError> {
        match request {
            Request::Decide(request) => self.decide(request)?,
            Request::DescribeQuorum(respond) => {
                // Whoever asked may be gone.
                let _ = respond.send(self.describe_quorum());
            }
            Request::UpdateFeatures(request, respond) => self.update_features(&request, respond).await?,
            Request::Replica(request) => self.serve(*request).await?,
            Request::Resign(done) => self.resign(done).await?,
        }
        Ok(())
    }

    /// The quorum, with its times on the wall clock as it is now.
    fn describe_quorum(&self) -> Option<QuorumDescription> {
        let now_ms = self.now_ms();
        let described = self.parts.quorum.describe(now_ms)?;
        Some(described.moved_by(self.timestamp_ms() - now_ms))
    }

    /// Gives the lead of the quorum up, unless nobody could take it over.
    async fn resign(&mut self, done: oneshot::Sender<()>) -> Result<(), DriverError> {
        if self.parts.quorum.is_leader() && self.parts.quorum.current_voters().len() > 1 {
            let outputs = self.parts.quorum.resign(self.now_ms());
            self.carry_out(outputs).await?;
            self.resigned.push(done);
        }
        Ok(())
    }

    /// Shows others where the quorum is.
    fn tell_status(&mut self) {
        self.parts.status.update(&self.parts.quorum, self.leadership, &self.outbound);
        let is_telling = match self.parts.quorum.role() {
            Role::Resigned { unconfirmed, .. } => !unconfirmed.is_empty(),
            _ => false,
        };
        if !is_telling {
            // Whoever asked may be gone.
            self.resigned.drain(..).for_each(|done| _ = done.send(()));
        }
    }

    fn start_flush(&mut self) {
        let log = &self.parts.log;
        if self.flush.is_none() && log.log().recovery_point() < log.log().log_end_offset() {
            let (environment, log) = (self.parts.environment.clone(), log.clone());
            self.flush = Some(Box::pin(async move { environment.blocking(move || log.flush()).await }));
        }
    }

    async fn on_flushed(&mut self, flushed: Result<i64, MetadataLogError>) -> Result<(), DriverError> {
        self.flush = None;
        let end_offset = flushed?;
        if std::mem::take(&mut self.is_flush_outdated) {
            return Ok(());
        }
        let outputs = self.parts.quorum.on_log_flushed(self.now_ms(), end_offset);
        self.carry_out(outputs).await
    }

    fn is_flushing(&self) -> bool {
        self.flush.is_some()
    }

    /// The log was cut or replaced: what a flush that is under way says of it is of no use.
    pub(super) fn log_was_cut(&mut self) {
        self.is_flush_outdated = self.is_flushing();
    }

    /// Writes a snapshot on a helper thread, if one is due, and removes what is deleted.
    fn start_snapshot(&mut self) {
        if self.snapshot.is_some() {
            return;
        }
        let (log, times) = (self.parts.log.clone(), (self.now_ms(), self.timestamp_ms()));
        let image = self.loader.image();
        let Some(job) = self.parts.snapshots.next_job(log, &self.parts.quorum, image, times) else { return };
        let environment = self.parts.environment.clone();
        self.snapshot = Some(Box::pin(async move { environment.blocking(move || job.run()).await }));
    }

    fn on_snapshot_written(&mut self, written: Option<WrittenSnapshot>) {
        self.snapshot = None;
        if let Some(WrittenSnapshot { id, log_start_offset }) = written {
            self.parts.quorum.on_snapshot_written(id, log_start_offset);
        }
    }

    /// Takes what another node answered.
    async fn on_answer(&mut self, answer: PeerAnswer) -> Result<(), DriverError> {
        if !self.outbound.is_current(&answer) {
            return Ok(());
        }
        let (from, now_ms) = (answer.from, self.now_ms());
        let quorum = &mut self.parts.quorum;
        let outputs = match answer.answer {
            Answered::Vote(response) => quorum.handle_vote_response(now_ms, from, &response),
            Answered::BeginEpoch(info) => quorum.handle_begin_epoch_response(now_ms, from, &info),
            Answered::EndEpoch(info) => quorum.handle_end_epoch_response(now_ms, from, &info),
            Answered::Failed => quorum.on_request_failed(now_ms, from),
            Answered::Gone => quorum.on_node_gone(now_ms, from),
            Answered::SnapshotProgress => {
                quorum.on_snapshot_progress(now_ms);
                return Ok(());
            }
            Answered::Fetch(response) => {
                // What an earlier epoch's leader has had may be another's by now.
                if let Some((epoch, address)) = klamm_quorum::wire::leader_in_fetch(&response)
                    && epoch >= quorum.epoch()
                {
                    self.outbound.learn(address);
                }
                return self.on_fetched(from, fetched::read(*response)).await;
            }
        };
        self.carry_out(outputs).await
    }

    async fn on_fetched(
        &mut self,
        from: i32,
        read: Result<(klamm_quorum::message::Fetched, FetchedBatches), FetchedError>,
    ) -> Result<(), DriverError> {
        let now_ms = self.now_ms();
        let outputs = match read {
            Ok((fetched, batches)) => {
                self.fetched = batches;
                if fetched.high_watermark >= 0 {
                    self.heard_high_watermark = Some(fetched.high_watermark);
                }
                self.parts.quorum.handle_fetch_response(now_ms, from, &fetched)
            }
            Err(FetchedError::Records(error)) => return Err(error.into()),
            Err(error) => {
                tracing::warn!("what node {from} sent of the metadata log is not used: {error}");
                self.parts.quorum.on_request_failed(now_ms, from)
            }
        };
        self.carry_out(outputs).await?;
        self.fetched = FetchedBatches::default();
        self.publish_first();
        Ok(())
    }

    async fn on_downloaded(&mut self, loaded: Result<Snapshot, DownloadError>) -> Result<(), DriverError> {
        let Some(Download { id, from, epoch, .. }) = self.download.take() else { return Ok(()) };
        // Reading it may have taken longer than this voter waits for the leader.
        let leader_id = match self.parts.quorum.role() {
            Role::Follower(follower) => Some(follower.leader_id),
            Role::Prospective { leader_id, .. } => *leader_id,
            _ => None,
        };
        if leader_id != Some(from) || self.parts.quorum.epoch() != epoch {
            return Ok(());
        }
        match loaded {
            Ok(snapshot) => self.install(id, snapshot).await,
            Err(error) => {
                tracing::warn!("snapshot {id} could not be loaded from node {from}: {error}");
                let outputs = self.parts.quorum.on_request_failed(self.now_ms(), from);
                self.carry_out(outputs).await
            }
        }
    }
}

/// Waits for the end of what is under way; for ever where nothing is.
async fn end_of<T>(work: &mut Option<Work<T>>) -> T {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

async fn end_of_download(download: &mut Option<Download>) -> Result<Snapshot, DownloadError> {
    match download {
        Some(download) => (&mut download.loading).await,
        None => std::future::pending().await,
    }
}
