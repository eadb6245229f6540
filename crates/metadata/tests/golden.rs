//! The metadata log and snapshots of a Kafka 4.4.0 node, read, replayed and written back.

use std::fs;

use klamm_metadata::loader::{MetadataLoader, Published};
use klamm_metadata::log_batch::{
    BatchContents, LogBatch, decode_batch, encode_control_batch, encode_metadata_batch, record_version,
};
use klamm_metadata::snapshot::{Snapshot, SnapshotId};
use klamm_metadata::{ControlRecord, MetadataImage, MetadataRecord, MetadataVersion, Provenance};
use klamm_records::{Batch, RecordIter, batches};

const LOGS: [&str; 3] = [
    "__cluster_metadata-0/00000000000000000000.log",
    "static-quorum/00000000000000000000.log",
    "static-quorum-3.3/00000000000000000000.log",
];

const SNAPSHOTS: [(&str, &str); 5] = [
    ("__cluster_metadata-0", "00000000000000000000-0000000000.checkpoint"),
    ("__cluster_metadata-0", "00000000000000000289-0000000001.checkpoint"),
    ("__cluster_metadata-0", "00000000000000000564-0000000001.checkpoint"),
    ("static-quorum/formatted", "00000000000000000000-0000000000.checkpoint"),
    ("static-quorum-3.3", "00000000000000000000-0000000000.checkpoint"),
];

fn golden(path: &str) -> Vec<u8> {
    let path = format!("{}/../protocol/golden/files/{path}", env!("CARGO_MANIFEST_DIR"));
    fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn provenance(batch: &LogBatch) -> Provenance {
    Provenance {
        last_offset: batch.last_offset,
        last_epoch: batch.leader_epoch,
        last_timestamp_ms: batch.timestamp_ms,
    }
}

/// The versions the batch's records were written in.
fn versions(batch: &Batch<'_>) -> Vec<i16> {
    RecordIter::new(batch.header(), batch.body())
        .map(|record| MetadataRecord::decode_versioned(record.unwrap().value.unwrap()).unwrap().1)
        .collect()
}

/// Replays a whole log up to an end offset, checking each image on the way.
fn replay(log: &[u8], end_offset: i64) -> MetadataImage {
    let mut loader = MetadataLoader::default();
    for batch in batches(log) {
        let batch = decode_batch(&batch.unwrap()).unwrap();
        if batch.base_offset >= end_offset {
            break;
        }
        let records: &[_] = match &batch.contents {
            BatchContents::Metadata(records) => records,
            BatchContents::Control(_) => &[],
        };
        let before = loader.image().clone();
        if let Some(Published { image, delta }) = loader.apply(records, provenance(&batch)).unwrap() {
            image.check_invariants();
            assert!(!delta.is_empty() || image == MetadataImage { provenance: image.provenance, ..before });
        }
    }
    assert!(!loader.in_transaction());
    loader.image().clone()
}

#[test]
fn batches_encode_back_to_kafkas_bytes() {
    for path in LOGS {
        let log = golden(path);
        let mut version = MetadataVersion::MINIMUM;
        for batch in batches(&log) {
            let batch = batch.unwrap();
            let decoded = decode_batch(&batch).unwrap();
            let LogBatch { base_offset, leader_epoch, timestamp_ms, contents, .. } = decoded;
            let bytes = match &contents {
                BatchContents::Control(records) => {
                    encode_control_batch(base_offset, leader_epoch, timestamp_ms, records).unwrap()
                }
                BatchContents::Metadata(records) => {
                    version = level_in(records).unwrap_or(version);
                    let expected: Vec<_> =
                        records.iter().map(|record| record_version(record, version)).collect();
                    assert_eq!(versions(&batch), expected, "{path} at offset {base_offset}");
                    encode_metadata_batch(base_offset, leader_epoch, timestamp_ms, records, version).unwrap()
                }
            };
            assert_eq!(bytes, batch.bytes(), "{path} at offset {base_offset}");
        }
    }
}

fn level_in(records: &[MetadataRecord<'_>]) -> Option<MetadataVersion> {
    records.iter().find_map(|record| match record {
        MetadataRecord::FeatureLevel(level) if level.name == MetadataVersion::FEATURE_NAME => {
            MetadataVersion::from_level(level.feature_level).ok()
        }
        _ => None,
    })
}

#[test]
fn snapshots_encode_back_to_kafkas_bytes() {
    for (folder, name) in SNAPSHOTS {
        let bytes = golden(&format!("{folder}/{name}"));
        let id = SnapshotId::from_file_name(name).unwrap();
        assert_eq!(id.to_string(), name);
        let snapshot = Snapshot::decode(&bytes).unwrap();
        let image = MetadataImage::from_snapshot(&snapshot.records, Provenance::default()).unwrap();
        // The three parts were written at times of their own; with their timestamps put in, all else is equal.
        let written = snapshot.encode(id, 0, image.metadata_version()).unwrap();
        assert_eq!(with_timestamps_of(&written, &bytes), bytes, "{folder}/{name}");
    }
}

fn with_timestamps_of(written: &[u8], golden: &[u8]) -> Vec<u8> {
    let pairs = batches(written).zip(batches(golden));
    let mut bytes = Vec::new();
    for (written, golden) in pairs {
        let (written, golden) = (written.unwrap(), golden.unwrap());
        let mut header = *written.header();
        header.base_timestamp = golden.header().base_timestamp;
        header.max_timestamp = golden.header().max_timestamp;
        header.crc = header.compute_crc(written.body());
        bytes.extend(header.write());
        bytes.extend(written.body());
    }
    bytes
}

#[test]
fn replaying_the_log_yields_what_kafkas_snapshots_hold() {
    let log = golden(LOGS[0]);
    for (folder, name) in &SNAPSHOTS[1..3] {
        let id = SnapshotId::from_file_name(name).unwrap();
        let snapshot = Snapshot::decode(&golden(&format!("{folder}/{name}"))).unwrap();
        let replayed = replay(&log, id.end_offset);
        let loaded = MetadataImage::from_snapshot(&snapshot.records, replayed.provenance).unwrap();
        assert_eq!(loaded.cluster, replayed.cluster, "{name}");
        assert!(loaded == replayed, "{name}");
    }
}

#[test]
fn an_image_survives_being_written_as_records() {
    for path in LOGS {
        let image = replay(&golden(path), i64::MAX);
        assert!(!image.topics.is_empty(), "{path}");
        let records = image.to_records();
        assert_eq!(MetadataImage::from_snapshot(&records, image.provenance).unwrap(), image, "{path}");
        let snapshot = Snapshot { last_contained_log_timestamp_ms: 5, quorum: Default::default(), records };
        let id = SnapshotId { end_offset: 7, epoch: 1 };
        let bytes = snapshot.encode(id, 6, image.metadata_version()).unwrap();
        assert_eq!(Snapshot::decode(&bytes).unwrap(), snapshot, "{path}");
    }
}

#[test]
fn a_snapshot_cut_short_is_refused() {
    let whole = golden("__cluster_metadata-0/00000000000000000289-0000000001.checkpoint");
    for len in [0, 60, 166, 200, whole.len() - 75, whole.len() - 1] {
        assert!(Snapshot::decode(&whole[..len]).is_err(), "{len} bytes");
    }
    let mut damaged = whole.clone();
    damaged[300] ^= 1;
    assert!(Snapshot::decode(&damaged).is_err());
    let footer = ControlRecord::SnapshotFooter(Default::default());
    assert!(Snapshot::decode(&encode_control_batch(0, 0, 0, &[footer]).unwrap()).is_err());
}

#[test]
fn formatting_writes_kafkas_bootstrap_snapshot() {
    let bytes = golden("static-quorum/formatted/00000000000000000000-0000000000.checkpoint");
    let kafkas = Snapshot::decode(&bytes).unwrap();
    let now_ms = kafkas.last_contained_log_timestamp_ms;
    assert_eq!(Snapshot::bootstrap(MetadataVersion::LATEST, now_ms, Default::default()), kafkas);
}
