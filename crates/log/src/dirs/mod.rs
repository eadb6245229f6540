//! A node's log directories and the partitions in them.
//!
//! Each directory is locked against other processes, has an identity of its own (`meta.properties`), holds partition
//! folders and the checkpoints of their offsets, and may go offline alone when its disk fails (KIP-112).
//!
//! The map of partitions is for finding a log, not for the hot path: the broker keeps the `Arc<Log>` of its partitions.

mod checkpoints;
mod describe;
mod directory;
mod failures;
mod load;
mod movement;
mod namesakes;
mod removal;
mod stop;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use klamm_protocol::Uuid;
use parking_lot::{Mutex, RwLock};
use thiserror::Error;

pub use describe::{DirectoryDescription, ReplicaDescription};
pub use directory::LogDirectory;
pub use load::{LoadReport, Loading};
pub use movement::{Copied, Move, MoveError};

use crate::checkpoint::{MetaProperties, PARTITION_METADATA_FILE, PartitionMetadata};
use crate::config::LogConfig;
use crate::disk::Disk;
use crate::error::StorageError;
use crate::files::OpenFiles;
use crate::log::{Log, LogOpening, RecoveryReport};
use crate::names::{FolderKind, TopicPartition, folder_name};
use failures::FailureListener;

/// A partition's log and where it is.
#[derive(Clone, Debug)]
pub struct Replica {
    /// The log.
    pub log: Arc<Log>,
    /// The directory that it is in.
    pub directory: Arc<LogDirectory>,
    /// The topic's id; `None` for folders of old brokers, and after a power loss right behind the folder's making.
    pub topic_id: Option<Uuid>,
}

/// A log that [`LogDirs::open_separately`] opened.
#[derive(Clone, Debug)]
struct Separate {
    log: Arc<Log>,
    directory: Arc<LogDirectory>,
}

/// A partition's folder that could not be loaded. It keeps the partition's name: nobody may begin a new log in its place.
#[derive(Clone, Debug)]
pub struct FailedReplica {
    /// The directory that it is in.
    pub directory: Arc<LogDirectory>,
    /// The topic's id, where the folder still says it.
    pub topic_id: Option<Uuid>,
    path: PathBuf,
}

/// All log directories of a node.
#[derive(Debug)]
pub struct LogDirs {
    disk: Arc<dyn Disk>,
    files: Arc<OpenFiles>,
    directories: Vec<Arc<LogDirectory>>,
    /// Told when one of them goes offline.
    failure_listener: FailureListener,
    /// The paths of those that take no new replicas (KIP-1066).
    cordoned: RwLock<BTreeSet<PathBuf>>,
    replicas: RwLock<BTreeMap<TopicPartition, Replica>>,
    /// Replicas being filled to replace the current one in another directory.
    futures: RwLock<BTreeMap<TopicPartition, Replica>>,
    /// Logs that are opened and used by others than those who load partitions, and their directories.
    separate: RwLock<BTreeMap<TopicPartition, Separate>>,
    /// Names that are left to such logs, in whichever directories those are.
    reserved: RwLock<BTreeSet<TopicPartition>>,
    /// Partitions whose folder is there and could not be loaded.
    failed: RwLock<BTreeMap<TopicPartition, FailedReplica>>,
    /// Replicas of other topics than those in `replicas`, under the same names. Locked before `replicas`.
    namesakes: RwLock<BTreeMap<TopicPartition, Vec<Replica>>>,
    /// Folders that were renamed for deletion, and when they go.
    deleted: Mutex<Vec<(i64, Arc<Log>)>>,
    /// Tells folders of one partition apart.
    folders_made: AtomicU64,
    /// Held by whoever takes a log out of `replicas` or `futures`, or begins or finishes a move, from looking at the two maps until both are
    /// as they are to be. A log that is out of them is nobody else's. Locked before the maps, and not while whole logs are copied or synced.
    changing: Mutex<()>,
}

/// Why the log directories cannot be used.
#[derive(Clone, Debug, Error)]
pub enum DirsError {
    /// The settings name none.
    #[error("no log directory is configured")]
    None,
    /// Another process has it.
    #[error("log directory {} is in use by another process, which holds its .lock file", .0.display())]
    Locked(PathBuf),
    /// No directory is left that works.
    #[error("no usable log directory is left: {0}")]
    AllOffline(StorageError),
    /// Two directories say different things about whose they are.
    #[error("log directory {}: {what}", path.display())]
    Mismatch {
        /// The directory.
        path: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// The disk refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a partition's folder could not be made.
#[derive(Clone, Debug, Error)]
pub enum CreateError {
    /// The partition is here already, in this directory.
    #[error("there is a log of {partition} in {}", path.display())]
    Exists {
        /// The partition.
        partition: TopicPartition,
        /// The directory that has it.
        path: PathBuf,
    },
    /// The name is that of a log which is opened separately.
    #[error("{0} is not for partitions: the name is that of the metadata log")]
    Reserved(TopicPartition),
    /// The partition is here, but its folder could not be loaded.
    #[error("{} could not be loaded, and nothing new is begun in its place", path.display())]
    Failed {
        /// The folder.
        path: PathBuf,
    },
    /// There is a folder of this name with files in it that nobody knows of.
    #[error("{} is there already and is not empty", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// No such directory, or it is offline (LOG_DIR_NOT_FOUND, KAFKA_STORAGE_ERROR).
    #[error("no usable log directory for the partition")]
    NoDirectory,
    /// The disk refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl LogDirs {
    /// Makes the directories that are missing, and locks all. One that the disk refuses is offline from the start;
    /// if none is left, or another process has one, this fails.
    pub fn open(disk: Arc<dyn Disk>, paths: &[PathBuf], open_files_max: usize) -> Result<Self, DirsError> {
        let mut directories = Vec::new();
        for path in paths {
            directories.push(Arc::new(LogDirectory::open(&*disk, path)?));
        }
        let usable = directories.iter().any(|directory| directory.is_online());
        if let Some(error) = directories.first().and_then(|first| first.error()).filter(|_| !usable) {
            return Err(DirsError::AllOffline(error));
        }
        if directories.is_empty() {
            return Err(DirsError::None);
        }
        directories.iter().for_each(|directory| directory.tell_offline());
        check_same_node(directories.iter())?;
        Ok(Self {
            disk,
            files: OpenFiles::new(open_files_max),
            directories,
            failure_listener: FailureListener::default(),
            cordoned: RwLock::default(),
            replicas: RwLock::default(),
            futures: RwLock::default(),
            namesakes: RwLock::default(),
            separate: RwLock::default(),
            reserved: RwLock::default(),
            failed: RwLock::default(),
            deleted: Mutex::default(),
            folders_made: AtomicU64::new(0),
            changing: Mutex::default(),
        })
    }

    /// The directories, in the order of the settings.
    pub fn directories(&self) -> &[Arc<LogDirectory>] {
        &self.directories
    }

    /// Whose the directories are, if at least one of them is formatted.
    pub fn meta_properties(&self) -> Option<MetaProperties> {
        self.directories.iter().find_map(|directory| directory.meta())
    }

    /// Checks that these directories and those of another set belong to one node of one cluster.
    ///
    /// # Errors
    /// [`DirsError::Mismatch`], which names two that do not.
    pub fn check_same_node_as(&self, other: &Self) -> Result<(), DirsError> {
        check_same_node(self.directories.iter().chain(&other.directories))
    }

    /// Formats the directories that are not; each gets the next of `ids`, which are random.
    pub fn format(
        &self,
        cluster_id: &str,
        node_id: i32,
        mut ids: impl FnMut() -> Uuid,
    ) -> Result<(), StorageError> {
        for directory in self.online().filter(|directory| directory.id().is_none()) {
            self.format_directory(directory, cluster_id, node_id, ids())?;
        }
        Ok(())
    }

    /// Formats one directory that is not formatted; `id` is random.
    pub fn format_directory(
        &self,
        directory: &LogDirectory,
        cluster_id: &str,
        node_id: i32,
        id: Uuid,
    ) -> Result<(), StorageError> {
        let cluster_id = cluster_id.to_owned();
        directory.format(&*self.disk, MetaProperties { cluster_id, node_id, directory_id: Some(id) })
    }

    /// The partition's replica.
    pub fn get(&self, partition: &TopicPartition) -> Option<Replica> {
        self.replicas.read().get(partition).cloned()
    }

    /// The replica that is being filled to replace the current one.
    pub fn future(&self, partition: &TopicPartition) -> Option<Replica> {
        self.futures.read().get(partition).cloned()
    }

    /// All replicas that are being filled to replace others.
    pub fn futures(&self) -> Vec<(TopicPartition, Replica)> {
        self.futures.read().iter().map(|(partition, future)| (partition.clone(), future.clone())).collect()
    }

    /// All replicas, by partition.
    pub fn replicas(&self) -> Vec<(TopicPartition, Replica)> {
        self.replicas.read().iter().map(|(partition, replica)| (partition.clone(), replica.clone())).collect()
    }

    /// Makes a partition's folder, in the directory with this id or in the one with the fewest partitions. Nothing but the
    /// folder and `partition.metadata` is written until the first append.
    pub fn create(
        &self,
        partition: &TopicPartition,
        topic_id: Option<Uuid>,
        directory: Option<Uuid>,
        config: Arc<LogConfig>,
        now_ms: i64,
    ) -> Result<Replica, CreateError> {
        if self.get(partition).is_none() {
            self.set_namesakes_aside(|name| name == partition, now_ms);
        }
        let mut replicas = self.replicas.write();
        if let Some(replica) = replicas.get(partition) {
            let (partition, path) = (partition.clone(), replica.directory.path().to_owned());
            return Err(CreateError::Exists { partition, path });
        }
        self.check_unused(partition)?;
        let directory = match directory {
            Some(id) => self.online().find(|directory| directory.id() == Some(id)),
            None => self.choose_directory(),
        };
        let directory = Arc::clone(directory.ok_or(CreateError::NoDirectory)?);
        let name = folder_name(partition, FolderKind::Current, 0);
        let replica = self.make_folder(directory, &name, topic_id, config, 0, now_ms)?;
        replicas.insert(partition.clone(), replica.clone());
        Ok(replica)
    }

    /// The directory with the fewest replicas. Cordoned ones come last: the controller may have placed a replica on this node before it
    /// heard that all are cordoned.
    fn choose_directory(&self) -> Option<&Arc<LogDirectory>> {
        let rank = |directory: &&Arc<LogDirectory>| {
            (self.is_cordoned(directory), directory.replica_count().load(Ordering::Relaxed))
        };
        self.online().min_by_key(rank)
    }

    /// Replaces the set of directories that take no new replicas, by path. Whether it was another one.
    pub fn set_cordoned(&self, paths: BTreeSet<PathBuf>) -> bool {
        let mut cordoned = self.cordoned.write();
        let is_change = *cordoned != paths;
        *cordoned = paths;
        is_change
    }

    /// Whether a directory takes no new replicas.
    pub fn is_cordoned(&self, directory: &LogDirectory) -> bool {
        self.cordoned.read().contains(directory.path())
    }

    /// Refuses names whose folder is somebody else's, or could not be loaded.
    fn check_unused(&self, partition: &TopicPartition) -> Result<(), CreateError> {
        if self.reserved.read().contains(partition) {
            return Err(CreateError::Reserved(partition.clone()));
        }
        match self.failed.read().get(partition) {
            Some(failed) => Err(CreateError::Failed { path: failed.path.clone() }),
            None => Ok(()),
        }
    }

    /// The partition's folder that could not be loaded, if that is so.
    pub fn failed(&self, partition: &TopicPartition) -> Option<FailedReplica> {
        self.failed.read().get(partition).cloned()
    }

    fn make_folder(
        &self,
        directory: Arc<LogDirectory>,
        name: &str,
        topic_id: Option<Uuid>,
        config: Arc<LogConfig>,
        start_offset: i64,
        now_ms: i64,
    ) -> Result<Replica, CreateError> {
        let dir = directory.path().join(name);
        self.on(&directory, self.create_empty_folder(&dir))?;
        if self.on(&directory, self.holds_log(&dir))? {
            return Err(CreateError::NotEmpty { path: dir });
        }
        if let Some(topic_id) = topic_id {
            PartitionMetadata { topic_id }.write(&*self.disk, &dir)?;
        }
        let opening = LogOpening {
            dir,
            config,
            log_start_offset: start_offset,
            recovery_point: start_offset,
            was_clean: true,
            is_contiguous: true,
            now_ms,
        };
        let (log, _) = Log::open(Arc::clone(&self.disk), Arc::clone(&self.files), opening)?;
        log.folder_is_new();
        directory.replica_count().fetch_add(1, Ordering::Relaxed);
        Ok(Replica { log: Arc::new(log), directory, topic_id })
    }

    fn create_empty_folder(&self, dir: &Path) -> Result<(), StorageError> {
        self.disk.create_dir(dir).map_err(|e| StorageError::new("create", dir, e))
    }

    /// Whether a folder holds more than an attempt to make it leaves.
    fn holds_log(&self, dir: &Path) -> Result<bool, StorageError> {
        let entries = self.disk.list(dir).map_err(|e| StorageError::new("list", dir, e))?;
        Ok(entries.iter().any(|entry| !entry.name.starts_with(PARTITION_METADATA_FILE)))
    }

    /// Gives a replica that has none its topic's id, in its folder as well.
    pub fn assign_topic_id(&self, partition: &TopicPartition, topic_id: Uuid) -> Result<(), StorageError> {
        let mut replicas = self.replicas.write();
        let Some(replica) = replicas.get_mut(partition).filter(|replica| replica.topic_id.is_none()) else {
            return Ok(());
        };
        let written = PartitionMetadata { topic_id }.write(&*self.disk, &replica.log.dir());
        self.on(&replica.directory, written)?;
        replica.topic_id = Some(topic_id);
        Ok(())
    }

    /// Opens a log that the others have nothing to do with: the metadata log, which [`load`](Self::load) leaves out, and which
    /// was never compacted. Its folder is made if it is missing. [`close`](Self::close) closes this log as well; checkpoints
    /// include it. Call [`begin`](Self::begin) before it is changed: until then a start that goes no further leaves the
    /// clean stop before it as one, so that the next start does not recover what this one refused.
    pub fn open_separately(
        &self,
        directory: &Arc<LogDirectory>,
        partition: &TopicPartition,
        config: Arc<LogConfig>,
        now_ms: i64,
    ) -> Result<(Arc<Log>, RecoveryReport), StorageError> {
        let dir = directory.path().join(partition.to_string());
        self.create_empty_folder(&dir)?;
        let offsets = directory.checkpoints().load(&*self.disk)?;
        let opening = offsets.opening(partition, dir, config, directory.was_clean(), now_ms);
        let opening = LogOpening { is_contiguous: true, ..opening };
        let (log, report) = Log::open(Arc::clone(&self.disk), Arc::clone(&self.files), opening)?;
        if !report.is_empty() {
            self.begin(directory)?;
        }
        log.folder_is_new();
        // A log that was cut right before a crash may end before what its checkpoint says is on the device.
        directory.checkpoints().lower_recovery_point(&*self.disk, partition, log.log_end_offset())?;
        let log = Arc::new(log);
        let separate = Separate { log: Arc::clone(&log), directory: Arc::clone(directory) };
        self.reserved.write().insert(partition.clone());
        self.separate.write().insert(partition.clone(), separate);
        Ok((log, report))
    }

    /// From now on a stop of this directory counts as unclean until [`close`](Self::close).
    pub fn begin(&self, directory: &LogDirectory) -> Result<(), StorageError> {
        directory.begin(&*self.disk)
    }

    fn online(&self) -> impl Iterator<Item = &Arc<LogDirectory>> {
        self.directories.iter().filter(|directory| directory.is_online())
    }

    fn unique(&self, now_ms: i64) -> u128 {
        u128::from(now_ms as u64) << 64 | u128::from(self.folders_made.fetch_add(1, Ordering::Relaxed))
    }
}

/// All formatted directories belong to one node of one cluster, and each is itself.
fn check_same_node<'d>(directories: impl Iterator<Item = &'d Arc<LogDirectory>>) -> Result<(), DirsError> {
    let formatted: Vec<_> =
        directories.filter_map(|directory| Some((directory.path(), directory.meta()?))).collect();
    let mismatch = |path: &Path, what| Err(DirsError::Mismatch { path: path.to_owned(), what });
    for (number, (path, meta)) in formatted.iter().enumerate() {
        for (other_path, other) in &formatted[..number] {
            if (&meta.cluster_id, meta.node_id) != (&other.cluster_id, other.node_id) {
                let ours = format!("belongs to node {} of cluster {}", meta.node_id, meta.cluster_id);
                let theirs = format!("node {} of cluster {}", other.node_id, other.cluster_id);
                return mismatch(path, format!("{ours}, but {} to {theirs}", other_path.display()));
            }
            if meta.directory_id.is_some() && meta.directory_id == other.directory_id {
                return mismatch(path, format!("has the same directory.id as {}", other_path.display()));
            }
        }
    }
    Ok(())
}

fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}
