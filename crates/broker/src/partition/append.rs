//! Appending to a partition that is led here, and waiting until what was appended is committed.

use std::slice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::Guard;
use klamm_log::{FlushDue, LeaderAppend, Log, ProducerError};
use klamm_protocol::ErrorCode;
use klamm_records::AcceptedBatch;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::Partition;

/// When a produce request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acks {
    /// Never.
    None,
    /// When the leader has the records.
    Leader,
    /// When all in-sync replicas have them.
    All,
}

impl Acks {
    pub(crate) fn from_wire(acks: i16) -> Result<Self, ErrorCode> {
        match acks {
            0 => Ok(Self::None),
            1 => Ok(Self::Leader),
            -1 => Ok(Self::All),
            _ => Err(ErrorCode::INVALID_REQUIRED_ACKS),
        }
    }
}

/// Where a batch is in the log now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    /// The offset of its first record.
    pub(crate) base_offset: i64,
    /// The offset behind its last record.
    pub(crate) end_offset: i64,
    /// The time that the broker gave its records, −1 where they have the producer's.
    pub(crate) log_append_time_ms: i64,
    /// Where the log begins.
    pub(crate) log_start_offset: i64,
    is_committed: bool,
}

impl Appended {
    /// True when nothing need be waited for.
    pub(crate) fn is_committed(&self) -> bool {
        self.is_committed
    }
}

/// Why a batch was not appended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// This broker does not lead the partition.
    #[error("this broker does not lead the partition; broker {leader_id} does, in epoch {leader_epoch}")]
    NotLeader { leader_id: i32, leader_epoch: i32 },
    /// The log is about to be replaced or to go; who asks again finds what became of it.
    #[error("the log is being replaced")]
    Replaced,
    /// The log refused.
    #[error(transparent)]
    Log(#[from] klamm_log::AppendError),
}

impl AppendError {
    pub(crate) fn error_code(&self) -> ErrorCode {
        use klamm_log::AppendError as E;
        match self {
            Self::NotLeader { .. } | Self::Replaced => ErrorCode::NOT_LEADER_OR_FOLLOWER,
            Self::Log(E::Storage(_) | E::Closed) => ErrorCode::KAFKA_STORAGE_ERROR,
            Self::Log(E::TooLarge { .. }) => ErrorCode::RECORD_LIST_TOO_LARGE,
            Self::Log(E::Corrupt(_)) => ErrorCode::CORRUPT_MESSAGE,
            Self::Log(E::Empty) => ErrorCode::INVALID_RECORD,
            Self::Log(E::UnexpectedOffset { .. }) => ErrorCode::UNKNOWN_SERVER_ERROR,
            Self::Log(E::Producer(error)) => match error {
                ProducerError::InvalidEpoch { .. } => ErrorCode::INVALID_PRODUCER_EPOCH,
                ProducerError::OutOfOrderSequence { .. } => ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
                ProducerError::InvalidTransactionState { .. } => ErrorCode::INVALID_TXN_STATE,
                ProducerError::CoordinatorFenced { .. } => ErrorCode::TRANSACTION_COORDINATOR_FENCED,
            },
        }
    }
}

impl Partition {
    /// Appends a batch from a client.
    pub(crate) fn append(
        self: &Arc<Self>,
        batch: AcceptedBatch<'_>,
        acks: Acks,
        now_ms: i64,
    ) -> Result<Appended, AppendError> {
        self.append_as(batch, acks, |epoch| LeaderAppend::client(epoch, now_ms))
    }

    /// Appends a batch of one of this broker's own machines.
    pub(crate) fn append_own(
        self: &Arc<Self>,
        batch: AcceptedBatch<'_>,
        now_ms: i64,
    ) -> Result<Appended, AppendError> {
        self.append_as(batch, Acks::All, |epoch| LeaderAppend::coordinator(epoch, now_ms))
    }

    fn append_as(
        self: &Arc<Self>,
        batch: AcceptedBatch<'_>,
        acks: Acks,
        how: impl FnOnce(i32) -> LeaderAppend,
    ) -> Result<Appended, AppendError> {
        let leadership = self.leadership();
        if !leadership.is_here {
            let (leader_id, leader_epoch) = (leadership.leader_id, leadership.leader_epoch);
            return Err(AppendError::NotLeader { leader_id, leader_epoch });
        }
        let (log, appended) = self.append_to_log(&batch, how(leadership.leader_epoch))?;
        match appended.flush_due {
            FlushDue::BeforeAnswer(_) => self.start_flush(),
            FlushDue::UpTo(_) => {
                self.start_flush();
                self.commit_up_to(appended.last_offset + 1);
            }
            FlushDue::No if appended.is_duplicate => {}
            FlushDue::No => self.commit_up_to(appended.last_offset + 1),
        }
        let end_offset = appended.last_offset + 1;
        Ok(Appended {
            base_offset: appended.base_offset,
            end_offset,
            log_append_time_ms: appended.log_append_time_ms,
            log_start_offset: appended.log_start_offset,
            is_committed: acks == Acks::None || log.high_watermark() >= end_offset,
        })
    }

    /// Appends to the log, or to the one that is in its place by now.
    fn append_to_log(
        &self,
        batch: &AcceptedBatch<'_>,
        how: LeaderAppend,
    ) -> Result<(Guard<Arc<Log>>, klamm_log::Appended), AppendError> {
        let mut log = self.log.load();
        let mut appended = log.append_as_leader(slice::from_ref(batch), how);
        if matches!(appended, Err(klamm_log::AppendError::Closed)) {
            log = self.log.load();
            appended = log.append_as_leader(slice::from_ref(batch), how);
        }
        self.note_outcome(&appended);
        match appended {
            Err(klamm_log::AppendError::Closed) if !log.is_failed() => Err(AppendError::Replaced),
            appended => Ok((log, appended?)),
        }
    }

    /// Says once that the disk takes no appends, however many are tried, until it takes one again.
    fn note_outcome<T>(&self, outcome: &Result<T, klamm_log::AppendError>) {
        let refusal = match outcome {
            Ok(_) => None,
            Err(klamm_log::AppendError::Storage(error)) => Some(error),
            Err(_) => return,
        };
        if let Some(error) = refusal {
            self.log_dirs.note_error(error);
        }
        if self.appends_fail.load(Ordering::Relaxed) == refusal.is_some() {
            return;
        }
        self.appends_fail.store(refusal.is_some(), Ordering::Relaxed);
        if let Some(error) = refusal {
            tracing::error!("{}-{} cannot be appended to: {error}", self.topic, self.index);
        }
    }

    /// Raises the high watermark and wakes those who waited for it.
    pub(super) fn commit_up_to(&self, offset: i64) {
        if let Some((_, high_watermark)) = self.log.load().advance_high_watermark(offset) {
            self.committed.advance(high_watermark);
        }
    }

    /// Waits until what was appended is committed.
    ///
    /// # Errors
    /// `REQUEST_TIMED_OUT` at the deadline, `NOT_LEADER_OR_FOLLOWER` when the leader changed, `KAFKA_STORAGE_ERROR` when the flush
    /// failed. The records may be there all the same.
    pub(crate) async fn committed(&self, appended: &Appended, deadline: Instant) -> Result<(), ErrorCode> {
        timeout_at(deadline, self.reached(appended)).await.unwrap_or(Err(ErrorCode::REQUEST_TIMED_OUT))
    }

    /// The same without a deadline.
    pub(crate) async fn reached(&self, appended: &Appended) -> Result<(), ErrorCode> {
        let woken = Arc::new(Notify::new());
        loop {
            let _place = self.committed.register(appended.end_offset, &woken);
            if self.high_watermark() >= appended.end_offset {
                return Ok(());
            }
            if self.log.load().is_failed() {
                return Err(ErrorCode::KAFKA_STORAGE_ERROR);
            }
            if !self.leadership().is_here {
                return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER);
            }
            woken.notified().await;
        }
    }
}
