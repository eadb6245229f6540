//! Reading from a partition for Fetch: which slice of which file, and what the answer says beside it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use klamm_log::{ReadError, ReadHint, Slice};
use klamm_net::FileSlice;
use klamm_protocol::ErrorCode;
use klamm_protocol::messages::fetch_response::{AbortedTransaction, EpochEndOffset, LeaderIdAndEpoch};
use klamm_replica::{FollowerFetch, IsrProposal, PartitionAnswer, Wanted};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{LogFile, Partition, Waiting};
use crate::metrics::Traffic;

/// Which records a consumer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// All below the high watermark.
    ReadUncommitted,
    /// Those of decided transactions.
    ReadCommitted,
}

impl Isolation {
    pub(crate) fn from_wire(level: i8) -> Self {
        if level == 1 { Self::ReadCommitted } else { Self::ReadUncommitted }
    }
}

/// Who fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A client.
    Consumer {
        /// Which records it sees.
        isolation: Isolation,
        /// Whether it knows that a follower may answer it (KIP-392).
        from_follower: bool,
    },
    /// A broker that follows.
    Follower {
        /// Its id.
        replica_id: i32,
        /// Its incarnation, −1 where it does not say.
        broker_epoch: i64,
    },
}

/// What a partition answers to a fetch.
pub(crate) struct FetchedPartition {
    pub(crate) error_code: ErrorCode,
    pub(crate) high_watermark: i64,
    pub(crate) last_stable_offset: i64,
    pub(crate) log_start_offset: i64,
    pub(crate) aborted_transactions: Option<Vec<AbortedTransaction>>,
    pub(crate) current_leader: Option<LeaderIdAndEpoch>,
    pub(crate) diverging_epoch: Option<EpochEndOffset>,
    /// The replica that a consumer had better ask (KIP-392).
    pub(crate) preferred_read_replica: Option<i32>,
    pub(crate) slice: Option<FileSlice>,
    /// Whether what it sends counts against the bound on what followers get.
    pub(crate) is_throttled: bool,
    /// Where the slice counts when it is sent.
    pub(crate) traffic: Option<Arc<Traffic>>,
}

impl FetchedPartition {
    pub(crate) fn failed(error_code: ErrorCode) -> Self {
        Self {
            error_code,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            aborted_transactions: None,
            current_leader: None,
            diverging_epoch: None,
            preferred_read_replica: None,
            slice: None,
            is_throttled: false,
            traffic: None,
        }
    }

    pub(crate) fn record_bytes(&self) -> usize {
        self.slice.as_ref().map_or(0, |slice| slice.length)
    }

    /// True when the answer must not wait for more bytes.
    pub(crate) fn is_urgent(&self) -> bool {
        self.error_code.is_error() || self.diverging_epoch.is_some() || self.preferred_read_replica.is_some()
    }

    /// An answer that sends a consumer elsewhere.
    pub(crate) fn preferring(self, replica_id: i32) -> Self {
        Self { preferred_read_replica: Some(replica_id), slice: None, traffic: None, ..self }
    }

    /// What a fetch session remembers of it.
    pub(crate) fn note(&self) -> PartitionAnswer {
        PartitionAnswer {
            high_watermark: self.high_watermark,
            log_start_offset: self.log_start_offset,
            has_records: self.slice.is_some(),
            must_send: self.diverging_epoch.is_some() || self.preferred_read_replica.is_some(),
            is_error: self.error_code.is_error(),
        }
    }
}

/// Where recent reads ended, so that whoever goes on there needs no look-up.
#[derive(Default)]
pub(super) struct ReadHints(Mutex<Recent>);

#[derive(Default)]
struct Recent {
    hints: [Option<(i64, ReadHint)>; 4],
    oldest: usize,
}

impl ReadHints {
    fn get(&self, offset: i64) -> Option<ReadHint> {
        let recent = self.0.lock();
        recent.hints.iter().flatten().find(|(end, _)| *end == offset).map(|(_, hint)| *hint)
    }

    fn put(&self, slice: &Slice) {
        let Some(hint) = slice.next else { return };
        let mut recent = self.0.lock();
        let Recent { hints, oldest } = &mut *recent;
        if !hints.iter().flatten().any(|(end, _)| *end == slice.end_offset) {
            hints[*oldest] = Some((slice.end_offset, hint));
            *oldest = (*oldest + 1) % hints.len();
        }
    }

    pub(super) fn clear(&self) {
        *self.0.lock() = Recent::default();
    }
}

impl Partition {
    /// Serves a fetch: at most `bytes_max` bytes, but with `min_one_batch` a whole batch if there is one.
    pub(crate) fn fetch(
        &self,
        wanted: &Wanted,
        bytes_max: usize,
        min_one_batch: bool,
        reader: Reader,
    ) -> FetchedPartition {
        if let Err(error_code) = self.check_reader(wanted.current_leader_epoch, reader) {
            let leadership = self.leadership();
            let (leader_id, leader_epoch) = (leadership.leader_id, leadership.leader_epoch);
            let current_leader = Some(LeaderIdAndEpoch { leader_id, leader_epoch });
            return FetchedPartition { current_leader, ..FetchedPartition::failed(error_code) };
        }
        let log = self.log.load();
        let mut fetched = FetchedPartition {
            high_watermark: log.high_watermark(),
            last_stable_offset: log.last_stable_offset(),
            log_start_offset: log.log_start_offset(),
            ..FetchedPartition::failed(ErrorCode::NONE)
        };
        if wanted.fetch_offset < fetched.log_start_offset {
            fetched.error_code = ErrorCode::OFFSET_OUT_OF_RANGE;
            return fetched;
        }
        match self.diverging_epoch(wanted) {
            Ok(diverging_epoch) => fetched.diverging_epoch = diverging_epoch,
            Err(error_code) => return FetchedPartition { error_code, ..fetched },
        }
        if fetched.diverging_epoch.is_some() {
            return fetched;
        }
        let end_offset = match reader {
            Reader::Consumer { isolation: Isolation::ReadUncommitted, .. } => fetched.high_watermark,
            Reader::Consumer { isolation: Isolation::ReadCommitted, .. } => fetched.last_stable_offset,
            Reader::Follower { .. } => i64::MAX,
        };
        let hint = self.hints.get(wanted.fetch_offset);
        match log.read(wanted.fetch_offset, end_offset, bytes_max, min_one_batch, hint) {
            Ok(slice) => self.take_slice(slice, wanted.fetch_offset, reader, &mut fetched),
            Err(error) => fetched.error_code = self.read_error(wanted.fetch_offset, &error),
        }
        fetched
    }

    /// What a fetch from `offset` on would read from the device, on the way to its answer or with it.
    pub(crate) fn cold_part(&self, offset: i64, bytes_max: usize) -> Option<FileSlice> {
        let looked_at = self.log.load().looked_at(offset, bytes_max, self.hints.get(offset));
        // The fetch itself meets the same error.
        let part = looked_at.ok().flatten()?;
        (!part.file.is_cached(part.position, part.length)).then(|| file_slice(part))
    }

    fn take_slice(&self, slice: Slice, offset: i64, reader: Reader, fetched: &mut FetchedPartition) {
        if matches!(reader, Reader::Consumer { isolation: Isolation::ReadCommitted, .. }) {
            match self.log.load().aborted_transactions_in(offset, &slice) {
                Ok(aborted) => {
                    fetched.aborted_transactions = Some(aborted.iter().map(aborted_transaction).collect())
                }
                Err(error) => {
                    tracing::error!("{}-{}: {error}", self.topic, self.index);
                    fetched.error_code = ErrorCode::KAFKA_STORAGE_ERROR;
                    return;
                }
            }
        }
        self.hints.put(&slice);
        fetched.slice = slice.data.map(file_slice);
        let counts = fetched.slice.is_some() && matches!(reader, Reader::Consumer { .. });
        fetched.traffic = counts.then(|| self.traffic.clone());
    }

    fn read_error(&self, offset: i64, error: &ReadError) -> ErrorCode {
        match error {
            ReadError::OffsetOutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
            ReadError::Storage(error) => {
                self.log_dirs.note_error(error);
                // Consumers ask again and again; the log need not.
                if self.unreadable_at.swap(offset, Ordering::Relaxed) != offset {
                    tracing::error!("{}-{} cannot be read: {error}", self.topic, self.index);
                }
                match error.is_damage() {
                    true => ErrorCode::CORRUPT_MESSAGE,
                    false => ErrorCode::KAFKA_STORAGE_ERROR,
                }
            }
        }
    }

    /// Where the log of one who has records of an epoch parts from this one (KIP-595), if it does.
    ///
    /// # Errors
    /// `OFFSET_OUT_OF_RANGE` when nothing is known of such an epoch.
    fn diverging_epoch(&self, wanted: &Wanted) -> Result<Option<EpochEndOffset>, ErrorCode> {
        let epoch = wanted.last_fetched_epoch;
        if epoch < 0 {
            return Ok(None);
        }
        let end = self.log.load().end_offset_for_epoch(epoch).ok_or(ErrorCode::OFFSET_OUT_OF_RANGE)?;
        let (found, end_offset) = (end.epoch, end.end_offset);
        let is_diverging = found < epoch || end_offset < wanted.fetch_offset;
        Ok(is_diverging.then_some(EpochEndOffset { epoch: found, end_offset }))
    }

    /// Notes what a follower's fetch says of its log, and lets the answer tell what is committed by it. Returns what is to be proposed
    /// to the controller.
    pub(crate) fn count_follower(
        &self,
        (replica_id, broker_epoch): (i32, i64),
        wanted: &Wanted,
        fetched: &mut FetchedPartition,
    ) -> Option<IsrProposal> {
        if fetched.is_urgent() {
            return None;
        }
        let fetch = FollowerFetch {
            replica_id,
            broker_epoch,
            fetch_offset: wanted.fetch_offset,
            log_start_offset: wanted.log_start_offset,
        };
        match self.follower_fetched(wanted.current_leader_epoch, fetch) {
            Ok(proposal) => {
                fetched.high_watermark = self.high_watermark();
                proposal
            }
            Err(error_code) => {
                *fetched = FetchedPartition::failed(error_code);
                None
            }
        }
    }

    fn check_reader(&self, leader_epoch: i32, reader: Reader) -> Result<(), ErrorCode> {
        match reader {
            Reader::Consumer { from_follower: true, .. } => self.check_replica(leader_epoch),
            Reader::Consumer { .. } => self.check_leader(leader_epoch),
            Reader::Follower { replica_id, .. } => {
                self.check_leader(leader_epoch)?;
                self.check_follower(replica_id, leader_epoch)
            }
        }
    }

    /// Has `notify` notified when there is something for a reader at `offset`.
    pub(crate) fn wake_beyond(&self, offset: i64, reader: Reader, notify: &Arc<Notify>) -> Waiting {
        match reader {
            Reader::Consumer { .. } => self.committed.register(offset + 1, notify),
            Reader::Follower { .. } => self.ended.register(offset + 1, notify),
        }
    }
}

fn file_slice(data: klamm_log::FileSlice) -> FileSlice {
    FileSlice { source: Arc::new(LogFile(data.file)), position: data.position, length: data.length }
}

fn aborted_transaction(entry: &klamm_log::AbortedTransaction) -> AbortedTransaction {
    AbortedTransaction { producer_id: entry.producer_id, first_offset: entry.first_offset }
}
