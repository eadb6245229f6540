//! This broker's place in the cluster: it registers, says that it lives, and takes its leave.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use klamm_config::{Listener, NodeConfig, SecurityProtocol};
use klamm_metadata::features;
use klamm_protocol::messages::broker_registration_request::{Feature, Listener as BrokerListener};
use klamm_protocol::messages::controller_registration_request::{
    Feature as ControllerFeature, Listener as ControllerListener,
};
use klamm_protocol::messages::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest, ControllerRegistrationRequest,
};
use klamm_protocol::{ErrorCode, Uuid};

use crate::broker::Broker;

/// How long to wait before asking again while there is no active controller.
const RETRY_MS: u64 = 5;

/// What a broker says of itself.
pub(crate) struct Registration {
    pub(crate) node: NodeConfig,
    pub(crate) incarnation_id: Uuid,
    pub(crate) previous_broker_epoch: i64,
    /// The ports that the broker's listeners really have, by listener name.
    pub(crate) ports: BTreeMap<String, u16>,
}

/// The controller refuses this broker.
#[derive(Debug, thiserror::Error)]
#[error("the controller refuses to register broker {broker_id}: {error_code}")]
pub struct RegistrationRefused {
    broker_id: i32,
    error_code: ErrorCode,
}

impl Registration {
    /// Registers this node, and has the broker unfenced: from then on it leads partitions.
    pub(crate) async fn register(&self, broker: &Arc<Broker>) -> Result<(), RegistrationRefused> {
        if self.node.roles.controller {
            self.register_controller(broker).await;
        }
        let refused = |error_code| RegistrationRefused { broker_id: broker.node_id(), error_code };
        loop {
            let request = self.request(broker);
            let decided = broker
                .controller()
                .decide(move |controller, step| controller.register_broker(step, &request));
            match decided.await {
                Ok(response) if response.error_code == ErrorCode::NONE => {
                    broker.epoch.store(response.broker_epoch, Ordering::Relaxed);
                    break;
                }
                Ok(response) => return Err(refused(response.error_code)),
                Err(_) => tokio::time::sleep(Duration::from_millis(RETRY_MS)).await,
            }
        }
        while heartbeat(broker, false).await.is_none_or(|response| response.is_fenced) {
            tokio::time::sleep(Duration::from_millis(RETRY_MS)).await;
        }
        Ok(())
    }

    fn request(&self, broker: &Broker) -> BrokerRegistrationRequest<'static> {
        let listeners = self.node.advertised_broker_listeners.iter().map(|listener| BrokerListener {
            name: listener.name.clone().into(),
            host: host(listener).into(),
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
            incarnation_id: self.incarnation_id,
            listeners: listeners.collect(),
            features: features.collect(),
            rack: self.node.rack.clone().map(Into::into),
            is_migrating_zk_broker: false,
            log_dirs: broker.log_dirs().directories().iter().filter_map(|directory| directory.id()).collect(),
            previous_broker_epoch: self.previous_broker_epoch,
        }
    }

    /// Waits for an active controller and tells it where this node's controller is.
    async fn register_controller(&self, broker: &Arc<Broker>) {
        loop {
            let request = self.controller_request(broker.node_id());
            let decided =
                broker.controller().decide(move |controller, _| controller.register_controller(&request));
            match decided.await {
                Ok(response) if response.error_code.is_error() => {
                    let reason = response.error_message.as_deref().unwrap_or_default();
                    return tracing::warn!(
                        "the controller was not registered: {} {reason}",
                        response.error_code
                    );
                }
                Ok(_) => return,
                Err(_) => tokio::time::sleep(Duration::from_millis(RETRY_MS)).await,
            }
        }
    }

    fn controller_request(&self, controller_id: i32) -> ControllerRegistrationRequest<'static> {
        let listeners = self.node.advertised_controller_listeners.iter().map(|listener| ControllerListener {
            name: listener.name.clone().into(),
            host: host(listener).into(),
            port: self.port(listener),
            security_protocol: security_protocol(listener.protocol),
        });
        let features = features::supported_features().into_iter().map(|(name, range)| ControllerFeature {
            name: name.into(),
            min_supported_version: range.min,
            max_supported_version: range.max,
        });
        ControllerRegistrationRequest {
            controller_id,
            incarnation_id: self.incarnation_id,
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

/// The host that others dial; a listener on all addresses advertises this machine's name.
fn host(listener: &Listener) -> String {
    listener.host.clone().unwrap_or_else(|| "localhost".into())
}

fn security_protocol(protocol: SecurityProtocol) -> i16 {
    protocol as i16
}

/// Tells the controller that this broker lives, or that it wants to stop. None while there is no active controller.
pub(crate) async fn heartbeat(broker: &Broker, want_shut_down: bool) -> Option<BrokerHeartbeatResponse> {
    let offline = broker.log_dirs().directories().iter().filter(|directory| !directory.is_online());
    let request = BrokerHeartbeatRequest {
        broker_id: broker.node_id(),
        broker_epoch: broker.epoch(),
        current_metadata_offset: broker.image().provenance.last_offset,
        want_fence: false,
        want_shut_down,
        offline_log_dirs: offline.filter_map(|directory| directory.id()).collect(),
        ..BrokerHeartbeatRequest::default()
    };
    let decided = broker.controller().decide_mut(move |controller, step| {
        controller.touch(step.now_ms, &request);
        controller.heartbeat(&request)
    });
    decided.await.ok()
}

/// Heartbeats until the broker stops.
pub(crate) async fn keep_alive(broker: Arc<Broker>) {
    loop {
        let interval_ms = broker.config().broker_heartbeat_interval_ms.max(1) as u64;
        tokio::time::sleep(Duration::from_millis(interval_ms)).await;
        if let Some(response) = heartbeat(&broker, false).await
            && response.error_code.is_error()
        {
            tracing::warn!("the controller does not accept this broker's heartbeat: {}", response.error_code);
        }
    }
}

/// Has this broker's leaderships moved away, as far as others can take them, and the broker fenced.
pub(crate) async fn leave(broker: &Broker) {
    while let Some(response) = heartbeat(broker, true).await {
        if response.should_shut_down || response.error_code.is_error() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(RETRY_MS)).await;
    }
}
