//! Taking partitions out: deleted ones go with a delay, strays are kept under another name.
//!
//! Either way the folder gets a name first under which the next start does not load it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use klamm_protocol::Uuid;
use parking_lot::RwLock;

use super::{FailedReplica, LogDirectory, LogDirs, Replica};
use crate::error::StorageError;
use crate::names::{FolderKind, TopicPartition, folder_name};

impl LogDirs {
    /// Takes a partition out and renames its folder, so that it is not found on the next start even if it is not removed
    /// before. Whether there was one. The files go with [`remove_deleted`](Self::remove_deleted).
    pub fn delete(&self, partition: &TopicPartition, now_ms: i64) -> Result<bool, StorageError> {
        let directories = self.take_out(partition, now_ms)?;
        self.forget(&directories, |name| name == partition)?;
        Ok(!directories.is_empty())
    }

    /// The same for many, whose checkpoints are written once. Goes on with the others where one cannot be deleted; returns what the
    /// disk refused.
    pub fn delete_all(&self, partitions: &BTreeSet<TopicPartition>, now_ms: i64) -> Vec<StorageError> {
        let mut directories = Vec::new();
        let mut errors = Vec::new();
        for partition in partitions {
            match self.take_out(partition, now_ms) {
                Ok(taken) => directories.extend(taken),
                Err(error) => errors.push(error),
            }
        }
        errors.extend(self.forget(&directories, |name| partitions.contains(name)).err());
        errors
    }

    /// Returns the directories that had something of the partition.
    fn take_out(
        &self,
        partition: &TopicPartition,
        now_ms: i64,
    ) -> Result<Vec<Arc<LogDirectory>>, StorageError> {
        let found = {
            let _changing = self.changing.lock();
            [&self.replicas, &self.futures].map(|replicas| replicas.write().remove(partition))
        };
        let mut directories = Vec::new();
        for replica in found.into_iter().flatten() {
            self.retire(partition, &replica, now_ms)?;
            directories.push(replica.directory);
        }
        if let Some(failed) = self.failed.write().remove(partition) {
            self.rename_failed(partition, &failed, FolderKind::Deleted, now_ms)?;
            directories.push(failed.directory);
        }
        Ok(directories)
    }

    /// Removes what the checkpoints of these directories say of partitions whose folders were renamed: they are not to be taken for
    /// those of the next partition of that name.
    pub(super) fn forget(
        &self,
        directories: &[Arc<LogDirectory>],
        is_gone: impl Fn(&TopicPartition) -> bool,
    ) -> Result<(), StorageError> {
        let is_meant = |known: &&Arc<LogDirectory>| directories.iter().any(|one| Arc::ptr_eq(one, known));
        for directory in self.online().filter(is_meant) {
            self.on(directory, directory.checkpoints().forget(&*self.disk, &is_gone))?;
        }
        Ok(())
    }

    /// Takes a partition that the metadata does not know out, and renames its folder to Kafka's `-stray` name, under which it is
    /// never loaded and never removed. A copy of it that was on the move goes. Nothing is done, and `false` returned, where there is
    /// none or it belongs to another topic than this.
    pub fn set_aside(
        &self,
        partition: &TopicPartition,
        topic_id: Option<Uuid>,
        now_ms: i64,
    ) -> Result<bool, StorageError> {
        let failed = remove_if(&self.failed, partition, |failed| failed.topic_id == topic_id);
        if let Some(failed) = failed {
            self.rename_failed(partition, &failed, FolderKind::Stray, now_ms)?;
            self.forget(&[failed.directory], |name| name == partition)?;
            return Ok(true);
        }
        let (replica, future) = {
            let _changing = self.changing.lock();
            let replica = remove_if(&self.replicas, partition, |replica| replica.topic_id == topic_id);
            let Some(replica) = replica else { return Ok(false) };
            (replica, self.futures.write().remove(partition))
        };
        future.map_or(Ok(()), |future| self.retire(partition, &future, now_ms))?;
        self.keep_as_stray(partition, &replica, now_ms)?;
        Ok(true)
    }

    pub(super) fn keep_as_stray(
        &self,
        partition: &TopicPartition,
        replica: &Replica,
        now_ms: i64,
    ) -> Result<(), StorageError> {
        self.on(&replica.directory, replica.log.close(true))?;
        self.rename(partition, replica, FolderKind::Stray, now_ms)?;
        self.on(&replica.directory, replica.log.sync_names())?;
        self.forget(&[Arc::clone(&replica.directory)], |name| name == partition)
    }

    fn rename_failed(
        &self,
        partition: &TopicPartition,
        failed: &FailedReplica,
        kind: FolderKind,
        now_ms: i64,
    ) -> Result<(), StorageError> {
        let to = failed.directory.path().join(folder_name(partition, kind, self.unique(now_ms)));
        let renamed = self.disk.rename(&failed.path, &to);
        self.on(&failed.directory, renamed.map_err(|e| StorageError::new("rename", &failed.path, e)))
    }

    pub(super) fn retire(
        &self,
        partition: &TopicPartition,
        replica: &Replica,
        now_ms: i64,
    ) -> Result<(), StorageError> {
        self.rename(partition, replica, FolderKind::Deleted, now_ms)?;
        let due_ms = now_ms.saturating_add(replica.log.config().file_delete_delay_ms);
        self.deleted.lock().push((due_ms, Arc::clone(&replica.log)));
        Ok(())
    }

    /// Ends appends to a replica and gives its folder the name of another kind.
    fn rename(
        &self,
        partition: &TopicPartition,
        replica: &Replica,
        kind: FolderKind,
        now_ms: i64,
    ) -> Result<(), StorageError> {
        let name = folder_name(partition, kind, self.unique(now_ms));
        replica.log.end_appends();
        replica.directory.replica_count().fetch_sub(1, Ordering::Relaxed);
        self.on(&replica.directory, replica.log.rename(&replica.directory.path().join(name)))
    }

    /// Removes folders and segments whose deletion is due. Takes as long as the file system needs for it.
    pub fn remove_deleted(&self, now_ms: i64) -> Result<(), StorageError> {
        let due: Vec<_> = self.deleted.lock().extract_if(.., |(due_ms, _)| *due_ms <= now_ms).collect();
        let mut due = due.into_iter().filter(|(_, log)| !self.is_offline(&log.dir()));
        due.try_for_each(|(_, log)| log.remove())?;
        for (_, replica) in self.replicas().into_iter().filter(|(_, replica)| replica.directory.is_online()) {
            self.on(&replica.directory, replica.log.remove_deleted_files(now_ms).map(|_| ()))?;
        }
        Ok(())
    }
}

fn remove_if<T>(
    all: &RwLock<BTreeMap<TopicPartition, T>>,
    partition: &TopicPartition,
    is_meant: impl FnOnce(&T) -> bool,
) -> Option<T> {
    let mut all = all.write();
    all.get(partition).is_some_and(is_meant).then(|| all.remove(partition))?
}
