//! Loading all partitions on start.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::checkpoints::Offsets;
use super::namesakes::keep_better;
use super::{FailedReplica, LogDirectory, LogDirs, Replica};
use crate::checkpoint::PartitionMetadata;
use crate::config::LogConfig;
use crate::error::StorageError;
use crate::log::{Log, RecoveryReport};
use crate::names::{FolderKind, TopicPartition, parse_folder_name};

/// How partitions are loaded.
pub struct Loading<'a> {
    /// The settings of each partition's log.
    pub config_of: &'a (dyn Fn(&TopicPartition) -> Arc<LogConfig> + Sync),
    /// Whose folder is left alone, and whose name no partition gets: the metadata log's.
    pub except: &'a TopicPartition,
    /// How many threads share the work; with 1 it is done on the caller's.
    pub threads: usize,
    /// The time.
    pub now_ms: i64,
}

/// What loading found.
#[derive(Debug, Default)]
pub struct LoadReport {
    /// How many replicas were loaded.
    pub loaded: usize,
    /// Replicas of which there is something to tell.
    pub recovered: Vec<(TopicPartition, RecoveryReport)>,
    /// Replicas that could not be loaded.
    pub failed: Vec<(TopicPartition, StorageError)>,
}

/// A partition folder to load.
struct Folder {
    partition: TopicPartition,
    kind: FolderKind,
    path: PathBuf,
    directory: Arc<LogDirectory>,
    offsets: Arc<Offsets>,
}

type Outcome = (Folder, Result<(Replica, RecoveryReport), StorageError>);

/// The directories in which a log ends before what its checkpoint says is on the device: it was cut right before a crash. What is appended
/// to it from now on must not be trusted for that.
fn directories_with_shorter_logs(outcomes: &[Outcome]) -> Vec<Arc<LogDirectory>> {
    let is_shorter = |(folder, outcome): &&Outcome| {
        let known = folder
            .offsets
            .recovery_points
            .get(&folder.partition)
            .filter(|_| folder.kind == FolderKind::Current);
        let loaded = outcome.as_ref().ok().map(|(replica, _)| replica.log.log_end_offset());
        known.zip(loaded).is_some_and(|(known, end)| *known > end)
    };
    let mut shorter: Vec<_> =
        outcomes.iter().filter(is_shorter).map(|(folder, _)| folder.directory.clone()).collect();
    shorter.dedup_by(|one, other| Arc::ptr_eq(one, other));
    shorter
}

impl LogDirs {
    /// Loads every partition folder; removes those that wait for deletion. From now on a stop counts as unclean until
    /// [`close`](Self::close). A folder that cannot be loaded is reported and does not keep the others from it.
    pub fn load(&self, loading: &Loading<'_>) -> Result<LoadReport, StorageError> {
        self.reserved.write().insert(loading.except.clone());
        let mut folders = Vec::new();
        for directory in self.online() {
            let found = self.folders_of(directory, loading.except);
            folders.extend(self.on(directory, found).unwrap_or_default());
        }
        let outcomes = self.load_folders(folders, loading);
        let shorter = directories_with_shorter_logs(&outcomes);
        let mut report = LoadReport::default();
        for (folder, outcome) in outcomes {
            match outcome {
                Ok((replica, recovery)) => {
                    self.add_loaded(folder, replica, recovery, loading.now_ms, &mut report)
                }
                Err(error) => {
                    self.note(&folder.directory, &error);
                    self.note_failed(&folder);
                    report.failed.push((folder.partition, error));
                }
            }
        }
        for directory in shorter {
            // What fails takes the directory offline.
            let _ = self.on(&directory, self.write_checkpoints(&directory));
        }
        Ok(report)
    }

    /// Keeps the name of a partition whose folder cannot be loaded from being used for a new one.
    fn note_failed(&self, folder: &Folder) {
        if folder.kind == FolderKind::Current {
            let topic_id = PartitionMetadata::read(&*self.disk, &folder.path).ok().flatten();
            let failed = FailedReplica {
                directory: Arc::clone(&folder.directory),
                topic_id: topic_id.map(|metadata| metadata.topic_id),
                path: folder.path.clone(),
            };
            self.failed.write().insert(folder.partition.clone(), failed);
        }
    }

    fn folders_of(
        &self,
        directory: &Arc<LogDirectory>,
        except: &TopicPartition,
    ) -> Result<Vec<Folder>, StorageError> {
        directory.begin(&*self.disk)?;
        let names = directory.folders(&*self.disk)?;
        let offsets = Arc::new(self.offsets_of(directory, &names, except)?);
        let mut folders = Vec::new();
        for name in names {
            let Some((partition, kind)) = parse_folder_name(&name) else { continue };
            let path = directory.path().join(&name);
            match kind {
                FolderKind::Deleted => self.remove_folder(&path)?,
                FolderKind::Stray => {}
                FolderKind::Current | FolderKind::Future if partition != *except => {
                    let (directory, offsets) = (Arc::clone(directory), Arc::clone(&offsets));
                    folders.push(Folder { partition, kind, path, directory, offsets });
                }
                FolderKind::Current | FolderKind::Future => {}
            }
        }
        Ok(folders)
    }

    /// The checkpoints, from which partitions without a folder are removed: a stop came between a deletion and that.
    fn offsets_of(
        &self,
        directory: &LogDirectory,
        names: &[String],
        except: &TopicPartition,
    ) -> Result<Offsets, StorageError> {
        let parsed = names.iter().filter_map(|name| parse_folder_name(name));
        let current = parsed.filter(|(_, kind)| *kind == FolderKind::Current).map(|(partition, _)| partition);
        let current: BTreeSet<TopicPartition> = current.collect();
        let mut checkpoints = directory.checkpoints();
        checkpoints.forget(&*self.disk, |name| name != except && !current.contains(name))?;
        checkpoints.load(&*self.disk)
    }

    fn remove_folder(&self, path: &std::path::Path) -> Result<(), StorageError> {
        let entries = self.disk.list(path).map_err(|e| StorageError::new("list", path, e))?;
        for entry in entries.iter().filter(|entry| !entry.is_dir) {
            let file = path.join(&entry.name);
            self.disk.remove(&file).map_err(|e| StorageError::new("remove", &file, e))?;
        }
        self.disk.remove_dir(path).map_err(|e| StorageError::new("remove", path, e))
    }

    fn load_folders(&self, folders: Vec<Folder>, loading: &Loading<'_>) -> Vec<Outcome> {
        let queue = Mutex::new(folders.into_iter());
        let outcomes = Mutex::new(Vec::new());
        let work = || {
            loop {
                let next = queue.lock().next();
                let Some(folder) = next else { break };
                let outcome = self.load_folder(&folder, loading);
                outcomes.lock().push((folder, outcome));
            }
        };
        if loading.threads <= 1 {
            work();
        } else {
            std::thread::scope(|scope| (0..loading.threads).for_each(|_| drop(scope.spawn(work))));
        }
        let mut outcomes = outcomes.into_inner();
        outcomes.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
        outcomes
    }

    fn load_folder(
        &self,
        folder: &Folder,
        loading: &Loading<'_>,
    ) -> Result<(Replica, RecoveryReport), StorageError> {
        let partition = &folder.partition;
        let config = (loading.config_of)(partition);
        let was_clean = folder.directory.was_clean();
        let mut opening =
            folder.offsets.opening(partition, folder.path.clone(), config, was_clean, loading.now_ms);
        if folder.kind == FolderKind::Future {
            // The checkpoints are about the current replica.
            (opening.recovery_point, opening.log_start_offset) = (0, 0);
        }
        let topic_id = PartitionMetadata::read(&*self.disk, &folder.path)?.map(|metadata| metadata.topic_id);
        let (log, report) = Log::open(Arc::clone(&self.disk), Arc::clone(&self.files), opening)?;
        if let Some(high_watermark) = folder.offsets.high_watermarks.get(partition) {
            log.set_high_watermark(*high_watermark);
        }
        if let Some(compacted_to) = folder.offsets.compacted_to.get(partition) {
            log.set_compacted_to(*compacted_to);
        }
        let directory = Arc::clone(&folder.directory);
        Ok((Replica { log: Arc::new(log), directory, topic_id }, report))
    }

    fn add_loaded(
        &self,
        folder: Folder,
        replica: Replica,
        recovery: RecoveryReport,
        now_ms: i64,
        report: &mut LoadReport,
    ) {
        report.loaded += 1;
        folder.directory.replica_count().fetch_add(1, Ordering::Relaxed);
        if !recovery.is_empty() {
            report.recovered.push((folder.partition.clone(), recovery));
        }
        let surplus = match folder.kind {
            FolderKind::Future => self.add_future(&folder.partition, replica),
            _ => self.add_replica(&folder.partition, replica),
        };
        if let Some(copy) = surplus {
            self.drop_copy(&folder.partition, &copy, now_ms, report);
        }
    }

    fn add_future(&self, partition: &TopicPartition, replica: Replica) -> Option<Replica> {
        let mut futures = self.futures.write();
        if let Some(known) = futures.get_mut(partition) {
            return Some(keep_better(known, replica));
        }
        futures.insert(partition.clone(), replica);
        None
    }

    /// A stop in the middle of a move leaves two folders of a partition, both whole; one is enough.
    fn drop_copy(&self, partition: &TopicPartition, copy: &Replica, now_ms: i64, report: &mut LoadReport) {
        report.loaded -= 1;
        let mut recovery = RecoveryReport::default();
        let dir = copy.log.dir();
        let retired = self.retire(partition, copy, now_ms);
        match retired.and_then(|()| self.forget(&[Arc::clone(&copy.directory)], |gone| gone == partition)) {
            Ok(()) => {
                recovery.repairs.push(format!("{} is a second copy and is removed", dir.display()));
                report.recovered.push((partition.clone(), recovery));
            }
            Err(error) => report.failed.push((partition.clone(), error)),
        }
    }
}
