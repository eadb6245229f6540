//! Producer snapshots: the `.snapshot` files.
//!
//! An int16 version and a ProducerSnapshot, whose first field is the CRC-32C of what follows it. Of each producer
//! only the last batch is kept.

use klamm_protocol::messages::producer_snapshot::{ProducerEntry, ProducerSnapshot};
use klamm_protocol::{Decode, Encode, Reader, Writer};

use super::{BatchMetadata, ProducerState, ProducerStates};

const VERSION: i16 = 1;
/// Where the bytes begin that the CRC covers: behind version and CRC.
const COVERED_AT: usize = 6;

/// The content of a snapshot file.
pub(crate) fn write(states: &ProducerStates) -> Vec<u8> {
    let producer_entries = states.iter().map(to_entry).collect();
    let mut writer = Writer::new();
    writer.i16(VERSION);
    ProducerSnapshot { crc: 0, producer_entries }
        .encode(&mut writer, VERSION)
        .expect("a snapshot holds numbers only, which can always be written");
    let mut bytes = writer.into_bytes();
    let crc = crc32c::crc32c(&bytes[COVERED_AT..]);
    bytes[2..COVERED_AT].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// The producers in a snapshot file, by id. The error says what is wrong with the bytes.
pub fn read_snapshot(bytes: &[u8]) -> Result<Vec<ProducerState>, String> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16().map_err(|e| e.to_string())?;
    if version != VERSION {
        return Err(format!("version {VERSION} expected, found {version}"));
    }
    let snapshot = ProducerSnapshot::decode(&mut reader, version).map_err(|e| e.to_string())?;
    let computed = crc32c::crc32c(&bytes[COVERED_AT..]);
    if snapshot.crc != computed {
        return Err(format!("stored CRC {:08x}, computed {computed:08x}", snapshot.crc));
    }
    Ok(snapshot.producer_entries.iter().map(from_entry).collect())
}

fn to_entry(state: &ProducerState) -> ProducerEntry {
    let last = state.batches().last();
    ProducerEntry {
        producer_id: state.producer_id,
        epoch: state.producer_epoch,
        last_sequence: state.last_sequence(),
        last_offset: state.last_offset(),
        offset_delta: last.map_or(0, |batch| batch.offset_delta),
        timestamp: state.last_timestamp,
        coordinator_epoch: state.coordinator_epoch,
        current_txn_first_offset: state.current_transaction_start.unwrap_or(-1),
    }
}

fn from_entry(entry: &ProducerEntry) -> ProducerState {
    let mut state = ProducerState::unknown(entry.producer_id);
    state.producer_epoch = entry.epoch;
    state.coordinator_epoch = entry.coordinator_epoch;
    state.current_transaction_start =
        (entry.current_txn_first_offset >= 0).then_some(entry.current_txn_first_offset);
    if entry.last_offset >= 0 {
        let batch = BatchMetadata {
            last_sequence: entry.last_sequence,
            last_offset: entry.last_offset,
            offset_delta: entry.offset_delta,
            timestamp: entry.timestamp,
        };
        state.add_batch(entry.epoch, batch);
    }
    state.last_timestamp = entry.timestamp;
    state
}
