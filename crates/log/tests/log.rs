//! One partition's log: what appends, reads, producers, truncation and retention do.

mod support;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use klamm_log::disk::Disk;
use klamm_log::disk::simulated::{Fault, Operation, SimulatedDisk};
use klamm_log::{
    AppendError, Appended, FlushDue, Flusher, LeaderAppend, Log, LogConfig, LogOpening, ProducerError,
    ReadError, verify,
};
use support::interposed::{InterposedDisk, Moment};
use support::{
    DIR, batch, batch_of, marker, open_on, open_simulated, opening, read_all, simulated, transactional,
    values,
};

const LEADER: LeaderAppend = LeaderAppend {
    leader_epoch: 0,
    origin: klamm_log::AppendOrigin::Client,
    now_ms: 0,
    is_transaction_v2: false,
    verification: None,
};

fn with(config: LogConfig) -> LogOpening {
    LogOpening { config: Arc::new(config), ..opening(DIR) }
}

fn new_log(config: LogConfig) -> (SimulatedDisk, Log) {
    let disk = simulated(1);
    let (log, _) = open_simulated(&disk, with(config));
    (disk, log)
}

/// Segments of two small batches.
fn small() -> LogConfig {
    LogConfig { segment_bytes: 160, index_interval_bytes: 50, ..LogConfig::default() }
}

fn append(log: &Log, batch: klamm_records::AcceptedBatch<'_>) -> Result<Appended, AppendError> {
    log.append_as_leader(&[batch], LEADER)
}

fn producer_error(result: Result<Appended, AppendError>) -> ProducerError {
    match result {
        Err(AppendError::Producer(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_written_before_the_first_append() {
    use klamm_log::disk::Disk;
    let (disk, log) = new_log(LogConfig::default());
    assert_eq!(disk.list(Path::new(DIR)).unwrap(), []);
    log.close(true).unwrap();
    assert_eq!(disk.list(Path::new(DIR)).unwrap(), []);
}

#[test]
fn several_batches_are_appended_as_one() {
    let (_, log) = new_log(LogConfig::default());
    let batches = [batch(10, &["a", "b"]), batch(20, &["c"])];
    let appended = log.append_as_leader(&batches, LeaderAppend { leader_epoch: 5, ..LEADER }).unwrap();
    assert_eq!((appended.base_offset, appended.last_offset), (0, 2));
    assert_eq!((appended.is_duplicate, appended.flush_due), (false, FlushDue::No));
    let bytes = read_all(&log, 0);
    let epochs: Vec<_> =
        klamm_records::batches(&bytes).map(|b| b.unwrap().header().partition_leader_epoch).collect();
    assert_eq!(epochs, [5, 5]);
    assert_eq!(values(&log, 1), [(1, "b".to_owned()), (2, "c".to_owned())]);
    assert_eq!(log.latest_epoch(), Some(5));
}

#[test]
fn batches_larger_than_a_segment_are_refused() {
    let (_, log) = new_log(LogConfig { segment_bytes: 100, ..LogConfig::default() });
    let error = append(&log, batch(0, &[&"x".repeat(100)])).unwrap_err();
    assert_eq!(error.to_string(), "170 bytes of batches are more than the 100 of a segment");
    assert_eq!(log.log_end_offset(), 0);
}

#[test]
fn reads_respect_their_bounds() {
    let (_, log) = new_log(LogConfig::default());
    for n in 0..10 {
        append(&log, batch(n, &["0123456789"])).unwrap();
    }
    let size = log.size() / 10;
    let read = |offset, end, max, one| {
        let slice = log.read(offset, end, max, one, None).unwrap();
        slice.data.map(|data| (data.position / size, data.length as u64))
    };
    assert_eq!(read(0, 10, 1 << 20, false), Some((0, 10 * size)));
    assert_eq!(read(3, 7, 1 << 20, false), Some((3, 4 * size)));
    assert_eq!(read(3, 7, size as usize + 1, false), Some((3, size + 1)));
    assert_eq!(read(3, 7, 1, true), Some((3, size)));
    assert_eq!(read(3, 7, 1, false), Some((3, 1)));
    assert_eq!(read(3, 7, 0, false), None);
    assert_eq!(read(7, 7, 1 << 20, true), None);
    assert_eq!(read(9, 7, 1 << 20, true), None);
    assert_eq!(read(10, 10, 1 << 20, true), None);
    for offset in [-1, 11] {
        let error = log.read(offset, 10, 1, true, None).unwrap_err();
        assert!(matches!(error, ReadError::OffsetOutOfRange { log_start_offset: 0, log_end_offset: 10, .. }));
    }
}

#[test]
fn a_read_that_is_cut_ends_between_batches_where_the_index_knows_one() {
    let (_, log) = new_log(LogConfig { index_interval_bytes: 1, ..LogConfig::default() });
    for n in 0..10 {
        append(&log, batch(n, &["0123456789", "0123456789"])).unwrap();
    }
    let size = log.size() as usize / 10;
    let slice = log.read(4, i64::MAX, 3 * size + size / 2, false, None).unwrap();
    let data = slice.data.unwrap();
    assert_eq!((data.position as usize, data.length, slice.end_offset), (2 * size, 3 * size, 10));
    let next = log.read(10, i64::MAX, 1 << 20, false, slice.next).unwrap();
    assert_eq!(next.data.unwrap().position as usize, 5 * size);
    // Where the first batch does not fit, it is cut itself.
    for (bytes_max, length) in [(size - 1, size - 1), (2 * size - 1, size), (2 * size, 2 * size)] {
        let slice = log.read(4, i64::MAX, bytes_max, false, None).unwrap();
        assert_eq!(slice.data.unwrap().length, length);
    }
    assert_eq!(log.read(4, i64::MAX, 1, true, None).unwrap().data.unwrap().length, size);
    // What is beyond the end that was asked for is left out as before.
    let bounded = log.read(4, 10, 3 * size + 1, false, None).unwrap();
    assert_eq!((bounded.data.unwrap().length, bounded.end_offset), (3 * size, 10));
}

#[test]
fn a_hint_is_used_only_where_it_fits() {
    let (_, log) = new_log(small());
    append(&log, batch(0, &["a"])).unwrap();
    let first = log.read(0, i64::MAX, 1 << 20, true, None).unwrap();
    append(&log, batch(0, &["b"])).unwrap();
    let second = log.read(1, i64::MAX, 1 << 20, true, first.next).unwrap();
    assert_eq!(second.data.as_ref().unwrap().position, first.data.unwrap().length as u64);
    // A hint for another offset, or from before a truncation, is not believed.
    assert_eq!(log.read(0, i64::MAX, 1 << 20, true, second.next).unwrap().data.unwrap().position, 0);
    log.truncate_to(1, 0).unwrap();
    append(&log, batch(0, &["longer than before"])).unwrap();
    append(&log, batch(0, &["c"])).unwrap();
    assert_eq!(values(&log, 2), [(2, "c".to_owned())]);
    let after = log.read(2, i64::MAX, 1 << 20, true, second.next).unwrap();
    assert_eq!(after.end_offset, 3);
}

#[test]
fn segments_roll_by_size_time_index_and_offset() {
    let bases = |config: LogConfig, timestamps: &[i64]| {
        let (_, log) = new_log(config);
        for timestamp in timestamps {
            append(&log, batch(*timestamp, &["0123456789"])).unwrap();
        }
        log.check_invariants();
        log.segment_base_offsets()
    };
    assert_eq!(bases(small(), &[0, 0, 0, 0, 0]), [0, 2, 4]);
    let by_time = LogConfig { segment_ms: 100, ..LogConfig::default() };
    assert_eq!(bases(by_time.clone(), &[5, 105, 106, 107, 250]), [0, 2, 4]);
    let jitter = LogConfig { segment_jitter_ms: 100, ..by_time };
    assert!(bases(jitter, &[0, 99]).len() <= 2);
    let by_index = LogConfig { index_bytes_max: 36, index_interval_bytes: 1, ..LogConfig::default() };
    assert_eq!(bases(by_index, &[1, 2, 3, 4, 5, 6, 7, 8]), [0, 3, 6]);

    let (_, log) = new_log(LogConfig::default());
    for offset in [0, 1 << 31] {
        let mut copied = batch(0, &["far"]);
        copied.stamp(offset, 0);
        log.append_as_follower(&copied.into_bytes(), 0, 0).unwrap();
    }
    assert_eq!(log.segment_base_offsets(), [0, 1 << 31]);
    assert_eq!(values(&log, 0).len(), 2);
    assert_eq!(values(&log, 5).len(), 1);
}

#[test]
fn a_roll_or_many_records_make_a_flush_due() {
    let (_, log) = new_log(small());
    append(&log, batch(0, &["0123456789"])).unwrap();
    append(&log, batch(0, &["0123456789"])).unwrap();
    assert_eq!(append(&log, batch(0, &["0123456789"])).unwrap().flush_due, FlushDue::UpTo(2));
    log.set_config(Arc::new(LogConfig { flush_messages: 2, ..LogConfig::default() }));
    log.flush(3).unwrap();
    assert_eq!(append(&log, batch(0, &["a"])).unwrap().flush_due, FlushDue::No);
    assert_eq!(append(&log, batch(0, &["b"])).unwrap().flush_due, FlushDue::BeforeAnswer(5));
    log.set_config(Arc::new(LogConfig { flush_ms: 100, ..LogConfig::default() }));
    assert!(!log.is_flush_overdue(99) && log.is_flush_overdue(100));
    log.flush(5).unwrap();
    assert!(!log.is_flush_overdue(i64::MAX));
}

#[test]
fn a_repeated_batch_gets_the_offsets_of_the_first() {
    let (_, log) = new_log(LogConfig::default());
    for n in 0..6 {
        append(&log, batch_of((1, 0), n * 2, &["a", "b"])).unwrap();
    }
    let again = append(&log, batch_of((1, 0), 4, &["a", "b"])).unwrap();
    assert_eq!((again.base_offset, again.last_offset, again.is_duplicate), (4, 5, true));
    assert_eq!(log.log_end_offset(), 12);
    // Five batches are remembered; the sixth last is out of order, as is one that overlaps.
    for sequence in [0, 3] {
        let error = producer_error(append(&log, batch_of((1, 0), sequence, &["a", "b"])));
        assert!(matches!(error, ProducerError::OutOfOrderSequence { last_sequence: 11, .. }), "{error}");
    }
}

#[test]
fn sequences_follow_and_epochs_fence() {
    let (_, log) = new_log(LogConfig::default());
    let send = |epoch, sequence| append(&log, batch_of((1, epoch), sequence, &["a"]));
    send(3, 7).unwrap();
    assert!(matches!(producer_error(send(3, 9)), ProducerError::OutOfOrderSequence { .. }));
    send(3, 8).unwrap();
    assert!(matches!(producer_error(send(2, 0)), ProducerError::InvalidEpoch { current_epoch: 3, .. }));
    assert!(matches!(producer_error(send(4, 1)), ProducerError::OutOfOrderSequence { .. }));
    send(4, 0).unwrap();
    let states = log.producers();
    assert_eq!((states[0].producer_epoch, states[0].last_sequence(), states[0].last_offset()), (4, 0, 2));
    append(&log, batch_of((2, 0), i32::MAX, &["last"])).unwrap();
    append(&log, batch_of((2, 0), 0, &["wrapped"])).unwrap();
    log.check_invariants();
}

#[test]
fn idle_producers_are_forgotten_unless_a_transaction_is_open() {
    let (_, log) = new_log(LogConfig { producer_id_expiration_ms: 100, ..LogConfig::default() });
    append(&log, batch_of((1, 0), 0, &["a"])).unwrap();
    append(&log, transactional((2, 0), 0, &["b"])).unwrap();
    log.remove_expired_producers(1099);
    assert_eq!(log.producer_count(), 2);
    log.remove_expired_producers(1100);
    assert_eq!(log.producers().iter().map(|producer| producer.producer_id).collect::<Vec<_>>(), [2]);
}

#[test]
fn the_last_stable_offset_waits_for_markers_and_their_replication() {
    let (_, log) = new_log(LogConfig::default());
    let high_watermark = |offset| {
        log.advance_high_watermark(offset);
        (log.high_watermark(), log.last_stable_offset())
    };
    append(&log, batch(0, &["plain"])).unwrap();
    assert_eq!(high_watermark(1), (1, 1));
    append(&log, transactional((1, 0), 0, &["a"])).unwrap();
    append(&log, transactional((2, 0), 0, &["b"])).unwrap();
    assert_eq!(high_watermark(3), (3, 1));
    log.append_as_leader(&[marker((1, 0), true, 0)], LeaderAppend::coordinator(0, 0)).unwrap();
    assert_eq!(high_watermark(3), (3, 1), "the marker is not replicated");
    assert_eq!(high_watermark(4), (4, 2));
    log.append_as_leader(&[marker((2, 0), false, 0)], LeaderAppend::coordinator(0, 0)).unwrap();
    assert_eq!(high_watermark(5), (5, 5));
    let aborted = log.aborted_transactions(0, 5).unwrap();
    assert_eq!(aborted.len(), 1);
    assert_eq!((aborted[0].first_offset, aborted[0].last_offset, aborted[0].last_stable_offset), (1, 3, 2));
    let slice = log.read(4, 5, 1 << 20, true, None).unwrap();
    assert_eq!(log.aborted_transactions_in(4, &slice).unwrap(), []);
    log.check_invariants();
}

#[test]
fn markers_are_fenced_by_coordinator_and_epoch() {
    let (_, log) = new_log(LogConfig::default());
    let end = |epoch, coordinator_epoch, is_transaction_v2| {
        let how = LeaderAppend { is_transaction_v2, ..LeaderAppend::coordinator(0, 0) };
        log.append_as_leader(&[marker((1, epoch), false, coordinator_epoch)], how)
    };
    append(&log, transactional((1, 5), 0, &["a"])).unwrap();
    assert!(matches!(producer_error(end(4, 1, false)), ProducerError::InvalidEpoch { .. }));
    assert!(matches!(producer_error(end(5, 1, true)), ProducerError::InvalidEpoch { .. }));
    end(6, 1, true).unwrap();
    end(6, 1, true).unwrap();
    assert!(matches!(
        producer_error(end(7, 0, true)),
        ProducerError::CoordinatorFenced { current_epoch: 1, .. }
    ));
    append(&log, transactional((1, 6), 0, &["b"])).unwrap();
    let error = producer_error(append(&log, batch_of((1, 6), 1, &["outside"])));
    assert!(matches!(error, ProducerError::InvalidTransactionState { .. }));
    log.check_invariants();
}

#[test]
fn a_transaction_begins_only_when_it_is_verified() {
    let (_, log) = new_log(LogConfig::default());
    let first = transactional((1, 0), 0, &["a"]);
    let verified = |guard| LeaderAppend { verification: Some(guard), ..LEADER };
    let error = producer_error(log.append_as_leader(std::slice::from_ref(&first), verified(None)));
    assert!(matches!(error, ProducerError::InvalidTransactionState { .. }));
    let guard = log.start_verification(first.header(), false, 0);
    assert!(guard.is_some());
    log.append_as_leader(&[first], verified(guard)).unwrap();
    let second = transactional((1, 0), 1, &["b"]);
    assert_eq!(log.start_verification(second.header(), false, 0), None, "the transaction is open");
    log.append_as_leader(&[second], verified(None)).unwrap();
}

#[test]
fn truncation_takes_everything_that_follows_back() {
    let (disk, log) = new_log(small());
    for n in 0..6 {
        log.append_as_leader(
            &[batch_of((1, 0), n, &["0123456789"])],
            LeaderAppend { leader_epoch: n, ..LEADER },
        )
        .unwrap();
    }
    log.append_as_leader(&[transactional((2, 0), 0, &["t"])], LeaderAppend { leader_epoch: 9, ..LEADER })
        .unwrap();
    log.flush(7).unwrap();
    log.advance_high_watermark(7);
    assert!(log.truncate_to(3, 0).unwrap());
    assert_eq!((log.log_end_offset(), log.high_watermark(), log.recovery_point()), (3, 3, 3));
    assert_eq!(log.last_stable_offset(), 3);
    assert_eq!(log.segment_base_offsets(), [0, 2]);
    assert_eq!(log.epochs().iter().map(|epoch| epoch.epoch).collect::<Vec<_>>(), [0, 1, 2]);
    let states = log.producers();
    assert_eq!((states.len(), states[0].last_sequence()), (1, 2));
    log.check_invariants();
    let next = LeaderAppend { leader_epoch: 10, ..LEADER };
    log.append_as_leader(&[batch_of((1, 0), 3, &["again"])], next).unwrap();
    assert_eq!(values(&log, 3), [(3, "again".to_owned())]);
    assert!(!log.truncate_to(10, 0).unwrap());
    log.close(true).unwrap();
    assert_eq!(verify(&disk, Path::new(DIR)).unwrap(), []);
}

/// A follower's log is cut while consumers read from it: what they find in the files is neither damage nor a broken disk.
#[test]
fn who_reads_while_the_log_is_cut_gets_what_is_left() {
    let disk = simulated(1);
    let interposed = InterposedDisk::new(&disk);
    let (log, _) = open_on(Arc::new(interposed.clone()), with(LogConfig::default()));
    let log = Arc::new(log);
    for n in 0..6 {
        append(&log, batch_of((1, 0), n, &["0123456789"])).unwrap();
    }
    log.advance_high_watermark(3);
    let (told, reads) = std::sync::mpsc::channel();
    let (reader, meanwhile) = (log.clone(), interposed.clone());
    interposed.during(Moment::FileSync, ".log", move || {
        let (begun, begins) = std::sync::mpsc::channel();
        meanwhile.during(Moment::FileRead, ".log", move || begun.send(()).unwrap());
        std::thread::spawn(move || {
            let read = reader.read(0, reader.high_watermark(), usize::MAX, true, None);
            told.send(read.map(|slice| slice.end_offset)).unwrap();
        });
        // From here on the reader goes by what was in the files before the cut.
        begins.recv().unwrap();
    });
    assert!(log.truncate_to(3, 0).unwrap());
    assert!(interposed.is_done());
    assert_eq!(reads.recv().unwrap().unwrap(), 3);
}

#[test]
fn a_log_that_was_cut_below_its_snapshots_gets_new_ones() {
    let (disk, log) = new_log(LogConfig::default());
    append(&log, batch_of((1, 0), 0, &["a"])).unwrap();
    append(&log, batch_of((1, 0), 1, &["b"])).unwrap();
    append(&log, batch_of((1, 0), 2, &["c"])).unwrap();
    log.close(true).unwrap();
    drop(log);
    let (log, _) = open_simulated(&disk, with(LogConfig::default()));
    log.truncate_to(1, 0).unwrap();
    append(&log, batch_of((1, 0), 1, &["d"])).unwrap();
    log.close(true).unwrap();
    let snapshots =
        disk.list(Path::new(DIR)).unwrap().into_iter().filter(|it| it.name.ends_with(".snapshot"));
    assert_eq!(snapshots.map(|it| it.name).collect::<Vec<_>>(), ["00000000000000000002.snapshot"]);
}

#[test]
fn a_log_that_starts_over_keeps_its_place() {
    let (disk, log) = new_log(small());
    append(&log, batch_of((1, 0), 0, &["a"])).unwrap();
    log.truncate_fully_and_start_at(100, 90, 0).unwrap();
    assert_eq!((log.log_start_offset(), log.high_watermark(), log.log_end_offset()), (90, 100, 100));
    assert_eq!((log.producer_count(), log.epochs().len()), (0, 0));
    log.truncate_fully_and_start_at(100, 100, 0).unwrap();
    drop(log);
    // Nothing was written since, yet the place survives.
    let (log, _) = open_simulated(&disk, LogOpening { was_clean: false, ..with(small()) });
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (100, 100));
    append(&log, batch(0, &["b"])).unwrap();
    assert_eq!(values(&log, 100), [(100, "b".to_owned())]);
}

#[test]
fn retention_deletes_from_the_front() {
    let filled = |config: LogConfig| {
        let (disk, log) = new_log(LogConfig { segment_bytes: 160, file_delete_delay_ms: 10, ..config });
        for n in 0..6 {
            append(&log, batch(n * 100, &["0123456789"])).unwrap();
        }
        log.advance_high_watermark(6);
        (disk, log)
    };
    let unlimited = LogConfig { retention_ms: -1, ..LogConfig::default() };

    let (_, log) = filled(LogConfig { retention_ms: 200, ..LogConfig::default() });
    assert_eq!(log.delete_old_segments(300).unwrap().count, 0);
    assert_eq!(log.delete_old_segments(301).unwrap().log_start_offset, 2);
    let all = log.delete_old_segments(10_000).unwrap();
    assert_eq!((all.count, all.log_start_offset), (2, 6));
    assert_eq!((log.segment_base_offsets(), log.log_end_offset()), (vec![6], 6));
    log.check_invariants();

    let (_, log) = filled(LogConfig { retention_bytes: 200, ..unlimited.clone() });
    assert_eq!(log.delete_old_segments(0).unwrap().log_start_offset, 2);

    let (disk, log) = filled(unlimited.clone());
    let held = log.read(0, i64::MAX, 1 << 20, true, None).unwrap().data.unwrap();
    assert!(log.advance_log_start(3));
    assert!(!log.advance_log_start(2));
    assert_eq!(log.delete_old_segments(0).unwrap().count, 1);
    assert_eq!(log.segment_base_offsets(), [2, 4]);
    assert!(matches!(log.read(2, i64::MAX, 1, true, None), Err(ReadError::OffsetOutOfRange { .. })));
    let mut byte = [0];
    assert_eq!(held.file.read_at(&mut byte, held.position).unwrap(), 1, "a reader goes on");
    let names = |disk: &SimulatedDisk| {
        use klamm_log::disk::Disk;
        let names = disk.list(Path::new(DIR)).unwrap();
        names.into_iter().filter(|entry| entry.name.ends_with(".deleted")).count()
    };
    assert_eq!((log.remove_deleted_files(9).unwrap(), names(&disk)), (Some(10), 3));
    assert_eq!((log.remove_deleted_files(10).unwrap(), names(&disk)), (None, 0));

    let (_, log) = filled(LogConfig { delete: false, retention_ms: 0, ..unlimited });
    assert_eq!(log.delete_old_segments(10_000).unwrap().count, 0);
    log.set_high_watermark(0);
    assert!(!log.advance_log_start(5), "nothing above the high watermark goes");
}

#[test]
fn followers_take_what_continues_their_log() {
    let (_, leader) = new_log(LogConfig::default());
    for epoch in 0..3 {
        leader.append_as_leader(&[batch(0, &["a"])], LeaderAppend { leader_epoch: epoch, ..LEADER }).unwrap();
    }
    let bytes = read_all(&leader, 0);
    let (_, follower) = new_log(LogConfig::default());
    // The last batch is cut short, the one before is of an epoch that was not asked for.
    let appended = follower.append_as_follower(&bytes[..bytes.len() - 1], 0, 0).unwrap();
    assert_eq!((appended.base_offset, appended.last_offset), (0, 0));
    let again = follower.append_as_follower(&bytes, 2, 0).unwrap_err();
    assert!(matches!(again, AppendError::UnexpectedOffset { found: 0, log_end_offset: 1 }));
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(follower.append_as_follower(&damaged[70..], 2, 0), Err(AppendError::Corrupt(_))));
    assert_eq!(follower.log_end_offset(), 1);
    let rest = read_all(&leader, 1);
    follower.append_as_follower(&rest, 2, 0).unwrap();
    assert_eq!(read_all(&follower, 0), bytes);
    assert_eq!(follower.epochs(), leader.epochs());
    assert!(matches!(follower.append_as_follower(&[], 2, 0), Err(AppendError::Empty)));
}

/// A fetch may bring batches of several epochs. The first may be one that the log has already.
#[test]
fn what_cannot_be_written_leaves_no_epoch() {
    let (_, leader) = new_log(LogConfig::default());
    for epoch in [1, 1, 2] {
        leader.append_as_leader(&[batch(0, &["a"])], LeaderAppend { leader_epoch: epoch, ..LEADER }).unwrap();
    }
    let bytes = read_all(&leader, 0);
    let second = bytes.len() / 3;
    let (disk, follower) = new_log(LogConfig::default());
    follower.append_as_follower(&bytes[..second], 2, 0).unwrap();
    disk.inject(Fault::once(Operation::Write, ".log", io::ErrorKind::StorageFull));
    follower.append_as_follower(&bytes[second..], 2, 0).unwrap_err();
    assert_eq!(follower.epochs(), leader.epochs()[..1]);
    follower.append_as_follower(&bytes[second..], 2, 0).unwrap();
    assert_eq!(follower.epochs(), leader.epochs());
}

#[test]
fn those_who_wait_share_a_flush() {
    let (_, log) = new_log(LogConfig::default());
    let log = Arc::new(log);
    let flusher = Flusher::new();
    let done = Arc::new(AtomicUsize::new(0));
    for n in 1..=10 {
        append(&log, batch(0, &["a"])).unwrap();
        let done = Arc::clone(&done);
        flusher.register(
            &log,
            n,
            Box::new(move |result| {
                assert_eq!(result.unwrap(), 10);
                done.fetch_add(1, Ordering::Relaxed);
            }),
        );
    }
    assert_eq!((done.load(Ordering::Relaxed), flusher.run_pending()), (0, 1));
    assert_eq!(done.load(Ordering::Relaxed), 10);
    flusher.register(&log, 10, Box::new(|result| assert_eq!(result.unwrap(), 10)));
    assert_eq!(flusher.run_pending(), 0);
}

#[test]
fn many_threads_append_flush_and_read_at_once() {
    let temporary = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 20_000, index_interval_bytes: 200, ..LogConfig::default() };
    let (log, _) = support::open_real(LogOpening { config: Arc::new(config), ..opening(temporary.path()) });
    let log = Arc::new(log);
    let flusher = Flusher::new();
    std::thread::scope(|scope| {
        scope.spawn(|| flusher.work());
        let writers: Vec<_> = (0..4_i64)
            .map(|producer| {
                let log = &log;
                let flusher = &flusher;
                scope.spawn(move || {
                    for n in 0..300 {
                        let appended = append(log, batch_of((producer, 0), n, &["some value"])).unwrap();
                        log.advance_high_watermark(appended.last_offset + 1);
                        if n % 50 == 0 {
                            flusher.register(
                                log,
                                appended.last_offset + 1,
                                Box::new(|result| assert!(result.is_ok())),
                            );
                        }
                    }
                })
            })
            .collect();
        for _ in 0..2 {
            scope.spawn(|| {
                let (mut offset, mut hint) = (0, None);
                while offset < 1200 {
                    let slice = log.read(offset, log.high_watermark(), 5000, true, hint).unwrap();
                    let Some(data) = slice.data else { continue };
                    let mut bytes = vec![0; data.length];
                    klamm_log::disk::read_exact_at(&*data.file, &mut bytes, data.position).unwrap();
                    for batch in klamm_records::batches(&bytes) {
                        let batch = batch.unwrap();
                        batch.check_crc().unwrap();
                        assert_eq!(batch.header().base_offset, offset);
                        offset = batch.header().next_offset();
                    }
                    hint = slice.next;
                }
            });
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        flusher.close();
    });
    assert_eq!(log.log_end_offset(), 1200);
    log.check_invariants();
    log.close(true).unwrap();
    assert_eq!(verify(&klamm_log::disk::RealDisk, temporary.path()).unwrap(), []);
}

#[test]
fn who_appends_for_an_epoch_that_is_over_is_refused() {
    let (_, log) = new_log(LogConfig::default());
    let as_leader =
        |leader_epoch| log.append_as_leader(&[batch(1000, &["a"])], LeaderAppend { leader_epoch, ..LEADER });
    log.begin_epoch(3, false);
    assert_eq!(as_leader(3).unwrap().last_offset, 0);
    log.begin_epoch(5, false);
    assert!(matches!(as_leader(4), Err(AppendError::Fenced { leader_epoch: 4, current: 5 })));
    let copied = read_all(&log, 0);
    let as_follower = log.append_as_follower(&copied, 4, 0);
    assert!(matches!(as_follower, Err(AppendError::Fenced { leader_epoch: 4, current: 5 })));
    assert_eq!((log.log_end_offset(), log.high_watermark()), (1, 0));
}

#[test]
fn the_only_replica_commits_what_it_appends_unless_it_is_to_be_flushed() {
    let (_, log) = new_log(LogConfig { flush_messages: 2, ..LogConfig::default() });
    log.begin_epoch(0, true);
    append(&log, batch(1000, &["a"])).unwrap();
    assert_eq!(log.high_watermark(), 1);
    append(&log, batch(1000, &["b"])).unwrap();
    assert_eq!(log.high_watermark(), 1, "two records are to be flushed before they count");
    log.flush(2).unwrap();
    assert_eq!(log.advance_if_alone(2), Some((1, 2)));
    log.begin_epoch(0, false);
    append(&log, batch(1000, &["c"])).unwrap();
    assert_eq!((log.high_watermark(), log.advance_if_alone(3)), (2, None));
}

#[test]
fn a_segment_that_begins_within_the_one_before_is_cut_off() {
    let disk = simulated(1);
    let config = Arc::new(LogConfig { segment_bytes: 150, ..LogConfig::default() });
    let opening = LogOpening { config, ..opening(DIR) };
    let (log, _) = open_simulated(&disk, opening.clone());
    for _ in 0..2 {
        log.append_as_leader(&[batch(1000, &["one", "two", "three"])], LeaderAppend::client(0, 0)).unwrap();
    }
    assert_eq!(log.segment_base_offsets(), [0, 3]);
    log.close(true).unwrap();
    let file = |name: &str| Path::new(DIR).join(name);
    disk.rename(&file("00000000000000000003.log"), &file("00000000000000000002.log")).unwrap();
    let (log, report) =
        open_simulated(&disk, LogOpening { was_clean: false, is_contiguous: false, ..opening });
    assert_eq!(report.truncation.unwrap().reason, "offsets 2 to 2 are there already");
    assert_eq!((log.segment_base_offsets(), log.log_end_offset()), (vec![0], 3));
    log.check_invariants();
}

/// Whoever must not wait for the device has this in memory before it reads.
#[test]
fn a_read_looks_at_what_it_says_beforehand() {
    let (_, log) = new_log(LogConfig { index_interval_bytes: 1, ..LogConfig::default() });
    let value = "x".repeat(10_000);
    for n in 0..20 {
        append(&log, batch(n, &[&value])).unwrap();
    }
    let (mut offset, mut hint, mut reads) = (0, None, 0);
    while offset < log.log_end_offset() {
        let looked_at = log.looked_at(offset, 35_000, hint).unwrap().expect("there is something");
        let slice = log.read(offset, i64::MAX, 35_000, true, hint).unwrap();
        let data = slice.data.unwrap();
        assert!(data.position >= looked_at.position);
        let end = data.position + data.length as u64;
        let header_of_next = if end < log.size() { klamm_records::BatchHeader::SIZE as u64 } else { 0 };
        assert!(end + header_of_next <= looked_at.position + looked_at.length as u64);
        (offset, hint, reads) = (slice.end_offset, slice.next, reads + 1);
    }
    assert!((6..=10).contains(&reads), "{reads} reads");
    assert!(log.looked_at(offset, 35_000, hint).unwrap().is_none());
    assert!(log.looked_at(offset, 35_000, None).unwrap().is_none());
}
