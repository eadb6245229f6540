//! This node's place in the cluster: it registers, says that it lives, and takes its leave.
//!
//! Invariants: a broker is unfenced only once it knows the metadata that was there when it registered; and an answer of the controller is
//! believed whichever node it comes from, because requests carry the broker's epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use klamm_config::{Listener, NodeConfig, SecurityProtocol};
use klamm_metadata::{MetadataImage, features};
use klamm_protocol::ErrorCode;
use klamm_protocol::messages::broker_registration_request::{Feature, Listener as BrokerListener};
use klamm_protocol::messages::controller_registration_request::{
    Feature as ControllerFeature, Listener as ControllerListener,
};
use klamm_protocol::messages::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest, ControllerRegistrationRequest,
};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::broker::Broker;
use crate::limits::CONTROLLED_SHUTDOWN_ALONE_MS_MAX;
use crate::offline_directories;

/// How long to wait before asking again for what takes others a moment.
const RETRY_MS: u64 = 10;
/// How long to wait before registering again while an earlier incarnation counts as alive.
const DUPLICATE_RETRY_MS: u64 = 100;
/// The time between heartbeats while the broker is fenced although it could serve.
const FENCED_RETRY_MS: u64 = 100;

/// What a broker says of itself.
pub(crate) struct Registration {
    pub(crate) node: NodeConfig,
    pub(crate) previous_broker_epoch: i64,
    /// The ports that the broker's listeners really have, by listener name.
    pub(crate) ports: BTreeMap<String, u16>,
}

/// Why a broker is not taken into the cluster.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// The controller does not want it.
    #[error("the controller refuses to register broker {broker_id}: {error_code}")]
    Refused {
        /// The broker.
        broker_id: i32,
        /// Why.
        error_code: ErrorCode,
    },
    /// `initial.broker.registration.timeout.ms` has passed.
    #[error(
        "broker {broker_id} could not register within {patience_ms} ms (initial.broker.registration.timeout.ms): {reason}"
    )]
    TimedOut {
        /// The broker.
        broker_id: i32,
        /// The time-out.
        patience_ms: u64,
        /// What went wrong last.
        reason: String,
    },
}

impl Registration {
    /// Registers the broker and has it unfenced: from then on it leads partitions. `settle` is called in between, when the broker knows all
    /// metadata that the controller had when it registered.
    pub(crate) async fn register<E>(
        &self,
        broker: &Arc<Broker>,
        settle: impl Future<Output = Result<(), E>>,
    ) -> Result<(), E>
    where
        E: From<RegistrationError>,
    {
        self.catch_up(broker).await?;
        settle.await?;
        while !heartbeat_until(broker, Wish::Serve, |response| !response.is_fenced).await {
            self.catch_up(broker).await?;
        }
        Ok(())
    }

    /// Registers, and waits until the broker knows the metadata that was there when it did; registers anew if that is forgotten meanwhile.
    async fn catch_up(&self, broker: &Arc<Broker>) -> Result<(), RegistrationError> {
        loop {
            self.register_incarnation(broker).await?;
            if heartbeat_until(broker, Wish::StayFenced, |response| response.is_caught_up).await {
                return Ok(());
            }
        }
    }

    /// Has the controller give this incarnation its epoch, within `initial.broker.registration.timeout.ms`. One that died without a word may
    /// still count as alive: its session is waited for.
    async fn register_incarnation(&self, broker: &Arc<Broker>) -> Result<(), RegistrationError> {
        let broker_id = broker.node_id();
        let patience_ms = broker.config().initial_broker_registration_timeout_ms.max(0) as u64;
        let deadline = Instant::now() + Duration::from_millis(patience_ms);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let asked =
                broker.ask_controller(self.request(broker), broker.controller_timeout().min(left)).await;
            let reason = match asked.map(|response| (response.error_code, response.broker_epoch)) {
                Ok((ErrorCode::NONE, broker_epoch)) => {
                    broker.epoch.store(broker_epoch, Ordering::Relaxed);
                    return Ok(());
                }
                Ok((error_code @ ErrorCode::DUPLICATE_BROKER_REGISTRATION, _)) => {
                    tracing::debug!("the controller takes broker {broker_id} for alive already");
                    error_code.to_string()
                }
                Ok((error_code, _)) => return Err(RegistrationError::Refused { broker_id, error_code }),
                Err(unavailable) => unavailable.to_string(),
            };
            if Instant::now() >= deadline {
                return Err(RegistrationError::TimedOut { broker_id, patience_ms, reason });
            }
            sleep_ms(DUPLICATE_RETRY_MS).await;
        }
    }

    /// Waits for an active controller and tells it where this node's controller is.
    pub(crate) async fn register_controller(&self, broker: &Arc<Broker>) {
        let answer = loop {
            let request = self.controller_request(broker);
            if let Ok(response) = broker.ask_controller(request, broker.controller_timeout()).await {
                break response;
            }
        };
        if answer.error_code.is_error() {
            let reason = answer.error_message.as_deref().unwrap_or_default();
            tracing::warn!("the controller was not registered: {} {reason}", answer.error_code);
        }
    }

    /// Heartbeats until the broker stops: at every interval, and at once where the controller waits to hear something.
    pub(crate) async fn keep_alive(self: Arc<Self>, broker: Arc<Broker>) {
        let mut wait_ms = heartbeat_interval_ms(&broker);
        let mut departures = Departures::new(&broker);
        loop {
            tokio::select! {
                biased;
                () = sleep_ms(wait_ms) => {}
                () = broker.heartbeat_due.notified() => {}
                () = departures.next(&broker) => {}
            }
            wait_ms = heartbeat_interval_ms(&broker);
            if lacks_directories(&broker.image(), broker.node_id())
                && !offline_directories::known(&broker).is_empty()
            {
                self.name_directories(&broker).await;
            }
            let Some(response) = heartbeat(&broker, Wish::Serve).await else { continue };
            match response.error_code {
                ErrorCode::NONE if response.is_fenced => wait_ms = wait_ms.min(FENCED_RETRY_MS),
                ErrorCode::NONE => {}
                ErrorCode::STALE_BROKER_EPOCH => self.register_again(&broker).await,
                code => tracing::warn!("the controller does not accept this broker's heartbeat: {code}"),
            }
        }
    }

    /// Amends the registration: at a metadata.version that has no room for log directories the controller left them out.
    async fn name_directories(&self, broker: &Arc<Broker>) {
        tracing::info!("the metadata has room for log directories now: the broker names its own");
        if let Err(refused) = self.register_incarnation(broker).await {
            tracing::warn!("{refused}");
        }
    }

    async fn register_again(&self, broker: &Arc<Broker>) {
        tracing::warn!("the controller knows this broker under another epoch: it registers again");
        if let Err(refused) = self.register_incarnation(broker).await {
            tracing::warn!("{refused}");
        }
    }

    fn request(&self, broker: &Broker) -> BrokerRegistrationRequest<'static> {
        let listeners = self.node.advertised_broker_listeners.iter().map(|listener| BrokerListener {
            name: listener.name.clone().into(),
            host: broker.environment().advertised_host(listener).into(),
            port: self.port(listener),
            security_protocol: security_protocol(listener.protocol),
        });
        let features = features::supported_features().into_iter().map(|(name, range)| Feature {
            name: name.into(),
            min_supported_version: range.min,
            max_supported_version: range.max,
        });
        BrokerRegistrationRequest {
            broker_id: broker.node_id(),
            cluster_id: broker.cluster_id().to_owned().into(),
            incarnation_id: broker.incarnation_id,
            listeners: listeners.collect(),
            features: features.collect(),
            rack: self.node.rack.clone().map(Into::into),
            is_migrating_zk_broker: false,
            log_dirs: offline_directories::known(broker),
            previous_broker_epoch: self.previous_broker_epoch,
        }
    }

    fn controller_request(&self, broker: &Broker) -> ControllerRegistrationRequest<'static> {
        let listeners = self.node.advertised_controller_listeners.iter().map(|listener| ControllerListener {
            name: listener.name.clone().into(),
            host: broker.environment().advertised_host(listener).into(),
            port: self.port(listener),
            security_protocol: security_protocol(listener.protocol),
        });
        let features = features::supported_features().into_iter().map(|(name, range)| ControllerFeature {
            name: name.into(),
            min_supported_version: range.min,
            max_supported_version: range.max,
        });
        ControllerRegistrationRequest {
            controller_id: broker.node_id(),
            incarnation_id: broker.incarnation_id,
            zk_migration_ready: false,
            listeners: listeners.collect(),
            features: features.collect(),
        }
    }

    /// Port 0 stands for whichever port the listener got.
    fn port(&self, listener: &Listener) -> u16 {
        match listener.port {
            0 => self.ports.get(&listener.name).copied().unwrap_or(0),
            port => port,
        }
    }
}

/// Whether a broker is registered without log directories although there is room for them.
fn lacks_directories(image: &MetadataImage, broker_id: i32) -> bool {
    let lacks_them = image.cluster.broker(broker_id).is_some_and(|broker| broker.directories.is_empty());
    image.metadata_version().supports_directory_assignment() && lacks_them
}

fn security_protocol(protocol: SecurityProtocol) -> i16 {
    protocol as i16
}

/// Other brokers that want to stop. The controller lets them go when all have heard of it.
struct Departures {
    images: watch::Receiver<()>,
    known: BTreeSet<i32>,
}

impl Departures {
    fn new(broker: &Broker) -> Self {
        Self { images: broker.image_changes.subscribe(), known: BTreeSet::new() }
    }

    /// Waits until one more wants to stop.
    async fn next(&mut self, broker: &Broker) {
        while self.images.changed().await.is_ok() {
            let image = broker.image();
            let leaving =
                image.cluster.brokers().filter(|other| other.in_controlled_shutdown && !other.fenced);
            let leaving = leaving.map(|other| other.id).filter(|id| *id != broker.node_id()).collect();
            let known = std::mem::replace(&mut self.known, leaving);
            if !self.known.is_subset(&known) {
                return;
            }
        }
        std::future::pending().await
    }
}

/// What a heartbeat asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// Not to lead yet.
    StayFenced,
    /// To lead.
    Serve,
    /// To have the leaderships moved away and then stop.
    ShutDown,
}

/// Heartbeats until an answer is as wanted. False when the controller does not know the broker under its epoch: then none ever is.
async fn heartbeat_until(
    broker: &Broker,
    wish: Wish,
    is_as_wanted: impl Fn(&BrokerHeartbeatResponse) -> bool,
) -> bool {
    loop {
        match heartbeat(broker, wish).await {
            Some(response) if response.error_code == ErrorCode::STALE_BROKER_EPOCH => return false,
            Some(response) if !response.error_code.is_error() && is_as_wanted(&response) => return true,
            _ => sleep_ms(RETRY_MS).await,
        }
    }
}

/// Tells the controller that this broker lives, and what it wants. None when no controller answers.
async fn heartbeat(broker: &Broker, wish: Wish) -> Option<BrokerHeartbeatResponse> {
    let offline = offline_directories::offline(broker);
    let request = BrokerHeartbeatRequest {
        broker_id: broker.node_id(),
        broker_epoch: broker.epoch(),
        current_metadata_offset: broker.image().provenance.last_offset,
        want_fence: wish == Wish::StayFenced,
        want_shut_down: wish == Wish::ShutDown,
        offline_log_dirs: offline.clone(),
        cordoned_log_dirs: (wish != Wish::StayFenced)
            .then(|| offline_directories::cordoned(broker))
            .flatten(),
    };
    let timeout = match wish {
        Wish::ShutDown => Duration::from_millis(2 * election_timeout_ms(broker)),
        // So that an answer that got lost does not cost the session.
        Wish::StayFenced | Wish::Serve => broker.controller_timeout().min(session(broker) / 3),
    };
    let asked = broker.ask_controller(request, timeout).await;
    let answer = asked.inspect_err(|unavailable| tracing::debug!("no heartbeat: {unavailable}")).ok()?;
    if !answer.error_code.is_error() {
        broker.offline_directories.reported(&offline);
    }
    Some(answer)
}

/// Has this broker's leaderships moved away, as far as others can take them, and the broker fenced. Takes no longer than a session: after
/// that the controller takes them away anyway.
pub(crate) async fn leave(broker: &Broker) {
    let is_alone =
        !broker.image().cluster.brokers().any(|other| other.id != broker.node_id() && !other.fenced);
    let grace =
        if is_alone { Duration::from_millis(CONTROLLED_SHUTDOWN_ALONE_MS_MAX) } else { session(broker) };
    let leaving = async {
        while let Some(response) = heartbeat(broker, Wish::ShutDown).await {
            if response.should_shut_down || response.error_code.is_error() {
                return;
            }
            sleep_ms(RETRY_MS).await;
        }
    };
    if tokio::time::timeout(grace, leaving).await.is_err() && !is_alone {
        tracing::warn!("the leaderships of this broker were not moved within {} ms", grace.as_millis());
    }
}

/// How long the controller takes a broker for alive that it does not hear of.
fn session(broker: &Broker) -> Duration {
    Duration::from_millis(broker.config().broker_session_timeout_ms.max(1) as u64)
}

/// Two of these without a controller, and none will be there soon.
fn election_timeout_ms(broker: &Broker) -> u64 {
    broker.config().controller_quorum_election_timeout_ms.max(1) as u64
}

fn heartbeat_interval_ms(broker: &Broker) -> u64 {
    broker.config().broker_heartbeat_interval_ms.max(1) as u64
}

async fn sleep_ms(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
