//! `golden/files`: every record that a real node stored in its metadata log and its internal topics decodes
//! and encodes back.

use std::{fs, path::PathBuf};

use klamm_protocol::{
    Reader,
    control_record::ControlRecord,
    coordinator_record::{GroupKey, GroupValue, ShareKey, ShareValue, TransactionKey, TransactionValue},
    metadata_record::MetadataRecord,
    remote_log_record::RemoteLogRecord,
};

/// A record of a log.
struct Stored {
    is_control: bool,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

/// The records of all segments and snapshots in the folders whose path begins so.
fn stored(folder: &str) -> Vec<Stored> {
    let files = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/files");
    let mut records = Vec::new();
    let mut folders = vec![files.clone()];
    while let Some(dir) = folders.pop() {
        for entry in fs::read_dir(dir).expect("a golden folder") {
            let path = entry.expect("an entry").path();
            let is_wanted = path.strip_prefix(&files).is_ok_and(|p| p.to_string_lossy().contains(folder));
            if path.is_dir() {
                folders.push(path);
            } else if is_wanted && path.extension().is_some_and(|e| e == "log" || e == "checkpoint") {
                batches(&fs::read(&path).expect("a segment"), &mut records);
            }
        }
    }
    records
}

/// Batches without compression, which is how these logs are written.
fn batches(mut bytes: &[u8], records: &mut Vec<Stored>) {
    while let Some((prefix, _)) = bytes.split_at_checked(12) {
        let len = u32::from_be_bytes(prefix[8..].try_into().expect("four bytes")) as usize;
        let (batch, rest) = bytes.split_at(12 + len);
        let attributes = i16::from_be_bytes([batch[21], batch[22]]);
        assert_eq!(attributes & 7, 0, "a compressed batch");
        let count = u32::from_be_bytes(batch[57..61].try_into().expect("four bytes"));
        let mut r = Reader::new(&batch[61..]);
        for _ in 0..count {
            records.push(record(&mut r, attributes & 0x20 != 0));
        }
        bytes = rest;
    }
}

fn record(r: &mut Reader<'_>, is_control: bool) -> Stored {
    let len = r.varint().expect("a length");
    let end = r.position() + len as usize;
    let _attributes = r.i8().expect("attributes");
    let _timestamp_delta = r.varlong().expect("a timestamp");
    let _offset_delta = r.varint().expect("an offset");
    let mut field = || {
        let len = usize::try_from(r.varint().expect("a length")).ok()?;
        Some(r.take(len).expect("bytes").to_vec())
    };
    let (key, value) = (field(), field());
    r.skip(end - r.position()).expect("headers");
    Stored { is_control, key, value }
}

#[test]
fn metadata_records_round_trip() {
    let (control, records): (Vec<_>, Vec<_>) =
        stored("__cluster_metadata").into_iter().partition(|r| r.is_control);
    for stored in &records {
        let value = stored.value.as_deref().expect("a value");
        let (record, version) = MetadataRecord::decode_versioned(value).expect("a metadata record");
        assert_eq!(record.to_bytes(version).as_deref(), Ok(value));
    }
    for stored in &control {
        assert_control_record(stored);
    }
    assert!(
        records.len() > 400 && control.len() > 10,
        "{} records, {} control",
        records.len(),
        control.len()
    );
}

fn assert_control_record(stored: &Stored) {
    let (key, value) = (stored.key.as_deref().expect("a key"), stored.value.as_deref().expect("a value"));
    let record = ControlRecord::decode(key, value).expect("a control record");
    assert_eq!(record.key_bytes(), key);
    assert_eq!(record.value_bytes().as_deref(), Ok(value));
}

#[test]
fn remote_log_records_round_trip() {
    let records = stored("__remote_log_metadata");
    for stored in &records {
        let value = stored.value.as_deref().expect("a value");
        let (record, version) = RemoteLogRecord::decode_versioned(value).expect("a remote log record");
        assert_eq!(record.to_bytes(version).as_deref(), Ok(value));
    }
    assert!(!records.is_empty());
}

macro_rules! coordinator_topic {
    ($name:ident, $folder:literal, $key:ident, $value:ident) => {
        #[test]
        fn $name() {
            let mut values = 0;
            for stored in stored($folder) {
                if stored.is_control {
                    assert_control_record(&stored);
                    continue;
                }
                let bytes = stored.key.as_deref().expect("a key");
                let key = $key::decode(bytes).expect("a key");
                assert_eq!(key.to_bytes().as_deref(), Ok(bytes));
                let Some(bytes) = stored.value.as_deref() else { continue };
                let (value, version) = $value::decode_versioned(key.key(), bytes).expect("a value");
                assert_eq!(value.to_bytes(version).as_deref(), Ok(bytes));
                assert_eq!(value.key(), key.key());
                values += 1;
            }
            assert!(values > 0);
        }
    };
}

coordinator_topic!(group_records_round_trip, "__consumer_offsets", GroupKey, GroupValue);
coordinator_topic!(transaction_records_round_trip, "__transaction_state", TransactionKey, TransactionValue);
coordinator_topic!(share_records_round_trip, "__share_group_state", ShareKey, ShareValue);
