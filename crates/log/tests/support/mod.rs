//! What the tests of this crate share: folders, logs and batches.
#![allow(dead_code, reason = "every test file uses a part of it")]

pub(crate) mod dirs;
pub(crate) mod interposed;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use klamm_log::disk::simulated::SimulatedDisk;
use klamm_log::disk::{self, Disk, RealDisk};
use klamm_log::{Log, LogConfig, LogOpening, OpenFiles, RecoveryReport};
use klamm_protocol::control_record::ControlRecord;
use klamm_protocol::messages::EndTxnMarker;
use klamm_records::{AcceptedBatch, BatchBuilder, NewRecord};

/// The folders that a real Kafka wrote.
pub(crate) const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/golden/files");

/// A little after the golden folders were written.
pub(crate) const GOLDEN_NOW_MS: i64 = 1_795_361_200_000;

/// The folder that tests on a simulated disk use.
pub(crate) const DIR: &str = "/data/topic-0";

pub(crate) fn opening(dir: impl Into<PathBuf>) -> LogOpening {
    LogOpening {
        dir: dir.into(),
        config: Arc::new(LogConfig::default()),
        log_start_offset: 0,
        recovery_point: 0,
        was_clean: true,
        is_contiguous: true,
        now_ms: 0,
    }
}

pub(crate) fn open_on(disk: Arc<dyn Disk>, opening: LogOpening) -> (Log, RecoveryReport) {
    Log::open(disk, OpenFiles::new(100), opening).unwrap_or_else(|e| panic!("{e}"))
}

pub(crate) fn open_real(opening: LogOpening) -> (Log, RecoveryReport) {
    open_on(Arc::new(RealDisk), opening)
}

/// A simulated disk with the partition's folder.
pub(crate) fn simulated(seed: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::seeded(seed);
    disk.create_dir(Path::new(DIR)).expect("an empty disk takes a folder");
    disk
}

/// Makes the folder's own name durable, as the log directory does when it creates one.
pub(crate) fn sync_folders(disk: &SimulatedDisk) {
    for dir in ["/", "/data"] {
        disk.sync_dir(Path::new(dir)).expect("the folder is there");
    }
}

pub(crate) fn open_simulated(disk: &SimulatedDisk, opening: LogOpening) -> (Log, RecoveryReport) {
    open_on(Arc::new(disk.clone()), opening)
}

/// A batch of `values` whose records have consecutive timestamps from `timestamp`.
pub(crate) fn batch(timestamp: i64, values: &[&str]) -> AcceptedBatch<'static> {
    fill(BatchBuilder::new(0), timestamp, values)
}

/// The same by an idempotent producer.
pub(crate) fn batch_of(producer: (i64, i16), sequence: i32, values: &[&str]) -> AcceptedBatch<'static> {
    fill(BatchBuilder::new(0).producer(producer.0, producer.1, sequence), 1000, values)
}

/// The same within a transaction.
pub(crate) fn transactional(producer: (i64, i16), sequence: i32, values: &[&str]) -> AcceptedBatch<'static> {
    let builder = BatchBuilder::new(0).producer(producer.0, producer.1, sequence).transactional(true);
    fill(builder, 1000, values)
}

/// The marker that ends a producer's transaction.
pub(crate) fn marker(producer: (i64, i16), is_abort: bool, coordinator_epoch: i32) -> AcceptedBatch<'static> {
    let marker = EndTxnMarker { coordinator_epoch };
    let record = if is_abort { ControlRecord::Abort(marker) } else { ControlRecord::Commit(marker) };
    let (key, value) = (record.key_bytes(), record.value_bytes().expect("a marker can be written"));
    let mut builder =
        BatchBuilder::new(0).producer(producer.0, producer.1, -1).transactional(true).control(true);
    builder.append(&NewRecord { timestamp: 2000, key: Some(&key), value: Some(&value), headers: &[] });
    builder.finish()
}

fn fill(mut builder: BatchBuilder, timestamp: i64, values: &[&str]) -> AcceptedBatch<'static> {
    for (n, value) in values.iter().enumerate() {
        let timestamp = timestamp + n as i64;
        builder.append(&NewRecord { timestamp, key: None, value: Some(value.as_bytes()), headers: &[] });
    }
    builder.finish()
}

/// The bytes that a read from `offset` up to the log end gives, read to the log's end.
pub(crate) fn read_all(log: &Log, offset: i64) -> Vec<u8> {
    let (mut offset, mut bytes, mut hint) = (offset, Vec::new(), None);
    while offset < log.log_end_offset() {
        let slice = log.read(offset, i64::MAX, usize::MAX, true, hint).unwrap_or_else(|e| panic!("{e}"));
        let Some(data) = slice.data else { break };
        let start = bytes.len();
        bytes.resize(start + data.length, 0);
        disk::read_exact_at(&*data.file, &mut bytes[start..], data.position)
            .expect("the slice is in the file");
        (offset, hint) = (slice.end_offset, slice.next);
    }
    bytes
}

/// The values of all records from `offset` on, with their offsets; control records are left out.
pub(crate) fn values(log: &Log, offset: i64) -> Vec<(i64, String)> {
    let bytes = read_all(log, offset);
    let mut values = Vec::new();
    for batch in klamm_records::batches(&bytes) {
        let batch = batch.expect("the log holds batches");
        batch.check_crc().expect("the log's batches are intact");
        if batch.header().attributes.is_control() {
            continue;
        }
        let mut records = batch.records(Default::default()).expect("records follow the header");
        while let Some(record) = records.next_record().expect("records are well formed") {
            let value = String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned();
            if record.offset >= offset {
                values.push((record.offset, value));
            }
        }
    }
    values
}

/// Copies a golden folder to where it may be written to.
pub(crate) fn copy_golden(folder: &str, to: &Path) -> PathBuf {
    let target = to.join(folder);
    std::fs::create_dir_all(&target).expect("a temporary folder can be made");
    for entry in std::fs::read_dir(Path::new(GOLDEN).join(folder)).expect("the golden folder is there") {
        let entry = entry.expect("the golden folder can be read");
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let content = std::fs::read(entry.path()).expect("a golden file can be read");
            std::fs::write(target.join(entry.file_name()), content).expect("a temporary file can be written");
        }
    }
    target
}
