//! Moving a replica from one log directory to another (KIP-113): a future log is filled from the current one, then
//! takes its place.

use std::sync::Arc;

use klamm_protocol::Uuid;
use thiserror::Error;

use super::{CreateError, LogDirectory, LogDirs, Replica};
use crate::disk;
use crate::error::StorageError;
use crate::log::{AppendError, Appended, Log, ReadError};
use crate::names::{FolderKind, TopicPartition, folder_name};

/// Bytes copied at a time while appends wait.
const COPY_BYTES: usize = 1 << 20;
/// How often what was appended during a flush is copied and flushed before appends wait for the rest.
const CATCH_UP_ROUNDS: usize = 3;

/// Why a replica could not be moved.
#[derive(Clone, Debug, Error)]
pub enum MoveError {
    /// There is no such replica, or no move under way.
    #[error("there is no log of {0} to move")]
    NoReplica(TopicPartition),
    /// No such directory, or it is offline (LOG_DIR_NOT_FOUND, KAFKA_STORAGE_ERROR).
    #[error("there is no usable log directory with this id")]
    NoDirectory,
    /// The new folder could not be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The disk refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The current log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The future log did not take what was read.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// What a step of copying did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Bytes copied, for the throttle.
    pub bytes: usize,
    /// Whether the future log is as long as the current one; then [`LogDirs::finish_move`] may be called.
    pub is_caught_up: bool,
}

/// A move as it is under way: it is over when one of the two logs is not the partition's any more.
#[derive(Clone, Debug)]
pub struct Move {
    partition: TopicPartition,
    current: Replica,
    future: Replica,
}

impl Move {
    /// The log that is copied.
    pub fn current(&self) -> &Arc<Log> {
        &self.current.log
    }
}

impl LogDirs {
    /// Begins to move a replica into the directory with this id, and ends a round of its compaction: there must be none until the move is
    /// over. A move to another directory that was under way is given
    /// up. `false`: the replica is there already, and nothing has to be moved.
    pub fn start_move(
        &self,
        partition: &TopicPartition,
        directory: Uuid,
        now_ms: i64,
    ) -> Result<bool, MoveError> {
        let _changing = self.changing.lock();
        let current = self.get(partition).ok_or_else(|| MoveError::NoReplica(partition.clone()))?;
        let target = self.online().find(|target| target.id() == Some(directory));
        let target = Arc::clone(target.ok_or(MoveError::NoDirectory)?);
        let earlier = self.future(partition).filter(|future| future.topic_id == current.topic_id);
        if earlier.is_some_and(|future| Arc::ptr_eq(&future.directory, &target)) {
            return Ok(true);
        }
        let earlier = self.futures.write().remove(partition);
        earlier.map_or(Ok(()), |earlier| self.retire(partition, &earlier, now_ms))?;
        if Arc::ptr_eq(&current.directory, &target) {
            return Ok(false);
        }
        self.check_place(&target, partition)?;
        let name = folder_name(partition, FolderKind::Future, self.unique(now_ms));
        let start = current.log.log_start_offset();
        let future =
            self.make_folder(target, &name, current.topic_id, current.log.config(), start, now_ms)?;
        self.futures.write().insert(partition.clone(), future);
        // A tombstone that is not copied yet must not go as long as what it deletes is in the copy.
        current.log.interrupt_compaction();
        Ok(true)
    }

    /// Gives a move up. Whether there was one.
    pub fn cancel_move(&self, partition: &TopicPartition, now_ms: i64) -> Result<bool, StorageError> {
        let removed = {
            let _changing = self.changing.lock();
            self.futures.write().remove(partition)
        };
        match &removed {
            Some(future) => self.retire(partition, future, now_ms).map(|()| true),
            None => Ok(false),
        }
    }

    /// Gives this move up, unless it is over or another has taken its place.
    pub fn give_up_move(&self, moving: &Move, now_ms: i64) -> Result<(), StorageError> {
        let removed = {
            let _changing = self.changing.lock();
            let is_under_way = self.check_under_way(moving).is_ok();
            is_under_way.then(|| self.futures.write().remove(&moving.partition)).flatten()
        };
        removed.map_or(Ok(()), |future| self.retire(&moving.partition, &future, now_ms))
    }

    /// The partition's move, if one is under way.
    pub fn move_of(&self, partition: &TopicPartition) -> Option<Move> {
        let (current, future) = self.get(partition).zip(self.future(partition))?;
        Some(Move { partition: partition.clone(), current, future })
    }

    /// Copies up to about `bytes_max` bytes into the future log. Blocks on the disk.
    ///
    /// # Errors
    /// [`MoveError::NoReplica`] where the move is over.
    pub fn copy_step(&self, moving: &Move, bytes_max: usize, now_ms: i64) -> Result<Copied, MoveError> {
        let (current, future) = (&moving.current.log, &moving.future.log);
        let copied = copy(current, future, bytes_max, now_ms);
        self.check_under_way(moving)?;
        let is_caught_up = future.log_end_offset() >= current.log_end_offset();
        Ok(Copied { bytes: copied?, is_caught_up })
    }

    /// Ends appends to the current log, copies what is still missing, and puts the future log in its place. Who holds
    /// the old log is refused from then on and must look the new one up.
    ///
    /// # Errors
    /// [`MoveError::NoReplica`] where the move is over. Whatever the error, the current log stays, and takes appends as before.
    pub fn finish_move(&self, moving: &Move, now_ms: i64) -> Result<Replica, MoveError> {
        // What takes long comes first, while appends go on and others may change their minds.
        let caught_up = catch_up(&moving.current.log, &moving.future.log, now_ms);
        let _changing = self.changing.lock();
        self.check_under_way(moving)?;
        caught_up?;
        moving.current.log.end_appends();
        self.replace(moving, now_ms).inspect_err(|_| moving.current.log.resume_appends())?;
        self.leave_old_folder(moving, now_ms);
        Ok(moving.future.clone())
    }

    /// Up to the last step, which cannot fail, the current log may stay as well. The new one counts as not compacted: what a round took out
    /// of the current one may have been copied before.
    fn replace(&self, moving: &Move, now_ms: i64) -> Result<(), MoveError> {
        let Move { partition, current, future } = moving;
        cut_where_they_part(&current.log, &future.log, now_ms)?;
        copy_up_to(i64::MAX, &current.log, &future.log, now_ms)?;
        future.log.advance_high_watermark(current.log.high_watermark());
        future.log.advance_log_start(current.log.log_start_offset());
        future.log.note_gap_of(&current.log);
        future.log.flush(i64::MAX)?;
        let name = folder_name(partition, FolderKind::Current, 0);
        self.on(&future.directory, future.log.rename(&future.directory.path().join(name)))?;
        self.on(&future.directory, future.log.sync_names())?;
        self.replicas.write().insert(partition.clone(), future.clone());
        self.futures.write().remove(partition);
        Ok(())
    }

    /// The old folder goes only after the new one has its name for good, and the new directory knows where the log starts. A stop in between
    /// leaves two whole folders, of which loading takes one. The move is done whatever the disks refuse here.
    fn leave_old_folder(&self, Move { partition, current, future }: &Move, now_ms: i64) {
        let known = self.on(&future.directory, self.write_checkpoints(&future.directory));
        let retired = self.retire(partition, current, now_ms);
        let forgotten = self.forget(&[Arc::clone(&current.directory)], |name| name == partition);
        for error in [known, retired, forgotten].into_iter().filter_map(Result::err) {
            tracing::error!(%partition, %error, "what a moved replica leaves is not cleared away");
        }
    }

    /// A folder that nobody could load may have the name already that the future log is to get.
    fn check_place(&self, target: &Arc<LogDirectory>, partition: &TopicPartition) -> Result<(), CreateError> {
        let path = target.path().join(folder_name(partition, FolderKind::Current, 0));
        let is_taken = self.disk.metadata(&path).is_ok() && self.on(target, self.holds_log(&path))?;
        if is_taken { Err(CreateError::NotEmpty { path }) } else { Ok(()) }
    }

    fn check_under_way(&self, moving: &Move) -> Result<(), MoveError> {
        let is_same = self.move_of(&moving.partition).is_some_and(|now| {
            Arc::ptr_eq(&now.current.log, &moving.current.log)
                && Arc::ptr_eq(&now.future.log, &moving.future.log)
        });
        if is_same { Ok(()) } else { Err(MoveError::NoReplica(moving.partition.clone())) }
    }
}

/// Puts what was copied on the device, and then what was appended meanwhile: less each time, unless appends are faster than that.
fn catch_up(current: &Log, future: &Log, now_ms: i64) -> Result<(), MoveError> {
    for _ in 0..CATCH_UP_ROUNDS {
        future.flush(i64::MAX)?;
        copy_up_to(current.log_end_offset(), current, future, now_ms)?;
    }
    Ok(())
}

/// Copies until the future log ends there, or where the current one ends.
fn copy_up_to(end_offset: i64, current: &Log, future: &Log, now_ms: i64) -> Result<(), MoveError> {
    while future.log_end_offset() < end_offset.min(current.log_end_offset()) {
        copy(current, future, COPY_BYTES, now_ms)?;
    }
    Ok(())
}

/// Copies from where the future log ends; returns the bytes. The current log may be cut while it is read: what fails then is done again while
/// nothing changes it.
fn copy(current: &Log, future: &Log, bytes_max: usize, now_ms: i64) -> Result<usize, MoveError> {
    match copy_once(current, future, bytes_max, now_ms) {
        Err(error) if may_be_of_a_cut(&error) => {
            let bytes_max = bytes_max.min(COPY_BYTES);
            current.while_unchanged(|| copy_once(current, future, bytes_max, now_ms))
        }
        other => other,
    }
}

fn copy_once(current: &Log, future: &Log, bytes_max: usize, now_ms: i64) -> Result<usize, MoveError> {
    cut_where_they_part(current, future, now_ms)?;
    let offset = future.log_end_offset();
    let slice = current.read_unguarded(offset, i64::MAX, bytes_max, true, None)?;
    let Some(data) = slice.data else { return Ok(0) };
    let mut bytes = vec![0; data.length];
    disk::read_exact_at(&*data.file, &mut bytes, data.position)
        .map_err(|e| StorageError::new("read", &current.dir(), e))?;
    if current.gap() == Some(offset) {
        // A recovery finds what is missing between segments only.
        let next = bytes.first_chunk().map_or(offset, |first| i64::from_be_bytes(*first));
        future.begin_segment(next, now_ms)?;
    }
    let appended = append(future, &bytes, now_ms)?;
    debug_assert!(appended.last_offset >= offset);
    Ok(bytes.len())
}

/// Files that end too early, offsets that are gone, and bytes of which some are older than others.
fn may_be_of_a_cut(error: &MoveError) -> bool {
    match error {
        MoveError::Read(ReadError::OffsetOutOfRange { .. }) => true,
        MoveError::Read(ReadError::Storage(error)) | MoveError::Storage(error) => error.may_be_of_a_cut(),
        MoveError::Append(error) => {
            matches!(error, AppendError::Corrupt(_) | AppendError::UnexpectedOffset { .. })
        }
        _ => false,
    }
}

/// The current log may start in the middle of a batch, where records were deleted. A future log that has nothing yet takes the batch
/// whole, and starts with it until it takes the current log's place.
fn append(future: &Log, bytes: &[u8], now_ms: i64) -> Result<Appended, AppendError> {
    let append = || future.append_as_follower(bytes, i32::MAX, now_ms);
    match append() {
        Err(AppendError::UnexpectedOffset { found, log_end_offset })
            if found < log_end_offset && future.log_start_offset() == log_end_offset =>
        {
            future.truncate_fully_and_start_at(found, found, now_ms)?;
            append()
        }
        other => other,
    }
}

/// The current log may have been cut since the last copy, and may have grown again with another leader's records; or its start has gone
/// past what was copied. What the two agree on stays, as between a follower and its leader.
fn cut_where_they_part(current: &Log, future: &Log, now_ms: i64) -> Result<(), MoveError> {
    let start = current.log_start_offset();
    if future.log_end_offset() < start {
        future.truncate_fully_and_start_at(start, start, now_ms)?;
    }
    // What a loss of power took from the copy is still in the original.
    if let Some(gap) = future.gap().filter(|gap| current.gap() != Some(*gap)) {
        future.truncate_to(gap, now_ms)?;
    }
    future.truncate_to(current.log_end_offset(), now_ms)?;
    while let Some(offset) = agreed_end(current, future).filter(|offset| *offset < future.log_end_offset()) {
        future.truncate_to(offset, now_ms)?;
    }
    Ok(())
}

/// Where the latest epoch that may be common to both ends in the log that has less of it; `None` where no epochs are known.
fn agreed_end(current: &Log, future: &Log) -> Option<i64> {
    let latest = current.latest_epoch()?.min(future.latest_epoch()?);
    let end = current.end_offset_for_epoch(latest)?;
    let own = future.end_offset_for_epoch(end.epoch)?;
    Some(end.end_offset.min(own.end_offset))
}
