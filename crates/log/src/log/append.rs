//! Appending: by the leader, who gives batches their offsets, and by a follower, who copies them with theirs.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use klamm_records::{AcceptedBatch, BatchHeader, TimestampType, batches};
use thiserror::Error;

use super::{Log, State};
use crate::error::StorageError;
use crate::producers::{
    AppendOrigin, BatchMetadata, EndMarker, ProducerError, Rules, Staged, VerificationGuard,
};
use crate::segment::{Appender, NewBatch, Segment};

/// How the leader appends.
#[derive(Clone, Copy, Debug)]
pub struct LeaderAppend {
    /// The leader's epoch, stamped into every batch.
    pub leader_epoch: i32,
    /// Who wrote the batches.
    pub origin: AppendOrigin,
    /// The time.
    pub now_ms: i64,
    /// Whether the transaction protocol is the one that bumps epochs: markers must be newer than the data (KIP-890).
    pub is_transaction_v2: bool,
    /// `None`: transactions are not verified. `Some`: the first batch of a transaction needs this guard.
    pub verification: Option<Option<VerificationGuard>>,
}

impl LeaderAppend {
    /// An append of a producer's batches without verification of transactions.
    pub fn client(leader_epoch: i32, now_ms: i64) -> Self {
        let origin = AppendOrigin::Client;
        Self { leader_epoch, origin, now_ms, is_transaction_v2: false, verification: None }
    }

    /// An append of this broker's own batches: a coordinator's records, markers, the metadata log.
    pub fn coordinator(leader_epoch: i32, now_ms: i64) -> Self {
        Self { origin: AppendOrigin::Coordinator, ..Self::client(leader_epoch, now_ms) }
    }
}

/// Where batches are in the log now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Offset of the last record.
    pub last_offset: i64,
    /// The timestamp that the broker gave the records, −1 if they have the producer's.
    pub log_append_time_ms: i64,
    /// Where the log begins.
    pub log_start_offset: i64,
    /// Whether the batch was here already and nothing was appended: these are the offsets it got then.
    pub is_duplicate: bool,
    /// Whether something should be flushed now.
    pub flush_due: FlushDue,
}

/// Whether an append makes a flush due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushDue {
    /// No.
    No,
    /// A segment was finished: it should be flushed in the background, up to this offset, so that recovery stays short.
    UpTo(i64),
    /// `flush.messages` is reached: the append should be answered after a flush up to this offset.
    BeforeAnswer(i64),
}

/// Why nothing was appended.
#[derive(Clone, Debug, Error)]
pub enum AppendError {
    /// The disk refused; the log is as it was.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The producer's epoch, sequence or transaction does not fit.
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// The batches together are larger than a segment may be (RECORD_LIST_TOO_LARGE).
    #[error("{size} bytes of batches are more than the {segment_bytes} of a segment")]
    TooLarge {
        /// Bytes of the batches.
        size: u64,
        /// `segment.bytes`.
        segment_bytes: u64,
    },
    /// A follower got batches that do not continue its log.
    #[error("batch with offset {found} does not follow the log end {log_end_offset}")]
    UnexpectedOffset {
        /// The batch's first offset.
        found: i64,
        /// What it must not be below.
        log_end_offset: i64,
    },
    /// A follower got bytes that are no intact batch.
    #[error("corrupt batch: {0}")]
    Corrupt(#[from] klamm_records::BatchError),
    /// The epoch of the leader is over.
    #[error("the leader epoch {leader_epoch} is over, the replica is in {current}")]
    Fenced {
        /// The epoch that the append is made in.
        leader_epoch: i32,
        /// The epoch that the replica is in.
        current: i32,
    },
    /// There was no batch.
    #[error("no batch to append")]
    Empty,
    /// The log is closed, or a disk error put an end to changes.
    #[error("the log takes no more appends")]
    Closed,
}

/// Batches with their final headers, about to be written.
struct Batches<'a> {
    headers: Vec<BatchHeader>,
    bodies: Vec<&'a [u8]>,
    bytes: u64,
}

impl Log {
    /// Appends batches that passed validation, giving them offsets from the log end on. All or none are appended.
    /// Several batches are written with one call.
    pub fn append_as_leader(
        &self,
        batches: &[AcceptedBatch<'_>],
        how: LeaderAppend,
    ) -> Result<Appended, AppendError> {
        let mut state = self.lock_for_append(how.leader_epoch)?;
        if let Some(duplicate) = self.find_duplicate(&state, batches, how.origin) {
            return Ok(duplicate);
        }
        let batches = Batches::stamped(batches, self.log_end_offset(), how.leader_epoch)?;
        let segment_bytes = self.config.load().segment_bytes;
        if batches.bytes > segment_bytes {
            return Err(AppendError::TooLarge { size: batches.bytes, segment_bytes });
        }
        let LeaderAppend { origin, is_transaction_v2, verification, .. } = how;
        self.append(&mut state, &batches, Rules { origin, is_transaction_v2, verification }, how.now_ms)
    }

    /// Appends a copy of the leader's batches with the offsets and epochs they have. A batch cut short at the end is left
    /// out, as is all from a batch on whose epoch is above `leader_epoch`: the leader's log was not meant yet.
    pub fn append_as_follower(
        &self,
        bytes: &[u8],
        leader_epoch: i32,
        now_ms: i64,
    ) -> Result<Appended, AppendError> {
        let mut state = self.lock_for_append(leader_epoch)?;
        let copied = Batches::copied(bytes, self.log_end_offset(), leader_epoch)?;
        let mut result: Option<Appended> = None;
        for batches in copied.split(self.config.load().segment_bytes) {
            let appended = self.append(&mut state, &batches, Rules::REPLICATION, now_ms)?;
            let base_offset = result.map_or(appended.base_offset, |first| first.base_offset);
            result = Some(Appended { base_offset, ..appended });
        }
        result.ok_or(AppendError::Empty)
    }

    fn lock_for_append(&self, leader_epoch: i32) -> Result<parking_lot::MutexGuard<'_, State>, AppendError> {
        let state = self.lock();
        if state.is_closed || self.is_failed() {
            return Err(AppendError::Closed);
        }
        match state.leader_epoch {
            current if leader_epoch < current => Err(AppendError::Fenced { leader_epoch, current }),
            _ => Ok(state),
        }
    }

    fn find_duplicate(
        &self,
        state: &State,
        batches: &[AcceptedBatch<'_>],
        origin: AppendOrigin,
    ) -> Option<Appended> {
        if origin != AppendOrigin::Client {
            return None;
        }
        let mut of_producers =
            batches.iter().map(AcceptedBatch::header).filter(|header| header.has_producer_id());
        let duplicate: BatchMetadata =
            of_producers.find_map(|header| state.producers.find_duplicate(header))?;
        Some(Appended {
            base_offset: duplicate.first_offset(),
            last_offset: duplicate.last_offset,
            log_append_time_ms: duplicate.timestamp,
            log_start_offset: self.log_start_offset(),
            is_duplicate: true,
            flush_due: FlushDue::No,
        })
    }

    fn append(
        &self,
        state: &mut State,
        batches: &Batches<'_>,
        rules: Rules,
        now_ms: i64,
    ) -> Result<Appended, AppendError> {
        let staged = batches.stage(state, rules)?;
        let (first, last) = batches.first_and_last();
        let rolled = self.roll_if_due(state, batches, now_ms)?;
        let segment = self.active();
        state.is_changed = true;
        batches.write(&segment, &mut state.appender, &self.config.load())?;
        let next_offset = last.next_offset();
        // Not before: what could not be written leaves no epoch, and before the end that a reader asks about.
        batches.headers.iter().for_each(|header| self.note_epoch(header));
        self.commit(state, &segment, staged, next_offset)?;
        self.end_offset.store(next_offset, Ordering::Release);
        self.flush.note_append(now_ms);
        let flush_due = self.flush_due(next_offset, rolled);
        if state.is_alone && !matches!(flush_due, FlushDue::BeforeAnswer(_)) {
            self.advance_locked(state, next_offset);
        }
        Ok(Appended {
            base_offset: first.base_offset,
            last_offset: last.last_offset(),
            log_append_time_ms: match last.attributes.timestamp_type() {
                TimestampType::CreateTime => -1,
                TimestampType::LogAppendTime => last.max_timestamp,
            },
            log_start_offset: self.log_start_offset(),
            is_duplicate: false,
            flush_due,
        })
    }

    fn note_epoch(&self, header: &BatchHeader) {
        let epoch = header.partition_leader_epoch;
        // Most of the time the epoch is known, which needs only the shared lock.
        if self.epochs.read().latest().is_none_or(|latest| latest.epoch != epoch) {
            self.epochs.write().assign(epoch, header.base_offset);
        }
    }

    fn commit(
        &self,
        state: &mut State,
        segment: &Segment,
        staged: Staged,
        next_offset: i64,
    ) -> Result<(), StorageError> {
        let is_unchanged = staged.is_empty();
        for aborted in state.producers.commit(staged, next_offset) {
            // Without its entry the transaction would be read as committed: the log may not go on like that.
            let appended = segment.transaction_index().append(aborted);
            appended.inspect_err(|_| self.is_failed.store(true, Ordering::Release))?;
        }
        if !is_unchanged {
            self.publish_first_unstable(state);
        }
        Ok(())
    }

    fn flush_due(&self, next_offset: i64, rolled: Option<i64>) -> FlushDue {
        if next_offset - self.recovery_point() >= self.config.load().flush_messages {
            return FlushDue::BeforeAnswer(next_offset);
        }
        rolled.map_or(FlushDue::No, FlushDue::UpTo)
    }

    fn roll_if_due(
        &self,
        state: &mut State,
        batches: &Batches<'_>,
        now_ms: i64,
    ) -> Result<Option<i64>, StorageError> {
        let (first, last) = batches.first_and_last();
        let max_timestamp = batches.headers.iter().map(|header| header.max_timestamp).max().unwrap_or(-1);
        let segment = self.active();
        let config = self.config.load();
        let offset = last.last_offset();
        if !segment.should_roll(&mut state.appender, &config, batches.bytes, offset, max_timestamp, now_ms)? {
            return Ok(None);
        }
        self.roll(state, first.base_offset, now_ms)?;
        Ok(Some(first.base_offset))
    }

    /// Has the next record begin a segment, at `base_offset`.
    pub(crate) fn begin_segment(&self, base_offset: i64, now_ms: i64) -> Result<(), StorageError> {
        let mut state = self.lock();
        match self.active().base_offset() < base_offset {
            true => self.roll(&mut state, base_offset, now_ms).map_err(|e| self.failed(e)),
            false => Ok(()),
        }
    }

    /// Finishes the last segment and begins a new one at `base_offset`.
    pub(super) fn roll(&self, state: &mut State, base_offset: i64, now_ms: i64) -> Result<(), StorageError> {
        let segments = self.segments.load_full();
        let active = &segments[segments.len() - 1];
        state.is_changed = true;
        active.finish(&mut state.appender)?;
        state.producers.set_end_offset(base_offset);
        state.snapshots.take(&self.home, &state.producers)?;
        let next = Arc::new(Segment::empty(&self.home, base_offset));
        // The name alone keeps the log's end, should nothing be written to it.
        next.file().handle_or_create()?;
        let mut rolled = Vec::clone(&segments);
        if active.size() == 0 {
            rolled.pop();
            if active.base_offset() != base_offset {
                active.remove_files()?;
            }
        }
        rolled.push(next);
        self.segments.store(Arc::new(rolled));
        state.appender = Appender::new(now_ms);
        Ok(())
    }
}

impl<'a> Batches<'a> {
    fn stamped(batches: &'a [AcceptedBatch<'_>], mut offset: i64, epoch: i32) -> Result<Self, AppendError> {
        let mut headers = Vec::with_capacity(batches.len());
        for batch in batches {
            let header =
                BatchHeader { base_offset: offset, partition_leader_epoch: epoch, ..*batch.header() };
            offset = header.next_offset();
            headers.push(header);
        }
        if headers.is_empty() {
            return Err(AppendError::Empty);
        }
        let bytes = headers.iter().map(|header| header.size() as u64).sum();
        Ok(Self { headers, bodies: batches.iter().map(AcceptedBatch::body).collect(), bytes })
    }

    fn copied(bytes: &'a [u8], log_end_offset: i64, leader_epoch: i32) -> Result<Self, AppendError> {
        let mut copied = Self { headers: Vec::new(), bodies: Vec::new(), bytes: 0 };
        let mut log_end_offset = log_end_offset;
        for batch in batches(bytes) {
            let batch = batch?;
            let header = *batch.header();
            if header.partition_leader_epoch > leader_epoch {
                break;
            }
            batch.check_crc()?;
            if header.base_offset < log_end_offset || header.last_offset_delta < 0 {
                return Err(AppendError::UnexpectedOffset { found: header.base_offset, log_end_offset });
            }
            log_end_offset = header.next_offset();
            copied.push(header, batch.body());
        }
        Ok(copied)
    }

    fn push(&mut self, header: BatchHeader, body: &'a [u8]) {
        self.bytes += header.size() as u64;
        self.headers.push(header);
        self.bodies.push(body);
    }

    /// Groups of which each fits into a segment, or is a single batch.
    fn split(self, bytes_max: u64) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for (header, body) in self.headers.into_iter().zip(self.bodies) {
            match groups.last_mut() {
                Some(group) if group.bytes + header.size() as u64 <= bytes_max => group.push(header, body),
                _ => {
                    let mut group = Self { headers: Vec::new(), bodies: Vec::new(), bytes: 0 };
                    group.push(header, body);
                    groups.push(group);
                }
            }
        }
        groups
    }

    /// There always is one.
    fn first_and_last(&self) -> (&BatchHeader, &BatchHeader) {
        (&self.headers[0], &self.headers[self.headers.len() - 1])
    }

    fn stage(&self, state: &State, rules: Rules) -> Result<Staged, ProducerError> {
        let mut staged = Staged::default();
        for (header, body) in
            self.headers.iter().zip(&self.bodies).filter(|(header, _)| header.has_producer_id())
        {
            let marker = match header.attributes.is_control() {
                true => EndMarker::parse(header, body),
                false => None,
            };
            state.producers.stage(&mut staged, header, marker, rules)?;
        }
        Ok(staged)
    }

    fn write(
        &self,
        segment: &Segment,
        appender: &mut Appender,
        config: &crate::config::LogConfig,
    ) -> Result<(), StorageError> {
        let new = |header: &BatchHeader| NewBatch {
            last_offset: header.last_offset(),
            size: header.size() as u64,
            max_timestamp: header.max_timestamp,
        };
        // The usual single batch needs no memory of its own.
        if let ([header], [body]) = (&*self.headers, &*self.bodies) {
            let head = header.write();
            let mut parts = [IoSlice::new(&head), IoSlice::new(body)];
            return segment.append(appender, &[new(header)], &mut parts, config);
        }
        let heads: Vec<_> = self.headers.iter().map(BatchHeader::write).collect();
        let pairs = heads.iter().zip(&self.bodies);
        let mut parts: Vec<_> =
            pairs.flat_map(|(head, body)| [IoSlice::new(head), IoSlice::new(body)]).collect();
        let new: Vec<_> = self.headers.iter().map(new).collect();
        segment.append(appender, &new, &mut parts, config)
    }
}
