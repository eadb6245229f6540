//! What all connections and tasks of a broker share.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use klamm_config::{BrokerConfig, Layers, Roles};
use klamm_log::LogDirs;
use klamm_metadata::MetadataImage;
use klamm_net::SocketBuffers;
use klamm_protocol::Uuid;
use klamm_protocol::messages::CreateTopicsRequest;
use klamm_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use klamm_replica::FetchSessions;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};

use crate::controller::ControllerHandle;
use crate::environment::Environment;
use crate::groups::GroupCoordinator;
use crate::internal_topics::{self, CONSUMER_OFFSETS};
use crate::limits::METADATA_WAIT_MS_MAX;
use crate::listener::ConnectionCount;
use crate::metrics::Metrics;
use crate::offline_directories::OfflineDirectories;
use crate::partition::HostedTopics;
use crate::peers::Peers;
use crate::producer_ids::ProducerIds;
use crate::replica_directories::UntoldReplicas;
use crate::replica_move::Moves;
use crate::replication::{Fetchers, IsrChanges};
use crate::throttles::Throttles;

/// The broker.
pub(crate) struct Broker {
    pub(crate) environment: Environment,
    pub(crate) node_id: i32,
    /// Drawn at each start.
    pub(crate) incarnation_id: Uuid,
    pub(crate) roles: Roles,
    /// The name of the listener by which controllers reach each other.
    pub(crate) controller_listener: String,
    pub(crate) cluster_id: String,
    pub(crate) layers: ArcSwap<Layers>,
    pub(crate) config: ArcSwap<BrokerConfig>,
    pub(crate) image: ArcSwap<MetadataImage>,
    /// Changes whenever `image` has.
    pub(crate) image_changes: watch::Sender<()>,
    pub(crate) hosted: ArcSwap<HostedTopics>,
    /// Held while the replicas here are made to follow a new image, so that nobody compares folders that are new by it with the image
    /// before it.
    pub(crate) following: tokio::sync::Mutex<()>,
    pub(crate) log_dirs: Arc<LogDirs>,
    pub(crate) groups: Arc<GroupCoordinator>,
    pub(crate) controller: ControllerHandle,
    pub(crate) peers: Peers,
    pub(crate) fetch_sessions: Mutex<FetchSessions>,
    pub(crate) producer_ids: ProducerIds,
    pub(crate) moves: Moves,
    pub(crate) untold_replicas: UntoldReplicas,
    pub(crate) isr_changes: IsrChanges,
    pub(crate) fetchers: Fetchers,
    pub(crate) throttles: Throttles,
    pub(crate) connections: ConnectionCount,
    pub(crate) metrics: Metrics,
    pub(crate) epoch: AtomicI64,
    /// Wakes the task that heartbeats before its time.
    pub(crate) heartbeat_due: Notify,
    pub(crate) offline_directories: OfflineDirectories,
    pub(crate) stopping: watch::Sender<bool>,
}

impl Broker {
    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The name of the listener by which controllers reach each other.
    pub(crate) fn controller_listener(&self) -> &str {
        &self.controller_listener
    }

    pub(crate) fn node_id(&self) -> i32 {
        self.node_id
    }

    /// The offset at which this broker registered, −1 before that.
    pub(crate) fn epoch(&self) -> i64 {
        self.epoch.load(Ordering::Relaxed)
    }

    pub(crate) fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The settings in force.
    pub(crate) fn config(&self) -> Guard<Arc<BrokerConfig>> {
        self.config.load()
    }

    /// Where each setting comes from.
    pub(crate) fn layers(&self) -> Guard<Arc<Layers>> {
        self.layers.load()
    }

    /// The cluster's metadata as this broker knows it.
    pub(crate) fn image(&self) -> Guard<Arc<MetadataImage>> {
        self.image.load()
    }

    /// Makes `image` the one that requests are answered from.
    pub(crate) fn publish_image(&self, image: Arc<MetadataImage>) {
        self.image.store(image);
        self.image_changes.send_replace(());
    }

    /// The partitions that are here.
    pub(crate) fn hosted(&self) -> Guard<Arc<HostedTopics>> {
        self.hosted.load()
    }

    pub(crate) fn log_dirs(&self) -> &Arc<LogDirs> {
        &self.log_dirs
    }

    /// The partition of `__consumer_offsets` that a group belongs to.
    pub(crate) fn group_partition(&self, group_id: &str) -> i32 {
        self.groups.partition_for(group_id, &self.image())
    }

    pub(crate) fn groups(&self) -> &Arc<GroupCoordinator> {
        &self.groups
    }

    pub(crate) fn controller(&self) -> &ControllerHandle {
        &self.controller
    }

    /// How long to wait for the controller's answer to one request.
    pub(crate) fn controller_timeout(&self) -> Duration {
        Duration::from_millis(self.config().controller_socket_timeout_ms.max(1) as u64)
    }

    /// The cluster's other nodes.
    pub(crate) fn peers(&self) -> &Peers {
        &self.peers
    }

    pub(crate) fn fetch_sessions(&self) -> MutexGuard<'_, FetchSessions> {
        self.fetch_sessions.lock()
    }

    /// In-sync replicas on their way to the controller.
    pub(crate) fn isr_changes(&self) -> &IsrChanges {
        &self.isr_changes
    }

    /// What fetches from the leaders of partitions that are followed here.
    pub(crate) fn fetchers(&self) -> &Fetchers {
        &self.fetchers
    }

    /// Bounds on what is replicated.
    pub(crate) fn throttles(&self) -> &Throttles {
        &self.throttles
    }

    pub(crate) fn producer_ids(&self) -> &ProducerIds {
        &self.producer_ids
    }

    pub(crate) fn connections(&self) -> &ConnectionCount {
        &self.connections
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The sizes of sockets' buffers, where the settings name them. Kafka's default, 100 KiB, is not applied: the kernel does better
    /// when it is left alone.
    pub(crate) fn socket_buffers(&self) -> SocketBuffers {
        let (layers, config) = (self.layers(), self.config());
        let named = |name, bytes: i32| layers.text(name).and_then(|_| usize::try_from(bytes).ok());
        SocketBuffers {
            send: named("socket.send.buffer.bytes", config.socket_send_buffer_bytes),
            receive: named("socket.receive.buffer.bytes", config.socket_receive_buffer_bytes),
        }
    }

    /// Becomes true when the broker stops.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    pub(crate) fn random_u128(&self) -> u128 {
        self.environment.random.next_u128()
    }

    pub(crate) fn random_u32(&self) -> u32 {
        self.random_u128() as u32
    }

    /// Reports what the disk refused outside of a request. A directory whose disk is broken goes offline by it.
    pub(crate) fn note_storage_error(&self, error: &klamm_log::StorageError) {
        tracing::error!("{error}");
        self.log_dirs.note_error(error);
    }

    /// Creates topics with the defaults that the settings give. What cannot be created stays missing, and whoever asked
    /// finds it so.
    pub(crate) async fn create_topics_automatically(&self, names: Vec<String>) {
        let served = names.into_iter().filter(|name| internal_topics::may_be_created(name));
        let topics = served.map(|name| self.automatic_topic(name)).collect();
        let request = CreateTopicsRequest { topics, timeout_ms: i32::MAX, ..CreateTopicsRequest::default() };
        let asked = self.ask_controller(request, self.controller_timeout()).await;
        let response = match asked {
            Ok(response) => response,
            Err(error) => return tracing::warn!("topics were not created automatically: {error}"),
        };
        for topic in response.topics.iter().filter(|topic| topic.error_code.is_error()) {
            let reason = topic.error_message.as_deref().unwrap_or_default();
            tracing::info!(
                "topic {} was not created automatically: {} {reason}",
                topic.name,
                topic.error_code
            );
        }
        let created = response.topics.iter().filter(|topic| !topic.error_code.is_error());
        let created: Vec<_> = created.map(|topic| &*topic.name).collect();
        self.wait_for_image(|image| created.iter().all(|name| image.topics.by_name(name).is_some())).await;
    }

    /// Waits until the metadata here is what was asked for, as it soon is where the controller that changed it is another node's.
    async fn wait_for_image(&self, is_awaited: impl Fn(&MetadataImage) -> bool) {
        let mut changes = self.image_changes.subscribe();
        let awaited = async {
            while !is_awaited(&self.image()) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(Duration::from_millis(METADATA_WAIT_MS_MAX), awaited).await;
    }

    fn automatic_topic(&self, name: String) -> CreatableTopic<'static> {
        let config = self.config();
        if name != CONSUMER_OFFSETS {
            return CreatableTopic {
                name: name.into(),
                num_partitions: -1,
                replication_factor: -1,
                ..Default::default()
            };
        }
        let setting = |name: &'static str, value: String| CreatableTopicConfig {
            name: name.into(),
            value: Some(value.into()),
        };
        CreatableTopic {
            name: name.into(),
            num_partitions: config.offsets_topic_num_partitions,
            replication_factor: config.offsets_topic_replication_factor,
            configs: vec![
                setting("cleanup.policy", "compact".into()),
                setting("compression.type", "producer".into()),
                setting("segment.bytes", config.offsets_topic_segment_bytes.to_string()),
            ],
            ..CreatableTopic::default()
        }
    }
}
