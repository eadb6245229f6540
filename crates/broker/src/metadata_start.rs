//! From a folder to a running metadata quorum: formatting, the latest snapshot, the log behind it, and the machine on top.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use klamm_config::endpoint::HostPort;
use klamm_config::{BrokerConfig, Listener, NodeConfig};
use klamm_log::LogConfig;
use klamm_log::disk::Disk;
use klamm_metadata::log_batch::{BatchContents, LogBatch};
use klamm_metadata::snapshot::{QuorumRecords, Snapshot, SnapshotId};
use klamm_metadata::{ControlRecord, MetadataImage, MetadataRecord, MetadataVersion, Provenance};
use klamm_protocol::Uuid;
use klamm_quorum::{
    Output, Quorum, QuorumConfig, QuorumStart, ReplicaKey, VoterEndpoint, VoterNode, VoterSet,
};

use crate::controller::{DriverError, MetadataLog, MetadataLogError, bootstrap_ids};
use crate::environment::Environment;
use crate::server::StartError;
use crate::storage::{DirectoryError, metadata_name};

/// The levels of `kraft.version` that this node supports.
pub(crate) const KRAFT_VERSIONS: (i16, i16) = (0, 1);

/// What the folder holds, and the quorum that runs on it.
pub(crate) struct Metadata {
    pub(crate) quorum: Quorum,
    pub(crate) outputs: Vec<Output>,
    /// The image of the latest snapshot.
    pub(crate) image: MetadataImage,
    /// The batches behind it.
    pub(crate) batches: Vec<LogBatch>,
    /// What a cluster without records begins with.
    pub(crate) bootstrap: Vec<MetadataRecord<'static>>,
}

/// Writes the snapshot that a new cluster begins with: a static quorum where the settings name voters, else one whose only
/// voter, this node, stands in the log.
pub(crate) fn format(
    environment: &Environment,
    dir: &Path,
    directory_id: Uuid,
    node: &NodeConfig,
) -> Result<(), DriverError> {
    let now_ms = environment.clock.now_ms();
    let version = MetadataVersion::LATEST;
    let quorum = if node.voters.is_empty() {
        let voters = VoterSet::new([local_voter(environment, node, &BTreeMap::new(), directory_id)]);
        QuorumRecords { kraft_version: 1, voters: Some(voters.to_record()) }
    } else {
        QuorumRecords::default()
    };
    let snapshot = Snapshot::bootstrap(version, now_ms, quorum);
    begin_log(&*environment.disk, dir, &snapshot.encode(SnapshotId::BOOTSTRAP, now_ms, version)?)
}

/// Makes the metadata log's folder with the snapshot that a cluster begins with.
pub(crate) fn begin_log(disk: &dyn Disk, dir: &Path, snapshot: &[u8]) -> Result<(), DriverError> {
    remove_unfinished(disk, dir)?;
    Ok(crate::controller::format(disk, dir, snapshot)?)
}

/// Removes the snapshot of a formatting that did not come to its end: it names a voter that never was.
fn remove_unfinished(disk: &dyn Disk, dir: &Path) -> Result<(), DriverError> {
    let path = dir.join(metadata_name().to_string()).join(SnapshotId::BOOTSTRAP.to_string());
    match disk.remove(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(MetadataLogError::File { path, source }.into())
        }
        _ => Ok(()),
    }
}

/// Reads the folder and starts the quorum.
pub(crate) fn open(
    environment: &Environment,
    log: &MetadataLog,
    node: &NodeConfig,
    broker: &BrokerConfig,
    ports: &BTreeMap<String, u16>,
    directory_id: Uuid,
) -> Result<Metadata, StartError> {
    let snapshots = log.snapshots()?;
    let bootstrap = match snapshots.first() {
        Some(&SnapshotId::BOOTSTRAP) => log.load_snapshot(SnapshotId::BOOTSTRAP)?.records,
        _ => Snapshot::bootstrap(MetadataVersion::LATEST, 0, QuorumRecords::default()).records,
    };
    let latest = snapshots.last().copied().unwrap_or(SnapshotId::BOOTSTRAP);
    check_contiguous(log, latest)?;
    let (image, quorum_records) = load(log, &snapshots, latest)?;
    let batches = log.batches_from(latest.end_offset.max(log.log().log_start_offset()))?;
    let is_formatting = latest == SnapshotId::BOOTSTRAP;
    let mut start = QuorumStart {
        election: log.load_election_state()?,
        log: log.state()?,
        kraft_version: quorum_records.kraft_version,
        older_kraft_version: None,
        voters: configured_voters(node),
        voters_offset: -1,
        older_voters: Vec::new(),
    };
    if let Some(record) = &quorum_records.voters {
        start.voters = VoterSet::from_record(record);
        // Those of the formatting snapshot are in no log yet; those of a later one are as old as its last record.
        start.voters_offset = if is_formatting { -1 } else { latest.end_offset - 1 };
    }
    batches.iter().for_each(|batch| note_control_records(batch, &mut start));
    let local = local_voter(environment, node, ports, directory_id);
    if !start.voters.contains(local.key) && !finds_others(node, ports, &start.voters) {
        let (path, node_id) = (log.log().dir(), node.node_id);
        return Err(DirectoryError::NoVoter { path, node_id, directory_id }.into());
    }
    let config = quorum_config(environment, node, broker, local);
    let (quorum, outputs) = Quorum::open(config, start, environment.clock.monotonic_ms());
    Ok(Metadata { quorum, outputs, image, batches, bootstrap })
}

/// Whether a node that does not vote has somebody to follow.
fn finds_others(node: &NodeConfig, ports: &BTreeMap<String, u16>, voters: &VoterSet) -> bool {
    let is_other = |server: &HostPort| !is_own(node, ports, server);
    voters.ids().any(|id| id != node.node_id) || node.bootstrap_servers.iter().any(is_other)
}

/// Whether a node is a cluster of its own, as far as the settings tell: a cluster of several must not be begun by each of its nodes.
pub(crate) fn stands_alone(node: &NodeConfig, ports: &BTreeMap<String, u16>) -> bool {
    let is_only_voter = node.voters.iter().all(|voter| voter.id == node.node_id);
    let is_only_server = node.bootstrap_servers.iter().all(|server| is_own(node, ports, server));
    node.roles.broker && node.roles.controller && is_only_voter && is_only_server
}

/// Whether an address is one of this node's own controller listeners.
fn is_own(node: &NodeConfig, ports: &BTreeMap<String, u16>, server: &HostPort) -> bool {
    let is_loopback = |host: &str| matches!(host, "localhost" | "127.0.0.1" | "::1");
    node.controller_listeners.iter().chain(&node.advertised_controller_listeners).any(|listener| {
        let same_host = match &listener.host {
            None => true,
            Some(host) => *host == server.host || is_loopback(host) && is_loopback(&server.host),
        };
        same_host && (listener.port == server.port || port_of(listener, ports) == server.port)
    })
}

fn quorum_config(
    environment: &Environment,
    node: &NodeConfig,
    broker: &BrokerConfig,
    local: VoterNode,
) -> QuorumConfig {
    QuorumConfig {
        local,
        bootstrap_ids: bootstrap_ids(node.bootstrap_servers.len()),
        election_timeout_ms: i64::from(broker.controller_quorum_election_timeout_ms),
        election_backoff_ms_max: i64::from(broker.controller_quorum_election_backoff_max_ms),
        fetch_timeout_ms: i64::from(broker.controller_quorum_fetch_timeout_ms),
        request_timeout_ms: i64::from(broker.controller_quorum_request_timeout_ms),
        retry_backoff_ms: i64::from(broker.controller_quorum_retry_backoff_ms),
        seed: environment.random.next_u128() as u64,
    }
}

/// Checks that no record is missing between the newest snapshot and the log.
fn check_contiguous(log: &MetadataLog, latest: SnapshotId) -> Result<(), DirectoryError> {
    let (log_start_offset, snapshot_end_offset) = (log.log().log_start_offset(), latest.end_offset);
    if log_start_offset > snapshot_end_offset {
        let path = log.log().dir();
        return Err(DirectoryError::MetadataGap { path, log_start_offset, snapshot_end_offset });
    }
    Ok(())
}

/// The image of a snapshot. The formatting snapshot is no part of it: its records come again as the log's first.
fn load(
    log: &MetadataLog,
    snapshots: &[SnapshotId],
    latest: SnapshotId,
) -> Result<(MetadataImage, QuorumRecords), DriverError> {
    if snapshots.is_empty() {
        return Ok(Default::default());
    }
    let snapshot = log.load_snapshot(latest)?;
    if latest == SnapshotId::BOOTSTRAP {
        return Ok((MetadataImage::default(), snapshot.quorum));
    }
    let provenance = Provenance {
        last_offset: latest.end_offset - 1,
        last_epoch: latest.epoch,
        last_timestamp_ms: snapshot.last_contained_log_timestamp_ms,
    };
    Ok((MetadataImage::from_snapshot(&snapshot.records, provenance)?, snapshot.quorum))
}

fn note_control_records(batch: &LogBatch, start: &mut QuorumStart) {
    let BatchContents::Control(records) = &batch.contents else { return };
    for (offset, record) in (batch.base_offset..).zip(records) {
        match record {
            ControlRecord::Voters(record) => {
                let older = std::mem::replace(&mut start.voters, VoterSet::from_record(record));
                start.older_voters.push((std::mem::replace(&mut start.voters_offset, offset), older));
            }
            ControlRecord::KRaftVersion(record) if record.kraft_version != start.kraft_version => {
                start.older_kraft_version = Some((offset, start.kraft_version));
                start.kraft_version = record.kraft_version;
            }
            _ => {}
        }
    }
}

fn configured_voters(node: &NodeConfig) -> VoterSet {
    let name = node.controller_listener_names.first().cloned().unwrap_or_default();
    VoterSet::new(node.voters.iter().map(|voter| VoterNode {
        key: ReplicaKey::of_id(voter.id),
        endpoints: vec![VoterEndpoint {
            name: name.clone(),
            host: voter.address.host.clone(),
            port: voter.address.port,
        }],
        kraft_versions: KRAFT_VERSIONS,
    }))
}

/// This node as a voter. `ports` has what listeners with port 0 were given, by name.
pub(crate) fn local_voter(
    environment: &Environment,
    node: &NodeConfig,
    ports: &BTreeMap<String, u16>,
    directory_id: Uuid,
) -> VoterNode {
    let endpoints = node.advertised_controller_listeners.iter().map(|listener| VoterEndpoint {
        name: listener.name.clone(),
        host: environment.advertised_host(listener),
        port: port_of(listener, ports),
    });
    VoterNode {
        key: ReplicaKey::new(node.node_id, directory_id),
        endpoints: endpoints.collect(),
        kraft_versions: KRAFT_VERSIONS,
    }
}

/// The port that a listener really has.
fn port_of(listener: &Listener, ports: &BTreeMap<String, u16>) -> u16 {
    match listener.port {
        0 => ports.get(&listener.name).copied().unwrap_or(0),
        port => port,
    }
}

/// The settings of the metadata log.
pub(crate) fn log_config(broker: &BrokerConfig) -> Arc<LogConfig> {
    let segment_bytes =
        broker.internal_metadata_log_segment_bytes.unwrap_or(broker.metadata_log_segment_bytes);
    Arc::new(LogConfig {
        segment_bytes: segment_bytes.max(0) as u64,
        segment_ms: broker.metadata_log_segment_ms,
        retention_ms: -1,
        retention_bytes: -1,
        delete: false,
        ..LogConfig::default()
    })
}
