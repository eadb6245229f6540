//! `metadata.version`: the level that decides which records the cluster may write, and in which version.
//!
//! A [`MetadataVersion`] can only be made from a level of the table, so the predicates below need no "unknown" answer.

use std::fmt;

use thiserror::Error;

/// One level of the `metadata.version` feature, 7 (3.3-IV3) to 33 (4.4-IV2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetadataVersion(i16);

/// A level or a name that is no `metadata.version`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UnknownMetadataVersion {
    /// The level is outside the table.
    #[error("no metadata.version has level {0}: levels are {MIN} to {MAX}", MIN = MetadataVersion::MINIMUM.0, MAX = MetadataVersion::LATEST.0)]
    Level(i16),
    /// The name is not in the table.
    #[error("unknown metadata.version '{0}': supported are {MIN} to {MAX}", MIN = MetadataVersion::MINIMUM, MAX = MetadataVersion::LATEST)]
    Name(String),
}

struct Row {
    release: &'static str,
    sub: &'static str,
    /// Whether records changed in this level, which makes a downgrade below it lossy.
    changes_records: bool,
}

const fn row(release: &'static str, sub: &'static str, changes_records: bool) -> Row {
    Row { release, sub, changes_records }
}

/// Level 7 first, then one row a level.
const TABLE: [Row; 27] = [
    row("3.3", "IV3", true),
    row("3.4", "IV0", true),
    row("3.5", "IV0", false),
    row("3.5", "IV1", false),
    row("3.5", "IV2", true),
    row("3.6", "IV0", false),
    row("3.6", "IV1", true),
    row("3.6", "IV2", true),
    row("3.7", "IV0", true),
    row("3.7", "IV1", false),
    row("3.7", "IV2", true),
    row("3.7", "IV3", false),
    row("3.7", "IV4", false),
    row("3.8", "IV0", false),
    row("3.9", "IV0", false),
    row("4.0", "IV0", false),
    row("4.0", "IV1", true),
    row("4.0", "IV2", false),
    row("4.0", "IV3", false),
    row("4.1", "IV0", false),
    row("4.1", "IV1", false),
    row("4.2", "IV0", false),
    row("4.2", "IV1", false),
    row("4.3", "IV0", true),
    row("4.4", "IV0", false),
    row("4.4", "IV1", true),
    row("4.4", "IV2", true),
];

const FIRST_LEVEL: i16 = 7;

impl MetadataVersion {
    /// The feature's name in records and requests.
    pub const FEATURE_NAME: &'static str = "metadata.version";
    /// The oldest level this software runs at.
    pub const MINIMUM: Self = Self(FIRST_LEVEL);
    /// The newest level, which a fresh folder is formatted with.
    pub const LATEST: Self = Self(FIRST_LEVEL + TABLE.len() as i16 - 1);

    const V3_4_IV0: Self = Self(8);
    const V3_5_IV0: Self = Self(9);
    const V3_5_IV1: Self = Self(10);
    const V3_5_IV2: Self = Self(11);
    const V3_6_IV0: Self = Self(12);
    const V3_6_IV1: Self = Self(13);
    const V3_6_IV2: Self = Self(14);
    const V3_7_IV0: Self = Self(15);
    const V3_7_IV2: Self = Self(17);
    const V3_7_IV4: Self = Self(19);
    const V3_9_IV0: Self = Self(21);
    const V4_0_IV1: Self = Self(23);
    const V4_1_IV1: Self = Self(27);
    const V4_3_IV0: Self = Self(30);
    const V4_4_IV1: Self = Self(32);
    const V4_4_IV2: Self = Self(33);

    /// The version with this feature level.
    pub fn from_level(level: i16) -> Result<Self, UnknownMetadataVersion> {
        if (Self::MINIMUM.0..=Self::LATEST.0).contains(&level) {
            Ok(Self(level))
        } else {
            Err(UnknownMetadataVersion::Level(level))
        }
    }

    /// The version a person names: `4.4-IV2`, or a release (`4.4`, `4.4.0`), which means that release's newest level.
    pub fn from_name(name: &str) -> Result<Self, UnknownMetadataVersion> {
        let two_segments = match name.match_indices('.').nth(1) {
            Some((at, _)) => &name[..at],
            None => name,
        };
        (0..TABLE.len())
            .rev()
            .map(|index| Self(FIRST_LEVEL + index as i16))
            .find(|version| version.release() == two_segments || version.to_string() == two_segments)
            .ok_or_else(|| UnknownMetadataVersion::Name(name.to_owned()))
    }

    /// The feature level as records carry it.
    pub fn level(self) -> i16 {
        self.0
    }

    /// The release this level came with, as in `4.4`.
    pub fn release(self) -> &'static str {
        self.row().release
    }

    /// Whether moving between the two levels, in either direction, changes what records say.
    pub fn records_differ(self, other: Self) -> bool {
        let (low, high) = if self <= other { (self, other) } else { (other, self) };
        (low.0 + 1..=high.0).any(|level| Self(level).row().changes_records)
    }

    /// SCRAM credentials live in the metadata log (KIP-900).
    pub fn supports_scram(self) -> bool {
        self >= Self::V3_5_IV2
    }

    /// Below 3.6 a shrinking ISR has to bump the leader epoch (KAFKA-15021).
    pub fn bumps_leader_epoch_on_isr_shrink(self) -> bool {
        self < Self::V3_6_IV0
    }

    /// Begin, End and AbortTransactionRecord (KIP-868).
    pub fn supports_metadata_transactions(self) -> bool {
        self >= Self::V3_6_IV1
    }

    /// Delegation tokens live in the metadata log (KIP-900).
    pub fn supports_delegation_tokens(self) -> bool {
        self >= Self::V3_6_IV2
    }

    /// RegisterControllerRecord (KIP-919).
    pub fn supports_controller_registration(self) -> bool {
        self >= Self::V3_7_IV0
    }

    /// UnregisterControllerRecord (KIP-1312).
    pub fn supports_controller_unregistration(self) -> bool {
        self >= Self::V4_4_IV2
    }

    /// Replicas are assigned to log directories (KIP-858).
    pub fn supports_directory_assignment(self) -> bool {
        self >= Self::V3_7_IV2
    }

    /// Records can carry eligible leader replicas (KIP-966). Whether they do is `eligible.leader.replicas.version`.
    pub fn supports_eligible_leader_replicas(self) -> bool {
        self >= Self::V4_0_IV1
    }

    /// Registrations can carry cordoned log directories (KIP-1066).
    pub fn supports_cordoned_log_dirs(self) -> bool {
        self >= Self::V4_3_IV0
    }

    /// ACL hosts may be CIDR ranges (KIP-1276).
    pub fn supports_cidr_acls(self) -> bool {
        self >= Self::V4_4_IV1
    }

    /// The version RegisterBrokerRecord is written in.
    pub fn register_broker_record_version(self) -> i16 {
        if self.supports_cordoned_log_dirs() {
            4
        } else if self.supports_directory_assignment() {
            3
        } else if self >= Self::V3_4_IV0 {
            2
        } else {
            1
        }
    }

    /// The version PartitionRecord and PartitionChangeRecord are written in.
    pub fn partition_record_version(self) -> i16 {
        if self.supports_eligible_leader_replicas() {
            2
        } else if self.supports_directory_assignment() {
            1
        } else {
            0
        }
    }

    /// The Fetch version followers use.
    pub fn fetch_request_version(self) -> i16 {
        match self {
            v if v >= Self::V4_1_IV1 => 18,
            v if v >= Self::V3_9_IV0 => 17,
            v if v >= Self::V3_7_IV4 => 16,
            v if v >= Self::V3_5_IV1 => 15,
            v if v >= Self::V3_5_IV0 => 14,
            _ => 13,
        }
    }

    fn row(self) -> &'static Row {
        &TABLE[(self.0 - FIRST_LEVEL) as usize]
    }
}

impl fmt::Display for MetadataVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.release(), self.row().sub)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> i16 {
        MetadataVersion::from_name(name).map_or(-1, MetadataVersion::level)
    }

    #[test]
    fn names_and_levels() {
        let cases = [
            ("3.3-IV3", 7),
            ("3.3", 7),
            ("3.5", 11),
            ("3.7.1", 19),
            ("4.0-IV1", 23),
            ("4.3", 30),
            ("4.4-IV0", 31),
            ("4.4", 33),
            ("4.4.0", 33),
            ("4.5", -1),
            ("3.2", -1),
            ("", -1),
        ];
        for (name, level) in cases {
            assert_eq!(named(name), level, "{name}");
        }
        for level in 7..=33 {
            let version = MetadataVersion::from_level(level).unwrap();
            assert_eq!(named(&version.to_string()), level);
        }
        assert!(MetadataVersion::from_level(6).is_err());
        assert!(MetadataVersion::from_level(34).is_err());
    }

    #[test]
    fn record_versions_per_level() {
        // Level, RegisterBrokerRecord, PartitionRecord, Fetch.
        let cases = [
            (7, 1, 0, 13),
            (8, 2, 0, 13),
            (10, 2, 0, 15),
            (17, 3, 1, 15),
            (19, 3, 1, 16),
            (23, 3, 2, 17),
            (30, 4, 2, 18),
            (33, 4, 2, 18),
        ];
        for (level, register, partition, fetch) in cases {
            let version = MetadataVersion::from_level(level).unwrap();
            let got = (
                version.register_broker_record_version(),
                version.partition_record_version(),
                version.fetch_request_version(),
            );
            assert_eq!(got, (register, partition, fetch), "level {level}");
        }
    }

    #[test]
    fn downgrades_across_a_record_change_are_lossy() {
        let cases = [
            (33, 33, false),
            (33, 32, true),
            (31, 30, false),
            (30, 29, true),
            (29, 23, false),
            (23, 22, true),
            (22, 30, true),
        ];
        for (from, to, lossy) in cases {
            let [from, to] = [from, to].map(|level| MetadataVersion::from_level(level).unwrap());
            assert_eq!(from.records_differ(to), lossy, "{from} to {to}");
        }
    }
}
