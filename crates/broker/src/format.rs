//! Formatting: making the log directories of a node ready for a cluster, as Kafka's `kafka-storage format` does.
//!
//! Every directory gets its `meta.properties`. A controller's metadata directory gets the snapshot that the cluster begins with: the levels
//! of its features and, where the metadata log holds the voters (`kraft.version` 1, KIP-853), the first of them. The snapshot is written
//! first: a directory counts as formatted once it has its `meta.properties`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use klamm_config::NodeConfig;
use klamm_config::endpoint::HostPort;
use klamm_log::{DirsError, LogDirectory, LogDirs, StorageError};
use klamm_metadata::features::{FEATURES, Feature, KRAFT_VERSION};
use klamm_metadata::metadata_version::UnknownMetadataVersion;
use klamm_metadata::snapshot::{QuorumRecords, Snapshot, SnapshotId};
use klamm_metadata::{MetadataRecord, MetadataVersion};
use klamm_protocol::Uuid;
use klamm_protocol::messages::FeatureLevelRecord;
use klamm_quorum::{ReplicaKey, VoterEndpoint, VoterNode, VoterSet};

use crate::controller::DriverError;
use crate::environment::Environment;
use crate::limits::OPEN_FILES_MAX;
use crate::metadata_start::{self, KRAFT_VERSIONS};
use crate::storage::random_uuid;

/// What a formatting is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatOptions {
    /// The cluster's id, the same on all nodes.
    pub cluster_id: String,
    /// Who votes first.
    pub controllers: InitialControllers,
    /// The release (`4.4`) or metadata version (`4.4-IV2`) that features begin with; the latest if none is given.
    pub release_version: Option<String>,
    /// Levels of features that are not to begin with the release's default.
    pub features: BTreeMap<String, i16>,
    /// Whether directories that are formatted are left as they are, instead of being refused.
    pub ignore_formatted: bool,
}

/// The voters that a metadata log begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitialControllers {
    /// Those of `controller.quorum.voters`; nobody where that is empty and the node is only a broker.
    Configured,
    /// This node alone.
    Standalone,
    /// These.
    Named(Vec<InitialController>),
    /// Nobody yet: this node finds the others by `controller.quorum.bootstrap.servers`.
    Nobody,
}

/// A voter that a metadata log begins with, `id@host:port:directory`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitialController {
    /// Its node id.
    pub node_id: i32,
    /// Where it listens.
    pub address: HostPort,
    /// The id that its metadata directory gets.
    pub directory_id: Uuid,
}

/// Text that is no initial controller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not of the form id@host:port:directory")]
pub struct NoInitialController(String);

impl FromStr for InitialController {
    type Err = NoInitialController;

    fn from_str(text: &str) -> Result<Self, NoInitialController> {
        let refused = || NoInitialController(text.to_owned());
        let (node_id, rest) = text.split_once('@').ok_or_else(refused)?;
        let (address, directory_id) = rest.rsplit_once(':').ok_or_else(refused)?;
        Ok(Self {
            node_id: node_id.parse().ok().filter(|id| *id >= 0).ok_or_else(refused)?,
            address: address.parse().map_err(|_| refused())?,
            directory_id: directory_id.parse().map_err(|_| refused())?,
        })
    }
}

/// What became of one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormattedDirectory {
    /// The directory.
    pub path: PathBuf,
    /// Its id.
    pub directory_id: Uuid,
    /// Whether the metadata log is in it.
    pub is_metadata: bool,
    /// Whether it was formatted before, and left as it is.
    pub was_formatted: bool,
    /// The metadata version that was asked for.
    pub metadata_version: MetadataVersion,
}

/// Why a node's directories are not formatted.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The cluster has no id.
    #[error("the cluster id is empty")]
    ClusterId,
    /// The settings name the voters, and so do the options.
    #[error(
        "controller.quorum.voters is set: remove it, and set controller.quorum.bootstrap.servers, to have the voters in the metadata log"
    )]
    TwoVoterSets,
    /// Nothing says who votes.
    #[error(
        "controller.quorum.voters is not set on this controller: say whether it stands alone, which controllers there are, or that none is known yet"
    )]
    NoVoterSet,
    /// A node that is no controller cannot be the only voter.
    #[error("only a controller can stand alone")]
    NoController,
    /// Two initial controllers have one node id or one directory.
    #[error("the initial controllers name node {0}, or its directory, twice")]
    Repeated(i32),
    /// No such release.
    #[error(transparent)]
    Release(#[from] UnknownMetadataVersion),
    /// `metadata.version` is set by the release.
    #[error("metadata.version is set twice: by the release and as a feature")]
    MetadataVersionTwice,
    /// No such feature.
    #[error("feature {0} is not known; there are {known}", known = known_features())]
    UnknownFeature(String),
    /// The feature has no such level.
    #[error("feature {name} has no level {level}: it goes up to {max}")]
    Level {
        /// The feature.
        name: String,
        /// The level asked for.
        level: i16,
        /// The highest there is.
        max: i16,
    },
    /// The level needs newer metadata.
    #[error("{name}={level} needs metadata.version {needed} or later")]
    NeedsMetadataVersion {
        /// The feature.
        name: String,
        /// The level asked for.
        level: i16,
        /// The metadata version that it needs.
        needed: i16,
    },
    /// `kraft.version` contradicts where the voters are.
    #[error("kraft.version={0} does not fit: it is 0 with controller.quorum.voters, and else 1")]
    KRaftVersion(i16),
    /// A directory is formatted already.
    #[error("log directory {} is formatted already", .0.display())]
    Formatted(PathBuf),
    /// A directory belongs to another node or cluster.
    #[error("log directory {} belongs to node {node_id} of cluster {cluster_id}", path.display())]
    OtherOwner {
        /// The directory.
        path: PathBuf,
        /// The node in its `meta.properties`.
        node_id: i32,
        /// The cluster in its `meta.properties`.
        cluster_id: String,
    },
    /// The directories cannot be used.
    #[error(transparent)]
    Dirs(#[from] DirsError),
    /// A directory cannot be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The metadata log cannot be begun.
    #[error(transparent)]
    Metadata(#[from] DriverError),
}

fn known_features() -> String {
    FEATURES.map(|feature| feature.name).join(", ")
}

/// Formats the directories of a node that are not formatted yet. Returns all of them, in the order of the settings, the metadata
/// directory last where it is one of its own. The node must not be running.
///
/// # Errors
/// What is wrong with the options or the directories. What was formatted before a disk refused stays formatted.
pub fn format(
    environment: &Environment,
    node: &NodeConfig,
    options: &FormatOptions,
) -> Result<Vec<FormattedDirectory>, FormatError> {
    if options.cluster_id.trim().is_empty() {
        return Err(FormatError::ClusterId);
    }
    let version = metadata_version(options)?;
    let quorum_level = kraft_version(node, options)?;
    let records = feature_records(version, options)?;
    let voters = initial_voters(environment, node, &options.controllers)?;
    let dirs = open(environment, node)?;
    check_owner(&dirs, node, options)?;
    let own_voter = voters.as_ref().and_then(|voters| voters.get(node.node_id));
    let own_directory = own_voter.and_then(|voter| voter.key.directory_id);
    let voters = voters.as_ref().map(VoterSet::to_record);
    let quorum = QuorumRecords { kraft_version: quorum_level, voters };
    let now_ms = environment.clock.now_ms();
    let snapshot = Snapshot { last_contained_log_timestamp_ms: now_ms, quorum, records };
    let format_one = |directory: &LogDirectory| -> Result<FormattedDirectory, FormatError> {
        let is_metadata = directory.path() == node.metadata_log_dir;
        let known = directory.id();
        let directory_id =
            known.or(own_directory.filter(|_| is_metadata)).unwrap_or_else(|| random_uuid(environment));
        if directory.meta().is_none() {
            if is_metadata && node.roles.controller {
                write_snapshot(environment, directory, &snapshot, version, now_ms)?;
            }
            dirs.format_directory(directory, &options.cluster_id, node.node_id, directory_id)?;
        }
        let path = directory.path().to_owned();
        let was_formatted = known.is_some();
        Ok(FormattedDirectory { path, directory_id, is_metadata, was_formatted, metadata_version: version })
    };
    dirs.directories().iter().map(|directory| format_one(directory)).collect()
}

fn write_snapshot(
    environment: &Environment,
    directory: &LogDirectory,
    snapshot: &Snapshot,
    version: MetadataVersion,
    now_ms: i64,
) -> Result<(), FormatError> {
    let bytes = snapshot.encode(SnapshotId::BOOTSTRAP, now_ms, version).map_err(DriverError::from)?;
    Ok(metadata_start::begin_log(&*environment.disk, directory.path(), &bytes)?)
}

fn metadata_version(options: &FormatOptions) -> Result<MetadataVersion, FormatError> {
    let level = options.features.get(MetadataVersion::FEATURE_NAME);
    match (&options.release_version, level) {
        (Some(_), Some(_)) => Err(FormatError::MetadataVersionTwice),
        (Some(name), None) => Ok(MetadataVersion::from_name(name)?),
        (None, Some(&level)) => Ok(MetadataVersion::from_level(level)?),
        (None, None) => Ok(MetadataVersion::LATEST),
    }
}

/// The level of `kraft.version`: 0 has its voters in the settings, 1 in the metadata log.
fn kraft_version(node: &NodeConfig, options: &FormatOptions) -> Result<i16, FormatError> {
    let level = i16::from(node.voters.is_empty());
    match options.features.get(KRAFT_VERSION.name) {
        Some(&asked) if asked != level => Err(FormatError::KRaftVersion(asked)),
        _ => Ok(level),
    }
}

/// The levels of all features that are not off, as records.
fn feature_records(
    version: MetadataVersion,
    options: &FormatOptions,
) -> Result<Vec<MetadataRecord<'static>>, FormatError> {
    let record = |name: &'static str, feature_level| {
        MetadataRecord::FeatureLevel(FeatureLevelRecord { name: name.into(), feature_level })
    };
    for (name, &level) in &options.features {
        check_feature(name, level, version)?;
    }
    let mut records = vec![record(MetadataVersion::FEATURE_NAME, version.level())];
    for feature in FEATURES.into_iter().filter(|feature| **feature != KRAFT_VERSION) {
        let asked = options.features.get(feature.name).copied();
        let level = asked.unwrap_or_else(|| feature.default_level(version));
        if level > 0 {
            records.push(record(feature.name, level));
        }
    }
    Ok(records)
}

fn check_feature(name: &str, level: i16, version: MetadataVersion) -> Result<(), FormatError> {
    if name == MetadataVersion::FEATURE_NAME {
        return Ok(());
    }
    let feature = Feature::from_name(name).ok_or_else(|| FormatError::UnknownFeature(name.to_owned()))?;
    let name = name.to_owned();
    match feature.needs_metadata_version(level) {
        None => Err(FormatError::Level { name, level, max: feature.supported().max }),
        Some(needed) if needed > version.level() => {
            Err(FormatError::NeedsMetadataVersion { name, level, needed })
        }
        Some(_) => Ok(()),
    }
}

/// The voters of the snapshot; none where the settings name them, or nobody does yet.
fn initial_voters(
    environment: &Environment,
    node: &NodeConfig,
    controllers: &InitialControllers,
) -> Result<Option<VoterSet>, FormatError> {
    let is_named = matches!(controllers, InitialControllers::Standalone | InitialControllers::Named(_));
    if is_named && !node.voters.is_empty() {
        return Err(FormatError::TwoVoterSets);
    }
    match controllers {
        InitialControllers::Configured if node.roles.controller && node.voters.is_empty() => {
            Err(FormatError::NoVoterSet)
        }
        InitialControllers::Configured | InitialControllers::Nobody => Ok(None),
        InitialControllers::Standalone if !node.roles.controller => Err(FormatError::NoController),
        InitialControllers::Standalone => {
            let local =
                metadata_start::local_voter(environment, node, &BTreeMap::new(), random_uuid(environment));
            Ok(Some(VoterSet::new([local])))
        }
        InitialControllers::Named(named) => named_voters(node, named).map(Some),
    }
}

fn named_voters(node: &NodeConfig, named: &[InitialController]) -> Result<VoterSet, FormatError> {
    let name = node.controller_listener_names.first().cloned().unwrap_or_default();
    for (index, one) in named.iter().enumerate() {
        let same = |other: &&InitialController| {
            other.node_id == one.node_id || other.directory_id == one.directory_id
        };
        if named[..index].iter().any(|other| same(&other)) {
            return Err(FormatError::Repeated(one.node_id));
        }
    }
    Ok(VoterSet::new(named.iter().map(|controller| {
        let HostPort { host, port } = controller.address.clone();
        VoterNode {
            key: ReplicaKey::new(controller.node_id, controller.directory_id),
            endpoints: vec![VoterEndpoint { name: name.clone(), host, port }],
            kraft_versions: KRAFT_VERSIONS,
        }
    })))
}

/// The log directories and the metadata directory, locked.
fn open(environment: &Environment, node: &NodeConfig) -> Result<LogDirs, FormatError> {
    let mut paths = node.log_dirs.clone();
    if !paths.contains(&node.metadata_log_dir) {
        paths.push(node.metadata_log_dir.clone());
    }
    let dirs = LogDirs::open(environment.disk.clone(), &paths, OPEN_FILES_MAX)?;
    match dirs.directories().iter().find_map(|directory| directory.error()) {
        Some(error) => Err(error.into()),
        None => Ok(dirs),
    }
}

fn check_owner(dirs: &LogDirs, node: &NodeConfig, options: &FormatOptions) -> Result<(), FormatError> {
    for directory in dirs.directories() {
        let Some(meta) = directory.meta() else { continue };
        let path = directory.path().to_owned();
        if meta.node_id != node.node_id || meta.cluster_id != options.cluster_id {
            let (node_id, cluster_id) = (meta.node_id, meta.cluster_id);
            return Err(FormatError::OtherOwner { path, node_id, cluster_id });
        }
        if !options.ignore_formatted {
            return Err(FormatError::Formatted(path));
        }
    }
    Ok(())
}
