//! Registered brokers and controllers.

use std::sync::Arc;

use imbl::OrdMap;
use klamm_protocol::Uuid;
use klamm_protocol::messages::broker_registration_change_record::BrokerRegistrationChangeRecord;
use klamm_protocol::messages::register_broker_record::{BrokerEndpoint, BrokerFeature, RegisterBrokerRecord};
use klamm_protocol::messages::register_controller_record::{
    ControllerEndpoint, ControllerFeature, RegisterControllerRecord,
};
use thiserror::Error;

use crate::directory_id;
use crate::features::VersionRange;
use crate::metadata_version::MetadataVersion;
use crate::partition::Partition;

/// Where a node listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Listener name, as in `PLAINTEXT`.
    pub name: String,
    /// Host that others dial.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
}

/// A feature and the levels of it that a node supports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupportedFeature {
    /// The feature's name.
    pub name: String,
    /// Supported levels.
    pub range: VersionRange,
}

/// A registered broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// The node id.
    pub id: i32,
    /// The offset at which this incarnation registered; requests with another one are stale.
    pub epoch: i64,
    /// Drawn by the broker at each start.
    pub incarnation_id: Uuid,
    /// Where it listens, in the order it registered them.
    pub endpoints: Vec<Endpoint>,
    /// What it supports, sorted by name.
    pub features: Vec<SupportedFeature>,
    /// Its rack, for placement and for fetching from the closest replica.
    pub rack: Option<String>,
    /// Fenced brokers lead nothing and are hidden from clients.
    pub fenced: bool,
    /// Leaders are being moved away.
    pub in_controlled_shutdown: bool,
    /// Whether it came from ZooKeeper; kept for old logs.
    pub is_migrating_zk_broker: bool,
    /// Online log directories, sorted.
    pub directories: Vec<Uuid>,
    /// Log directories that get no new replicas (KIP-1066); none until the broker has said.
    pub cordoned_directories: Option<Vec<Uuid>>,
}

impl BrokerRegistration {
    /// The registration a RegisterBrokerRecord describes.
    pub fn from_record(record: &RegisterBrokerRecord<'_>) -> Self {
        Self {
            id: record.broker_id,
            epoch: record.broker_epoch,
            incarnation_id: record.incarnation_id,
            endpoints: record.end_points.iter().map(endpoint_of_broker).collect(),
            features: sorted_features(record.features.iter().map(feature_of_broker).collect()),
            rack: record.rack.as_deref().map(str::to_owned),
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            is_migrating_zk_broker: record.is_migrating_zk_broker,
            directories: sorted_directories(&record.log_dirs),
            cordoned_directories: record.cordoned_log_dirs.clone(),
        }
    }

    /// The record that describes this registration at `version`; what the version cannot carry is left out.
    pub fn to_record(&self, version: MetadataVersion) -> RegisterBrokerRecord<'static> {
        let directories = version.supports_directory_assignment().then(|| self.directories.clone());
        let cordoned =
            if version.supports_cordoned_log_dirs() { self.cordoned_directories.clone() } else { None };
        RegisterBrokerRecord {
            broker_id: self.id,
            is_migrating_zk_broker: self.is_migrating_zk_broker
                && version.register_broker_record_version() >= 2,
            incarnation_id: self.incarnation_id,
            broker_epoch: self.epoch,
            end_points: self.endpoints.iter().map(broker_endpoint).collect(),
            features: self.features.iter().map(broker_feature).collect(),
            rack: self.rack.clone().map(Into::into),
            fenced: self.fenced,
            in_controlled_shutdown: self.in_controlled_shutdown,
            log_dirs: directories.unwrap_or_default(),
            cordoned_log_dirs: cordoned,
        }
    }

    /// The registration after a BrokerRegistrationChangeRecord.
    pub fn merge(&self, change: &BrokerRegistrationChangeRecord) -> Result<Self, RegistrationError> {
        let fenced = match change.fenced {
            0 => self.fenced,
            1 => true,
            -1 => false,
            other => return Err(RegistrationError::Fencing { broker_id: self.id, value: other }),
        };
        let in_controlled_shutdown = match change.in_controlled_shutdown {
            0 => self.in_controlled_shutdown,
            1 => true,
            other => return Err(RegistrationError::ControlledShutdown { broker_id: self.id, value: other }),
        };
        let directories = match change.log_dirs.as_slice() {
            [] => self.directories.clone(),
            directories => sorted_directories(directories),
        };
        Ok(Self {
            fenced,
            in_controlled_shutdown,
            directories,
            cordoned_directories: change
                .cordoned_log_dirs
                .clone()
                .or_else(|| self.cordoned_directories.clone()),
            ..self.clone()
        })
    }

    /// The endpoint of a listener.
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.name == listener)
    }

    /// Whether the broker may lead partitions: neither fenced nor on its way out.
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }

    /// Whether a replica in this directory of the broker can serve.
    pub fn has_online_directory(&self, directory: Uuid) -> bool {
        directory_id::is_online(directory, &self.directories)
    }

    /// Whether some directory takes new replicas.
    pub fn has_uncordoned_directory(&self) -> bool {
        let Some(cordoned) = &self.cordoned_directories else { return true };
        self.directories.is_empty() || self.directories.iter().any(|directory| !cordoned.contains(directory))
    }

    /// The directory a new replica on this broker starts with: the only one, or unassigned until the broker chooses.
    pub fn default_directory(&self) -> Uuid {
        match self.directories.as_slice() {
            [] => directory_id::MIGRATING,
            [only] => *only,
            _ => directory_id::UNASSIGNED,
        }
    }

    /// The levels of a feature that the broker supports; only level 0 where it did not name the feature.
    pub fn supported(&self, feature: &str) -> VersionRange {
        supported(&self.features, feature)
    }
}

/// A registered controller (KIP-919).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerRegistration {
    /// The node id.
    pub id: i32,
    /// Drawn by the controller at each start.
    pub incarnation_id: Uuid,
    /// Whether it was ready for a migration from ZooKeeper; kept for old logs.
    pub zk_migration_ready: bool,
    /// Where it listens, in the order it registered them.
    pub endpoints: Vec<Endpoint>,
    /// What it supports, sorted by name.
    pub features: Vec<SupportedFeature>,
}

impl ControllerRegistration {
    /// The registration a RegisterControllerRecord describes.
    pub fn from_record(record: &RegisterControllerRecord<'_>) -> Self {
        Self {
            id: record.controller_id,
            incarnation_id: record.incarnation_id,
            zk_migration_ready: record.zk_migration_ready,
            endpoints: record.end_points.iter().map(endpoint_of_controller).collect(),
            features: sorted_features(record.features.iter().map(feature_of_controller).collect()),
        }
    }

    /// The record that describes this registration.
    pub fn to_record(&self) -> RegisterControllerRecord<'static> {
        RegisterControllerRecord {
            controller_id: self.id,
            incarnation_id: self.incarnation_id,
            zk_migration_ready: self.zk_migration_ready,
            end_points: self.endpoints.iter().map(controller_endpoint).collect(),
            features: self.features.iter().map(controller_feature).collect(),
        }
    }

    /// The levels of a feature that the controller supports; only level 0 where it did not name the feature.
    pub fn supported(&self, feature: &str) -> VersionRange {
        supported(&self.features, feature)
    }
}

/// A registration record that cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RegistrationError {
    /// The record changes a broker that is not registered.
    #[error("broker {broker_id} is not registered")]
    UnknownBroker {
        /// The broker named.
        broker_id: i32,
    },
    /// The record is meant for another incarnation.
    #[error("broker {broker_id} has epoch {current}, the record is for epoch {given}")]
    BrokerEpoch {
        /// The broker named.
        broker_id: i32,
        /// Its epoch.
        current: i64,
        /// The epoch in the record.
        given: i64,
    },
    /// Neither fence (1), unfence (-1) nor unchanged (0).
    #[error("fencing change {value} of broker {broker_id}")]
    Fencing {
        /// The broker named.
        broker_id: i32,
        /// The value given.
        value: i8,
    },
    /// Neither in controlled shutdown (1) nor unchanged (0).
    #[error("controlled shutdown change {value} of broker {broker_id}")]
    ControlledShutdown {
        /// The broker named.
        broker_id: i32,
        /// The value given.
        value: i8,
    },
}

/// All registered nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterImage {
    pub(crate) brokers: OrdMap<i32, Arc<BrokerRegistration>>,
    pub(crate) controllers: OrdMap<i32, Arc<ControllerRegistration>>,
}

impl ClusterImage {
    /// A registered broker, fenced or not.
    pub fn broker(&self, id: i32) -> Option<&Arc<BrokerRegistration>> {
        self.brokers.get(&id)
    }

    /// The registered brokers by id, fenced ones included.
    pub fn brokers(&self) -> impl Iterator<Item = &Arc<BrokerRegistration>> + '_ {
        self.brokers.values()
    }

    /// A registered controller.
    pub fn controller(&self, id: i32) -> Option<&Arc<ControllerRegistration>> {
        self.controllers.get(&id)
    }

    /// The registered controllers by id.
    pub fn controllers(&self) -> impl Iterator<Item = &Arc<ControllerRegistration>> + '_ {
        self.controllers.values()
    }

    /// The replicas of a partition that cannot serve: their broker is fenced or gone, or the disk of their directory failed.
    pub fn offline_replicas(&self, partition: &Partition) -> Vec<i32> {
        let replicas = partition.replicas.iter().zip(&partition.directories);
        let offline = replicas.filter(|(id, directory)| {
            let broker = self.broker(**id).filter(|broker| !broker.fenced);
            !broker.is_some_and(|broker| broker.has_online_directory(**directory))
        });
        offline.map(|(id, _)| *id).collect()
    }

    /// The broker of that incarnation.
    pub(crate) fn broker_of_epoch(
        &self,
        broker_id: i32,
        epoch: i64,
    ) -> Result<&Arc<BrokerRegistration>, RegistrationError> {
        let broker = self.broker(broker_id).ok_or(RegistrationError::UnknownBroker { broker_id })?;
        if broker.epoch != epoch {
            let current = broker.epoch;
            return Err(RegistrationError::BrokerEpoch { broker_id, current, given: epoch });
        }
        Ok(broker)
    }
}

/// Nodes name their features in any order.
fn sorted_features(mut features: Vec<SupportedFeature>) -> Vec<SupportedFeature> {
    features.sort_by(|one, other| one.name.cmp(&other.name));
    features
}

fn sorted_directories(directories: &[Uuid]) -> Vec<Uuid> {
    let mut directories = directories.to_vec();
    directories.sort_unstable();
    directories
}

fn supported(features: &[SupportedFeature], name: &str) -> VersionRange {
    let found = features.iter().find(|feature| feature.name == name);
    found.map_or(VersionRange { min: 0, max: 0 }, |feature| feature.range)
}

fn endpoint_of_broker(endpoint: &BrokerEndpoint<'_>) -> Endpoint {
    Endpoint {
        name: endpoint.name.to_string(),
        host: endpoint.host.to_string(),
        port: endpoint.port,
        security_protocol: endpoint.security_protocol,
    }
}

fn broker_endpoint(endpoint: &Endpoint) -> BrokerEndpoint<'static> {
    BrokerEndpoint {
        name: endpoint.name.clone().into(),
        host: endpoint.host.clone().into(),
        port: endpoint.port,
        security_protocol: endpoint.security_protocol,
    }
}

fn endpoint_of_controller(endpoint: &ControllerEndpoint<'_>) -> Endpoint {
    Endpoint {
        name: endpoint.name.to_string(),
        host: endpoint.host.to_string(),
        port: endpoint.port,
        security_protocol: endpoint.security_protocol,
    }
}

fn controller_endpoint(endpoint: &Endpoint) -> ControllerEndpoint<'static> {
    ControllerEndpoint {
        name: endpoint.name.clone().into(),
        host: endpoint.host.clone().into(),
        port: endpoint.port,
        security_protocol: endpoint.security_protocol,
    }
}

fn feature_of_broker(feature: &BrokerFeature<'_>) -> SupportedFeature {
    let range = VersionRange { min: feature.min_supported_version, max: feature.max_supported_version };
    SupportedFeature { name: feature.name.to_string(), range }
}

fn broker_feature(feature: &SupportedFeature) -> BrokerFeature<'static> {
    BrokerFeature {
        name: feature.name.clone().into(),
        min_supported_version: feature.range.min,
        max_supported_version: feature.range.max,
    }
}

fn feature_of_controller(feature: &ControllerFeature<'_>) -> SupportedFeature {
    let range = VersionRange { min: feature.min_supported_version, max: feature.max_supported_version };
    SupportedFeature { name: feature.name.to_string(), range }
}

fn controller_feature(feature: &SupportedFeature) -> ControllerFeature<'static> {
    ControllerFeature {
        name: feature.name.clone().into(),
        min_supported_version: feature.range.min,
        max_supported_version: feature.range.max,
    }
}
