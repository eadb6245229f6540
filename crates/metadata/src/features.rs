//! Cluster features: which levels this software supports, what they depend on, and which levels are finalized.

use std::collections::BTreeMap;

use imbl::OrdMap;
pub use klamm_protocol::VersionRange;
use thiserror::Error;

use crate::metadata_version::{MetadataVersion, UnknownMetadataVersion};

/// A feature other than `metadata.version`.
#[derive(Debug, PartialEq, Eq)]
pub struct Feature {
    /// Name in records and requests.
    pub name: &'static str,
    levels: &'static [FeatureLevel],
}

/// Levels are consecutive from 0, which means "off".
#[derive(Debug, PartialEq, Eq)]
struct FeatureLevel {
    /// A cluster formatted at this metadata.version or later starts with the level.
    default_from: i16,
    /// The lowest metadata.version that can carry it.
    needs_metadata_version: i16,
}

const OFF: FeatureLevel = FeatureLevel { default_from: 7, needs_metadata_version: 7 };

const fn level(default_from: i16) -> FeatureLevel {
    FeatureLevel { default_from, needs_metadata_version: 7 }
}

/// Whether a cluster's voters live in the quorum's own log (KIP-853). Its level is in the quorum's control records, never in a
/// FeatureLevelRecord.
pub const KRAFT_VERSION: Feature = Feature { name: "kraft.version", levels: &[OFF, level(21)] };
/// Flexible transaction state records (1) and an epoch bump for each transaction (2), KIP-890.
pub const TRANSACTION_VERSION: Feature =
    Feature { name: "transaction.version", levels: &[OFF, level(24), level(24)] };
/// The consumer rebalance protocol, KIP-848.
pub const GROUP_VERSION: Feature = Feature { name: "group.version", levels: &[OFF, level(22)] };
/// Eligible leader replicas, KIP-966.
pub const ELIGIBLE_LEADER_REPLICAS_VERSION: Feature = Feature {
    name: "eligible.leader.replicas.version",
    levels: &[OFF, FeatureLevel { default_from: 26, needs_metadata_version: 23 }],
};
/// Share groups (1, KIP-932) and their dead-letter queues (2, KIP-1191).
pub const SHARE_VERSION: Feature = Feature { name: "share.version", levels: &[OFF, level(28), level(31)] };
/// Streams groups, KIP-1071.
pub const STREAMS_VERSION: Feature = Feature { name: "streams.version", levels: &[OFF, level(29)] };

/// Every feature but `metadata.version`, sorted by name.
pub const FEATURES: [&Feature; 6] = [
    &ELIGIBLE_LEADER_REPLICAS_VERSION,
    &GROUP_VERSION,
    &KRAFT_VERSION,
    &SHARE_VERSION,
    &STREAMS_VERSION,
    &TRANSACTION_VERSION,
];

impl Feature {
    /// Looks a feature up by its name.
    pub fn from_name(name: &str) -> Option<&'static Self> {
        FEATURES.into_iter().find(|feature| feature.name == name)
    }

    /// The levels this software supports.
    pub fn supported(&self) -> VersionRange {
        VersionRange { min: 0, max: self.levels.len() as i16 - 1 }
    }

    /// The level a cluster formatted at `version` starts with.
    pub fn default_level(&self, version: MetadataVersion) -> i16 {
        let enabled = self.levels.iter().take_while(|level| level.default_from <= version.level());
        enabled.count() as i16 - 1
    }

    /// The lowest metadata.version that can carry `level`; none where this software does not know the level.
    pub fn needs_metadata_version(&self, level: i16) -> Option<i16> {
        let index = usize::try_from(level).ok()?;
        self.levels.get(index).map(|level| level.needs_metadata_version)
    }
}

/// The levels this node supports, `metadata.version` and `kraft.version` included, sorted by name: what ApiVersions and
/// registrations announce.
pub fn supported_features() -> BTreeMap<&'static str, VersionRange> {
    let metadata_version =
        VersionRange { min: MetadataVersion::MINIMUM.level(), max: MetadataVersion::LATEST.level() };
    FEATURES
        .into_iter()
        .map(|feature| (feature.name, feature.supported()))
        .chain([(MetadataVersion::FEATURE_NAME, metadata_version)])
        .collect()
}

/// The features a fresh cluster at `version` is formatted with: `metadata.version` first, then the others by name, those at level 0
/// left out, `kraft.version` left out because the quorum keeps it.
pub fn bootstrap_levels(version: MetadataVersion) -> Vec<(&'static str, i16)> {
    let others = FEATURES
        .into_iter()
        .filter(|feature| **feature != KRAFT_VERSION)
        .map(|feature| (feature.name, feature.default_level(version)))
        .filter(|&(_, level)| level > 0);
    std::iter::once((MetadataVersion::FEATURE_NAME, version.level())).chain(others).collect()
}

/// A feature level record that cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FeatureError {
    /// The metadata.version is not one this software runs at.
    #[error(transparent)]
    MetadataVersion(#[from] UnknownMetadataVersion),
    /// The feature is at a level above what this software knows, or is unknown altogether.
    #[error("feature {name} is finalized at level {level}, which this software does not support")]
    Unsupported {
        /// The feature's name.
        name: String,
        /// The finalized level.
        level: i16,
    },
}

/// The finalized feature levels of the cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FinalizedFeatures {
    metadata_version: Option<MetadataVersion>,
    /// Features at level 0 are absent.
    levels: OrdMap<&'static str, i16>,
}

impl FinalizedFeatures {
    /// The cluster's metadata.version, or the lowest one while no record has set it.
    pub fn metadata_version(&self) -> MetadataVersion {
        self.metadata_version.unwrap_or(MetadataVersion::MINIMUM)
    }

    /// The metadata.version, if a record has set it: none means the log holds nothing yet.
    pub fn metadata_version_if_set(&self) -> Option<MetadataVersion> {
        self.metadata_version
    }

    /// The finalized level of a feature, 0 where it is off. `metadata.version` is found here too.
    pub fn level(&self, name: &str) -> i16 {
        if name == MetadataVersion::FEATURE_NAME {
            return self.metadata_version.map_or(0, MetadataVersion::level);
        }
        self.levels.get(name).copied().unwrap_or(0)
    }

    /// Whether eligible leader replicas are kept (KIP-966).
    pub fn eligible_leader_replicas_enabled(&self) -> bool {
        self.level(ELIGIBLE_LEADER_REPLICAS_VERSION.name) >= 1
    }

    /// Every feature above level 0, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, i16)> + '_ {
        let metadata_version =
            self.metadata_version.map(|version| (MetadataVersion::FEATURE_NAME, version.level()));
        let mut all: Vec<_> =
            self.levels.iter().map(|(&name, &level)| (name, level)).chain(metadata_version).collect();
        all.sort_unstable();
        all.into_iter()
    }

    /// Applies one FeatureLevelRecord. `kraft.version` is skipped: old clusters wrote it by mistake (KAFKA-18979).
    pub fn apply(&mut self, name: &str, level: i16) -> Result<(), FeatureError> {
        if name == MetadataVersion::FEATURE_NAME {
            self.metadata_version = Some(MetadataVersion::from_level(level)?);
            return Ok(());
        }
        let unsupported = || FeatureError::Unsupported { name: name.to_owned(), level };
        let feature = match Feature::from_name(name) {
            None if level == 0 => return Ok(()),
            None => return Err(unsupported()),
            Some(feature) if *feature == KRAFT_VERSION => return Ok(()),
            Some(feature) => feature,
        };
        match level {
            0 => _ = self.levels.remove(feature.name),
            level if feature.supported().contains(level) => _ = self.levels.insert(feature.name, level),
            _ => return Err(unsupported()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_4_4_cluster_starts_with_kafkas_features() {
        let expected = vec![
            ("metadata.version", 33),
            ("eligible.leader.replicas.version", 1),
            ("group.version", 1),
            ("share.version", 2),
            ("streams.version", 1),
            ("transaction.version", 2),
        ];
        assert_eq!(bootstrap_levels(MetadataVersion::LATEST), expected);
    }

    #[test]
    fn defaults_follow_the_metadata_version() {
        // Level of metadata.version, then elr, group, share, streams, transaction.
        let cases = [
            (7, [0, 0, 0, 0, 0]),
            (22, [0, 1, 0, 0, 0]),
            (24, [0, 1, 0, 0, 2]),
            (26, [1, 1, 0, 0, 2]),
            (29, [1, 1, 1, 1, 2]),
        ];
        for (level, expected) in cases {
            let version = MetadataVersion::from_level(level).unwrap();
            let features = [
                &ELIGIBLE_LEADER_REPLICAS_VERSION,
                &GROUP_VERSION,
                &SHARE_VERSION,
                &STREAMS_VERSION,
                &TRANSACTION_VERSION,
            ];
            assert_eq!(features.map(|feature| feature.default_level(version)), expected, "level {level}");
        }
    }

    #[test]
    fn applying_levels() {
        let mut features = FinalizedFeatures::default();
        features.apply("metadata.version", 33).unwrap();
        features.apply("group.version", 1).unwrap();
        features.apply("kraft.version", 1).unwrap();
        features.apply("a.feature.nobody.knows", 0).unwrap();
        assert_eq!(features.iter().collect::<Vec<_>>(), [("group.version", 1), ("metadata.version", 33)]);
        features.apply("group.version", 0).unwrap();
        assert_eq!(features.level("group.version"), 0);
        assert!(features.apply("metadata.version", 34).is_err());
        assert!(features.apply("share.version", 3).is_err());
        assert!(features.apply("a.feature.nobody.knows", 1).is_err());
    }
}
