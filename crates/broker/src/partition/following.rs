//! A replica that follows: it copies the leader's log, and cuts its own where the two part.
//!
//! Everything here is done for a leader's epoch, and only while the partition is in it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use klamm_log::{FlushDue, Log, StorageError};
use klamm_protocol::ErrorCode;
use klamm_replica::follower::{OutOfRange, out_of_range, truncation};
use klamm_replica::{EpochEnd, Position};

use super::{Leadership, Partition};

/// What a leader answered about a partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FetchedRecords<'a> {
    /// The records, as many as the leader chose.
    pub(crate) records: &'a [u8],
    /// The leader's high watermark.
    pub(crate) high_watermark: i64,
    /// Where the leader's log starts.
    pub(crate) log_start_offset: i64,
}

/// Why a follower does not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowError {
    /// The partition is in another epoch, is led here, or stands elsewhere than when the leader was asked.
    #[error("the replica has moved on meanwhile")]
    Outdated,
    /// The log does not take the records.
    #[error(transparent)]
    Append(#[from] klamm_log::AppendError),
    /// The log cannot be cut.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Partition {
    /// Where this replica fetches on, while somebody else leads: where its log ends, or where records are missing in the middle.
    pub(crate) fn position(&self) -> Option<Position> {
        let leadership = self.leadership();
        let log = self.log.load();
        let (fetch_offset, epoch) = match self.gap(&log) {
            Some(gap) => (gap, gap.checked_sub(1).and_then(|before| log.epoch_for_offset(before))),
            None => (log.log_end_offset(), log.latest_epoch()),
        };
        (!leadership.is_here).then(|| Position {
            leader_epoch: leadership.leader_epoch,
            fetch_offset,
            last_fetched_epoch: epoch.unwrap_or(-1),
            log_start_offset: log.log_start_offset(),
        })
    }

    /// Takes what the leader answered to a fetch at `asked`. True when the log has to be flushed before this replica fetches on: a
    /// fetch tells the leader that what is before it is here for good.
    pub(crate) fn take_fetched(
        self: &Arc<Self>,
        asked: Position,
        fetched: FetchedRecords<'_>,
    ) -> Result<bool, FollowError> {
        let _leader = self.leader.lock();
        let leadership = self.check_following(asked)?;
        let log = self.log.load();
        let mut must_flush = false;
        if !fetched.records.is_empty() {
            match self.append_fetched(&log, fetched, leadership.leader_epoch) {
                Ok(appended) => match appended.flush_due {
                    FlushDue::BeforeAnswer(_) => must_flush = true,
                    // A segment that is full goes to the device in the background: of it nothing may be lost that those behind it still have.
                    FlushDue::UpTo(_) => self.start_flush(),
                    FlushDue::No => {}
                },
                // A batch that did not fit into the answer comes whole the next time.
                Err(klamm_log::AppendError::Empty) => {}
                Err(error) => return Err(error.into()),
            }
            self.ended.advance(log.log_end_offset());
        }
        log.advance_high_watermark(fetched.high_watermark);
        log.advance_log_start(fetched.log_start_offset);
        self.committed.advance(log.high_watermark());
        Ok(must_flush)
    }

    /// The leader's log may start in the middle of a batch, where records were deleted. A log that has nothing from there on yet takes
    /// the batch whole, and starts with it: what it has below is deleted, and may be of another history than the batch.
    fn append_fetched(
        &self,
        log: &Log,
        fetched: FetchedRecords<'_>,
        leader_epoch: i32,
    ) -> Result<klamm_log::Appended, klamm_log::AppendError> {
        let now_ms = self.environment.clock.now_ms();
        let append = || log.append_as_follower(fetched.records, leader_epoch, now_ms);
        let mut appended = append();
        if let Err(klamm_log::AppendError::UnexpectedOffset { found, log_end_offset }) = appended
            && found < log_end_offset
            && log_end_offset <= log.log_start_offset().max(fetched.log_start_offset)
        {
            let (topic, index) = (&self.topic, self.index);
            tracing::info!("{topic}-{index} starts at {found}, with the batch that holds {log_end_offset}");
            self.hints.clear();
            appended = log
                .truncate_fully_and_start_at(found, found, now_ms)
                .and_then(|()| self.log_dirs.checkpoint_cut(log))
                .map_err(Into::into)
                .and_then(|()| append());
        }
        self.note_outcome(&appended);
        appended
    }

    /// Cuts the log where the leader says that it parts from its own. Waits for the disk.
    pub(crate) fn cut_diverging(&self, asked: Position, leader: EpochEnd) -> Result<(), FollowError> {
        let _leader = self.leader.lock();
        self.check_following(asked)?;
        let log = self.log.load();
        let own = log.end_offset_for_epoch(leader.epoch);
        let own = own.map(|end| EpochEnd { epoch: end.epoch, end_offset: end.end_offset });
        self.truncate_to(truncation(leader, own, log.log_end_offset()).offset)
    }

    /// Whether records are missing in the middle that the leader may have.
    pub(crate) fn has_gap(&self) -> bool {
        self.gap(&self.log.load()).is_some()
    }

    /// Where the log is to be cut for the records that are missing behind it. What has led stays whole until the next start: it may be in
    /// sync, and what lies behind its gap was acknowledged on the strength of that. The next start counts as after a crash, which takes the
    /// replica out of the in-sync ones where there are others.
    fn gap(&self, log: &Log) -> Option<i64> {
        log.gap().filter(|_| !self.has_led.load(Ordering::Relaxed))
    }

    /// Cuts the log where records are missing: they come from the leader, with all behind them. Waits for the disk.
    pub(crate) fn cut_at_gap(&self, asked: Position) -> Result<(), FollowError> {
        let _leader = self.leader.lock();
        self.check_following(asked)?;
        self.truncate_to(asked.fetch_offset)
    }

    /// Comes back into the leader's log, which goes from `leader_start` to `leader_end`. Waits for the disk.
    pub(crate) fn come_into_range(
        &self,
        asked: Position,
        leader_start: i64,
        leader_end: i64,
    ) -> Result<(), FollowError> {
        let _leader = self.leader.lock();
        self.check_following(asked)?;
        let log = self.log.load();
        let beyond_gap = self.gap(&log).filter(|gap| *gap < leader_start).map(|_| leader_start);
        let out_of_range = match beyond_gap {
            Some(offset) => OutOfRange::StartOver { offset },
            None => out_of_range(log.log_end_offset(), leader_start, leader_end),
        };
        match out_of_range {
            OutOfRange::GoOn => Ok(()),
            OutOfRange::Truncate { offset } => self.truncate_to(offset),
            OutOfRange::StartOver { offset } => {
                let (topic, index) = (&self.topic, self.index);
                tracing::warn!("{topic}-{index} starts over at {offset}: the leader has nothing before that");
                let now_ms = self.environment.clock.now_ms();
                self.hints.clear();
                self.noted(&log, log.truncate_fully_and_start_at(offset, offset, now_ms))
            }
        }
    }

    /// Puts everything in the log on the device. Waits for the disk.
    pub(crate) fn flush_fetched(&self) -> Result<(), StorageError> {
        let log = self.log.load_full();
        let flushed = log.flush(log.log_end_offset());
        flushed.map(drop).inspect_err(|error| {
            self.log_dirs.note_error(error);
        })
    }

    fn truncate_to(&self, offset: i64) -> Result<(), FollowError> {
        let log = self.log.load();
        let (end, high_watermark) = (log.log_end_offset(), log.high_watermark());
        let (topic, index) = (&self.topic, self.index);
        if offset < high_watermark {
            tracing::warn!("{topic}-{index} is cut at {offset}, below its high watermark {high_watermark}");
        } else if offset < end {
            tracing::info!("{topic}-{index} is cut at {offset}, where the leader's log goes on differently");
        }
        self.hints.clear();
        self.noted(&log, log.truncate_to(offset, self.environment.clock.now_ms()).map(drop))
    }

    /// What comes behind a cut is not on the device, whatever the checkpoint has said so far: a recovery must look at it.
    fn noted(&self, log: &Log, cut: Result<(), StorageError>) -> Result<(), FollowError> {
        cut.inspect_err(|error| self.log_dirs.give_up(log, error))?;
        Ok(self.log_dirs.checkpoint_cut(log)?)
    }

    /// Called with the machine locked: nobody takes the lead meanwhile.
    fn check_following(&self, asked: Position) -> Result<Leadership, FollowError> {
        let leadership = self.leadership();
        let is_same = self.position() == Some(asked);
        if is_same { Ok(leadership) } else { Err(FollowError::Outdated) }
    }
}

impl FollowError {
    /// Whether the disk is at fault.
    pub(crate) fn storage(&self) -> Option<&StorageError> {
        match self {
            Self::Storage(error) | Self::Append(klamm_log::AppendError::Storage(error)) => Some(error),
            _ => None,
        }
    }

    /// The same as one of Kafka's errors.
    pub(crate) fn error_code(&self) -> ErrorCode {
        match self {
            Self::Outdated => ErrorCode::FENCED_LEADER_EPOCH,
            Self::Append(klamm_log::AppendError::Corrupt(_)) => ErrorCode::CORRUPT_MESSAGE,
            _ => ErrorCode::KAFKA_STORAGE_ERROR,
        }
    }
}
