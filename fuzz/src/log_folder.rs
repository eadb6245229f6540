//! Input: a byte of choices, then the files of a partition's folder, each as a byte for its name, a byte for the offset in
//! the name, its length as an int16 and its bytes.
//!
//! Choices: bit 0 says that the last stop was clean, bit 1 repairs the batches' CRCs, bit 2 says that the topic is compacted.
//! A name's bits 0–2 are the kind of file, bits 3–4 what compaction and deletion put behind it.

use std::path::Path;
use std::sync::Arc;

use klamm_log::disk::simulated::SimulatedDisk;
use klamm_log::disk::{self, Access, Disk};
use klamm_log::{
    FileKind, Finding, LeaderAppend, Log, LogConfig, LogOpening, OpenFiles, dump::LEADER_EPOCH_CHECKPOINT,
    file_name, verify,
};
use klamm_records::{AcceptedBatch, BatchBuilder, NewRecord, batches};

const DIR: &str = "/data/topic-0";
const SUFFIXES: [&str; 4] = ["", ".swap", ".cleaned", ".deleted"];

/// Runs one input.
pub fn run(input: &[u8]) {
    let [choices, files @ ..] = input else { return };
    let disk = SimulatedDisk::seeded(0);
    disk.create_dir(Path::new(DIR)).expect("an empty disk takes a folder");
    write_files(&disk, files, choices >> 1 & 1 == 1);
    let was_clean = choices & 1 == 1;
    let Ok((log, _)) = open(&disk, was_clean, choices >> 2 & 1 == 1) else { return };
    log.check_invariants();
    let read = read_all(&log);
    if was_clean {
        return;
    }
    assert!(read.is_some(), "what recovery keeps can be read");
    goes_on(&disk, log);
}

/// What a broker does next: it appends, stops in order, starts again.
fn goes_on(disk: &SimulatedDisk, log: Log) {
    let end_offset = log.log_end_offset();
    let epoch = log.latest_epoch().unwrap_or(0).max(0);
    // A log at the end of all offsets takes nothing more.
    let appended = log.append_as_leader(&[batch()], LeaderAppend::client(epoch, 0)).is_ok();
    log.close(true).expect("an intact disk");
    let mut findings = verify(disk, Path::new(DIR)).expect("an intact disk");
    findings.retain(is_mendable);
    assert!(findings.is_empty(), "{findings:?}");
    let (log, report) = open(disk, true, false).expect("a recovered folder");
    assert!(report.is_empty(), "{report}");
    log.check_invariants();
    assert_eq!(log.log_end_offset(), end_offset + i64::from(appended));
}

/// A snapshot of producers at the log's beginning is never read, so that damage in it is not found; and no CRC covers leader epochs,
/// which are kept as they are.
fn is_mendable(finding: &Finding) -> bool {
    !finding.file.ends_with(FileKind::Snapshot.extension()) && !finding.what.contains("epoch")
}

fn open(
    disk: &SimulatedDisk,
    was_clean: bool,
    compact: bool,
) -> Result<(Log, klamm_log::RecoveryReport), klamm_log::StorageError> {
    let config =
        LogConfig { segment_bytes: 1200, index_interval_bytes: 100, compact, ..LogConfig::default() };
    let opening = LogOpening {
        dir: DIR.into(),
        config: Arc::new(config),
        log_start_offset: 0,
        recovery_point: 0,
        was_clean,
        is_contiguous: !compact,
        now_ms: 0,
    };
    Log::open(Arc::new(disk.clone()), OpenFiles::new(100), opening)
}

fn batch() -> AcceptedBatch<'static> {
    let mut builder = BatchBuilder::new(0);
    builder.append(&NewRecord { timestamp: 0, key: None, value: Some(b"one more"), headers: &[] });
    builder.finish()
}

fn write_files(disk: &dyn Disk, mut input: &[u8], repair_crcs: bool) {
    while let [name, offset, high, low, rest @ ..] = input {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (content, rest) = rest.split_at(length);
        let mut content = content.to_vec();
        let name = match FileKind::ALL.get(usize::from(name & 7)) {
            Some(kind) => file_name(i64::from(*offset), *kind) + SUFFIXES[usize::from(name >> 3 & 3)],
            None => LEADER_EPOCH_CHECKPOINT.to_owned(),
        };
        if repair_crcs && name.contains(FileKind::Log.extension()) {
            crate::repair_crcs(&mut content);
        }
        let file = disk.open(&Path::new(DIR).join(name), Access::Create).expect("an intact disk");
        disk::write_all_at(&*file, &mut [std::io::IoSlice::new(&content)], 0).expect("an intact disk");
        input = rest;
    }
}

/// All batches, each intact and behind the one before; `None` where that does not hold.
fn read_all(log: &Log) -> Option<i64> {
    let (mut offset, mut hint) = (log.log_start_offset(), None);
    while offset < log.log_end_offset() {
        let slice = log.read(offset, i64::MAX, usize::MAX, true, hint).ok()?;
        // Compaction leaves nothing of what was behind the last record.
        let Some(data) = slice.data else { break };
        let mut bytes = vec![0; data.length];
        disk::read_exact_at(&*data.file, &mut bytes, data.position).ok()?;
        for batch in batches(&bytes) {
            let batch = batch.ok()?;
            batch.check_crc().ok()?;
        }
        if slice.end_offset <= offset {
            return None;
        }
        (offset, hint) = (slice.end_offset, slice.next);
    }
    Some(offset)
}
