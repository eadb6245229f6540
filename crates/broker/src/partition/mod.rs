//! A partition on this broker: its log, who leads it, and those who wait for it.
//!
//! What the only replica appends is committed at once, or, where `flush.messages` says so, once it is on the device. Where there are
//! followers, the leader machine of `klamm-replica` says what is.
//!
//! Invariants:
//! - The high watermark is raised before those who wait for it are woken, so whoever wakes sees it.
//! - Where an append is to be flushed before it is answered, the leader's copy counts only after the flush, and a follower fetches on
//!   only after it.
//! - Nobody appends for a leader's epoch that is over: the log itself refuses it.

mod append;
mod fetch;
mod flush;
mod following;
mod hosted;
mod leadership;
mod offset_waiters;
mod settings;
#[cfg(test)]
pub(crate) mod tests;

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicI64;

use arc_swap::{ArcSwap, Guard};
use klamm_config::TopicConfig;
use klamm_log::{FileHandle, Log, LogDirs, ReadError, TopicPartition};
use klamm_net::FileSource;
use klamm_protocol::{ErrorCode, Uuid};
use klamm_records::ProduceRules;
use klamm_replica::Leader;
use parking_lot::Mutex;

pub(crate) use append::{Acks, AppendError, Appended};
pub(crate) use fetch::{FetchedPartition, Isolation, Reader};
pub(crate) use following::{FetchedRecords, FollowError};
pub(crate) use hosted::{HostedTopic, HostedTopics};
pub(crate) use leadership::Leadership;
pub(crate) use offset_waiters::Waiting;
pub(crate) use settings::PartitionSettings;

use crate::environment::Environment;
use crate::metrics::Traffic;
use flush::Flushes;
use offset_waiters::OffsetWaiters;

/// A partition's replica on this broker.
pub(crate) struct Partition {
    topic: Arc<str>,
    topic_id: Uuid,
    index: i32,
    log: ArcSwap<Log>,
    settings: ArcSwap<PartitionSettings>,
    leadership: ArcSwap<Leadership>,
    /// Where this broker leads. Held by whoever changes `leadership`, or does something as a follower.
    leader: Mutex<Option<Leader>>,
    /// This broker has led the partition since it started.
    has_led: AtomicBool,
    /// Those who wait for the high watermark.
    committed: Arc<OffsetWaiters>,
    /// Those who wait for the log end: followers.
    ended: Arc<OffsetWaiters>,
    /// Those who wait for the least log start of all replicas.
    lowered: Arc<OffsetWaiters>,
    /// Those who wait for a flush.
    flushed: Arc<OffsetWaiters>,
    flushes: Flushes,
    unflushed_since_ms: AtomicI64,
    hints: fetch::ReadHints,
    traffic: Arc<Traffic>,
    /// The disk refused the latest append.
    appends_fail: AtomicBool,
    /// Where the latest read failed that the log was told of.
    unreadable_at: AtomicI64,
    /// Held while the settings or the log are replaced, so that the log has the settings.
    configuring: Mutex<()>,
    /// Told of what the disk refuses.
    log_dirs: Arc<LogDirs>,
    environment: Environment,
}

/// What a log could not give.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct LogReadError(#[from] ReadFailure);

#[derive(Debug, thiserror::Error)]
enum ReadFailure {
    #[error(transparent)]
    Log(#[from] ReadError),
    #[error(transparent)]
    File(#[from] io::Error),
}

impl Partition {
    pub(crate) fn new(
        topic: Arc<str>,
        topic_id: Uuid,
        index: i32,
        log: Arc<Log>,
        settings: Arc<PartitionSettings>,
        log_dirs: Arc<LogDirs>,
        environment: Environment,
    ) -> Self {
        log.set_config(settings.log.clone());
        Self {
            topic,
            topic_id,
            index,
            log: ArcSwap::new(log),
            settings: ArcSwap::new(settings),
            leadership: ArcSwap::from_pointee(Leadership::NONE),
            leader: Mutex::default(),
            has_led: AtomicBool::new(false),
            committed: Arc::default(),
            ended: Arc::default(),
            lowered: Arc::default(),
            flushed: Arc::default(),
            flushes: Flushes::default(),
            unflushed_since_ms: AtomicI64::new(flush::NEVER),
            hints: fetch::ReadHints::default(),
            traffic: Arc::default(),
            appends_fail: AtomicBool::new(false),
            unreadable_at: AtomicI64::new(-1),
            configuring: Mutex::default(),
            log_dirs,
            environment,
        }
    }

    pub(crate) fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    pub(crate) fn topic_id(&self) -> Uuid {
        self.topic_id
    }

    pub(crate) fn index(&self) -> i32 {
        self.index
    }

    /// The name under which the log directories know it.
    pub(crate) fn name(&self) -> TopicPartition {
        TopicPartition::new(&*self.topic, self.index)
    }

    /// The log.
    pub(crate) fn log(&self) -> Guard<Arc<Log>> {
        self.log.load()
    }

    /// Counters of the records that clients produced and fetched.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// The topic's settings.
    pub(crate) fn config(&self) -> Arc<TopicConfig> {
        self.settings.load().topic.clone()
    }

    /// Replaces the topic's settings.
    pub(crate) fn set_settings(&self, settings: Arc<PartitionSettings>) {
        let _configuring = self.configuring.lock();
        self.log.load().set_config(settings.log.clone());
        self.settings.store(settings);
    }

    /// Whether a bound on what followers get concerns this partition, led by that broker.
    pub(crate) fn is_throttled_leader(&self, broker_id: i32) -> bool {
        self.settings.load().throttled_leaders.contains(self.index, broker_id)
    }

    /// Whether a bound on what is fetched concerns that broker's replica.
    pub(crate) fn is_throttled_follower(&self, broker_id: i32) -> bool {
        self.settings.load().throttled_followers.contains(self.index, broker_id)
    }

    /// What a produced batch must satisfy.
    pub(crate) fn produce_rules(&self, now_ms: i64) -> ProduceRules {
        ProduceRules { now_ms, ..self.settings.load().produce }
    }

    /// Puts another log in the place of the present one: a replica that moved to another directory, and is on the device there.
    pub(crate) fn replace_log(&self, log: Arc<Log>) {
        {
            let _configuring = self.configuring.lock();
            let _leader = self.leader.lock();
            let leadership = self.leadership();
            log.set_config(self.settings.load().log.clone());
            log.begin_epoch(leadership.leader_epoch, leadership.is_alone);
            if leadership.is_here {
                // The epoch may have no records yet that it could be known by.
                log.assign_epoch(leadership.leader_epoch);
            }
            // Followers fetched and records were deleted since the offsets were copied.
            let old = self.log.load();
            log.advance_high_watermark(old.high_watermark());
            log.advance_log_start(old.log_start_offset());
            self.log.store(log.clone());
        }
        self.hints.clear();
        self.note_flushed(&log);
        self.wake_all();
    }

    pub(crate) fn log_start_offset(&self) -> i64 {
        self.log.load().log_start_offset()
    }

    pub(crate) fn high_watermark(&self) -> i64 {
        self.log.load().high_watermark()
    }

    /// Checks the leader epoch that a client knows (KIP-320); −1 when it knows none.
    ///
    /// # Errors
    /// `NOT_LEADER_OR_FOLLOWER`, `FENCED_LEADER_EPOCH` or `UNKNOWN_LEADER_EPOCH`.
    pub(crate) fn check_leader(&self, known_epoch: i32) -> Result<(), ErrorCode> {
        let leadership = self.leadership();
        check_epoch(&leadership, known_epoch)?;
        if leadership.is_here { Ok(()) } else { Err(ErrorCode::NOT_LEADER_OR_FOLLOWER) }
    }

    /// The same for one who is content with a follower (KIP-392).
    ///
    /// # Errors
    /// `FENCED_LEADER_EPOCH` or `UNKNOWN_LEADER_EPOCH`.
    pub(crate) fn check_replica(&self, known_epoch: i32) -> Result<(), ErrorCode> {
        check_epoch(&self.leadership(), known_epoch)
    }

    fn wake_all(&self) {
        let waiters = [&self.committed, &self.ended, &self.lowered, &self.flushed];
        waiters.into_iter().for_each(|waiters| waiters.wake_all());
    }

    /// The log's bytes from the batch that holds `offset` on, up to the log end: at least one batch, if there is one.
    pub(crate) fn read_bytes(&self, offset: i64, bytes_max: usize) -> Result<Vec<u8>, LogReadError> {
        let read = || {
            let log = self.log.load();
            let slice = log.read(offset, i64::MAX, bytes_max, true, None)?;
            let Some(data) = slice.data else { return Ok(Vec::new()) };
            let mut bytes = vec![0; data.length];
            klamm_log::disk::read_exact_at(&*data.file, &mut bytes, data.position)?;
            Ok(bytes)
        };
        read().map_err(|failure: ReadFailure| {
            if let ReadFailure::Log(ReadError::Storage(error)) = &failure {
                self.log_dirs.note_error(error);
            }
            failure.into()
        })
    }
}

fn check_epoch(leadership: &Leadership, known_epoch: i32) -> Result<(), ErrorCode> {
    match known_epoch {
        epoch if epoch >= 0 && epoch < leadership.leader_epoch => Err(ErrorCode::FENCED_LEADER_EPOCH),
        epoch if epoch > leadership.leader_epoch => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
        _ => Ok(()),
    }
}

/// A log file that answers are sent from.
pub(crate) struct LogFile(pub(crate) FileHandle);

impl FileSource for LogFile {
    fn is_cached(&self, position: u64, length: usize) -> bool {
        self.0.is_cached(position, length)
    }

    fn prefetch(&self, position: u64, length: usize) {
        self.0.prefetch(position, length);
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.descriptor()
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buffer, position)
    }
}
