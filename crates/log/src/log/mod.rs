//! One partition's log.
//!
//! All methods take `&self` and may be called from any thread. Changes are serialized by one short lock. Reads take no
//! lock: they work on an immutable view of the segments and on published ends.
//!
//! Which calls may block on the disk: appends write into the page cache (and stall when the disk cannot keep up); reads
//! look up places with small reads; [`Log::flush`], [`Log::close`], truncation, deletion and opening wait for the disk and belong on
//! a helper thread.
//!
//! Invariants:
//! - `log start ≤ high watermark ≤ log end`, `last stable ≤ high watermark`, `recovery point ≤ log end`;
//! - segments are contiguous: what is behind a segment's last batch begins at the next one's base offset or later;
//! - the last segment is the only one that grows, and there always is one;
//! - below the recovery point, log, leader epochs and names are on the device, and so are all index entries that were
//!   written; entries may be missing, but none is wrong.

mod append;
mod compaction;
mod flush;
mod offsets;
mod open;
mod read;
mod recover;
mod retention;
mod snapshots;
mod truncate;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard, RwLock};

pub use append::{AppendError, Appended, FlushDue, LeaderAppend};
pub use compaction::{Cleanable, Compacted, CompactionError};
pub use flush::Flushed;
pub use open::{LogOpening, RecoveryReport, Truncation};
pub use read::{FileSlice, ReadError, ReadHint, Slice};
pub use retention::DeletedSegments;

use crate::config::LogConfig;
use crate::epochs::{EpochEnd, EpochStart, LEADER_EPOCH_CHECKPOINT, LeaderEpochs};
use crate::error::StorageError;
use crate::files::Home;
use crate::index::AbortedTransaction;
use crate::log::flush::FlushState;
use crate::log::retention::Deletion;
use crate::log::snapshots::Snapshots;
use crate::producers::{ProducerState, ProducerStates, VerificationGuard};
use crate::segment::{Appender, Segment};

/// No transaction is open.
const NONE_UNSTABLE: i64 = i64::MAX;
/// Instead of the offset of a gap: there is none.
const NO_GAP: i64 = i64::MAX;

type Segments = Vec<Arc<Segment>>;

/// A partition's log.
#[derive(Debug)]
pub struct Log {
    home: Arc<Home>,
    config: ArcSwap<LogConfig>,
    /// What readers see, by base offset.
    segments: ArcSwap<Segments>,
    log_start_offset: AtomicI64,
    end_offset: AtomicI64,
    high_watermark: AtomicI64,
    first_unstable_offset: AtomicI64,
    epochs: RwLock<LeaderEpochs>,
    state: Mutex<State>,
    flush: FlushState,
    /// Up to where the log is compacted.
    compacted_to: AtomicI64,
    /// How often the log was cut, or a round of compaction ended for another reason.
    cuts: AtomicU64,
    /// The first offset that a loss of power took from the middle of the log.
    gap: AtomicI64,
    is_uncleanable: AtomicBool,
    /// A write or sync failed in a way that leaves unknown what is on the device: nothing more may be written.
    is_failed: AtomicBool,
}

/// What the lock guards.
#[derive(Debug)]
struct State {
    appender: Appender,
    producers: ProducerStates,
    snapshots: Snapshots,
    deletions: Vec<Deletion>,
    /// Whether anything was written since the log was opened.
    is_changed: bool,
    is_closed: bool,
    /// The epoch that the replica is in: who appends for an earlier one is refused.
    leader_epoch: i32,
    /// Whether there are no other replicas, so that what is appended is committed.
    is_alone: bool,
}

impl Log {
    /// The partition's folder.
    pub fn dir(&self) -> PathBuf {
        self.home.path()
    }

    /// The settings in force.
    pub fn config(&self) -> Arc<LogConfig> {
        self.config.load_full()
    }

    /// Replaces the settings.
    pub fn set_config(&self, config: Arc<LogConfig>) {
        self.config.store(config);
    }

    /// The first offset that may be read.
    pub fn log_start_offset(&self) -> i64 {
        self.log_start_offset.load(Ordering::Acquire)
    }

    /// The offset that the next record gets.
    pub fn log_end_offset(&self) -> i64 {
        self.end_offset.load(Ordering::Acquire)
    }

    /// The offset up to which records are replicated, as far as the log was told.
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark.load(Ordering::Acquire)
    }

    /// The offset up to which every transaction is decided, at most the high watermark.
    pub fn last_stable_offset(&self) -> i64 {
        self.high_watermark().min(self.first_unstable_offset.load(Ordering::Acquire))
    }

    /// Where records are missing that a loss of power took from the middle of the log. Another replica may have them: whoever follows one
    /// goes on here.
    pub fn gap(&self) -> Option<i64> {
        let gap = self.gap.load(Ordering::Acquire);
        (self.log_start_offset()..NO_GAP).contains(&gap).then_some(gap)
    }

    /// Takes over what is missing in the log that this one is a copy of.
    pub(crate) fn note_gap_of(&self, original: &Self) {
        let gap = original.gap().filter(|gap| *gap < self.log_end_offset());
        self.gap.fetch_min(gap.unwrap_or(NO_GAP), Ordering::AcqRel);
    }

    /// The offset up to which the log is known to be on the device.
    pub fn recovery_point(&self) -> i64 {
        self.flush.recovery_point()
    }

    /// The offset from which the log has to be verified after a crash. What is missing is found by that again, until it is there.
    pub fn verified_to(&self) -> i64 {
        self.recovery_point().min(self.gap().unwrap_or(i64::MAX))
    }

    /// Raises the high watermark, at most to the log end; returns the old and the new one if it moved.
    pub fn advance_high_watermark(&self, offset: i64) -> Option<(i64, i64)> {
        let offset = offset.min(self.log_end_offset());
        let old = self.high_watermark.fetch_max(offset, Ordering::AcqRel);
        if offset <= old {
            return None;
        }
        if self.first_unstable_offset.load(Ordering::Acquire) != NONE_UNSTABLE {
            let mut state = self.state.lock();
            state.producers.on_high_watermark(offset);
            self.publish_first_unstable(&state);
        }
        Some((old, offset))
    }

    /// Begins the epoch of a leader: who appends for an earlier one is refused from now on. `is_alone` says that there are no other
    /// replicas: what is appended raises the high watermark, unless it has to be flushed first, and nobody has what is missing here.
    pub fn begin_epoch(&self, leader_epoch: i32, is_alone: bool) {
        let mut state = self.state.lock();
        (state.leader_epoch, state.is_alone) = (leader_epoch, is_alone);
        if is_alone {
            self.gap.store(NO_GAP, Ordering::Release);
        }
    }

    /// Raises the high watermark as [`Log::advance_high_watermark`] does, if there are no other replicas.
    pub fn advance_if_alone(&self, offset: i64) -> Option<(i64, i64)> {
        let mut state = self.state.lock();
        if !state.is_alone {
            return None;
        }
        self.advance_locked(&mut state, offset.min(self.log_end_offset()))
    }

    fn advance_locked(&self, state: &mut State, offset: i64) -> Option<(i64, i64)> {
        let old = self.high_watermark.fetch_max(offset, Ordering::AcqRel);
        if offset <= old {
            return None;
        }
        if self.first_unstable_offset.load(Ordering::Acquire) != NONE_UNSTABLE {
            state.producers.on_high_watermark(offset);
            self.publish_first_unstable(state);
        }
        Some((old, offset))
    }

    /// Sets the high watermark, also backwards: to what a checkpoint or a new leader says. Returns what it is now, which
    /// is between log start and log end.
    pub fn set_high_watermark(&self, offset: i64) -> i64 {
        let mut state = self.state.lock();
        self.set_high_watermark_locked(&mut state, offset)
    }

    fn set_high_watermark_locked(&self, state: &mut State, offset: i64) -> i64 {
        let offset = offset.min(self.log_end_offset()).max(self.log_start_offset());
        self.high_watermark.store(offset, Ordering::Release);
        state.producers.on_high_watermark(offset);
        self.publish_first_unstable(state);
        offset
    }

    fn publish_first_unstable(&self, state: &State) {
        let first = state.producers.first_unstable_offset();
        let first = first.map_or(NONE_UNSTABLE, |offset| offset.max(self.log_start_offset()));
        self.first_unstable_offset.store(first, Ordering::Release);
    }

    /// Bytes of all segments.
    pub fn size(&self) -> u64 {
        self.segments.load().iter().map(|segment| segment.size()).sum()
    }

    /// The base offsets of the segments.
    pub fn segment_base_offsets(&self) -> Vec<i64> {
        self.segments.load().iter().map(|segment| segment.base_offset()).collect()
    }

    /// The latest leader epoch of which a record may be here.
    pub fn latest_epoch(&self) -> Option<i32> {
        self.epochs.read().latest().map(|entry| entry.epoch)
    }

    /// All leader epochs and where they begin.
    pub fn epochs(&self) -> Vec<EpochStart> {
        self.epochs.read().entries().to_vec()
    }

    /// Where the largest epoch at or below `epoch` ends; `None` when nothing is known of such an epoch.
    pub fn end_offset_for_epoch(&self, epoch: i32) -> Option<EpochEnd> {
        self.epochs.read().end_offset_for(epoch, self.log_end_offset())
    }

    /// The epoch of the leader that wrote the record at `offset`.
    pub fn epoch_for_offset(&self, offset: i64) -> Option<i32> {
        self.epochs.read().epoch_for_offset(offset)
    }

    /// Notes that a leader's epoch begins at the log end. Returns where it begins.
    pub fn assign_epoch(&self, epoch: i32) -> i64 {
        let _state = self.state.lock();
        let end_offset = self.log_end_offset();
        self.epochs.write().assign(epoch, end_offset);
        end_offset
    }

    /// The producers, by id, as DescribeProducers shows them.
    pub fn producers(&self) -> Vec<ProducerState> {
        self.state.lock().producers.iter().cloned().collect()
    }

    /// How many producers are remembered.
    pub fn producer_count(&self) -> usize {
        self.state.lock().producers.len()
    }

    /// Forgets producers that wrote nothing for the time that the settings say, unless their transaction is open.
    pub fn remove_expired_producers(&self, now_ms: i64) {
        let expired_before_ms = now_ms.saturating_sub(self.config.load().producer_id_expiration_ms);
        self.state.lock().producers.remove_expired(expired_before_ms);
    }

    /// Whether the producer has a transaction open here in this epoch.
    pub fn has_ongoing_transaction(&self, producer_id: i64, producer_epoch: i16) -> bool {
        self.state.lock().producers.has_ongoing_transaction(producer_id, producer_epoch)
    }

    /// Begins the verification of a transaction whose first batch has this header (KIP-890). `None` when the transaction is
    /// open already and needs none. The guard is passed on with the append, after the coordinator confirmed.
    pub fn start_verification(
        &self,
        header: &klamm_records::BatchHeader,
        supports_epoch_bump: bool,
        now_ms: i64,
    ) -> Option<VerificationGuard> {
        let mut state = self.state.lock();
        if state.producers.has_ongoing_transaction(header.producer_id, header.producer_epoch) {
            return None;
        }
        Some(state.producers.verifications().start(header, supports_epoch_bump, now_ms))
    }

    /// The aborted transactions that have records from `start_offset` up to `end_offset`, in the order of their markers.
    pub fn aborted_transactions(
        &self,
        start_offset: i64,
        end_offset: i64,
    ) -> Result<Vec<AbortedTransaction>, StorageError> {
        let segments = self.segments.load();
        let mut found = Vec::new();
        for segment in &segments[floor(&segments, start_offset)..] {
            for entry in segment.transaction_index().entries()? {
                if entry.last_offset >= start_offset && entry.first_offset < end_offset {
                    found.push(entry);
                }
                if entry.last_stable_offset >= end_offset {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    /// Puts an end to all changes: its disk cannot be used any more.
    pub(crate) fn fail(&self) {
        self.is_failed.store(true, Ordering::Release);
    }

    /// Whether a failed write or sync put an end to all changes.
    pub fn is_failed(&self) -> bool {
        self.is_failed.load(Ordering::Acquire)
    }

    /// Panics if what must always hold does not.
    pub fn check_invariants(&self) {
        let state = self.state.lock();
        let (start, end) = (self.log_start_offset(), self.log_end_offset());
        let high_watermark = self.high_watermark();
        assert!(start <= high_watermark && high_watermark <= end, "{start} <= {high_watermark} <= {end}");
        assert!(self.recovery_point() <= end, "{} <= {end}", self.recovery_point());
        let segments = self.segments.load();
        assert!(segments.windows(2).all(|pair| pair[0].end().0 <= pair[1].base_offset()), "segments overlap");
        assert!(segments[0].base_offset() <= start, "the log start is in a segment");
        assert!(segments[segments.len() - 1].end().0 <= end, "the last segment ends at the log end");
        assert_eq!(state.producers.end_offset(), end, "producer state is that of the log end");
        state.producers.check_invariants();
    }

    /// Does something that only reads, while the log does not change.
    pub(crate) fn while_unchanged<T>(&self, act: impl FnOnce() -> T) -> T {
        let _state = self.lock();
        act()
    }

    /// For changes.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn active(&self) -> Arc<Segment> {
        let segments = self.segments.load();
        Arc::clone(&segments[segments.len() - 1])
    }

    fn save_epochs(&self, sync: bool) -> Result<(), StorageError> {
        let path = self.home.join(LEADER_EPOCH_CHECKPOINT);
        self.epochs.write().save(self.home.disk(), &path, sync)
    }

    /// An error after which it is not known what is on the device.
    fn failed(&self, error: StorageError) -> StorageError {
        if !error.is_full() {
            self.fail();
        }
        error
    }
}

/// The number of the segment that holds `offset`: the last one that begins at or before it, or the first.
fn floor(segments: &[Arc<Segment>], offset: i64) -> usize {
    segments.partition_point(|segment| segment.base_offset() <= offset).saturating_sub(1)
}
