//! Input: a byte that chooses the log, a byte with the length of the record's key, the key, the value.

use klamm_protocol::{
    control_record::ControlRecord,
    coordinator_record::{GroupKey, GroupValue, ShareKey, ShareValue, TransactionKey, TransactionValue},
    metadata_record::MetadataRecord,
    quorum_state,
    remote_log_record::RemoteLogRecord,
};

/// Runs one input.
pub fn run(input: &[u8]) {
    let [log, key_len, rest @ ..] = input else { return };
    let Some((key, value)) = rest.split_at_checked(usize::from(*key_len)) else { return };
    match log {
        0 => metadata(value),
        1 => remote_log(value),
        2 => group(key, value),
        3 => transaction(key, value),
        4 => share(key, value),
        5 => control(key, value),
        _ => quorum_state(value),
    }
}

macro_rules! framed {
    ($name:ident, $record:ident) => {
        fn $name(value: &[u8]) {
            let Ok((record, version)) = $record::decode_versioned(value) else { return };
            let bytes = record.to_bytes(version).expect("what was decoded encodes");
            let (again, _) = $record::decode_versioned(&bytes).expect("what was encoded decodes");
            assert_eq!(again.to_bytes(version).as_ref(), Ok(&bytes));
        }
    };
}

framed!(metadata, MetadataRecord);
framed!(remote_log, RemoteLogRecord);

macro_rules! coordinator {
    ($name:ident, $key:ident, $value:ident) => {
        fn $name(key: &[u8], value: &[u8]) {
            let Ok(key) = $key::decode(key) else { return };
            let bytes = key.to_bytes().expect("what was decoded encodes");
            assert_eq!($key::decode(&bytes).as_ref(), Ok(&key));
            let Ok((value, version)) = $value::decode_versioned(key.key(), value) else { return };
            let bytes = value.to_bytes(version).expect("what was decoded encodes");
            assert_eq!($value::decode(key.key(), &bytes).as_ref(), Ok(&value));
        }
    };
}

coordinator!(group, GroupKey, GroupValue);
coordinator!(transaction, TransactionKey, TransactionValue);
coordinator!(share, ShareKey, ShareValue);

fn control(key: &[u8], value: &[u8]) {
    let Ok(record) = ControlRecord::decode(key, value) else { return };
    let value = record.value_bytes().expect("what was decoded encodes");
    assert_eq!(ControlRecord::decode(&record.key_bytes(), &value).as_ref(), Ok(&record));
}

fn quorum_state(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Ok((state, version)) = quorum_state::from_json(text) else { return };
    let text = quorum_state::to_json(&state, version).expect("what was read can be written");
    assert_eq!(quorum_state::from_json(&text).expect("what was written can be read"), (state, version));
}
