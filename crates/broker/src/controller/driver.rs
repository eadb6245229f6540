//! The task that drives quorum, controller and metadata log.
//!
//! It alone touches them. Requests are decided one by one on the controller's state, which is ahead of the disk; their records are appended
//! at once, and one flush at a time, on a helper thread, makes durable what was appended before it began. What the quorum then calls
//! committed is replayed into the image, the image is published, and only then are the requests answered.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use klamm_controller::{ConfigRules, Controller, ControllerConfig, Step, bootstrap_records};
use klamm_metadata::loader::MetadataLoader;
use klamm_metadata::log_batch::{BatchContents, LogBatch, encode_control_batch, encode_metadata_batch};
use klamm_metadata::{MetadataDelta, MetadataImage, MetadataRecord, Provenance};
use klamm_protocol::EncodeError;
use klamm_quorum::{Leadership, Output, Quorum};
use tokio::sync::watch;

use super::decision::{ActiveController, Decide, Decided, Request, Requests, Status};
use super::metadata_log::{MetadataLog, MetadataLogError};
use super::snapshots::SnapshotPolicy;
use crate::environment::{Environment, ExecutorStopped, Stopped};

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
}

/// What the driver starts with.
pub(crate) struct DriverParts<P> {
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
    pub(crate) status: Arc<Status>,
    pub(crate) requests: Requests,
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) publisher: P,
}

/// Answers that wait until everything before an offset is committed.
type Answers = BTreeMap<i64, Vec<Box<dyn FnOnce() + Send>>>;
type Flush = Pin<Box<dyn Future<Output = Stopped<Result<i64, MetadataLogError>>>>>;

pub(crate) struct Driver<P> {
    parts: DriverParts<P>,
    loader: MetadataLoader,
    controller: Option<Controller>,
    /// Appended or found in the log, and not committed yet.
    uncommitted: VecDeque<LogBatch>,
    answers: Answers,
    flush: Option<Flush>,
    has_published: bool,
    /// When what is done now and then is to be done next.
    next_tick_ms: i64,
}

impl<P: Publisher> Driver<P> {
    pub(crate) fn new(mut parts: DriverParts<P>) -> Self {
        let loader = MetadataLoader::new(std::mem::take(&mut parts.snapshot));
        let uncommitted = std::mem::take(&mut parts.batches).into();
        let next_tick_ms = parts.environment.clock.now_ms() + TICK_MS;
        Self {
            next_tick_ms,
            parts,
            loader,
            controller: None,
            uncommitted,
            answers: BTreeMap::new(),
            flush: None,
            has_published: false,
        }
    }

    /// Runs until the node stops.
    ///
    /// # Errors
    /// When the log or its content can no longer be trusted.
    pub(crate) async fn run(mut self) -> Result<(), DriverError> {
        let outputs = std::mem::take(&mut self.parts.outputs);
        self.carry_out(outputs).await?;
        let mut stopping = self.parts.stopping.clone();
        loop {
            self.start_flush();
            let wait = self.time_to_deadline();
            if wait.is_zero() {
                self.tick().await?;
                tokio::task::yield_now().await;
                continue;
            }
            let flush = async {
                match &mut self.flush {
                    Some(flush) => flush.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => return Ok(()),
                flushed = flush => match flushed {
                    Ok(flushed) => self.on_flushed(flushed).await?,
                    Err(ExecutorStopped) => return Ok(()),
                },
                Some(request) = self.parts.requests.recv() => self.handle_all(request)?,
                () = tokio::time::sleep(wait) => self.tick().await?,
            }
        }
    }

    fn now_ms(&self) -> i64 {
        self.parts.environment.clock.now_ms()
    }

    /// How long nothing is due that nobody asks for.
    fn time_to_deadline(&self) -> Duration {
        let quorum = self.parts.quorum.deadline_ms();
        let session = self.controller.as_ref().and_then(Controller::next_session_end_ms);
        let next = [quorum, session].into_iter().flatten().fold(self.next_tick_ms, i64::min);
        let wait_ms = next.saturating_sub(self.now_ms()).clamp(0, TICK_MS);
        Duration::from_millis(wait_ms as u64)
    }

    async fn tick(&mut self) -> Result<(), DriverError> {
        let now_ms = self.now_ms();
        self.next_tick_ms = now_ms + TICK_MS;
        let outputs = self.parts.quorum.tick(now_ms);
        self.carry_out(outputs).await?;
        if let Some(controller) = &self.controller
            && let Some(overdue) = controller.overdue_broker(now_ms)
        {
            let records = controller.fence_overdue(overdue).records;
            self.append(records, None)?;
        }
        self.parts.log.remove_deleted_files(now_ms)?;
        self.parts.snapshots.take_if_due(
            &self.parts.log,
            &mut self.parts.quorum,
            self.loader.image(),
            now_ms,
        )?;
        Ok(())
    }

    /// Handles a request and all others that wait by now.
    fn handle_all(&mut self, first: Request) -> Result<(), DriverError> {
        self.handle(first)?;
        while let Ok(request) = self.parts.requests.try_recv() {
            self.handle(request)?;
        }
        Ok(())
    }

    fn handle(&mut self, request: Request) -> Result<(), DriverError> {
        match request {
            Request::Decide(request) => self.decide(request),
            Request::DescribeQuorum(respond) => {
                // Whoever asked may be gone.
                let _ = respond.send(self.parts.quorum.describe(self.now_ms()));
                Ok(())
            }
        }
    }

    /// Without an active controller the request is dropped, which tells whoever waits for it.
    fn decide(&mut self, request: Decide) -> Result<(), DriverError> {
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

    /// Appends the records of a decision and has `answer` called when they, or if there are none all before them, are committed.
    fn append(
        &mut self,
        records: Vec<MetadataRecord<'static>>,
        answer: Option<Box<dyn FnOnce() + Send>>,
    ) -> Result<(), DriverError> {
        if !records.is_empty() && !self.append_records(records)? {
            // Whoever asked learns that there is no controller here by the answer being dropped.
            return Ok(());
        }
        let end_offset = self.parts.quorum.log().end_offset;
        match answer {
            Some(answer) if self.parts.quorum.high_watermark() >= end_offset => answer(),
            Some(answer) => self.answers.entry(end_offset).or_default().push(answer),
            None => {}
        }
        Ok(())
    }

    /// False when this node does not lead, and nothing was appended.
    fn append_records(&mut self, records: Vec<MetadataRecord<'static>>) -> Result<bool, DriverError> {
        let (Some(controller), now_ms) = (&mut self.controller, self.parts.environment.clock.now_ms()) else {
            return Ok(false);
        };
        let version = controller.image().metadata_version();
        let Ok(slot) = self.parts.quorum.append(records.len()) else { return Ok(false) };
        let bytes = encode_metadata_batch(slot.base_offset, slot.epoch, now_ms, &records, version)?;
        self.parts.log.append(&bytes, slot.epoch, now_ms)?;
        for (offset, record) in (slot.base_offset..).zip(&records) {
            controller.apply(offset, now_ms, record)?;
        }
        self.uncommitted.push_back(LogBatch {
            base_offset: slot.base_offset,
            last_offset: slot.base_offset + records.len() as i64 - 1,
            leader_epoch: slot.epoch,
            timestamp_ms: now_ms,
            contents: BatchContents::Metadata(records),
        });
        Ok(true)
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
        let outputs = self.parts.quorum.on_log_flushed(self.now_ms(), flushed?);
        self.carry_out(outputs).await
    }

    /// Does what the quorum asks for, in its order.
    async fn carry_out(&mut self, outputs: Vec<Output>) -> Result<(), DriverError> {
        for output in outputs {
            match output {
                Output::PersistElectionState(state) => {
                    self.parts.log.save_election_state(&self.parts.quorum.election_state_json(&state))?;
                }
                Output::AppendControl { base_offset, epoch, timestamp_ms, records } => {
                    let bytes = encode_control_batch(base_offset, epoch, timestamp_ms, &records)?;
                    self.parts.log.append(&bytes, epoch, timestamp_ms)?;
                    self.uncommitted.push_back(LogBatch {
                        base_offset,
                        last_offset: base_offset + records.len() as i64 - 1,
                        leader_epoch: epoch,
                        timestamp_ms,
                        contents: BatchContents::Control(records),
                    });
                }
                Output::HighWatermark(high_watermark) => self.commit(high_watermark).await?,
                Output::Leadership(leadership) => self.follow(leadership)?,
                // A quorum of one has nobody to talk to, and nobody who could make it truncate.
                Output::Truncate { .. }
                | Output::AppendFetched { .. }
                | Output::Send { .. }
                | Output::FetchSnapshot { .. } => {}
            }
        }
        Ok(())
    }

    /// Replays what is committed now, publishes the image and answers.
    async fn commit(&mut self, high_watermark: i64) -> Result<(), DriverError> {
        let mut committed = None;
        while self.uncommitted.front().is_some_and(|batch| batch.last_offset < high_watermark) {
            let Some(batch) = self.uncommitted.pop_front() else { break };
            self.parts.snapshots.note(&batch);
            if let Some(published) = self.replay(batch)? {
                committed = Some(published);
                if self.has_published {
                    self.publish(committed.take()).await;
                }
            }
        }
        self.publish(committed).await;
        let later = self.answers.split_off(&(high_watermark + 1));
        let due = std::mem::replace(&mut self.answers, later);
        due.into_values().flatten().for_each(|answer| answer());
        Ok(())
    }

    fn replay(&mut self, batch: LogBatch) -> Result<Option<klamm_metadata::loader::Published>, DriverError> {
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

    async fn publish(&mut self, published: Option<klamm_metadata::loader::Published>) {
        if let Some(published) = published {
            let delta = self.has_published.then_some(published.delta);
            self.has_published = true;
            self.parts.publisher.publish(Arc::new(published.image), delta).await;
        }
    }

    fn active(&self, leadership: Leadership) -> Option<ActiveController> {
        let local = self.parts.controller_config.node_id;
        let (node_id, epoch) = match leadership {
            Leadership::Leading { epoch } => (local, epoch),
            Leadership::Following { epoch, leader_id } => (leader_id, epoch),
            Leadership::Nobody { .. } => return None,
        };
        let endpoint = self.parts.quorum.current_voters().get(node_id)?.endpoints.first()?;
        let (host, port) = (endpoint.host.clone(), endpoint.port);
        Some(ActiveController { node_id, epoch, is_here: node_id == local, host, port })
    }

    /// Starts or stops the controller as leadership comes and goes.
    fn follow(&mut self, leadership: Leadership) -> Result<(), DriverError> {
        self.parts.status.active.send_replace(self.active(leadership));
        self.parts.status.kraft_version.store(self.parts.quorum.kraft_version(), Ordering::Relaxed);
        if !matches!(leadership, Leadership::Leading { .. }) {
            self.controller = None;
            self.answers.clear();
            return Ok(());
        }
        let image = self.loader.image().clone();
        let first = bootstrap_records(
            &image,
            self.loader.in_transaction(),
            &self.parts.bootstrap,
            self.parts.min_insync_replicas,
        );
        let (config, rules) = (self.parts.controller_config.clone(), self.parts.rules.clone());
        self.controller = Some(Controller::new(config, rules, image, self.now_ms()));
        self.append(first, None)
    }
}
