//! The log directories at a start: whose they are, whether they belong together, and the logs in them.
//!
//! A start must never take data for nothing and begin anew on top of it. So a directory is formatted only when there is no
//! partition in it, a cluster is begun only when no directory belongs to one, and where one does, the metadata log must be there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use klamm_config::{BrokerConfig, NodeConfig};
use klamm_log::disk::Disk;
use klamm_log::{
    DirsError, FileKind, FolderKind, LoadReport, Loading, LogConfig, LogDirectory, LogDirs, StorageError,
    TopicPartition, parse_file_name, parse_folder_name,
};
use klamm_metadata::snapshot::SnapshotId;
use klamm_protocol::Uuid;

use crate::controller::MetadataLog;
use crate::environment::Environment;
use crate::limits::{LOAD_THREADS_MAX, OPEN_FILES_MAX};
use crate::metadata_start;
use crate::server::StartError;

/// What Kafka's formatting leaves in the metadata directory of a cluster that never ran.
const KAFKA_BOOTSTRAP_FILE: &str = "bootstrap.checkpoint";

/// The log directories are not such that this node may start on them.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The directory belongs to another node.
    #[error("log directory {} belongs to node {found}, but node.id is {expected}", path.display())]
    OtherNode {
        /// The directory.
        path: PathBuf,
        /// The node in its `meta.properties`.
        found: i32,
        /// The node of the settings.
        expected: i32,
    },
    /// A directory belongs to a cluster, whose metadata is not there.
    #[error("log directory {} belongs to a cluster, but the metadata directory {} has {what}", path.display(), metadata_dir.display())]
    MetadataMissing {
        /// A directory that is formatted.
        path: PathBuf,
        /// Where the metadata log should be.
        metadata_dir: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// The metadata log is in a directory that is not the metadata directory.
    #[error("log directory {} has the metadata log, but metadata.log.dir is {}", path.display(), metadata_dir.display())]
    MetadataElsewhere {
        /// The directory that has it.
        path: PathBuf,
        /// The directory that should have it.
        metadata_dir: PathBuf,
    },
    /// A directory without `meta.properties` is not empty.
    #[error("log directory {} has no meta.properties, but is not empty: it has {folder}", path.display())]
    NotFormatted {
        /// The directory.
        path: PathBuf,
        /// A folder in it.
        folder: String,
    },
    /// Records of the metadata are lost.
    #[error("{}: the metadata log begins at {log_start_offset}, but the newest snapshot ends at {snapshot_end_offset}", path.display())]
    MetadataGap {
        /// The metadata log's folder.
        path: PathBuf,
        /// Its first offset.
        log_start_offset: i64,
        /// Where the newest snapshot ends.
        snapshot_end_offset: i64,
    },
    /// A new node of a cluster of several has to be told which cluster that is.
    #[error("log directory {} is not formatted: a node of a cluster of several is formatted with the cluster's id first (klamm format)", path.display())]
    Unformatted {
        /// The metadata directory.
        path: PathBuf,
    },
    /// The metadata log says that others decide.
    #[error("{}: node {node_id} with directory id {directory_id} is no voter of the metadata log", path.display())]
    NoVoter {
        /// The metadata log's folder.
        path: PathBuf,
        /// This node.
        node_id: i32,
        /// Its metadata directory.
        directory_id: Uuid,
    },
}

/// The log directories, locked and formatted, and the metadata log, replayed.
pub(crate) struct Storage {
    pub(crate) dirs: Arc<LogDirs>,
    /// Where the metadata log has a directory of its own.
    pub(crate) metadata_dirs: Option<Arc<LogDirs>>,
    pub(crate) metadata_dir: Arc<LogDirectory>,
    pub(crate) cluster_id: String,
    pub(crate) metadata_log: Arc<MetadataLog>,
    pub(crate) metadata: metadata_start::Metadata,
}

/// Opens the directories and everything in them. `ports` has the ports that the listeners really have, by name.
pub(crate) fn open(
    environment: &Environment,
    node: &NodeConfig,
    config: &BrokerConfig,
    ports: &BTreeMap<String, u16>,
) -> Result<Storage, StartError> {
    let now_ms = environment.clock.now_ms();
    let dirs = Arc::new(LogDirs::open(environment.disk.clone(), &node.log_dirs, OPEN_FILES_MAX)?);
    let metadata_dirs = open_metadata_dirs(environment, node)?;
    let of_metadata = metadata_dirs.as_ref().unwrap_or(&dirs);
    if let Some(metadata_dirs) = &metadata_dirs {
        dirs.check_same_node_as(metadata_dirs)?;
    }
    let metadata_dir = of_metadata.directories().iter().find(|dir| dir.path() == node.metadata_log_dir);
    let metadata_dir = metadata_dir.cloned().ok_or(DirsError::None)?;
    if let Some(error) = metadata_dir.error() {
        return Err(error.into());
    }
    let cluster_id = identify(environment, node, &dirs, of_metadata, &metadata_dir, ports)?;
    dirs.format(&cluster_id, node.node_id, || random_uuid(environment))?;
    let name = metadata_name();
    let log_config = metadata_start::log_config(config);
    let (log, report) = of_metadata.open_separately(&metadata_dir, &name, log_config, now_ms)?;
    if !report.is_empty() {
        tracing::warn!("{name} was recovered: {report}");
    }
    let metadata_log = MetadataLog::new(environment.disk.clone(), of_metadata.clone(), log, now_ms)?;
    let directory_id = metadata_dir.id().unwrap_or(Uuid::ZERO);
    let metadata = metadata_start::open(environment, &metadata_log, node, config, ports, directory_id)?;
    of_metadata.begin(&metadata_dir)?;
    load_partitions(&dirs, &name, log_threads(environment, config, &dirs), now_ms)?;
    let metadata_log = Arc::new(metadata_log);
    Ok(Storage { dirs, metadata_dirs, metadata_dir, cluster_id, metadata_log, metadata })
}

/// The metadata log.
pub(crate) fn metadata_name() -> TopicPartition {
    TopicPartition::new("__cluster_metadata", 0)
}

fn open_metadata_dirs(
    environment: &Environment,
    node: &NodeConfig,
) -> Result<Option<Arc<LogDirs>>, DirsError> {
    if node.log_dirs.contains(&node.metadata_log_dir) {
        return Ok(None);
    }
    let path = std::slice::from_ref(&node.metadata_log_dir);
    Ok(Some(Arc::new(LogDirs::open(environment.disk.clone(), path, OPEN_FILES_MAX)?)))
}

/// The cluster that the directories belong to; directories without one are the beginning of a new cluster.
fn identify(
    environment: &Environment,
    node: &NodeConfig,
    dirs: &LogDirs,
    of_metadata: &LogDirs,
    metadata_dir: &LogDirectory,
    ports: &BTreeMap<String, u16>,
) -> Result<String, StartError> {
    let disk = &*environment.disk;
    let mut all: Vec<&LogDirectory> = vec![metadata_dir];
    let others = dirs.directories().iter().filter(|dir| dir.path() != metadata_dir.path());
    all.extend(others.filter(|dir| dir.is_online()).map(|dir| &**dir));
    let found = all.into_iter().map(|dir| Found::look(disk, dir)).collect::<Result<Vec<_>, _>>()?;
    check(disk, node, &found)?;
    if let Some(meta) = metadata_dir.meta() {
        return Ok(meta.cluster_id);
    }
    if !metadata_start::stands_alone(node, ports) {
        return Err(DirectoryError::Unformatted { path: metadata_dir.path().to_owned() }.into());
    }
    let (cluster_id, directory_id) = (random_uuid(environment).to_string(), random_uuid(environment));
    // The voter in the snapshot is this node's metadata directory, so the snapshot must know the id that it will get. And the snapshot
    // comes first: a directory counts as formatted once it has its meta.properties.
    metadata_start::format(environment, metadata_dir.path(), directory_id, node)?;
    of_metadata.format_directory(metadata_dir, &cluster_id, node.node_id, directory_id)?;
    tracing::info!("formatted {} for a new cluster {cluster_id}", metadata_dir.path().display());
    Ok(cluster_id)
}

/// What is in a directory, the metadata directory or another one.
struct Found<'d> {
    directory: &'d LogDirectory,
    /// The names of its partition folders, without those that wait for their removal.
    folders: Vec<String>,
    has_metadata_log: bool,
    has_kafka_bootstrap: bool,
}

impl<'d> Found<'d> {
    fn look(disk: &dyn Disk, directory: &'d LogDirectory) -> Result<Self, StorageError> {
        let metadata = metadata_name().to_string();
        let mut found =
            Self { directory, folders: Vec::new(), has_metadata_log: false, has_kafka_bootstrap: false };
        for entry in list(disk, directory.path())? {
            match entry.is_dir {
                true if entry.name == metadata => found.has_metadata_log = true,
                true => {
                    let kind = parse_folder_name(&entry.name).map(|(_, kind)| kind);
                    if kind.is_some_and(|kind| kind != FolderKind::Deleted) {
                        found.folders.push(entry.name);
                    }
                }
                false => found.has_kafka_bootstrap |= entry.name == KAFKA_BOOTSTRAP_FILE,
            }
        }
        Ok(found)
    }
}

fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<klamm_log::disk::Entry>, StorageError> {
    disk.list(dir).map_err(|error| StorageError {
        operation: "list",
        path: dir.to_owned(),
        source: Arc::new(error),
    })
}

/// Checks that nothing is lost and that nothing would be formatted that is in use. The first directory is the metadata directory.
fn check(disk: &dyn Disk, node: &NodeConfig, found: &[Found<'_>]) -> Result<(), StartError> {
    let metadata = &found[0];
    let metadata_dir = metadata.directory.path().to_owned();
    for Found { directory, folders, .. } in found {
        let path = directory.path().to_owned();
        match (directory.meta(), folders.first()) {
            (Some(meta), _) if meta.node_id != node.node_id => {
                let (found, expected) = (meta.node_id, node.node_id);
                return Err(DirectoryError::OtherNode { path, found, expected }.into());
            }
            (None, Some(folder)) => {
                return Err(DirectoryError::NotFormatted { path, folder: folder.clone() }.into());
            }
            _ => {}
        }
    }
    if let Some(other) = found[1..].iter().find(|other| other.has_metadata_log) {
        let path = other.directory.path().to_owned();
        return Err(DirectoryError::MetadataElsewhere { path, metadata_dir }.into());
    }
    let content = metadata_content(disk, metadata)?;
    let is_new = metadata.has_kafka_bootstrap && found.iter().all(|found| found.folders.is_empty());
    let formatted = found.iter().find(|found| found.directory.meta().is_some());
    let missing = |formatted: &Found<'_>, what| {
        let path = formatted.directory.path().to_owned();
        Err(DirectoryError::MetadataMissing { path, metadata_dir: metadata_dir.clone(), what }.into())
    };
    match formatted {
        Some(formatted) if metadata.directory.meta().is_none() => missing(formatted, "no meta.properties"),
        // A broker that is no controller gets the metadata log from those.
        Some(formatted) if node.roles.controller && content == Content::Nothing && !is_new => {
            missing(formatted, "no metadata log")
        }
        None if content == Content::Records => {
            let folder = metadata_name().to_string();
            Err(DirectoryError::NotFormatted { path: metadata_dir, folder }.into())
        }
        _ => Ok(()),
    }
}

/// What the metadata log's folder has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Content {
    /// No folder, or nothing in it.
    Nothing,
    /// The snapshot that formatting wrote.
    Formatted,
    /// More than that.
    Records,
}

fn metadata_content(disk: &dyn Disk, metadata: &Found<'_>) -> Result<Content, StorageError> {
    if !metadata.has_metadata_log {
        return Ok(Content::Nothing);
    }
    let dir = metadata.directory.path().join(metadata_name().to_string());
    let mut content = Content::Nothing;
    for entry in list(disk, &dir)? {
        let holds = match (SnapshotId::from_file_name(&entry.name), parse_file_name(&entry.name)) {
            (Some(SnapshotId::BOOTSTRAP), _) => Content::Formatted,
            (Some(_), _) => Content::Records,
            (None, Some((_, FileKind::Log, _))) if has_bytes(disk, &dir.join(&entry.name)) => {
                Content::Records
            }
            _ => Content::Nothing,
        };
        content = content.max(holds);
    }
    Ok(content)
}

fn has_bytes(disk: &dyn Disk, path: &Path) -> bool {
    disk.metadata(path).is_ok_and(|metadata| metadata.size > 0)
}

/// A random id whose text does not begin with a dash, which command lines would take for an option.
pub(crate) fn random_uuid(environment: &Environment) -> Uuid {
    loop {
        let versioned = environment.random.next_u128() & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
        let id = Uuid(versioned.to_be_bytes());
        if !id.to_string().starts_with('-') {
            return id;
        }
    }
}

fn load_partitions(
    dirs: &LogDirs,
    metadata: &TopicPartition,
    threads: usize,
    now_ms: i64,
) -> Result<(), StorageError> {
    let defaults = Arc::new(LogConfig::default());
    let report =
        dirs.load(&Loading { config_of: &|_| defaults.clone(), except: metadata, threads, now_ms })?;
    let LoadReport { recovered, failed, .. } = report;
    for (partition, report) in recovered {
        tracing::warn!("{partition} was recovered: {report}");
    }
    for (partition, error) in failed {
        tracing::error!("{partition} cannot be used: {error}");
    }
    Ok(())
}

/// How many threads open and close logs.
pub(crate) fn log_threads(environment: &Environment, config: &BrokerConfig, dirs: &LogDirs) -> usize {
    let wanted = config.num_recovery_threads_per_data_dir.max(1) as usize * dirs.directories().len();
    environment.executors.disk_threads(wanted.min(LOAD_THREADS_MAX))
}
