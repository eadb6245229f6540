//! UpdateFeatures (KIP-584, KIP-778): raises and lowers finalized levels that every node supports.

use std::collections::BTreeMap;

use klamm_metadata::configs::{ConfigResource, ConfigResourceType};
use klamm_metadata::features::{ELIGIBLE_LEADER_REPLICAS_VERSION, Feature, KRAFT_VERSION, VersionRange};
use klamm_metadata::{MetadataRecord, MetadataVersion};
use klamm_protocol::ErrorCode;
use klamm_protocol::messages::update_features_request::FeatureUpdateKey;
use klamm_protocol::messages::update_features_response::UpdatableFeatureResult;
use klamm_protocol::messages::{
    ConfigRecord, FeatureLevelRecord, UpdateFeaturesRequest, UpdateFeaturesResponse,
};

use crate::activation::cluster_min_isr;
use crate::refusal::{Refusal, error_fields};
use crate::repeated::repeated;
use crate::state::{Controller, Decision};

/// How far an update may lower a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UpgradeType {
    Upgrade,
    SafeDowngrade,
    UnsafeDowngrade,
}

/// `kraft.version` is no record of the controller: only the quorum knows and changes it.
pub struct KRaftVersion<'q> {
    /// The level it is at.
    pub level: i16,
    /// Whether it can be raised to a level now, and if not, why.
    pub check: &'q dyn Fn(i16) -> Result<(), String>,
}

/// What follows from an UpdateFeatures.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureUpdate {
    /// To be sent once everything is committed.
    pub response: UpdateFeaturesResponse<'static>,
    /// The level the quorum is to be raised to along with the records.
    pub kraft_version: Option<i16>,
}

impl Controller {
    /// Changes feature levels, all or none.
    pub fn update_features(
        &self,
        request: &UpdateFeaturesRequest<'_>,
        quorum: &KRaftVersion<'_>,
    ) -> Decision<FeatureUpdate> {
        let result = self.feature_records(&request.feature_updates, quorum);
        let (error_code, error_message) = error_fields(&result);
        let per_feature = |update: &FeatureUpdateKey<'_>| UpdatableFeatureResult {
            feature: update.feature.to_string().into(),
            error_message: None,
            ..Default::default()
        };
        let succeeded = result.is_ok();
        let results =
            if succeeded { request.feature_updates.iter().map(per_feature).collect() } else { Vec::new() };
        let response = UpdateFeaturesResponse { error_code, error_message, results, ..Default::default() };
        if !succeeded || request.validate_only {
            return Decision::nothing(FeatureUpdate { response, kraft_version: None });
        }
        let of_quorum = request.feature_updates.iter().find(|update| update.feature == KRAFT_VERSION.name);
        let kraft_version = of_quorum.map(|update| update.max_version_level).filter(|to| *to > quorum.level);
        Decision::new(result.unwrap_or_default(), FeatureUpdate { response, kraft_version })
    }

    fn feature_records(
        &self,
        updates: &[FeatureUpdateKey<'_>],
        quorum: &KRaftVersion<'_>,
    ) -> Result<Vec<MetadataRecord<'static>>, Refusal> {
        let mut proposed: BTreeMap<String, i16> =
            self.image.features.iter().map(|(name, level)| (name.to_owned(), level)).collect();
        if let Some(feature) = repeated(updates.iter().map(|update| update.feature.as_ref())).first() {
            let message = format!("feature {feature} is updated twice in one request");
            return Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
        }
        proposed.extend(updates.iter().map(|update| (update.feature.to_string(), update.max_version_level)));
        let mut records = Vec::new();
        for update in updates {
            self.check_update(update, quorum, &proposed)?;
            if update.feature == KRAFT_VERSION.name {
                continue;
            }
            records.push(level_record(&update.feature, update.max_version_level));
            if update.feature == ELIGIBLE_LEADER_REPLICAS_VERSION.name && update.max_version_level > 0 {
                records.extend(self.elr_safety_records());
            }
        }
        Ok(records)
    }

    fn check_update(
        &self,
        update: &FeatureUpdateKey<'_>,
        quorum: &KRaftVersion<'_>,
        proposed: &BTreeMap<String, i16>,
    ) -> Result<(), Refusal> {
        let (name, level) = (update.feature.as_ref(), update.max_version_level);
        let invalid = |reason: String| {
            let message = format!("cannot set {name} to level {level}: {reason}");
            Err(Refusal::new(ErrorCode::INVALID_UPDATE_VERSION, message))
        };
        let Some(upgrade_type) = UpgradeType::of(update) else {
            return invalid(format!("unknown upgrade type {}", update.upgrade_type));
        };
        if let Some(reason) = self.reason_unsupported(name, level) {
            return invalid(reason);
        }
        let is_kraft_version = name == KRAFT_VERSION.name;
        let current = if is_kraft_version { quorum.level } else { self.image.features.level(name) };
        if level < current && upgrade_type == UpgradeType::Upgrade {
            return invalid(format!("it is at level {current}, and the update does not allow lowering it"));
        }
        if level > current && upgrade_type != UpgradeType::Upgrade {
            return invalid(format!("it is at level {current}: this would not be a downgrade"));
        }
        if is_kraft_version {
            return match level < current {
                true => invalid(format!("the quorum is at level {current}, which cannot be lowered")),
                false => (quorum.check)(level).or_else(invalid),
            };
        }
        if name == MetadataVersion::FEATURE_NAME {
            return self.check_metadata_version(level).or_else(invalid);
        }
        match self.reason_dependency_missing(name, level, proposed) {
            Some(reason) => invalid(reason),
            None => Ok(()),
        }
    }

    /// A level whose records older software reads otherwise cannot be left again.
    fn check_metadata_version(&self, level: i16) -> Result<(), String> {
        let version = MetadataVersion::from_level(level).map_err(|error| error.to_string())?;
        let current = self.image.metadata_version();
        if version < current && version.records_differ(current) {
            return Err(format!("{current} has metadata that {version} cannot hold"));
        }
        Ok(())
    }

    fn reason_dependency_missing(
        &self,
        name: &str,
        level: i16,
        proposed: &BTreeMap<String, i16>,
    ) -> Option<String> {
        let needed = Feature::from_name(name)?.needs_metadata_version(level)?;
        let version = proposed.get(MetadataVersion::FEATURE_NAME).copied().unwrap_or(0);
        (version < needed).then(|| format!("it needs metadata.version {needed}"))
    }

    /// Why some node cannot run at the level; none where all can.
    fn reason_unsupported(&self, name: &str, level: i16) -> Option<String> {
        let none = VersionRange { min: 0, max: 0 };
        let reason = |node: String, range: VersionRange| {
            let VersionRange { min, max } = range;
            (!range.contains(level)).then(|| format!("{node} supports levels {min} to {max}"))
        };
        let local = self.config.features.get(name).copied();
        let Some(local) = local else { return Some("this node does not know the feature".to_owned()) };
        reason(format!("controller {}", self.config.node_id), local)
            .or_else(|| {
                let mut brokers = self.image.cluster.brokers();
                brokers.find_map(|broker| reason(format!("broker {}", broker.id), broker.supported(name)))
            })
            .or_else(|| {
                if !self.image.metadata_version().supports_controller_registration() {
                    return None;
                }
                let others = self.config.quorum_node_ids.iter().filter(|id| **id != self.config.node_id);
                others.copied().find_map(|id| match self.image.cluster.controller(id) {
                    Some(controller) => reason(format!("controller {id}"), controller.supported(name)),
                    None => reason(format!("controller {id}, which is not registered,"), none),
                })
            })
    }

    /// Eligible leader replicas need one `min.insync.replicas` for all brokers: the cluster gets it, single brokers lose theirs.
    fn elr_safety_records(&self) -> Vec<MetadataRecord<'static>> {
        const NAME: &str = "min.insync.replicas";
        let mut records = Vec::new();
        if self.image.configs.get(&ConfigResource::all_brokers(), NAME).is_none() {
            let value = self.rules.static_value(ConfigResourceType::Topic, NAME);
            records.push(cluster_min_isr(value.and_then(|value| value.parse().ok()).unwrap_or(1)));
        }
        let of_single_brokers = self.image.configs.iter().filter(|(resource, settings)| {
            let is_broker = resource.kind == ConfigResourceType::Broker && !resource.name.is_empty();
            is_broker && settings.contains_key(NAME)
        });
        records.extend(of_single_brokers.map(|(resource, _)| {
            MetadataRecord::Config(ConfigRecord {
                resource_type: resource.kind.code(),
                resource_name: resource.name.to_string().into(),
                name: NAME.into(),
                value: None,
            })
        }));
        records
    }
}

impl UpgradeType {
    /// Version 0 of the request has a flag instead of a type.
    fn of(update: &FeatureUpdateKey<'_>) -> Option<Self> {
        match update.upgrade_type {
            1 if update.allow_downgrade => Some(Self::SafeDowngrade),
            1 => Some(Self::Upgrade),
            2 => Some(Self::SafeDowngrade),
            3 => Some(Self::UnsafeDowngrade),
            _ => None,
        }
    }
}

fn level_record(name: &str, feature_level: i16) -> MetadataRecord<'static> {
    MetadataRecord::FeatureLevel(FeatureLevelRecord { name: name.to_owned().into(), feature_level })
}
