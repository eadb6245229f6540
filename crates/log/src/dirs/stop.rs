//! Checkpoints while running, and the clean stop.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{LogDirectory, LogDirs, Replica};
use crate::checkpoint::OffsetCheckpoint;
use crate::error::{SYNC, StorageError};
use crate::log::Log;
use crate::names::TopicPartition;

/// From this many changed logs on, the whole volume is synced instead of each log's files.
const CHANGED_LOGS_FOR_VOLUME_SYNC: usize = 16;

impl LogDirs {
    /// Writes the recovery points and log starts, so that recovery after a crash need not begin at the beginning.
    pub fn checkpoint_offsets(&self) -> Result<(), StorageError> {
        for directory in self.online() {
            self.on(directory, self.write_checkpoints(directory))?;
        }
        Ok(())
    }

    /// Writes down from where on a log is to be recovered, after it was cut: what is appended behind the cut was never looked at, whatever
    /// the checkpoint says so far. Where that cannot be written, the log is [given up](Self::give_up).
    ///
    /// # Errors
    /// Why it could not be written: the directory may have been offline before.
    pub fn checkpoint_cut(&self, log: &Log) -> Result<(), StorageError> {
        let dir = log.dir();
        let Some(directory) = self.directories.iter().find(|directory| dir.starts_with(directory.path()))
        else {
            return Ok(());
        };
        let written = match directory.error() {
            Some(error) => Err(error),
            None => self.on(directory, self.write_checkpoints(directory)),
        };
        written.inspect_err(|error| self.give_up(log, error))
    }

    /// Sees to it that a start after a crash does not trust what a log that was opened separately gets from `offset` on: to be called before
    /// such a log is cut while the other logs are not loaded, whose checkpoints stay as they are.
    pub fn lower_recovery_point(&self, partition: &TopicPartition, offset: i64) -> Result<(), StorageError> {
        let separate = self.separate.read().get(partition).map(|separate| Arc::clone(&separate.directory));
        match separate {
            Some(directory) => {
                let lowered = directory.checkpoints().lower_recovery_point(&*self.disk, partition, offset);
                self.on(&directory, lowered)
            }
            None => Ok(()),
        }
    }

    /// Writes up to where logs are compacted, so that the next round after a start goes on there.
    pub fn checkpoint_compaction(&self) -> Result<(), StorageError> {
        for directory in self.online() {
            self.on(directory, self.write_compacted_to(directory))?;
        }
        Ok(())
    }

    /// Writes the high watermarks.
    pub fn checkpoint_high_watermarks(&self) -> Result<(), StorageError> {
        for directory in self.online() {
            self.on(directory, self.write_high_watermarks(directory))?;
        }
        Ok(())
    }

    /// Ends all moves, which go on after the next start. Closes all logs, those that were opened separately too, and marks the stop as
    /// clean in every directory where all went well. Only then is nothing verified on the next start.
    pub fn close(&self, broker_epoch: i64, threads: usize) -> Result<(), StorageError> {
        let futures = {
            let _changing = self.changing.lock();
            std::mem::take(&mut *self.futures.write())
        };
        let mut result = Ok(());
        for directory in self.online() {
            let closed = self.close_directory(directory, &futures, broker_epoch, threads);
            result = result.and(self.on(directory, closed));
            directory.unlock();
        }
        result
    }

    fn close_directory(
        &self,
        directory: &Arc<LogDirectory>,
        futures: &BTreeMap<TopicPartition, Replica>,
        broker_epoch: i64,
        threads: usize,
    ) -> Result<(), StorageError> {
        let futures = futures.values().filter(|future| Arc::ptr_eq(&future.directory, directory));
        let logs: Vec<Arc<Log>> = self
            .logs_in(directory)
            .into_iter()
            .map(|(_, log)| log)
            .chain(futures.map(|future| Arc::clone(&future.log)))
            .collect();
        let changed = logs.iter().filter(|log| log.is_changed()).count();
        let each = changed < CHANGED_LOGS_FOR_VOLUME_SYNC;
        close_all(&logs, each, threads)?;
        if !each {
            let path = directory.path();
            self.disk.sync_volume(path).map_err(|e| StorageError::new(SYNC, path, e))?;
        }
        self.write_checkpoints(directory)?;
        self.write_high_watermarks(directory)?;
        // The next start has to look at a log that failed, since what it has on the disk contradicts itself, and at one that misses records.
        match logs.iter().any(|log| log.is_failed() || log.gap().is_some()) {
            true => Ok(()),
            false => directory.end(&*self.disk, broker_epoch),
        }
    }

    pub(super) fn write_checkpoints(&self, directory: &Arc<LogDirectory>) -> Result<(), StorageError> {
        let checkpoints = directory.checkpoints();
        let logs = self.logs_in(directory);
        let recovery_points = logs.iter().map(|(name, log)| (name.clone(), log.verified_to())).collect();
        checkpoints.write_recovery_points(&*self.disk, &recovery_points)?;
        // A log that begins with its first segment needs no entry.
        let begins_later = |log: &Log| log.log_start_offset() != log.segment_base_offsets()[0];
        let log_starts = logs.iter().filter(|(_, log)| begins_later(log));
        let log_starts = log_starts.map(|(name, log)| (name.clone(), log.log_start_offset())).collect();
        checkpoints.write_log_starts(&*self.disk, &log_starts)?;
        drop(checkpoints);
        self.write_compacted_to(directory)
    }

    fn write_high_watermarks(&self, directory: &Arc<LogDirectory>) -> Result<(), StorageError> {
        let checkpoints = directory.checkpoints();
        let offsets = offsets(&self.replicas_in(directory), Log::high_watermark);
        checkpoints.write_high_watermarks(&*self.disk, &offsets)
    }

    fn write_compacted_to(&self, directory: &Arc<LogDirectory>) -> Result<(), StorageError> {
        let mut checkpoints = directory.checkpoints();
        let mut compacted = self.replicas_in(directory);
        compacted.retain(|(_, replica)| replica.log.compacted_to() > replica.log.log_start_offset());
        checkpoints.write_compacted_to(&*self.disk, offsets(&compacted, Log::compacted_to))
    }

    /// The current logs in a directory, with those that were opened separately.
    fn logs_in(&self, directory: &Arc<LogDirectory>) -> Vec<(TopicPartition, Arc<Log>)> {
        let replicas = self.replicas_in(directory).into_iter().map(|(name, replica)| (name, replica.log));
        let separate = self.separate.read();
        let separate = separate.iter().filter(|(_, separate)| Arc::ptr_eq(&separate.directory, directory));
        replicas.chain(separate.map(|(name, separate)| (name.clone(), Arc::clone(&separate.log)))).collect()
    }

    fn replicas_in(&self, directory: &Arc<LogDirectory>) -> Vec<(TopicPartition, Replica)> {
        let namesakes = self.namesakes.read();
        let mut replicas = self.replicas();
        let others = namesakes
            .iter()
            .flat_map(|(name, others)| others.iter().map(|other| (name.clone(), other.clone())));
        replicas.extend(others);
        replicas.retain(|(_, replica)| Arc::ptr_eq(&replica.directory, directory));
        replicas
    }
}

fn offsets(replicas: &[(TopicPartition, Replica)], of: impl Fn(&Log) -> i64) -> OffsetCheckpoint {
    replicas.iter().map(|(partition, replica)| (partition.clone(), of(&replica.log))).collect()
}

fn close_all(logs: &[Arc<Log>], sync: bool, threads: usize) -> Result<(), StorageError> {
    let queue = Mutex::new(logs.iter());
    let result = Mutex::new(Ok(()));
    let work = || {
        loop {
            let next = queue.lock().next();
            let Some(log) = next else { break };
            if let Err(error) = log.close(sync) {
                *result.lock() = Err(error);
            }
        }
    };
    if threads <= 1 {
        work();
    } else {
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    }
    result.into_inner()
}
