//! The cluster as one thing to talk to: connections on demand, metadata, coordinators, retries.

mod any;
mod controller;
mod metadata;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use klamm_net::{Network, TcpNetwork};
use klamm_protocol::messages::metadata_request::MetadataRequestTopic;
use klamm_protocol::messages::{FindCoordinatorRequest, MetadataRequest};
use klamm_protocol::{ApiKey, ErrorCode, Request, Uuid};
use parking_lot::Mutex;
use tokio::time::Instant;

pub(crate) use self::controller::CONTROLLER_ENDPOINTS;
pub(crate) use self::metadata::Metadata;
pub use self::metadata::{Broker, Partition, Topic};
use crate::backoff::Backoff;
use crate::clock::now_ms;
use crate::config::ClientConfig;
use crate::connection::Connection;
use crate::error::{BrokerName, ConnectError, RequestError};

/// Which topics to ask about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topics<'t> {
    All,
    None,
    Named(&'t [Arc<str>]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum NodeKey {
    Bootstrap(usize),
    Broker(i32),
    /// A broker answers a connection's requests in order: what may take long would hold up the rest.
    Fetch(i32),
    Coordinator(i32),
}

/// The connection to one address, and how attempts at it have gone.
struct Slot {
    connection: Option<Connection>,
    backoff: Backoff,
    not_before: Instant,
}

/// Connections and metadata of one cluster, shared by everything a client does.
pub(crate) struct Cluster {
    config: ClientConfig,
    network: Arc<dyn Network>,
    /// Ordered, so that connections also end in the same order in every run of a simulation.
    slots: Mutex<BTreeMap<NodeKey, Arc<tokio::sync::Mutex<Slot>>>>,
    metadata: ArcSwap<Metadata>,
    refreshing: tokio::sync::Mutex<()>,
    next_start: std::sync::atomic::AtomicUsize,
}

impl Cluster {
    pub(crate) fn new(config: ClientConfig) -> Arc<Self> {
        Self::with_network(config, Arc::new(TcpNetwork))
    }

    pub(crate) fn with_network(config: ClientConfig, network: Arc<dyn Network>) -> Arc<Self> {
        Arc::new(Self {
            config,
            network,
            slots: Mutex::default(),
            metadata: ArcSwap::default(),
            refreshing: tokio::sync::Mutex::default(),
            next_start: Default::default(),
        })
    }

    pub(crate) fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// The latest picture.
    pub(crate) fn metadata(&self) -> Arc<Metadata> {
        self.metadata.load_full()
    }

    /// The pause between attempts of a request.
    pub(crate) fn retry_backoff(&self) -> Backoff {
        Backoff::new(self.config.retry_backoff_ms, self.config.retry_backoff_max_ms)
    }

    /// When a call that begins now has used up its patience.
    pub(crate) fn api_deadline(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.config.default_api_timeout_ms)
    }

    /// A connection to a broker, dialled if there is none.
    pub(crate) async fn broker(&self, id: i32) -> Result<Connection, ConnectError> {
        self.connect_to(NodeKey::Broker(id), id).await
    }

    /// A connection to a broker for long polls.
    pub(crate) async fn broker_for_fetches(&self, id: i32) -> Result<Connection, ConnectError> {
        self.connect_to(NodeKey::Fetch(id), id).await
    }

    /// A connection to a broker as a group's coordinator, which answers a join when all members have come.
    pub(crate) async fn coordinator(&self, id: i32) -> Result<Connection, ConnectError> {
        self.connect_to(NodeKey::Coordinator(id), id).await
    }

    async fn connect_to(&self, key: NodeKey, id: i32) -> Result<Connection, ConnectError> {
        let metadata = self.metadata();
        let broker = metadata.brokers.get(&id).ok_or(ConnectError::UnknownBroker { id })?;
        let name = BrokerName { id: Some(id), host: Arc::from(broker.host.as_str()), port: broker.port };
        self.connect(key, name).await
    }

    /// A connection to any broker: known ones first, then the bootstrap servers.
    pub(crate) async fn any_broker(&self) -> Result<Connection, ConnectError> {
        let candidates = self.candidates();
        let start = self.next_start.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if let Some(connection) = self.open_connection(&candidates, start) {
            return Ok(connection);
        }
        self.first_of(in_turn(candidates, start)).await
    }

    fn candidates(&self) -> Vec<(NodeKey, BrokerName)> {
        let metadata = self.metadata();
        let known = metadata.brokers.values().map(|broker| {
            let host = Arc::from(broker.host.as_str());
            (NodeKey::Broker(broker.id), BrokerName { id: Some(broker.id), host, port: broker.port })
        });
        let bootstrap = self.config.bootstrap().iter().enumerate().map(|(index, (host, port))| {
            (NodeKey::Bootstrap(index), BrokerName { id: None, host: Arc::from(host.as_str()), port: *port })
        });
        known.chain(bootstrap).collect()
    }

    /// One of the candidates' connections that is open already, another one each time: a broker that has lost its
    /// cluster answers like any other, with leaders that are no more.
    fn open_connection(&self, candidates: &[(NodeKey, BrokerName)], start: usize) -> Option<Connection> {
        let slots = self.slots.lock();
        let (before, behind) = candidates.split_at(start % candidates.len().max(1));
        behind.iter().chain(before).find_map(|(key, name)| {
            let slot = slots.get(key)?.try_lock().ok()?;
            slot.connection.as_ref().filter(|c| !c.is_closed() && c.broker() == name).cloned()
        })
    }

    async fn connect(&self, key: NodeKey, name: BrokerName) -> Result<Connection, ConnectError> {
        let slot = Arc::clone(self.slots.lock().entry(key).or_insert_with(|| {
            Arc::new(tokio::sync::Mutex::new(Slot {
                connection: None,
                backoff: Backoff::new(self.config.reconnect_backoff_ms, self.config.reconnect_backoff_max_ms),
                not_before: Instant::now(),
            }))
        }));
        let mut slot = slot.lock().await;
        let usable = slot.connection.as_ref().filter(|c| !c.is_closed() && *c.broker() == name);
        if let Some(connection) = usable {
            return Ok(connection.clone());
        }
        tokio::time::sleep_until(slot.not_before).await;
        match Connection::open(&*self.network, name, &self.config).await {
            Ok(connection) => {
                slot.backoff.reset();
                slot.connection = Some(connection.clone());
                Ok(connection)
            }
            Err(error) => {
                slot.not_before = Instant::now() + slot.backoff.next();
                slot.connection = None;
                Err(error)
            }
        }
    }

    /// Fetches metadata. Calls at the same time share one request where it serves them all.
    pub(crate) async fn refresh(
        &self,
        topics: Topics<'_>,
        allow_auto_topic_creation: bool,
    ) -> Result<Arc<Metadata>, RequestError> {
        let before = self.metadata().generation;
        let _turn = self.refreshing.lock().await;
        let now = self.metadata();
        let serves = match topics {
            Topics::None => true,
            Topics::All => false,
            Topics::Named(names) => names.iter().all(|name| now.topic(name).is_some()),
        };
        if serves && now.generation > before {
            return Ok(now);
        }
        self.fetch(topics, allow_auto_topic_creation).await
    }

    /// Fetches these topics' metadata even if another answer has just told of them.
    pub(crate) async fn fetch_topics(&self, names: &[Arc<str>]) -> Result<Arc<Metadata>, RequestError> {
        let _turn = self.refreshing.lock().await;
        self.fetch(Topics::Named(names), false).await
    }

    async fn fetch(&self, topics: Topics<'_>, auto_create: bool) -> Result<Arc<Metadata>, RequestError> {
        let connection = self.any_broker().await?;
        if self.config.asks_controllers() && topics == Topics::None {
            return self.fetch_controllers(&connection).await;
        }
        let request = metadata_request(topics, auto_create);
        let response = connection.call(&request).await?;
        if response.error_code.is_error() {
            let (broker, code) = (connection.broker().clone(), response.error_code);
            return Err(RequestError::Refused { broker, api: ApiKey::Metadata, code });
        }
        let next = Arc::new(self.metadata().updated(&response, topics == Topics::All, now_ms()));
        self.metadata.store(Arc::clone(&next));
        Ok(next)
    }

    /// Takes over a leader that a broker has named in its answer.
    pub(crate) fn note_leader(&self, topic: &str, partition: i32, leader: i32, epoch: i32) -> bool {
        match self.metadata().with_leader(topic, partition, leader, epoch) {
            Some(next) => {
                self.metadata.store(Arc::new(next));
                true
            }
            None => false,
        }
    }

    /// Whether the picture is older than `metadata.max.age.ms`.
    pub(crate) fn is_stale(&self) -> bool {
        now_ms() - self.metadata().fetched_at_ms >= self.config.metadata_max_age_ms
    }

    /// The broker that coordinates a group.
    pub(crate) async fn group_coordinator(&self, group: &str) -> Result<i32, RequestError> {
        let connection = self.any_broker().await?;
        let batched = connection.version_of(ApiKey::FindCoordinator)? >= 4;
        let request = FindCoordinatorRequest {
            key: if batched { "".into() } else { group.into() },
            key_type: 0,
            coordinator_keys: if batched { vec![group.into()] } else { Vec::new() },
        };
        let response = connection.call(&request).await?;
        let named = response.coordinators.first().map(|c| (c.error_code, c.node_id));
        let (code, node) = named.unwrap_or((response.error_code, response.node_id));
        if code.is_error() {
            let broker = connection.broker().clone();
            return Err(RequestError::Refused { broker, api: ApiKey::FindCoordinator, code });
        }
        if !self.metadata().brokers.contains_key(&node) {
            self.refresh(Topics::None, false).await?;
        }
        Ok(node)
    }

    /// Repeats an attempt until it succeeds, fails for good, or the deadline has come.
    pub(crate) async fn retrying<T, E, F>(
        &self,
        deadline: Instant,
        is_retriable: impl Fn(&E) -> bool,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut backoff = self.retry_backoff();
        loop {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let pause = backoff.next();
            if !is_retriable(&error) || Instant::now() + pause >= deadline {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends a request to any broker, with retries.
    pub(crate) async fn call_any<R: Request>(
        &self,
        request: &R,
    ) -> Result<R::Response<'static>, RequestError> {
        self.retrying(self.api_deadline(), RequestError::is_retriable, || async {
            self.any_broker().await?.call(request).await
        })
        .await
    }

    /// Sends a request to a broker, with retries. The broker may be one that metadata has yet to name.
    pub(crate) async fn call_broker<R: Request>(
        &self,
        id: i32,
        request: &R,
    ) -> Result<R::Response<'static>, RequestError> {
        let retriable = |error: &RequestError| {
            error.is_retriable()
                && !matches!(error, RequestError::Connect(ConnectError::UnknownBroker { .. }))
        };
        self.retrying(self.api_deadline(), retriable, || async {
            if !self.metadata().brokers.contains_key(&id) {
                self.refresh(Topics::None, false).await?;
            }
            self.broker(id).await?.call(request).await
        })
        .await
    }
}

/// Turns among the known brokers, which come first; the bootstrap servers stay behind them.
fn in_turn(mut candidates: Vec<(NodeKey, BrokerName)>, start: usize) -> Vec<(NodeKey, BrokerName)> {
    let known = candidates.iter().filter(|(key, _)| !matches!(key, NodeKey::Bootstrap(_))).count();
    candidates[..known].rotate_left(start % known.max(1));
    candidates
}

fn metadata_request<'t>(topics: Topics<'t>, allow_auto_topic_creation: bool) -> MetadataRequest<'t> {
    let named = |names: &'t [Arc<str>]| {
        let topic =
            |name: &'t Arc<str>| MetadataRequestTopic { topic_id: Uuid::ZERO, name: Some((&**name).into()) };
        names.iter().map(topic).collect()
    };
    MetadataRequest {
        topics: match topics {
            Topics::All => None,
            Topics::None => Some(Vec::new()),
            Topics::Named(names) => Some(named(names)),
        },
        allow_auto_topic_creation,
        ..MetadataRequest::default()
    }
}

/// Whether an error says that what is known of leaders or topics is out of date.
pub(crate) fn asks_for_refresh(code: ErrorCode) -> bool {
    code.class() == klamm_protocol::ErrorClass::Refresh || code == ErrorCode::UNKNOWN_LEADER_EPOCH
}
