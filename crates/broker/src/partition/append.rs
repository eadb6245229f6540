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
    /// The leader's epoch in which it was appended.
    leader_epoch: i32,
    awaits: Awaits,
}

/// What the answer to an append waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaits {
    /// Nothing.
    Nothing,
    /// The flush of this broker's copy.
    Flush,
    /// The high watermark.
    Commit,
}

impl Appended {
    /// True when nothing need be waited for.
    pub(crate) fn is_settled(&self) -> bool {
        self.awaits == Awaits::Nothing
    }
}

/// Why a batch was not appended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// This broker does not lead the partition.
    #[error("this broker does not lead the partition; broker {leader_id} does, in epoch {leader_epoch}")]
    NotLeader { leader_id: i32, leader_epoch: i32 },
    /// Fewer replicas are in sync than the topic wants for records that all are to have.
    #[error("fewer replicas are in sync than min.insync.replicas")]
    NotEnoughReplicas,
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
            Self::NotLeader { .. } | Self::Replaced | Self::Log(E::Fenced { .. }) => {
                ErrorCode::NOT_LEADER_OR_FOLLOWER
            }
            Self::NotEnoughReplicas => ErrorCode::NOT_ENOUGH_REPLICAS,
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
        if acks == Acks::All && !leadership.is_alone {
            self.check_isr(&leadership).map_err(|_| AppendError::NotEnoughReplicas)?;
        }
        let (log, appended) = self.append_to_log(&batch, how(leadership.leader_epoch))?;
        let end_offset = appended.last_offset + 1;
        if appended.flush_due != FlushDue::No {
            self.start_flush();
        }
        if !leadership.is_alone {
            self.note_own_append();
            self.ended.advance(end_offset);
        }
        let high_watermark = log.high_watermark();
        self.committed.advance(high_watermark);
        let may_be_unflushed =
            appended.is_duplicate || matches!(appended.flush_due, FlushDue::BeforeAnswer(_));
        let awaits = match acks {
            Acks::Leader if may_be_unflushed && self.own_offset(&log) < end_offset => Awaits::Flush,
            Acks::All if high_watermark < end_offset => Awaits::Commit,
            _ => Awaits::Nothing,
        };
        Ok(Appended {
            base_offset: appended.base_offset,
            end_offset,
            log_append_time_ms: appended.log_append_time_ms,
            log_start_offset: appended.log_start_offset,
            leader_epoch: leadership.leader_epoch,
            awaits,
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
    pub(super) fn note_outcome<T>(&self, outcome: &Result<T, klamm_log::AppendError>) {
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

    /// Waits until what was appended is settled.
    ///
    /// # Errors
    /// `REQUEST_TIMED_OUT` at the deadline, `NOT_LEADER_OR_FOLLOWER` when the leader changed, `NOT_ENOUGH_REPLICAS_AFTER_APPEND` when fewer
    /// replicas than wanted have it, `KAFKA_STORAGE_ERROR` when the flush failed. The records may be there all the same.
    pub(crate) async fn settled(&self, appended: &Appended, deadline: Instant) -> Result<(), ErrorCode> {
        let settling = async {
            match appended.awaits {
                Awaits::Nothing => Ok(()),
                Awaits::Flush => self.flushed(appended).await,
                Awaits::Commit => {
                    self.committed(appended).await?;
                    self.check_isr_after_append(&self.leadership())
                }
            }
        };
        timeout_at(deadline, settling).await.unwrap_or(Err(ErrorCode::REQUEST_TIMED_OUT))
    }

    /// Waits until what was appended is committed, without a deadline.
    ///
    /// # Errors
    /// `NOT_LEADER_OR_FOLLOWER` or `KAFKA_STORAGE_ERROR`.
    pub(crate) async fn committed(&self, appended: &Appended) -> Result<(), ErrorCode> {
        self.commits(appended.end_offset, appended.leader_epoch).await
    }

    /// Waits until all below an offset is committed that was in the log when this broker led in `leader_epoch`.
    ///
    /// # Errors
    /// As [`Partition::committed`].
    pub(crate) async fn commits(&self, end_offset: i64, leader_epoch: i32) -> Result<(), ErrorCode> {
        let woken = Arc::new(Notify::new());
        loop {
            let _place = self.committed.register(end_offset, &woken);
            let is_reached = self.high_watermark() >= end_offset;
            // Looked at after the high watermark: what another leader committed at this offset is something else.
            let leadership = self.leadership();
            if !leadership.lasts_since(leader_epoch) {
                return Err(self.why_lead_was_lost());
            }
            if is_reached {
                return Ok(());
            }
            if self.log.load().is_failed() {
                return Err(ErrorCode::KAFKA_STORAGE_ERROR);
            }
            woken.notified().await;
        }
    }

    async fn flushed(&self, appended: &Appended) -> Result<(), ErrorCode> {
        let woken = Arc::new(Notify::new());
        loop {
            let _place = self.flushed.register(appended.end_offset, &woken);
            let log = self.log.load_full();
            let is_reached = self.own_offset(&log) >= appended.end_offset;
            if !self.leadership().lasts_since(appended.leader_epoch) {
                return Err(self.why_lead_was_lost());
            }
            if is_reached {
                return Ok(());
            }
            if log.is_failed() {
                return Err(ErrorCode::KAFKA_STORAGE_ERROR);
            }
            woken.notified().await;
        }
    }

    /// The controller takes the lead away as soon as it hears of a broken disk, perhaps before those who wait for that disk are woken.
    fn why_lead_was_lost(&self) -> ErrorCode {
        match self.log.load().is_failed() {
            true => ErrorCode::KAFKA_STORAGE_ERROR,
            false => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        }
    }
}
