//! Power losses, killed processes, full and broken disks, on a disk that follows a seed.

mod support;

use std::io;
use std::path::Path;
use std::sync::Arc;

use klamm_log::disk::simulated::{Crash, Fault, Operation, SimulatedDisk};
use klamm_log::disk::{self, Access, Disk};
use klamm_log::{AppendError, LeaderAppend, Log, LogConfig, LogOpening, OpenFiles, verify};
use support::{
    DIR, batch, batch_of, marker, open_simulated, opening, simulated, sync_folders, transactional, values,
};

fn small(dir: &str) -> LogOpening {
    let config = LogConfig { segment_bytes: 2000, index_interval_bytes: 150, ..LogConfig::default() };
    LogOpening { config: Arc::new(config), ..opening(dir) }
}

fn assert_verified(disk: &SimulatedDisk, context: &str) {
    let findings = verify(disk, Path::new(DIR)).unwrap();
    assert!(findings.is_empty(), "{context}: {}", findings[0]);
}

/// The offset index writes its entries in groups, and so does the time index, which has fewer: recovery that begins at an entry of
/// the one must not forget timestamps that the other had not written yet.
#[test]
fn recovery_from_the_middle_knows_the_largest_timestamp_before() {
    let config = LogConfig { index_interval_bytes: 0, ..LogConfig::default() };
    let opening = LogOpening { config: Arc::new(config), ..opening(DIR) };
    let disk = simulated(1);
    let (log, _) = open_simulated(&disk, opening.clone());
    for n in 0..40 {
        let timestamp = if n == 5 { 9000 } else { 1000 };
        log.append_as_leader(&[batch(timestamp, &["value"])], LeaderAppend::client(0, 0)).unwrap();
    }
    let recovery_point = log.flush(log.log_end_offset()).unwrap().recovery_point;
    drop(log);
    disk.restart(Crash::Process);
    drop(open_simulated(&disk, LogOpening { was_clean: false, recovery_point, ..opening }));
    assert_verified(&disk, "recovered from the middle");
}

/// A segment whose records are flushed already gets the last of its index entries when the next one begins. The flush after that must
/// take them along: recovery believes the indexes below the recovery point.
#[test]
fn indexes_of_a_finished_segment_are_flushed_with_the_next() {
    // Indexes of more than one block, so that a power loss can take one and leave the next.
    let config = LogConfig { segment_bytes: 3600, index_interval_bytes: 0, ..LogConfig::default() };
    let opening = LogOpening { config: Arc::new(config), ..opening(DIR) };
    for seed in 0..20 {
        let disk = simulated(seed);
        sync_folders(&disk);
        let (log, _) = open_simulated(&disk, opening.clone());
        let mut recovery_point = 0;
        for n in 0..200 {
            log.append_as_leader(&[batch(1000 + n, &["value"])], LeaderAppend::client(0, 0)).unwrap();
            recovery_point = log.flush(log.log_end_offset()).unwrap().recovery_point;
        }
        drop(log);
        disk.restart(Crash::Power);
        let after = LogOpening { was_clean: false, recovery_point, ..opening.clone() };
        assert_eq!(open_simulated(&disk, after).0.log_end_offset(), 200);
        assert_verified(&disk, &format!("seed {seed}"));
    }
}

/// A process that is killed leaves a snapshot of producers that no flush has taken along. The next process uses it, so its flushes must.
#[test]
fn a_snapshot_that_a_killed_process_left_is_flushed_by_the_next() {
    for seed in 0..20 {
        let disk = simulated(seed);
        sync_folders(&disk);
        let (log, _) = open_simulated(&disk, small(DIR));
        let append = |log: &Log, sequence: i32| {
            let batch = batch_of((7, 0), sequence, &["x".repeat(300).as_str()]);
            log.append_as_leader(&[batch], LeaderAppend::client(0, 0)).unwrap()
        };
        // The second segment begins with what is not flushed.
        let recovery_point = (0..)
            .find_map(|sequence| {
                let flushed = log.flush(log.log_end_offset()).unwrap().recovery_point;
                append(&log, sequence);
                (log.segment_base_offsets().len() == 2).then_some(flushed)
            })
            .unwrap();
        drop(log);
        disk.restart(Crash::Process);
        let (log, _) = open_simulated(&disk, LogOpening { was_clean: false, recovery_point, ..small(DIR) });
        // Recovery begins behind that snapshot, and leaves it as it is.
        while log.segment_base_offsets().len() == 2 {
            append(&log, log.log_end_offset() as i32);
        }
        let recovery_point = log.flush(log.log_end_offset()).unwrap().recovery_point;
        drop(log);
        disk.restart(Crash::Power);
        drop(open_simulated(&disk, LogOpening { was_clean: false, recovery_point, ..small(DIR) }));
        assert_verified(&disk, &format!("seed {seed}"));
    }
}

/// What recovery cuts off is of an older leader epoch than what is appended behind the cut. It must not come back behind that.
#[test]
fn what_recovery_cut_off_does_not_come_back() {
    for seed in 0..100 {
        let disk = simulated(seed);
        sync_folders(&disk);
        let (log, _) = open_simulated(&disk, opening(DIR));
        let append = |log: &Log, epoch: i32| {
            log.append_as_leader(&[batch(1000, &["value"])], LeaderAppend::client(epoch, 0)).unwrap();
        };
        (0..40).for_each(|_| append(&log, 0));
        log.flush(log.log_end_offset()).unwrap();
        drop(log);
        disk.restart(Crash::Process);
        // The first batch is damaged, so all are cut off.
        disk.corrupt(&Path::new(DIR).join("00000000000000000000.log"), 30, b"damage").unwrap();
        let unclean = LogOpening { was_clean: false, ..opening(DIR) };
        let (log, report) = open_simulated(&disk, unclean.clone());
        assert!(report.truncation.is_some_and(|truncation| truncation.offset == 0));
        (0..10).for_each(|_| append(&log, 1));
        drop(log);
        disk.restart(Crash::Power);
        drop(open_simulated(&disk, unclean));
        assert_verified(&disk, &format!("seed {seed}"));
    }
}

/// What a run was promised before the machine went down.
#[derive(Default)]
struct Promised {
    /// Values in the order of their appends, acknowledged or not.
    attempted: Vec<String>,
    /// How many of them were acknowledged.
    acknowledged: usize,
    /// Up to where a flush was confirmed.
    flushed: usize,
}

/// Appends, with a flush now and then, until the machine goes down.
fn run_until_down(disk: &SimulatedDisk, seed: u64) -> Promised {
    let mut promised = Promised::default();
    let Ok((log, _)) = Log::open(Arc::new(disk.clone()), OpenFiles::new(3), small(DIR)) else {
        return promised;
    };
    for n in 0..200_u64 {
        let value = format!("{seed}/{n} {}", "x".repeat((n * 37 % 300) as usize));
        promised.attempted.push(value.clone());
        let sequence = n as i32;
        match log.append_as_leader(
            &[batch_of((7, 0), sequence, &[&value])],
            LeaderAppend::client(n as i32 / 50, 0),
        ) {
            Ok(_) => promised.acknowledged += 1,
            Err(_) => break,
        }
        if n % 7 == seed % 7 {
            match log.flush(log.log_end_offset()) {
                Ok(flushed) => promised.flushed = flushed.recovery_point as usize,
                Err(_) => break,
            }
        }
    }
    promised
}

fn check_recovered(disk: &SimulatedDisk, promised: &Promised, at_least: usize, context: &str) {
    let recovery = LogOpening { was_clean: false, recovery_point: promised.flushed as i64, ..small(DIR) };
    let (log, _) = open_simulated(disk, recovery);
    let found: Vec<String> = values(&log, 0).into_iter().map(|(_, value)| value).collect();
    assert!(found.len() >= at_least, "{context}: {} of {at_least} records left", found.len());
    for (n, value) in found.iter().enumerate() {
        let attempted = promised.attempted.get(n).map(|value| value.split(' ').next());
        assert_eq!(attempted, Some(value.split(' ').next()), "{context}: record {n}");
    }
    log.check_invariants();
    assert_verified(disk, context);
    // The log goes on where it stands: the producer's next batch is known by its sequence.
    let next = found.len() as i32;
    log.append_as_leader(&[batch_of((7, 0), next, &["more"])], LeaderAppend::client(9, 0)).unwrap();
    if next > 0 {
        let again = log.append_as_leader(&[batch_of((7, 0), next, &["more"])], LeaderAppend::client(9, 0));
        assert!(again.unwrap().is_duplicate, "{context}");
    }
    log.close(true).unwrap();
    assert_verified(disk, context);
}

#[test]
fn what_was_flushed_survives_a_power_loss_at_any_moment() {
    for seed in 0..400 {
        let disk = simulated(seed);
        sync_folders(&disk);
        disk.crash_after(seed * 13 % 700);
        let promised = run_until_down(&disk, seed);
        disk.restart(Crash::Power);
        check_recovered(&disk, &promised, promised.flushed, &format!("seed {seed}"));
    }
}

#[test]
fn what_was_acknowledged_survives_a_killed_process() {
    for seed in 0..400 {
        let disk = simulated(seed);
        disk.crash_after(seed * 7 % 700);
        let promised = run_until_down(&disk, seed);
        disk.restart(Crash::Process);
        check_recovered(&disk, &promised, promised.acknowledged, &format!("seed {seed}"));
    }
}

#[test]
fn the_machine_may_go_down_again_during_recovery() {
    for seed in 0..150 {
        let disk = simulated(seed);
        sync_folders(&disk);
        disk.crash_after(100 + seed * 11 % 500);
        let promised = run_until_down(&disk, seed);
        for attempt in 1..4 {
            disk.restart(Crash::Power);
            disk.crash_after(seed * attempt % 60);
            let recovery =
                LogOpening { was_clean: false, recovery_point: promised.flushed as i64, ..small(DIR) };
            let _ = Log::open(Arc::new(disk.clone()), OpenFiles::new(3), recovery);
        }
        disk.restart(Crash::Power);
        check_recovered(&disk, &promised, promised.flushed, &format!("seed {seed}"));
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = |seed| {
        let disk = simulated(seed);
        disk.crash_after(300);
        run_until_down(&disk, seed);
        disk.restart(Crash::Power);
        let names = disk.list(Path::new(DIR)).unwrap_or_default();
        let read = |name: &str| disk::read_file(&disk, &Path::new(DIR).join(name), u64::MAX).unwrap();
        names.into_iter().map(|entry| (read(&entry.name), entry.name)).collect::<Vec<_>>()
    };
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}

#[test]
fn a_full_disk_refuses_appends_and_loses_nothing() {
    let disk = simulated(1);
    let (log, _) = open_simulated(&disk, small(DIR));
    log.append_as_leader(&[batch(0, &["kept"])], LeaderAppend::client(0, 0)).unwrap();
    disk.set_capacity(disk.used_bytes() + 100);
    let big = "y".repeat(500);
    let refused = log.append_as_leader(&[batch(0, &[&big])], LeaderAppend::client(0, 0));
    let Err(AppendError::Storage(error)) = refused else { panic!("the disk is full") };
    assert!(error.is_full());
    assert!(
        error.to_string().starts_with("cannot append to /data/topic-0/00000000000000000000.log:"),
        "{error}"
    );
    assert_eq!(log.log_end_offset(), 1);
    assert_verified(&disk, "full");
    disk.set_capacity(1 << 30);
    log.append_as_leader(&[batch(0, &["again"])], LeaderAppend::client(0, 0)).unwrap();
    assert_eq!(values(&log, 0), [(0, "kept".to_owned()), (1, "again".to_owned())]);
    log.check_invariants();
    log.close(true).unwrap();
    assert_verified(&disk, "closed");
}

/// If what a failed write left cannot even be cut off, the next append writes over it.
#[test]
fn a_part_that_could_not_be_cut_off_is_written_over() {
    let disk = simulated(1);
    let (log, _) = open_simulated(&disk, small(DIR));
    log.append_as_leader(&[batch(0, &["kept"])], LeaderAppend::client(0, 0)).unwrap();
    disk.set_capacity(disk.used_bytes() + 100);
    disk.inject(Fault::once(Operation::Truncate, ".log", io::ErrorKind::Other));
    let big = "y".repeat(500);
    log.append_as_leader(&[batch(0, &[&big])], LeaderAppend::client(0, 0)).unwrap_err();
    disk.set_capacity(1 << 30);
    log.append_as_leader(&[batch(0, &["z"])], LeaderAppend::client(0, 0)).unwrap();
    log.close(true).unwrap();
    assert_verified(&disk, "closed");
}

#[test]
fn a_failed_sync_ends_all_changes() {
    let disk = simulated(1);
    let (log, _) = open_simulated(&disk, small(DIR));
    log.append_as_leader(&[batch(0, &["a"])], LeaderAppend::client(0, 0)).unwrap();
    disk.inject(Fault::once(Operation::Sync, ".log", io::ErrorKind::Other));
    let error = log.flush(1).unwrap_err();
    assert!(error.to_string().starts_with("cannot sync /data/topic-0/00000000000000000000.log"), "{error}");
    assert_eq!(log.recovery_point(), 0);
    let refused = log.append_as_leader(&[batch(0, &["b"])], LeaderAppend::client(0, 0));
    assert!(matches!(refused, Err(AppendError::Closed)));
    assert_eq!(values(&log, 0), [(0, "a".to_owned())]);
}

/// A log of several segments, cleanly closed.
fn written(disk: &SimulatedDisk) -> i64 {
    let (log, _) = open_simulated(disk, small(DIR));
    for n in 0..40 {
        let value = format!("{n} {}", "x".repeat(100));
        log.append_as_leader(&[batch_of((7, 0), n, &[&value])], LeaderAppend::client(n / 10, 0)).unwrap();
    }
    log.close(true).unwrap();
    log.log_end_offset()
}

fn file(disk: &SimulatedDisk, extension: &str, number: usize) -> String {
    let names = disk.list(Path::new(DIR)).unwrap();
    let mut names = names.into_iter().map(|entry| entry.name).filter(|name| name.ends_with(extension));
    format!("{DIR}/{}", names.nth(number).unwrap())
}

#[test]
fn the_log_is_cut_at_the_first_damaged_batch_and_says_so() {
    let disk = simulated(1);
    let end = written(&disk);
    let log_file = file(&disk, ".log", 1);
    disk.corrupt(Path::new(&log_file), 500, b"damage").unwrap();
    let findings = verify(&disk, Path::new(DIR)).unwrap();
    assert!(findings[0].to_string().contains("batch is corrupt: stored CRC"), "{}", findings[0]);
    let (log, report) = open_simulated(&disk, LogOpening { was_clean: false, ..small(DIR) });
    let cut = report.truncation.unwrap();
    assert!(cut.reason.contains("stored CRC") && cut.bytes > 2000, "{cut:?}");
    assert_eq!(log.log_end_offset(), cut.offset);
    assert!(cut.offset < end);
    assert_eq!(values(&log, 0).len() as i64, cut.offset);
    log.check_invariants();
    log.close(true).unwrap();
    assert_verified(&disk, "cut");
}

/// Offsets that are missing between segments: what compaction left, unless the log is known to be whole.
#[test]
fn holes_between_segments_cut_only_logs_that_were_never_compacted() {
    for is_contiguous in [false, true] {
        let disk = simulated(1);
        let end = written(&disk);
        disk.remove(Path::new(&file(&disk, ".log", 1))).unwrap();
        let recovery = LogOpening { was_clean: false, is_contiguous, ..small(DIR) };
        let (log, report) = open_simulated(&disk, recovery);
        assert_eq!(report.truncation.is_some(), is_contiguous);
        assert_eq!(log.log_end_offset() == end, !is_contiguous);
        log.check_invariants();
    }
}

/// What is behind may be all there is, so it is kept; but who follows a leader gets what is missing from it.
#[test]
fn records_that_are_missing_in_the_middle_are_noted() {
    for compact in [false, true] {
        let disk = simulated(1);
        let end = written(&disk);
        disk.remove(Path::new(&file(&disk, ".log", 1))).unwrap();
        let opening = small(DIR);
        let config = Arc::new(LogConfig { compact, ..(*opening.config).clone() });
        let recovery = LogOpening { config, was_clean: false, is_contiguous: false, ..opening };
        let (log, report) = open_simulated(&disk, recovery);
        assert_eq!((log.log_end_offset(), log.gap()), (end, report.gap));
        assert_eq!(log.gap().is_none(), compact, "compaction may have taken them");
        let Some(gap) = log.gap() else { continue };
        assert_eq!(
            gap,
            log.segment_base_offsets()[0] + values(&log, 0).iter().take_while(|it| it.0 < gap).count() as i64
        );
        log.truncate_to(gap + 1, 0).unwrap();
        assert_eq!(log.gap(), Some(gap));
        log.truncate_to(gap, 0).unwrap();
        assert_eq!((log.gap(), log.log_end_offset()), (None, gap));
        log.check_invariants();
    }
}

/// After a clean stop nothing is torn: what cannot be read was damaged by the disk. A log that must be whole is not cut for it, and no byte
/// of it is touched.
#[test]
fn damage_after_a_clean_stop_cuts_no_log_that_must_be_whole() {
    let disk = simulated(1);
    let end = written(&disk);
    let last = file(&disk, ".log", 3);
    let before = disk::read_file(&disk, Path::new(&last), 1 << 20).unwrap();
    // The size of the last batch, which is what the end of the log is told from.
    let at = before.len() - 173 + 8;
    disk.corrupt(Path::new(&last), at as u64, &[0x7f, 0xff]).unwrap();
    let opening = LogOpening { was_clean: true, recovery_point: end, is_contiguous: true, ..small(DIR) };
    let refused = Log::open(Arc::new(disk.clone()), OpenFiles::new(100), opening);
    assert!(refused.is_err_and(|error| error.is_damage()));
    let after = disk::read_file(&disk, Path::new(&last), 1 << 20).unwrap();
    assert!(
        before.len() == after.len() && before[..at] == after[..at] && before[at + 2..] == after[at + 2..]
    );
}

#[test]
fn recovery_reads_only_what_may_be_torn() {
    let disk = simulated(1);
    let end = written(&disk);
    // Damage below the recovery point is for scrubbing to find, not for recovery to cut the log at.
    disk.corrupt(Path::new(&file(&disk, ".log", 0)), 300, b"damage").unwrap();
    let recovery = LogOpening { was_clean: false, recovery_point: end, ..small(DIR) };
    let (log, report) = open_simulated(&disk, recovery);
    assert_eq!((report.segments_verified, report.truncation), (1, None));
    assert_eq!(log.log_end_offset(), end);
}

#[test]
fn damaged_indexes_cost_only_time() {
    for extension in [".index", ".timeindex"] {
        let disk = simulated(1);
        let end = written(&disk);
        for number in 0..3 {
            disk.corrupt(Path::new(&file(&disk, extension, number)), 0, &[0x7f; 24]).unwrap();
        }
        assert!(!verify(&disk, Path::new(DIR)).unwrap().is_empty());
        let (log, _) = open_simulated(&disk, small(DIR));
        assert_eq!(log.log_end_offset(), end);
        assert_eq!(values(&log, 0).len() as i64, end, "{extension}");
        assert_eq!(values(&log, 25).first().unwrap().0, 25);
    }
}

#[test]
fn a_missing_index_is_made_again() {
    let disk = simulated(1);
    written(&disk);
    disk.remove(Path::new(&file(&disk, ".index", 1))).unwrap();
    let (_, report) = open_simulated(&disk, small(DIR));
    assert!(report.to_string().contains("had no index"), "{report}");
    assert_verified(&disk, "rebuilt");
}

#[test]
fn damaged_epochs_and_snapshots_are_made_again_from_the_batches() {
    let disk = simulated(1);
    written(&disk);
    let snapshots = disk.list(Path::new(DIR)).unwrap();
    for entry in snapshots.iter().filter(|entry| entry.name.ends_with(".snapshot")) {
        disk.corrupt(&Path::new(DIR).join(&entry.name), 20, &[0xff; 4]).unwrap();
    }
    disk.corrupt(&Path::new(DIR).join("leader-epoch-checkpoint"), 0, b"x").unwrap();
    let (log, report) = open_simulated(&disk, small(DIR));
    assert!(report.repairs.iter().any(|repair| repair.contains("line 1: version 0 expected")), "{report}");
    assert!(report.repairs.iter().any(|repair| repair.contains("stored CRC")), "{report}");
    let epochs: Vec<_> = log.epochs().iter().map(|epoch| (epoch.epoch, epoch.start_offset)).collect();
    assert_eq!(epochs, [(0, 0), (1, 10), (2, 20), (3, 30)]);
    assert_eq!(log.producers()[0].last_sequence(), 39);
}

fn epochs(log: &Log) -> Vec<(i32, i64)> {
    log.epochs().iter().map(|epoch| (epoch.epoch, epoch.start_offset)).collect()
}

/// An epoch whose leader wrote nothing here was written down, and the log went on with records of an earlier one.
#[test]
fn an_epoch_without_records_does_not_hide_one_that_has_them() {
    let disk = simulated(1);
    let (log, _) = open_simulated(&disk, opening(DIR));
    let append = |log: &Log, epoch| {
        log.append_as_leader(&[batch(1000, &["value"])], LeaderAppend::client(epoch, 0)).unwrap();
    };
    append(&log, 0);
    log.assign_epoch(3);
    log.flush(log.log_end_offset()).unwrap();
    log.truncate_to(1, 0).unwrap();
    append(&log, 2);
    append(&log, 4);
    drop(log);
    disk.restart(Crash::Process);
    let (log, _) = open_simulated(&disk, LogOpening { was_clean: false, ..opening(DIR) });
    assert_eq!(epochs(&log), [(0, 0), (2, 1), (4, 2)]);
}

/// Records were deleted, and that was written down for the epochs and not for the log start.
#[test]
fn epochs_begin_where_the_log_does() {
    let disk = simulated(1);
    let (log, _) = open_simulated(&disk, opening(DIR));
    for epoch in 0..3 {
        log.append_as_leader(&[batch(1000, &["a", "b"])], LeaderAppend::client(epoch, 0)).unwrap();
    }
    log.set_high_watermark(6);
    log.advance_log_start(5);
    log.flush(6).unwrap();
    assert_eq!(epochs(&log), [(2, 5)]);
    log.assign_epoch(3);
    log.flush(6).unwrap();
    drop(log);
    disk.restart(Crash::Process);
    let unclean = LogOpening { was_clean: false, recovery_point: 6, ..opening(DIR) };
    let (log, _) = open_simulated(&disk, unclean);
    assert_eq!((log.log_start_offset(), epochs(&log)), (0, vec![(0, 0), (1, 2), (2, 4)]));
}

#[test]
fn an_unreadable_sector_is_named() {
    let disk = simulated(1);
    written(&disk);
    let (log, _) = open_simulated(&disk, small(DIR));
    let log_file = file(&disk, ".log", 0);
    disk.make_unreadable(Path::new(&log_file), 0..512);
    let error = log.read(0, i64::MAX, 100, true, None).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot read {log_file}: unreadable sector"));
}

#[test]
fn transactions_are_the_same_after_any_crash() {
    for seed in 0..100 {
        let disk = simulated(seed);
        let append = |log: &Log, n: i32| match n % 3 {
            0 => log.append_as_leader(&[transactional((n.into(), 0), 0, &["t"])], LeaderAppend::client(0, 0)),
            1 => log.append_as_leader(&[batch(0, &["other"])], LeaderAppend::client(0, 0)),
            _ => {
                let end = marker((i64::from(n - 2), 0), n % 2 == 0, 0);
                log.append_as_leader(&[end], LeaderAppend::coordinator(0, 0))
            }
        };
        let (log, _) = open_simulated(&disk, small(DIR));
        let count = 20 + (seed as i32) % 20;
        for n in 0..count {
            append(&log, n).unwrap();
        }
        let aborted = log.aborted_transactions(0, i64::MAX).unwrap();
        let producers = log.producers().len();
        let stable = {
            log.advance_high_watermark(i64::MAX);
            log.last_stable_offset()
        };
        drop(log);
        disk.restart(Crash::Process);
        let (log, _) = open_simulated(&disk, LogOpening { was_clean: false, ..small(DIR) });
        log.advance_high_watermark(i64::MAX);
        assert_eq!(log.aborted_transactions(0, i64::MAX).unwrap(), aborted, "seed {seed}");
        assert_eq!((log.producers().len(), log.last_stable_offset()), (producers, stable), "seed {seed}");
        assert_verified(&disk, "recovered");
    }
}

#[test]
fn a_disk_reads_what_was_written_and_counts_its_time() {
    let disk = SimulatedDisk::seeded(0);
    let path = Path::new("/file");
    let file = disk.open(path, Access::Create).unwrap();
    disk::write_all_at(&*file, &mut [io::IoSlice::new(b"abc"), io::IoSlice::new(b"def")], 2).unwrap();
    assert_eq!(disk::read_file(&disk, path, 100).unwrap(), b"\0\0abcdef");
    assert!(disk.take_elapsed_us() > 0);
    disk.restart(Crash::Power);
    assert!(file.size().is_err(), "handles do not survive");
    assert_eq!(disk.metadata(path).map(|found| found.size).unwrap_or(0) % 8, 0);
}
