//! UpdateFeatures.

use klamm_controller::KRaftVersion;
use klamm_metadata::{MetadataRecord, MetadataVersion};
use klamm_protocol::ErrorCode;
use klamm_protocol::messages::UpdateFeaturesRequest;
use klamm_protocol::messages::update_features_request::FeatureUpdateKey;

use crate::cluster::{Cluster, registration};

const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;
const UNSAFE_DOWNGRADE: i8 = 3;

fn request(updates: &[(&'static str, i16, i8)]) -> UpdateFeaturesRequest<'static> {
    let key = |&(feature, max_version_level, upgrade_type): &(&'static str, i16, i8)| FeatureUpdateKey {
        feature: feature.into(),
        max_version_level,
        upgrade_type,
        ..Default::default()
    };
    UpdateFeaturesRequest { feature_updates: updates.iter().map(key).collect(), ..Default::default() }
}

fn update(
    cluster: &mut Cluster,
    updates: &[(&'static str, i16, i8)],
) -> (ErrorCode, Vec<MetadataRecord<'static>>) {
    let request = request(updates);
    let quorum = KRaftVersion { level: 0, check: &unready };
    let (update, records) =
        cluster.decide_with_records(|controller, _| controller.update_features(&request, &quorum));
    (update.response.error_code, records)
}

/// A quorum that stays at level 0.
fn unready(level: i16) -> Result<(), String> {
    if level == 0 { Ok(()) } else { Err("voter 2 is silent".to_owned()) }
}

#[test]
fn the_quorum_has_the_word_on_its_level() {
    use ErrorCode as E;
    // The quorum's level and whether it can change, what is asked, and the answer with the level that the quorum is raised to.
    type Case = (i16, bool, &'static [(&'static str, i16, i8)], bool, (ErrorCode, Option<i16>));
    let cases: &[Case] = &[
        (0, true, &[("kraft.version", 1, UPGRADE)], false, (E::NONE, Some(1))),
        (0, true, &[("kraft.version", 1, UPGRADE)], true, (E::NONE, None)),
        (0, false, &[("kraft.version", 1, UPGRADE)], true, (E::INVALID_UPDATE_VERSION, None)),
        (0, true, &[("kraft.version", 2, UPGRADE)], false, (E::INVALID_UPDATE_VERSION, None)),
        (0, true, &[("kraft.version", 1, SAFE_DOWNGRADE)], false, (E::INVALID_UPDATE_VERSION, None)),
        (1, true, &[("kraft.version", 1, UPGRADE)], false, (E::NONE, None)),
        (1, true, &[("kraft.version", 0, UPGRADE)], false, (E::INVALID_UPDATE_VERSION, None)),
        (1, true, &[("kraft.version", 0, UNSAFE_DOWNGRADE)], false, (E::INVALID_UPDATE_VERSION, None)),
        (0, true, &[("kraft.version", 1, UPGRADE), ("share.version", 2, UPGRADE)], false, (E::NONE, Some(1))),
        (
            0,
            true,
            &[("kraft.version", 1, UPGRADE), ("no", 1, UPGRADE)],
            false,
            (E::INVALID_UPDATE_VERSION, None),
        ),
    ];
    for &(level, can_change, updates, validate_only, wanted) in cases {
        let check = |_| can_change.then_some(()).ok_or_else(|| "voter 2 is silent".to_owned());
        let request = UpdateFeaturesRequest { validate_only, ..request(updates) };
        let mut cluster = Cluster::formatted(MetadataVersion::from_name("4.3").unwrap());
        let quorum = KRaftVersion { level, check: &check };
        let (update, records) =
            cluster.decide_with_records(|controller, _| controller.update_features(&request, &quorum));
        assert_eq!((update.response.error_code, update.kraft_version), wanted, "{updates:?} at {level}");
        let is_of_quorum = |record: &MetadataRecord<'_>| matches!(record, MetadataRecord::FeatureLevel(level) if level.name == "kraft.version");
        assert!(!records.iter().any(is_of_quorum), "{records:?}");
    }
}

#[test]
fn raising_and_lowering() {
    use ErrorCode as E;
    // What is asked of a cluster at 4.3 (level 30), and the answer.
    type Updates = &'static [(&'static str, i16, i8)];
    let cases: &[(Updates, ErrorCode)] = &[
        (&[("metadata.version", 33, UPGRADE)], E::NONE),
        (&[("metadata.version", 34, UPGRADE)], E::INVALID_UPDATE_VERSION),
        (&[("metadata.version", 6, SAFE_DOWNGRADE)], E::INVALID_UPDATE_VERSION),
        (&[("metadata.version", 29, UPGRADE)], E::INVALID_UPDATE_VERSION),
        (&[("metadata.version", 29, SAFE_DOWNGRADE)], E::INVALID_UPDATE_VERSION),
        (&[("metadata.version", 29, UNSAFE_DOWNGRADE)], E::INVALID_UPDATE_VERSION),
        (&[("group.version", 0, SAFE_DOWNGRADE)], E::NONE),
        (&[("group.version", 0, UPGRADE)], E::INVALID_UPDATE_VERSION),
        (&[("share.version", 2, UPGRADE)], E::NONE),
        (&[("share.version", 2, SAFE_DOWNGRADE)], E::INVALID_UPDATE_VERSION),
        (&[("share.version", 3, UPGRADE)], E::INVALID_UPDATE_VERSION),
        (&[("share.version", -1, SAFE_DOWNGRADE)], E::INVALID_UPDATE_VERSION),
        (&[("share.version", 2, 0)], E::INVALID_UPDATE_VERSION),
        (&[("no.such.feature", 1, UPGRADE)], E::INVALID_UPDATE_VERSION),
        (&[("kraft.version", 1, UPGRADE)], E::INVALID_UPDATE_VERSION),
        (&[("kraft.version", 0, UPGRADE)], E::NONE),
        (&[("share.version", 2, UPGRADE), ("share.version", 1, UPGRADE)], E::INVALID_REQUEST),
        (&[("metadata.version", 33, UPGRADE), ("no.such.feature", 1, UPGRADE)], E::INVALID_UPDATE_VERSION),
    ];
    for (updates, code) in cases {
        let mut cluster = Cluster::formatted(MetadataVersion::from_name("4.3").unwrap());
        let before = cluster.controller.image().features.clone();
        let (got, records) = update(&mut cluster, updates);
        assert_eq!(got, *code, "{updates:?}");
        assert!(code == &E::NONE || records.is_empty() && cluster.controller.image().features == before);
    }
}

#[test]
fn a_level_without_record_changes_can_be_left_again() {
    let mut cluster = Cluster::formatted(MetadataVersion::from_level(31).unwrap());
    assert_eq!(update(&mut cluster, &[("metadata.version", 30, SAFE_DOWNGRADE)]).0, ErrorCode::NONE);
    assert_eq!(cluster.controller.image().metadata_version().level(), 30);
}

#[test]
fn every_broker_has_to_support_the_level() {
    let mut cluster = Cluster::formatted(MetadataVersion::from_name("4.3").unwrap());
    let mut old = registration(5, 1);
    for feature in &mut old.features {
        if feature.name == "metadata.version" {
            feature.max_supported_version = 30;
        }
    }
    cluster.register(&old).unwrap();
    assert_eq!(
        update(&mut cluster, &[("metadata.version", 33, UPGRADE)]).0,
        ErrorCode::INVALID_UPDATE_VERSION
    );
}

#[test]
fn enabling_eligible_leader_replicas_fixes_min_insync_replicas() {
    let mut cluster = Cluster::formatted(MetadataVersion::from_name("4.0").unwrap());
    let (code, records) = update(&mut cluster, &[("eligible.leader.replicas.version", 1, UPGRADE)]);
    assert_eq!(code, ErrorCode::NONE);
    assert!(matches!(&records[1], MetadataRecord::Config(config) if config.name == "min.insync.replicas"));
    let mut old = Cluster::formatted(MetadataVersion::from_name("3.9").unwrap());
    let (code, _) = update(&mut old, &[("eligible.leader.replicas.version", 1, UPGRADE)]);
    assert_eq!(code, ErrorCode::INVALID_UPDATE_VERSION, "it needs metadata.version 4.0-IV1");
}
