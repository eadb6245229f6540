//! Compaction: what stays, what goes, and that a stop at any moment loses nothing.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use klamm_log::disk::Disk;
use klamm_log::disk::simulated::{Crash, SimulatedDisk};
use klamm_log::{
    AbortedTransaction, Compacted, CompactionError, LeaderAppend, Log, LogConfig, LogDirs, LogOpening, verify,
};
use klamm_records::{AcceptedBatch, BatchBuilder, Compression, NewRecord};
use support::dirs::{formatted, partition};
use support::interposed::{InterposedDisk, Moment};
use support::{DIR, batch, marker, open_on, open_simulated, opening, read_all, simulated, sync_folders};

const MAP_BYTES: u64 = 1 << 20;

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 400,
        index_interval_bytes: 100,
        compact: true,
        delete_retention_ms: 1000,
        ..LogConfig::default()
    }
}

fn new_log(config: LogConfig) -> (SimulatedDisk, Log) {
    let disk = simulated(1);
    sync_folders(&disk);
    let log = open_simulated(&disk, LogOpening { config: Arc::new(config), ..opening(DIR) }).0;
    (disk, log)
}

fn keyed(builder: BatchBuilder, records: &[(&str, Option<&str>)]) -> AcceptedBatch<'static> {
    let mut builder = builder;
    for (key, value) in records {
        let (key, value) = (Some(key.as_bytes()), value.map(str::as_bytes));
        builder.append(&NewRecord { timestamp: 10, key, value, headers: &[] });
    }
    builder.finish()
}

fn append(log: &Log, batch: AcceptedBatch<'static>) {
    log.append_as_leader(&[batch], LeaderAppend::client(0, 0)).unwrap();
    log.advance_high_watermark(log.log_end_offset());
}

fn put(log: &Log, records: &[(&str, Option<&str>)]) {
    append(log, keyed(BatchBuilder::new(0), records));
}

/// Ends the active segment, so that all before may be compacted.
fn roll(log: &Log) {
    let filler = "x".repeat(300);
    put(log, &[("filler", Some(&filler))]);
    put(log, &[("filler", Some(&filler))]);
}

fn compact_at(log: &Log, now_ms: i64) -> Compacted {
    log.compact(&log.cleanable(now_ms).unwrap(), MAP_BYTES, now_ms).unwrap()
}

/// Offset, key and value of each record; control records are left out.
fn records(log: &Log) -> Vec<(i64, String, Option<String>)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let bytes = read_all(log, log.log_start_offset());
    let mut found = Vec::new();
    for batch in klamm_records::batches(&bytes) {
        let batch = batch.unwrap();
        batch.check_crc().unwrap();
        let mut records = batch.records(Default::default()).unwrap();
        while let Some(record) = records.next_record().unwrap() {
            if !batch.header().attributes.is_control() {
                found.push((record.offset, text(record.key.unwrap_or_default()), record.value.map(text)));
            }
        }
    }
    found
}

/// The same without the filler of [`roll`].
fn kept(log: &Log) -> Vec<(i64, String, Option<String>)> {
    records(log).into_iter().filter(|(_, key, _)| key != "filler").collect()
}

fn record(offset: i64, key: &str, value: Option<&str>) -> (i64, String, Option<String>) {
    (offset, key.to_owned(), value.map(str::to_owned))
}

fn assert_verified(disk: &SimulatedDisk, log: &Log) {
    log.check_invariants();
    log.flush(log.log_end_offset()).unwrap();
    assert_eq!(verify(disk, Path::new(DIR)).unwrap(), []);
}

#[test]
fn the_newest_record_of_a_key_stays_at_its_offset() {
    for codec in [Compression::None, Compression::Lz4] {
        let (disk, log) = new_log(config());
        let batch = |records| keyed(BatchBuilder::new(0).codec(codec), records);
        append(&log, batch(&[("a", Some("1")), ("b", Some("1")), ("a", Some("2"))]));
        append(&log, batch(&[("c", Some("1")), ("a", Some("3"))]));
        roll(&log);
        let end_offset = log.log_end_offset();
        let compacted = compact_at(&log, 0);
        assert!(compacted.bytes_after < compacted.bytes_before, "{compacted:?}");
        let expected = [(1, "b", "1"), (3, "c", "1"), (4, "a", "3")];
        assert_eq!(kept(&log), expected.map(|(offset, key, value)| record(offset, key, Some(value))));
        assert_eq!(log.log_end_offset(), end_offset);
        assert_verified(&disk, &log);
        assert_eq!(log.cleanable(0).unwrap().cleanable_bytes, 0);
    }
}

#[test]
fn small_segments_become_one() {
    let (disk, log) = new_log(config());
    for n in 0..20 {
        put(&log, &[("key", Some(&format!("{n:0100}"))), (&format!("{n}"), Some(&"y".repeat(40)))]);
    }
    roll(&log);
    let before = log.segment_base_offsets().len();
    compact_at(&log, 0);
    compact_at(&log, 0);
    assert!(log.segment_base_offsets().len() < before, "{:?}", log.segment_base_offsets());
    assert_verified(&disk, &log);
}

#[test]
fn a_tombstone_goes_when_its_time_is_over_and_not_before() {
    let (disk, log) = new_log(config());
    put(&log, &[("a", Some("1")), ("b", Some("1"))]);
    put(&log, &[("a", None)]);
    roll(&log);
    compact_at(&log, 5000);
    let with_tombstone = [record(1, "b", Some("1")), record(2, "a", None)];
    assert_eq!(kept(&log), with_tombstone);
    roll(&log);
    compact_at(&log, 5999);
    assert_eq!(kept(&log), with_tombstone);
    roll(&log);
    compact_at(&log, 6000);
    assert_eq!(kept(&log), with_tombstone[..1]);
    assert_verified(&disk, &log);
}

#[test]
fn what_is_young_undecided_or_being_written_stays() {
    let (_, log) = new_log(LogConfig { min_compaction_lag_ms: 100, ..config() });
    put(&log, &[("a", Some("1")), ("a", Some("2"))]);
    roll(&log);
    assert_eq!(log.cleanable(110).unwrap().cleanable_bytes, log.cleanable(1 << 40).unwrap().cleanable_bytes);
    assert_eq!(log.cleanable(109).unwrap().cleanable_bytes, 0);

    let (_, log) = new_log(config());
    let open = BatchBuilder::new(0).producer(7, 0, 0).transactional(true);
    append(&log, keyed(open, &[("a", Some("1")), ("a", Some("2"))]));
    roll(&log);
    assert_eq!(log.cleanable(0).unwrap().cleanable_bytes, 0);
}

#[test]
fn an_old_record_makes_a_round_due() {
    let (_, log) = new_log(LogConfig { max_compaction_lag_ms: 100, ..config() });
    put(&log, &[("a", Some("1"))]);
    roll(&log);
    assert!(!log.cleanable(110).unwrap().is_overdue);
    let cleanable = log.cleanable(111).unwrap();
    assert!(cleanable.is_overdue && cleanable.is_due(1.0));
}

#[test]
fn keys_that_do_not_fit_wait_for_the_next_round() {
    let (disk, log) = new_log(LogConfig { segment_bytes: 100_000, ..config() });
    for round in ["1", "2"] {
        for n in 0..3000 {
            put(&log, &[(&format!("{n}"), Some(round))]);
        }
    }
    let filler = "x".repeat(60_000);
    put(&log, &[("filler", Some(&filler))]);
    put(&log, &[("filler", Some(&filler))]);
    let mut rounds = 0;
    while log.cleanable(0).unwrap().cleanable_bytes > 0 {
        let compacted = log.compact(&log.cleanable(0).unwrap(), 0, 0).unwrap();
        assert!(compacted.segments > 0);
        rounds += 1;
    }
    assert!(rounds > 1);
    let newest: BTreeMap<_, _> = kept(&log).into_iter().map(|(_, key, value)| (key, value)).collect();
    assert_eq!(newest.len(), 3000);
    assert!(newest.values().all(|value| value.as_deref() == Some("2")));
    assert_verified(&disk, &log);
}

#[test]
fn aborted_records_go_and_markers_follow_when_nothing_needs_them() {
    let (disk, log) = new_log(config());
    let data = |producer, sequence| BatchBuilder::new(0).producer(producer, 0, sequence).transactional(true);
    append(&log, keyed(data(7, 0), &[("a", Some("aborted"))]));
    append(&log, keyed(data(8, 0), &[("b", Some("committed"))]));
    append(&log, marker((7, 0), true, 1));
    append(&log, marker((8, 0), false, 1));
    put(&log, &[("c", Some("1"))]);
    roll(&log);
    compact_at(&log, 0);
    assert_eq!(kept(&log), [record(1, "b", Some("committed")), record(4, "c", Some("1"))]);
    let aborted: Vec<AbortedTransaction> = log.aborted_transactions(0, i64::MAX).unwrap();
    assert_eq!(
        aborted.iter().map(|entry| (entry.producer_id, entry.last_offset)).collect::<Vec<_>>(),
        [(7, 2)]
    );
    put(&log, &[("b", Some("newer"))]);
    roll(&log);
    compact_at(&log, 1);
    // The aborted batch stays without its records for as long as its producer is remembered, and its marker with it.
    assert_eq!((log.aborted_transactions(0, i64::MAX).unwrap().len(), log.producer_count()), (1, 2));
    log.remove_expired_producers(i64::MAX);
    for now_ms in [2, 10, 2000] {
        roll(&log);
        compact_at(&log, now_ms);
    }
    assert_eq!(log.aborted_transactions(0, i64::MAX).unwrap(), []);
    assert!(
        klamm_records::batches(&read_all(&log, 0)).all(|batch| !batch.unwrap().header().has_producer_id())
    );
    assert_verified(&disk, &log);
}

#[test]
fn a_producer_goes_on_behind_its_compacted_records() {
    let (disk, log) = new_log(config());
    let data = |sequence| BatchBuilder::new(0).producer(7, 3, sequence);
    append(&log, keyed(data(0), &[("a", Some("1")), ("a", Some("2"))]));
    put(&log, &[("a", Some("3"))]);
    roll(&log);
    compact_at(&log, 0);
    assert_eq!(kept(&log), [record(2, "a", Some("3"))]);
    let recovery_point = log.flush(log.log_end_offset()).unwrap().recovery_point;
    drop(log);
    disk.restart(Crash::Power);
    for name in disk_files(&disk, ".snapshot") {
        Disk::remove(&disk, &Path::new(DIR).join(name)).unwrap();
    }
    let after = LogOpening { config: Arc::new(config()), was_clean: false, recovery_point, ..opening(DIR) };
    let (log, _) = open_simulated(&disk, LogOpening { recovery_point: 0, ..after });
    log.append_as_leader(&[keyed(data(2), &[("a", Some("4"))])], LeaderAppend::client(0, 0)).unwrap();
}

fn disk_files(disk: &SimulatedDisk, suffix: &str) -> Vec<String> {
    let entries = Disk::list(disk, Path::new(DIR)).unwrap();
    entries.into_iter().map(|entry| entry.name).filter(|name| name.ends_with(suffix)).collect()
}

#[test]
fn who_reads_meanwhile_is_not_disturbed() {
    let (_, log) = new_log(config());
    for n in 0..8 {
        put(&log, &[("a", Some(&format!("{n:0200}")))]);
    }
    roll(&log);
    let slice = log.read(0, i64::MAX, usize::MAX, true, None).unwrap();
    let read = |slice: &klamm_log::Slice| {
        let data = slice.data.as_ref().unwrap();
        let mut bytes = vec![0; data.length];
        klamm_log::disk::read_exact_at(&*data.file, &mut bytes, data.position).unwrap();
        bytes
    };
    let before = read(&slice);
    compact_at(&log, 0);
    assert_eq!(read(&slice), before);
    log.remove_deleted_files(i64::MAX).unwrap();
    assert_eq!(read(&slice), before);
    // And who comes to an offset that is gone now goes on behind it.
    let next = log.read(slice.end_offset, i64::MAX, usize::MAX, true, slice.next).unwrap();
    assert!(next.data.is_some());
}

#[test]
fn a_log_that_is_cut_meanwhile_is_left_alone() {
    let (disk, log) = new_log(config());
    put(&log, &[("a", Some("1")), ("a", Some("2"))]);
    roll(&log);
    let cleanable = log.cleanable(0).unwrap();
    log.close(true).unwrap();
    assert!(matches!(log.compact(&cleanable, MAP_BYTES, 0), Err(CompactionError::Interrupted)));
    assert_eq!(disk_files(&disk, ".cleaned"), [""; 0]);
    assert_eq!(kept(&log).len(), 2);
}

/// The tombstone that comes in place of what was cut would otherwise be taken for compacted already, and go before the value that it deletes.
#[test]
fn what_comes_in_place_of_what_was_cut_meanwhile_is_not_compacted() {
    let disk = simulated(1);
    sync_folders(&disk);
    let interposed = InterposedDisk::new(&disk);
    let opening = LogOpening { config: Arc::new(config()), ..opening(DIR) };
    let log = Arc::new(open_on(Arc::new(interposed.clone()), opening).0);
    put(&log, &[("a", Some("1"))]);
    put(&log, &[("b", Some("1"))]);
    roll(&log);
    let cut = log.clone();
    let remaining = 1;
    interposed.during(Moment::Removal, ".log.cleaned", move || {
        cut.truncate_to(remaining, 0).unwrap();
    });
    let cleanable = log.cleanable(0).unwrap();
    assert!(matches!(log.compact(&cleanable, MAP_BYTES, 0), Err(CompactionError::Interrupted)));
    assert!(interposed.is_done());
    assert!(log.compacted_to() <= remaining, "{}", log.compacted_to());
    assert!(!log.is_uncleanable());
}

/// Records without a key cannot be compacted; they get into such a log when a topic's policy changes.
#[test]
fn records_without_a_key_go() {
    let (_, log) = new_log(config());
    append(&log, batch(0, &["no key"]));
    put(&log, &[("a", Some("1"))]);
    roll(&log);
    compact_at(&log, 0);
    assert_eq!(kept(&log), [record(1, "a", Some("1"))]);
}

/// Draws numbers from a seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % bound
    }
}

/// What every reader from the beginning must end up with.
type Model = BTreeMap<String, Option<String>>;

fn state(log: &Log) -> Model {
    records(log).into_iter().map(|(_, key, value)| (key, value)).collect()
}

fn without_tombstones(model: &Model) -> Model {
    model
        .iter()
        .filter(|(_, value)| value.is_some())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn fill(log: &Log, draw: &mut Draw, model: &mut Model, count: u64) {
    for _ in 0..count {
        let records: Vec<(String, Option<String>)> = (0..1 + draw.below(4))
            .map(|_| {
                let key = format!("key-{}", draw.below(12));
                let value = (draw.below(5) > 0).then(|| format!("value-{}", draw.below(1 << 30)));
                (key, value)
            })
            .collect();
        let borrowed: Vec<_> = records.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        put(log, &borrowed);
        model.extend(records);
    }
}

#[test]
fn readers_from_the_beginning_end_up_with_the_same() {
    for seed in 0..30 {
        let (disk, log) = new_log(config());
        let (mut draw, mut model) = (Draw(seed), Model::new());
        for round in 0..8 {
            let count = draw.below(25);
            fill(&log, &mut draw, &mut model, count);
            let now_ms = round * 600;
            compact_at(&log, now_ms);
            let found = state(&log);
            assert_eq!(without_tombstones(&found), without_tombstones(&model), "seed {seed}");
            let dirty = records(&log).into_iter().filter(|(offset, ..)| *offset < log.compacted_to());
            let mut seen = BTreeMap::new();
            for (offset, key, _) in dirty {
                assert_eq!(seen.insert(key, offset), None, "seed {seed}: two records of a key");
            }
            assert_verified(&disk, &log);
        }
    }
}

/// The machine goes down in every operation of a round, with the power or without.
#[test]
fn a_stop_at_any_moment_loses_nothing() {
    for crash in [Crash::Power, Crash::Process] {
        for operations in 0.. {
            let disk = simulated(operations);
            sync_folders(&disk);
            let opening = LogOpening { config: Arc::new(config()), ..opening(DIR) };
            let (log, _) = open_simulated(&disk, opening.clone());
            let mut model = Model::new();
            fill(&log, &mut Draw(operations), &mut model, 20);
            let recovery_point = log.flush(log.log_end_offset()).unwrap().recovery_point;
            disk.crash_after(operations);
            let result = log.compact(&log.cleanable(0).unwrap(), MAP_BYTES, 0);
            if result.is_ok() && !disk.is_down() {
                assert!(operations > 20, "the round was too small to tell");
                break;
            }
            drop(log);
            disk.restart(crash);
            let after = LogOpening { was_clean: false, is_contiguous: false, recovery_point, ..opening };
            let (log, report) = open_simulated(&disk, after);
            assert_eq!(report.truncation, None, "{operations}");
            assert_eq!(without_tombstones(&state(&log)), without_tombstones(&model), "{operations}");
            assert_verified(&disk, &log);
            compact_at(&log, 0);
            assert_eq!(without_tombstones(&state(&log)), without_tombstones(&model), "{operations}");
        }
    }
}

/// The log file takes its place first, its indexes follow; a stop in between leaves them with the name they had.
#[test]
fn indexes_that_a_stop_left_behind_follow_their_log_file() {
    let (disk, log) = new_log(config());
    put(&log, &[("a", Some("1"))]);
    roll(&log);
    log.close(true).unwrap();
    let file = |name: &str| Path::new(DIR).join(name);
    let names = ["00000000000000000000.index", "00000000000000000000.timeindex"];
    for name in names {
        disk.rename(&file(name), &file(&format!("{name}.swap"))).unwrap();
    }
    disk.rename(&file(names[0]).with_extension("index.swap"), &file("00000000000000000077.index.swap"))
        .unwrap();
    let reopen = || open_simulated(&disk, LogOpening { config: Arc::new(config()), ..opening(DIR) });
    let (log, report) = reopen();
    let repairs = report.repairs.join("\n");
    assert!(repairs.contains("00000000000000000000.timeindex.swap follows its log file"), "{repairs}");
    assert!(
        repairs.contains("00000000000000000077.index.swap belongs to no log file and is removed"),
        "{repairs}"
    );
    assert_eq!(disk_files(&disk, ".swap"), [] as [String; 0]);
    log.close(true).unwrap();
    let (log, report) = reopen();
    assert!(report.is_empty(), "{report}");
    assert_verified(&disk, &log);
}

/// A partition of which a record and its tombstone are to be compacted.
fn with_a_deleted_key() -> (LogDirs, Arc<Log>) {
    let dirs = formatted(&SimulatedDisk::seeded(1), &["/a", "/b"]);
    let log = dirs.create(&partition(0), None, None, Arc::new(config()), 0).unwrap().log;
    put(&log, &[("key", Some("deleted"))]);
    put(&log, &[("key", None)]);
    roll(&log);
    (dirs, log)
}

/// A tombstone that is not copied yet must not go as long as what it deletes is in the copy.
#[test]
fn a_round_that_a_move_meets_ends() {
    let (dirs, log) = with_a_deleted_key();
    let cleanable = log.cleanable(0).unwrap();
    dirs.start_move(&partition(0), dirs.directories()[1].id().unwrap(), 0).unwrap();
    let round = log.compact(&cleanable, 1 << 20, 0);
    assert!(matches!(round, Err(CompactionError::Interrupted)), "{round:?}");
    assert_eq!(kept(&log), [record(0, "key", Some("deleted")), record(1, "key", None)]);
}

/// The copy has what a round took out of the log after it was copied, and must not come back when its tombstone goes.
#[test]
fn a_log_that_was_compacted_during_its_move_is_compacted_again() {
    let (dirs, log) = with_a_deleted_key();
    dirs.start_move(&partition(0), dirs.directories()[1].id().unwrap(), 0).unwrap();
    let moving = dirs.move_of(&partition(0)).unwrap();
    while !dirs.copy_step(&moving, 1 << 20, 0).unwrap().is_caught_up {}
    compact_at(&log, 0);
    assert_eq!(kept(&log), [record(1, "key", None)]);
    let moved = dirs.finish_move(&moving, 0).unwrap().log;
    compact_at(&moved, 0);
    assert_eq!(kept(&moved), [record(1, "key", None)]);
    compact_at(&moved, 10_000);
    roll(&moved);
    compact_at(&moved, 20_000);
    assert_eq!(kept(&moved), []);
}
