//! Folders that a real Kafka 4.4 wrote: they are read as `contents.txt` says, their indexes are made anew with the same
//! bytes, and what is written from the same batches has the same bytes.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use klamm_log::{LogConfig, LogOpening, parse_file_name};
use support::{GOLDEN, GOLDEN_NOW_MS, copy_golden, open_real, opening, read_all};

/// Every folder with a log: its name, log start, log end, and whether its topic has small segments and index intervals.
const FOLDERS: [(&str, i64, i64, bool); 17] = [
    ("__cluster_metadata-0", 0, 788, false),
    ("__consumer_offsets-0", 0, 125, false),
    ("__consumer_offsets-1", 0, 133, false),
    ("__remote_log_metadata-0", 0, 23, false),
    ("__share_group_state-0", 0, 9, false),
    ("__share_group_state-1", 0, 9, false),
    ("__transaction_state-0", 0, 52, false),
    ("__transaction_state-old", 0, 2, false),
    ("append-time-0", 0, 1, false),
    ("codecs-0", 0, 16, false),
    ("compact-0", 0, 36, true),
    ("golden-0", 0, 45, false),
    ("golden-1", 3, 23, false),
    ("recompressed-0", 0, 1, false),
    ("static-quorum", 0, 117, false),
    ("static-quorum-3.3", 0, 83, false),
    ("txn-0", 0, 14, true),
];

fn config(is_small: bool) -> LogConfig {
    let mut config = LogConfig { producer_id_expiration_ms: i64::MAX, ..LogConfig::default() };
    if is_small {
        (config.segment_bytes, config.index_interval_bytes) = (1200, 100);
    }
    config
}

fn golden_opening(dir: &Path, start: i64, is_small: bool) -> LogOpening {
    LogOpening {
        config: Arc::new(config(is_small)),
        log_start_offset: start,
        now_ms: GOLDEN_NOW_MS,
        ..opening(dir)
    }
}

/// The files of a folder by name, without snapshots of the quorum's state and other things that are no log's.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if parse_file_name(&name).is_some() {
            let content = fs::read(dir.join(&name)).unwrap();
            files.insert(name, content);
        }
    }
    files
}

/// Compares what Kafka wrote with ours; producers in snapshots have no order in Kafka's.
fn assert_same_files(folder: &str, ours: &BTreeMap<String, Vec<u8>>) {
    for (name, theirs) in files(&Path::new(GOLDEN).join(folder)) {
        let ours = ours.get(&name).unwrap_or_else(|| panic!("{folder}/{name} is missing"));
        // Where compaction emptied a batch, its timestamp cannot be found in the log again.
        if folder == "compact-0" && name.ends_with(".snapshot") {
            continue;
        }
        if name.ends_with(".snapshot") {
            let sorted = |bytes: &[u8]| {
                let mut producers = klamm_log::dump::read_snapshot(bytes).unwrap();
                producers.sort_by_key(|producer| producer.producer_id);
                producers
            };
            assert_eq!(sorted(ours), sorted(&theirs), "{folder}/{name}");
            assert_eq!(ours.len(), theirs.len(), "{folder}/{name}");
        } else {
            assert_eq!(*ours, theirs, "{folder}/{name}");
        }
    }
}

#[test]
fn every_folder_opens_after_a_clean_stop_and_stays_as_it_is() {
    for (folder, start, end, is_small) in FOLDERS {
        let temporary = tempfile::tempdir().unwrap();
        let dir = copy_golden(folder, temporary.path());
        let (log, report) = open_real(golden_opening(&dir, start, is_small));
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (start, end), "{folder}");
        assert!(report.is_empty(), "{folder}: {report}");
        log.check_invariants();
        log.close(true).unwrap();
        assert_same_files(folder, &files(&dir));
    }
}

#[test]
fn recovery_makes_the_indexes_and_snapshots_that_were_there() {
    for (folder, start, end, is_small) in FOLDERS {
        let temporary = tempfile::tempdir().unwrap();
        let dir = copy_golden(folder, temporary.path());
        for name in files(&dir).keys().filter(|name| !name.ends_with(".log")) {
            fs::remove_file(dir.join(name)).unwrap();
        }
        let _ = fs::remove_file(dir.join("leader-epoch-checkpoint"));
        let (log, report) =
            open_real(LogOpening { was_clean: false, ..golden_opening(&dir, start, is_small) });
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (start, end), "{folder}");
        assert_eq!(report.truncation, None, "{folder}");
        log.check_invariants();
        log.close(true).unwrap();
        // The log start moved after the last snapshots; what is below is not read any more.
        if start == 0 {
            assert_same_files(folder, &files(&dir));
        }
        if let Ok(theirs) = fs::read_to_string(Path::new(GOLDEN).join(folder).join("leader-epoch-checkpoint"))
            && start == 0
        {
            assert_eq!(fs::read_to_string(dir.join("leader-epoch-checkpoint")).unwrap(), theirs, "{folder}");
        }
    }
}

#[test]
fn the_same_batches_are_written_with_the_same_bytes() {
    // Compaction and a moved log start are not repeated by appending what is left.
    for (folder, _, end, is_small) in FOLDERS.into_iter().filter(|f| !matches!(f.0, "compact-0" | "golden-1"))
    {
        let temporary = tempfile::tempdir().unwrap();
        let source = copy_golden(folder, temporary.path());
        let (theirs, _) = open_real(golden_opening(&source, 0, is_small));
        let dir = temporary.path().join("ours-0");
        fs::create_dir(&dir).unwrap();
        let (ours, _) = open_real(golden_opening(&dir, 0, is_small));
        for batch in klamm_records::batches(&read_all(&theirs, 0)) {
            ours.append_as_follower(batch.unwrap().bytes(), i32::MAX, GOLDEN_NOW_MS).unwrap();
        }
        assert_eq!(ours.log_end_offset(), end, "{folder}");
        ours.close(true).unwrap();
        assert_same_files(folder, &files(&dir));
    }
}

#[test]
fn aborted_transactions_are_found_by_range() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = copy_golden("txn-0", temporary.path());
    let (log, _) = open_real(golden_opening(&dir, 0, true));
    let found = log.aborted_transactions(0, 14).unwrap();
    let entry = |e: &klamm_log::AbortedTransaction| {
        (e.producer_id, e.first_offset, e.last_offset, e.last_stable_offset)
    };
    assert_eq!(found.iter().map(entry).collect::<Vec<_>>(), [(32, 12, 13, 14)]);
    assert_eq!(log.aborted_transactions(0, 12).unwrap(), []);
    assert_eq!(log.aborted_transactions(14, 20).unwrap(), []);
}

#[test]
fn timestamps_are_found_as_kafka_finds_them() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = copy_golden("txn-0", temporary.path());
    let (log, _) = open_real(golden_opening(&dir, 0, true));
    let find =
        |timestamp| log.offset_for_timestamp(timestamp).unwrap().map(|found| (found.offset, found.timestamp));
    assert_eq!(find(0), Some((0, 1_700_000_000_000)));
    assert_eq!(find(1_700_000_000_001), Some((1, 1_700_000_000_001)));
    assert_eq!(find(1_700_000_000_002), Some((2, 1_795_361_092_665)));
    assert_eq!(find(1_795_361_092_831), Some((11, 1_795_361_092_957)));
    assert_eq!(find(1_795_361_093_122), None);
    let largest = log.max_timestamp_record().unwrap().unwrap();
    assert_eq!((largest.offset, largest.timestamp, largest.leader_epoch), (13, 1_795_361_093_121, Some(0)));
}

/// Kafka makes the index files of the segment that it writes to as large as they may become.
#[test]
fn indexes_allocated_ahead_are_read_up_to_their_last_entry() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = copy_golden("txn-0", temporary.path());
    for name in ["00000000000000000002.index", "00000000000000000002.timeindex"] {
        let file = fs::OpenOptions::new().write(true).open(dir.join(name)).unwrap();
        file.set_len(10 << 20).unwrap();
    }
    let (log, report) = open_real(golden_opening(&dir, 0, true));
    assert!(report.is_empty(), "{report}");
    assert_eq!(log.log_end_offset(), 14);
    assert_eq!(log.offset_for_timestamp(1_795_361_092_831).unwrap().unwrap().offset, 11);
    assert_eq!(log.read(9, 14, 1, false, None).unwrap().data.unwrap().position, 636);
}
