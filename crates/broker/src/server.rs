//! Starting and stopping a broker.
//!
//! Start: open the listening sockets (so that a taken port changes nothing on disk), lock and if need be format the log directories, replay
//! the metadata log, load the partitions, take part in the quorum, register, and only then accept clients. Stop: the reverse.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use arc_swap::ArcSwap;
use klamm_config::load::Loaded;
use klamm_config::{BrokerConfig, Layers, NodeConfig};
use klamm_controller::ControllerConfig;
use klamm_coordinator::GroupSettings;
use klamm_log::{DirsError, LogDirectory, LogDirs, StorageError};
use klamm_metadata::{MetadataImage, features};
use klamm_replica::FetchSessions;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::broker::Broker;
use crate::config_rules::NodeConfigRules;
use crate::controller::{
    ControllerHandle, Driver, DriverError, DriverParts, Idleness, MetadataLog, MetadataLogError,
    OutboundConfig, PeriodicElections, Requests, SnapshotPolicy,
};
use crate::environment::{Environment, ExecutorStopped, Place};
use crate::gone_brokers;
use crate::groups::GroupCoordinator;
use crate::housekeeping;
use crate::limits::{ELECTIONS_PER_STEP_MAX, RESIGNATION_MS_MAX};
use crate::listener::{self, ConnectionCount, ListenerRole};

use crate::metadata_start;
use crate::metrics::{self, Metrics};
use crate::observer::Observer;
use crate::offline_directories;
use crate::peers::Peers;
use crate::registration::{self, Registration, RegistrationError};
use crate::replica_move;
use crate::replicas::{self, Replicas};
use crate::replication::{self, Fetchers};
use crate::storage::{self, DirectoryError, Storage, log_threads, random_uuid};
use crate::throttles::Throttles;

mod sockets;

use self::sockets::Socket;

/// How often a start that waits for a controller says so.
const CONTROLLER_WAIT_MS: u64 = 10_000;
/// How often it is looked whether the directories are there that the broker needs.
const DIRECTORY_CHECK_MS: u64 = 1000;

/// A running broker.
pub struct Server {
    broker: Arc<Broker>,
    addresses: Vec<(String, SocketAddr)>,
    metrics_address: Option<SocketAddr>,
    metadata_dirs: Option<Arc<LogDirs>>,
    metadata_dir: Arc<LogDirectory>,
    ended: watch::Receiver<Option<String>>,
}

/// Why a broker could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener has no address of its own.
    #[error("listener {name} cannot be resolved: {host}: {source}")]
    Address {
        /// The listener.
        name: String,
        /// Its host.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// A listener's socket cannot be opened.
    #[error(transparent)]
    Listen(#[from] listener::ListenError),
    /// The log directories cannot be used.
    #[error(transparent)]
    Dirs(#[from] DirsError),
    /// A log directory cannot be written or read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The log directories do not belong to this node, or not together.
    #[error(transparent)]
    Directories(#[from] DirectoryError),
    /// The metadata log cannot be used.
    #[error(transparent)]
    Metadata(#[from] DriverError),
    /// The controller ended, and there is nobody to register with.
    #[error("{0}")]
    ControllerEnded(String),
    /// The controller refused this broker, or was not there.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// The broker was stopped while it started.
    #[error(transparent)]
    Stopped(#[from] ExecutorStopped),
}

impl From<MetadataLogError> for StartError {
    fn from(error: MetadataLogError) -> Self {
        Self::Metadata(error.into())
    }
}

/// Starts a broker; it accepts connections on return.
///
/// # Errors
/// What keeps it from starting, naming it. Nothing on disk is lost by trying again.
pub async fn start(loaded: Loaded, environment: Environment) -> Result<Server, StartError> {
    let Loaded { layers, node, broker: config, .. } = loaded;
    let sockets = sockets::open(&environment, &node, &config).await?;
    let metrics_socket = sockets::open_metrics(&environment, &node, &config).await?;
    let opened = {
        let (environment, node, config) = (environment.clone(), node.clone(), config.clone());
        let ports = sockets::ports(&sockets);
        environment.clone().blocking(move || storage::open(&environment, &node, &config, &ports)).await??
    };
    Starting { layers, node, config, environment, sockets, metrics_socket, opened }.finish().await
}

/// Everything that is open when the tasks begin.
struct Starting {
    layers: Layers,
    node: NodeConfig,
    config: BrokerConfig,
    environment: Environment,
    sockets: Vec<Socket>,
    metrics_socket: Option<Box<dyn klamm_net::Listener>>,
    opened: Storage,
}

impl Starting {
    async fn finish(self) -> Result<Server, StartError> {
        let Self { layers, node, config, environment, sockets, metrics_socket, opened } = self;
        let (controller, requests) = ControllerHandle::new();
        let (stopping, _) = watch::channel(false);
        let broker = Arc::new(Broker {
            environment: environment.clone(),
            node_id: node.node_id,
            incarnation_id: random_uuid(&environment),
            roles: node.roles,
            controller_listener: node.controller_listener_names.first().cloned().unwrap_or_default(),
            cluster_id: opened.cluster_id,
            groups: Arc::new(GroupCoordinator::new(
                environment.clone(),
                group_settings(&config),
                config.offsets_topic_num_partitions,
            )),
            fetch_sessions: Mutex::new(FetchSessions::new(
                config.max_incremental_fetch_session_cache_slots.max(0) as usize,
            )),
            layers: ArcSwap::from_pointee(layers.clone()),
            config: ArcSwap::from_pointee(config.clone()),
            image: ArcSwap::from_pointee(MetadataImage::default()),
            image_changes: watch::Sender::new(()),
            hosted: ArcSwap::default(),
            following: tokio::sync::Mutex::default(),
            log_dirs: opened.dirs.clone(),
            controller,
            peers: Peers::new(environment.clone(), node.node_id.to_string()),
            producer_ids: Default::default(),
            moves: Default::default(),
            untold_replicas: Default::default(),
            isr_changes: Default::default(),
            throttles: Throttles::new(&config),
            fetchers: Fetchers::new(node.inter_broker_listener.clone()),
            connections: ConnectionCount::default(),
            metrics: Metrics::new(environment.executors.workers() + 1, environment.clock.now_ms()),
            epoch: AtomicI64::new(-1),
            heartbeat_due: Notify::new(),
            offline_directories: Default::default(),
            stopping,
        });
        offline_directories::cordon(&broker);
        offline_directories::watch(&broker);
        let metrics_address = metrics_socket.as_ref().and_then(|socket| socket.local_addr().ok());
        if let Some(socket) = metrics_socket {
            let asked = broker.clone();
            environment.spawn(Place::Control, move || metrics::serve(asked, socket));
        }
        if broker.roles.controller {
            let looking = broker.clone();
            environment.spawn(Place::Control, move || gone_brokers::look_on_takeover(looking));
        }
        let mut ended =
            run_controller(&broker, &node, layers, opened.metadata_log, opened.metadata, requests);
        let registration = Arc::new(Registration {
            previous_broker_epoch: previous_epoch(&opened.dirs),
            ports: sockets::ports(&sockets),
            node,
        });
        let addresses = sockets.iter().map(|socket| (socket.name.clone(), socket.address)).collect();
        let (of_controller, of_broker): (Vec<_>, Vec<_>) =
            sockets.into_iter().partition(|socket| socket.role == ListenerRole::Controller);
        // The other controllers need this one to elect a leader, and without a leader no broker registers.
        of_controller.into_iter().for_each(|socket| socket.accept(&broker));
        if let Err(error) = join(&broker, &registration, &mut ended).await {
            broker.stopping.send_replace(true);
            return Err(error);
        }
        if broker.roles.broker {
            start_broker_tasks(&broker, registration);
        }
        housekeeping::start(&broker, opened.metadata_dirs.clone());
        of_broker.into_iter().for_each(|socket| socket.accept(&broker));
        let Storage { metadata_dirs, metadata_dir, .. } = opened;
        Ok(Server { broker, addresses, metrics_address, metadata_dirs, metadata_dir, ended })
    }
}

/// The epoch at the last clean stop of all directories, −1 if there is one that was never stopped cleanly. The controller knows whether
/// the broker has had another one since.
fn previous_epoch(dirs: &LogDirs) -> i64 {
    let epochs = dirs.directories().iter().map(|directory| directory.previous_broker_epoch());
    epochs.collect::<Option<Vec<_>>>().and_then(|epochs| epochs.into_iter().min()).unwrap_or(-1)
}

fn run_controller(
    broker: &Arc<Broker>,
    node: &NodeConfig,
    layers: Layers,
    log: Arc<MetadataLog>,
    metadata: metadata_start::Metadata,
    requests: Requests,
) -> watch::Receiver<Option<String>> {
    let config = broker.config();
    let now_ms = broker.environment().clock.monotonic_ms();
    let snapshots = SnapshotPolicy::new(&config, &log, now_ms);
    let parts = DriverParts {
        environment: broker.environment().clone(),
        log,
        quorum: metadata.quorum,
        outputs: metadata.outputs,
        snapshot: metadata.image,
        batches: metadata.batches,
        bootstrap: metadata.bootstrap,
        controller_config: controller_config(broker, node, &config),
        rules: Arc::new(NodeConfigRules::new(layers)),
        min_insync_replicas: config.min_insync_replicas,
        snapshots,
        elections: PeriodicElections::new(&config),
        idleness: Idleness::new(config.metadata_max_idle_interval_ms),
        outbound: OutboundConfig {
            cluster_id: broker.cluster_id().to_owned(),
            bootstrap_servers: node.bootstrap_servers.clone(),
            request_timeout: Duration::from_millis(config.controller_quorum_request_timeout_ms.max(1) as u64),
            fetch_bytes_max: config.controller_quorum_fetch_max_bytes,
        },
        joins_automatically: node.roles.controller && config.controller_quorum_auto_join_enable,
        joining_period_ms: i64::from(config.controller_quorum_fetch_timeout_ms),
        snapshot_piece_bytes_max: config.controller_quorum_fetch_snapshot_max_bytes,
        status: broker.controller().status().clone(),
        requests,
        stopping: broker.stopping(),
    };
    let publisher = Replicas::new(broker.clone());
    let (report, ended) = watch::channel(None);
    broker.environment().spawn(Place::Control, move || async move {
        if let Err(error) = Driver::new(parts, publisher).run().await {
            report.send_replace(Some(error.to_string()));
        }
    });
    ended
}

fn controller_config(broker: &Broker, node: &NodeConfig, config: &BrokerConfig) -> ControllerConfig {
    let supported = features::supported_features().into_iter();
    ControllerConfig {
        node_id: node.node_id,
        cluster_id: broker.cluster_id().to_owned(),
        default_partitions: config.num_partitions,
        default_replication_factor: config.default_replication_factor as i16,
        session_timeout_ms: i64::from(config.broker_session_timeout_ms),
        elections_per_step_max: ELECTIONS_PER_STEP_MAX,
        features: supported.map(|(name, range)| (name.to_owned(), range)).collect(),
        quorum_node_ids: [node.node_id].into(),
    }
}

fn group_settings(config: &BrokerConfig) -> GroupSettings {
    GroupSettings {
        group_min_session_timeout_ms: config.group_min_session_timeout_ms,
        group_max_session_timeout_ms: config.group_max_session_timeout_ms,
        group_initial_rebalance_delay_ms: config.group_initial_rebalance_delay_ms,
        group_max_size: config.group_max_size.max(1) as usize,
        offset_metadata_max_bytes: config.offset_metadata_max_bytes.max(0) as usize,
        offsets_retention_ms: i64::from(config.offsets_retention_minutes) * 60_000,
        offsets_retention_check_interval_ms: config.offsets_retention_check_interval_ms,
        offsets_commit_timeout_ms: i64::from(config.offsets_commit_timeout_ms),
    }
}

/// Registers what this node is, and waits until the cluster has taken it in. Says now and then that it still waits.
async fn join(
    broker: &Arc<Broker>,
    registration: &Registration,
    ended: &mut watch::Receiver<Option<String>>,
) -> Result<(), StartError> {
    let as_controller = async {
        if broker.roles.controller {
            registration.register_controller(broker).await;
        }
        Ok(())
    };
    let as_broker = async {
        match broker.roles.broker {
            true => registration.register(broker, settle(broker)).await,
            false => Ok(()),
        }
    };
    let mut joined = std::pin::pin!(async { tokio::try_join!(as_controller, as_broker).map(drop) });
    loop {
        tokio::select! {
            biased;
            joined = &mut joined => return joined,
            reason = end_of_controller(ended) => return Err(StartError::ControllerEnded(reason)),
            () = tokio::time::sleep(Duration::from_millis(CONTROLLER_WAIT_MS)) => say_what_is_waited_for(broker),
        }
    }
}

fn say_what_is_waited_for(broker: &Broker) {
    match broker.controller().leader_id() {
        -1 => tracing::warn!("the start waits for an active controller"),
        controller_id => {
            tracing::warn!("the start waits for controller {controller_id} to take this node in")
        }
    }
}

/// The metadata is known now: what it does not know of is set aside, and moves that were interrupted go on. A topic that is made just
/// then is left alone: its folders are there before its image is.
async fn settle(broker: &Arc<Broker>) -> Result<(), StartError> {
    let _following = broker.following.lock().await;
    let settling = broker.clone();
    let settle = move || {
        replicas::set_strays_aside(&settling);
        replica_move::resume(&settling);
    };
    Ok(broker.environment().blocking(settle).await?)
}

/// Waits until the controller has ended, and says why.
async fn end_of_controller(ended: &mut watch::Receiver<Option<String>>) -> String {
    match ended.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or_default(),
        Err(_) => "the controller ended without a reason".to_owned(),
    }
}

fn start_broker_tasks(broker: &Arc<Broker>, registration: Arc<Registration>) {
    let groups = broker.groups().clone();
    broker.environment().spawn(Place::Control, move || groups.run_timers());
    let alive = broker.clone();
    broker.environment().spawn(Place::Control, move || registration.keep_alive(alive));
    replication::start(broker);
}

impl Server {
    /// The cluster's id.
    pub fn cluster_id(&self) -> &str {
        self.broker.cluster_id()
    }

    /// The node's id.
    pub fn node_id(&self) -> i32 {
        self.broker.node_id()
    }

    /// Where the listeners listen, by name.
    pub fn addresses(&self) -> &[(String, SocketAddr)] {
        &self.addresses
    }

    /// Where metrics are served, if they are.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// A look into the node, for as long as it runs.
    pub fn observer(&self) -> Observer {
        Observer::new(&self.broker)
    }

    /// Waits until the broker can no longer go on, and says why.
    pub async fn failed(&mut self) -> String {
        loop {
            let wait = tokio::time::sleep(Duration::from_millis(DIRECTORY_CHECK_MS));
            tokio::select! {
                biased;
                reason = end_of_controller(&mut self.ended) => return reason,
                () = wait => {}
            }
            if let Some(reason) = self.lost_directory() {
                return reason;
            }
        }
    }

    /// Why the broker can no longer go on, if that is so already.
    pub fn failure(&self) -> Option<String> {
        self.ended.borrow().clone().or_else(|| self.lost_directory())
    }

    /// Why the broker cannot go on with the directories that are left, if that is so.
    fn lost_directory(&self) -> Option<String> {
        if let Some(error) = self.metadata_dir.error() {
            return Some(format!("the directory of the metadata log is offline: {error}"));
        }
        offline_directories::reason_to_stop(&self.broker)
    }

    /// Stops in order: leaderships are handed over, connections end, logs are flushed and closed.
    ///
    /// # Errors
    /// When not all logs could be closed; they are recovered on the next start.
    pub async fn stop(self) -> Result<(), StorageError> {
        let Self { broker, metadata_dirs, .. } = self;
        if broker.roles.broker && broker.config().controlled_shutdown_enable {
            registration::leave(&broker).await;
        }
        let patience = Duration::from_millis(RESIGNATION_MS_MAX);
        let _ = tokio::time::timeout(patience, broker.controller().resign()).await;
        broker.stopping.send_replace(true);
        let closing = broker.clone();
        let closed = broker.environment().blocking(move || close(&closing, metadata_dirs)).await;
        closed.unwrap_or(Ok(()))
    }
}

fn close(broker: &Broker, metadata_dirs: Option<Arc<LogDirs>>) -> Result<(), StorageError> {
    let dirs = broker.log_dirs();
    let threads = log_threads(broker.environment(), &broker.config(), dirs);
    let closed = dirs.close(broker.epoch(), threads);
    match metadata_dirs {
        Some(metadata_dirs) => closed.and(metadata_dirs.close(broker.epoch(), 1)),
        None => closed,
    }
}
