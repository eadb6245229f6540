//! Moving replicas from one log directory to another, and what comes in between.

mod support;

use std::io;
use std::path::Path;
use std::sync::Arc;

use klamm_log::disk::simulated::{Crash, Fault, Operation, SimulatedDisk};
use klamm_log::disk::{Access, Disk};
use klamm_log::{CreateError, LeaderAppend, LogConfig, LogDirs, Move, MoveError, Replica};
use klamm_protocol::Uuid;
use support::dirs::{append, checkpointed, create, formatted, formatted_on, load, open, partition};
use support::interposed::{InterposedDisk, Moment};
use support::{batch, read_all, values};

/// The move of partition 0.
fn moving(dirs: &LogDirs) -> Move {
    dirs.move_of(&partition(0)).unwrap()
}

#[test]
fn a_replica_moves_to_another_directory() {
    let disk = SimulatedDisk::seeded(1);
    let dirs = formatted(&disk, &["/a", "/b"]);
    load(&dirs, 1);
    let replica = create(&dirs, 0);
    for n in 0..20 {
        append(&replica, &format!("{n}"));
    }
    replica.log.advance_high_watermark(20);
    replica.log.advance_log_start(5);
    let ids: Vec<Uuid> = dirs.directories().iter().map(|directory| directory.id().unwrap()).collect();
    assert!(!dirs.start_move(&partition(0), ids[0], 0).unwrap(), "it is there");
    assert!(dirs.start_move(&partition(0), ids[1], 0).unwrap());
    let mut steps = 0;
    while !dirs.copy_step(&moving(&dirs), 200, 0).unwrap().is_caught_up {
        steps += 1;
    }
    assert!(steps > 3);
    assert!(dirs.describe()[1].replicas[0].is_future);
    append(&replica, "late");
    let moved = dirs.finish_move(&moving(&dirs), 0).unwrap();
    assert!(replica.log.append_as_leader(&[batch(0, &["x"])], LeaderAppend::client(0, 0)).is_err());
    assert_eq!(moved.log.dir(), Path::new("/b/topic-0"));
    assert_eq!(
        (moved.log.log_start_offset(), moved.log.log_end_offset(), moved.log.high_watermark()),
        (5, 21, 20)
    );
    assert_eq!(values(&moved.log, 20), [(20, "late".to_owned())]);
    append(&moved, "more");
    moved.log.check_invariants();
    drop((dirs, replica, moved));
    disk.restart(Crash::Process);
    let dirs = open(&disk, &["/a", "/b"]).unwrap();
    assert_eq!(load(&dirs, 1).loaded, 1);
    let log = dirs.get(&partition(0)).unwrap().log;
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (5, 22));
}

/// The records that a loss of power took are in none of the two, and another replica may have them.
#[test]
fn a_move_takes_along_what_is_known_to_be_missing() {
    let disk = SimulatedDisk::seeded(1);
    let config = Arc::new(LogConfig { segment_bytes: 150, ..LogConfig::default() });
    let dirs = formatted(&disk, &["/a", "/b"]);
    load(&dirs, 1);
    let replica = dirs.create(&partition(0), None, None, Arc::clone(&config), 0).unwrap();
    (0..4).for_each(|n| append(&replica, &format!("value {n}, which fills a segment that is this small")));
    let dir = replica.log.dir();
    drop((dirs, replica));
    disk.restart(Crash::Process);
    disk.remove(&dir.join("00000000000000000001.log")).unwrap();
    let dirs = open(&disk, &["/a", "/b"]).unwrap();
    load(&dirs, 1);
    let to = dirs.directories().iter().find(|to| !dir.starts_with(to.path())).unwrap().id().unwrap();
    dirs.start_move(&partition(0), to, 0).unwrap();
    while !dirs.copy_step(&moving(&dirs), 1 << 20, 0).unwrap().is_caught_up {}
    let moved = dirs.finish_move(&moving(&dirs), 0).unwrap();
    assert_eq!((moved.log.gap(), moved.log.log_end_offset()), (Some(1), 4));
    dirs.close(1, 1).unwrap();
    drop((dirs, moved));
    disk.restart(Crash::Process);
    let dirs = open(&disk, &["/a", "/b"]).unwrap();
    load(&dirs, 1);
    assert_eq!(dirs.get(&partition(0)).unwrap().log.gap(), Some(1), "after a stop");
}

#[test]
fn a_move_that_failed_can_be_given_up() {
    let disk = SimulatedDisk::seeded(1);
    let dirs = formatted(&disk, &["/a", "/b", "/c"]);
    load(&dirs, 1);
    create(&dirs, 0);
    let ids: Vec<Uuid> = dirs.directories().iter().map(|directory| directory.id().unwrap()).collect();
    assert!(dirs.start_move(&partition(0), ids[1], 0).unwrap());
    let failed = moving(&dirs);
    assert!(dirs.start_move(&partition(0), ids[2], 0).unwrap());
    dirs.give_up_move(&failed, 0).unwrap();
    assert!(dirs.move_of(&partition(0)).is_some(), "another has taken its place");
    dirs.give_up_move(&moving(&dirs), 0).unwrap();
    assert!(dirs.move_of(&partition(0)).is_none());
}

/// The current log was cut where its leader's log parted from it, and had caught up again before the next step of the copy.
#[test]
fn a_move_follows_when_the_current_log_is_cut() {
    let regrown: [&[&str]; 3] = [&[], &["other"], &["other", "others", "more", "most"]];
    for regrown in regrown {
        let disk = SimulatedDisk::seeded(1);
        let dirs = formatted(&disk, &["/a", "/b"]);
        load(&dirs, 1);
        let replica = create(&dirs, 0);
        for (epoch, value) in [(5, "kept"), (6, "kept too"), (7, "cut"), (7, "cut too")] {
            replica.log.append_as_leader(&[batch(0, &[value])], LeaderAppend::client(epoch, 0)).unwrap();
        }
        dirs.start_move(&partition(0), dirs.directories()[1].id().unwrap(), 0).unwrap();
        assert!(dirs.copy_step(&moving(&dirs), 1 << 20, 0).unwrap().is_caught_up);
        replica.log.truncate_to(2, 0).unwrap();
        for value in regrown {
            replica.log.append_as_leader(&[batch(0, &[value])], LeaderAppend::client(8, 0)).unwrap();
        }
        let (expected, epochs) = (values(&replica.log, 0), replica.log.epochs());
        let moved = dirs.finish_move(&moving(&dirs), 0).unwrap().log;
        assert_eq!((values(&moved, 0), moved.epochs()), (expected, epochs));
        moved.check_invariants();
    }
}

#[test]
fn a_log_that_starts_within_a_batch_moves() {
    let disk = SimulatedDisk::seeded(1);
    let dirs = formatted(&disk, &["/a", "/b"]);
    load(&dirs, 1);
    let replica = create(&dirs, 0);
    let log = &replica.log;
    log.append_as_leader(&[batch(0, &["a", "b", "c"])], LeaderAppend::client(0, 0)).unwrap();
    log.advance_high_watermark(3);
    log.advance_log_start(2);
    dirs.start_move(&partition(0), dirs.directories()[1].id().unwrap(), 0).unwrap();
    while !dirs.copy_step(&moving(&dirs), 1 << 20, 0).unwrap().is_caught_up {}
    let moved = dirs.finish_move(&moving(&dirs), 0).unwrap().log;
    assert_eq!((moved.log_start_offset(), moved.log_end_offset(), moved.high_watermark()), (2, 3, 3));
    assert_eq!(read_all(&moved, 2), read_all(log, 2));
}

/// Wherever the power fails during a move, one whole replica is there afterwards.
#[test]
fn a_move_may_be_interrupted_anywhere() {
    for stop in 0..120 {
        let disk = SimulatedDisk::seeded(stop);
        let dirs = formatted(&disk, &["/a", "/b"]);
        load(&dirs, 1);
        let replica = create(&dirs, 0);
        for n in 0..10 {
            append(&replica, &format!("{n}"));
        }
        replica.log.flush(10).unwrap();
        dirs.checkpoint_offsets().unwrap();
        let target = dirs.directories()[1].id().unwrap();
        disk.crash_after(stop);
        let moved = dirs
            .start_move(&partition(0), target, 0)
            .and_then(|_| dirs.copy_step(&moving(&dirs), 1 << 20, 0))
            .and_then(|_| dirs.finish_move(&moving(&dirs), 0));
        drop((dirs, replica));
        disk.restart(Crash::Power);
        let dirs = open(&disk, &["/a", "/b"]).unwrap();
        let report = load(&dirs, 1);
        assert_eq!(report.failed.len(), 0, "stop {stop}, moved {}", moved.is_ok());
        let log = dirs.get(&partition(0)).unwrap_or_else(|| panic!("stop {stop}")).log;
        assert_eq!(values(&log, 0).len(), 10, "stop {stop}");
    }
}

/// By then the replica is in its new place, and nobody may write to the old one any more.
#[test]
fn a_move_is_done_although_the_old_folder_cannot_be_cleared_away() {
    let refusals = [
        (Operation::Write, "/a/recovery-point", io::ErrorKind::StorageFull),
        (Operation::Name, "/b/recovery-point", io::ErrorKind::StorageFull),
        (Operation::Name, "-delete", io::ErrorKind::StorageFull),
        (Operation::Name, "-delete", io::ErrorKind::Other),
    ];
    for (operation, path, error) in refusals {
        let disk = SimulatedDisk::seeded(1);
        let dirs = formatted(&disk, &["/a", "/b"]);
        load(&dirs, 1);
        checkpointed(&dirs);
        dirs.start_move(&partition(0), dirs.directories()[1].id().unwrap(), 0).unwrap();
        let moving = moving(&dirs);
        assert!(dirs.copy_step(&moving, 1 << 20, 0).unwrap().is_caught_up);
        disk.inject(Fault::always(operation, path, error));
        let moved = dirs.finish_move(&moving, 0).unwrap();
        disk.heal();
        assert_eq!(moved.directory.path(), Path::new("/b"));
        append(&moved, "more");
        let refused = moving.current().append_as_leader(&[batch(0, &["lost"])], LeaderAppend::client(0, 0));
        assert!(refused.is_err(), "{operation:?} {path}");
        drop((dirs, moved, moving));
        disk.restart(Crash::Process);
        let dirs = open(&disk, &["/a", "/b"]).unwrap();
        assert_eq!(load(&dirs, 1).loaded, 1);
        assert_eq!(values(&dirs.get(&partition(0)).unwrap().log, 8), [(8, "more".to_owned())]);
    }
}

/// Wherever the power fails, what was deleted stays so.
#[test]
fn a_move_keeps_where_the_log_starts() {
    for stop in 0..120 {
        let disk = SimulatedDisk::seeded(stop);
        let dirs = formatted(&disk, &["/a", "/b"]);
        load(&dirs, 1);
        let log = create(&dirs, 0).log;
        log.append_as_leader(&[batch(0, &["deleted", "deleted too", "kept"])], LeaderAppend::client(0, 0))
            .unwrap();
        log.flush(3).unwrap();
        log.advance_high_watermark(3);
        log.advance_log_start(2);
        dirs.checkpoint_offsets().unwrap();
        dirs.start_move(&partition(0), dirs.directories()[1].id().unwrap(), 0).unwrap();
        disk.crash_after(stop);
        let _ = dirs.copy_step(&moving(&dirs), 1 << 20, 0).and_then(|_| dirs.finish_move(&moving(&dirs), 0));
        drop((dirs, log));
        disk.restart(Crash::Process);
        let dirs = open(&disk, &["/a", "/b"]).unwrap();
        load(&dirs, 1);
        assert_eq!(dirs.get(&partition(0)).unwrap().log.log_start_offset(), 2, "stop {stop}");
    }
}

/// The file was just cut, and what is known of it not yet.
#[test]
fn a_copy_that_meets_a_cut_is_done_again() {
    let disk = SimulatedDisk::seeded(1);
    let dirs = formatted(&disk, &["/a", "/b"]);
    load(&dirs, 1);
    append(&create(&dirs, 0), "kept");
    dirs.start_move(&partition(0), dirs.directories()[1].id().unwrap(), 0).unwrap();
    disk.inject(Fault::once(Operation::Read, "/a/topic-0/", io::ErrorKind::UnexpectedEof));
    assert!(dirs.copy_step(&moving(&dirs), 1 << 20, 0).unwrap().is_caught_up);
    disk.inject(Fault::always(Operation::Read, "/a/topic-0/", io::ErrorKind::UnexpectedEof));
    append(&dirs.get(&partition(0)).unwrap(), "unreadable");
    assert!(dirs.copy_step(&moving(&dirs), 1 << 20, 0).is_err());
}

/// It is of no use any more, but nobody has looked at it: a move does not overwrite it, nor take the directory for broken.
#[test]
fn a_move_does_not_begin_where_a_folder_has_the_name() {
    let disk = SimulatedDisk::seeded(1);
    let dirs = formatted(&disk, &["/a", "/b"]);
    load(&dirs, 1);
    create(&dirs, 0);
    disk.create_dir(Path::new("/b/topic-0")).unwrap();
    disk.open(Path::new("/b/topic-0/00000000000000000000.log"), Access::Create).unwrap();
    let started = dirs.start_move(&partition(0), dirs.directories()[1].id().unwrap(), 0);
    assert!(matches!(started, Err(MoveError::Create(CreateError::NotEmpty { .. }))), "{started:?}");
    assert!(dirs.directories()[1].is_online());
}

/// Something that comes while a move is being finished.
type Meanwhile = fn(&Arc<LogDirs>);

/// A move of partition 0 from `/a` to `/b`, in whose last sync `meanwhile` comes. Returns how it ended, and the replica as it was before.
fn finish_during(
    disk: &SimulatedDisk,
    meanwhile: Meanwhile,
) -> (Arc<LogDirs>, Replica, Result<Replica, MoveError>) {
    let interposed = InterposedDisk::new(disk);
    let dirs = Arc::new(formatted_on(Arc::new(interposed.clone()), &["/a", "/b", "/c"]));
    load(&dirs, 1);
    let replica = create(&dirs, 0);
    append(&replica, "kept");
    dirs.start_move(&partition(0), dirs.directories()[1].id().unwrap(), 0).unwrap();
    let moving = moving(&dirs);
    assert!(dirs.copy_step(&moving, 1 << 20, 0).unwrap().is_caught_up);
    let interrupting = dirs.clone();
    interposed.during(Moment::FolderSync, "-future", move || meanwhile(&interrupting));
    let finished = dirs.finish_move(&moving, 0);
    assert!(interposed.is_done());
    (dirs, replica, finished)
}

#[test]
fn a_move_that_is_given_up_while_it_is_finished_leaves_the_replica_alone() {
    let meanwhile: [Meanwhile; 3] = [
        |dirs| assert!(dirs.cancel_move(&partition(0), 0).unwrap()),
        |dirs| assert!(!dirs.start_move(&partition(0), dirs.directories()[0].id().unwrap(), 0).unwrap()),
        |dirs| assert!(dirs.start_move(&partition(0), dirs.directories()[2].id().unwrap(), 0).unwrap()),
    ];
    for meanwhile in meanwhile {
        let disk = SimulatedDisk::seeded(1);
        let (dirs, replica, finished) = finish_during(&disk, meanwhile);
        assert!(matches!(finished, Err(MoveError::NoReplica(_))), "{finished:?}");
        append(&replica, "more");
        dirs.remove_deleted(i64::MAX).unwrap();
        dirs.close(1, 1).unwrap();
        drop((dirs, replica));
        disk.restart(Crash::Power);
        let dirs = open(&disk, &["/a", "/b", "/c"]).unwrap();
        load(&dirs, 1);
        assert_eq!(values(&dirs.get(&partition(0)).unwrap().log, 0).len(), 2);
    }
}

#[test]
fn a_replica_that_is_deleted_while_its_move_is_finished_stays_so() {
    let (dirs, ..) = finish_during(&SimulatedDisk::seeded(1), |dirs| {
        assert!(dirs.delete(&partition(0), 0).unwrap());
    });
    assert!(dirs.get(&partition(0)).is_none());

    let disk = SimulatedDisk::seeded(1);
    let (dirs, ..) = finish_during(&disk, |dirs| {
        dirs.delete(&partition(0), 0).unwrap();
        let target = dirs.directories()[1].id();
        let config = Arc::new(LogConfig::default());
        append(&dirs.create(&partition(0), Some(Uuid::from_u128(8)), target, config, 0).unwrap(), "new");
    });
    dirs.remove_deleted(i64::MAX).unwrap();
    assert!(dirs.directories().iter().all(|directory| directory.is_online()));
    let replica = dirs.get(&partition(0)).unwrap();
    append(&replica, "newer");
    assert_eq!((replica.topic_id, values(&replica.log, 0).len()), (Some(Uuid::from_u128(8)), 2));
}

/// The clean stop must leave what it marks as clean.
#[test]
fn a_stop_while_a_move_is_finished_leaves_it_for_the_next_start() {
    let disk = SimulatedDisk::seeded(1);
    let (dirs, _, finished) = finish_during(&disk, |dirs| {
        let stopping = dirs.clone();
        std::thread::spawn(move || stopping.close(1, 1).unwrap());
        while !dirs.futures().is_empty() {
            std::thread::yield_now();
        }
    });
    assert!(matches!(finished, Err(MoveError::NoReplica(_))), "{finished:?}");
    while Arc::strong_count(&dirs) > 1 {
        std::thread::yield_now();
    }
    drop(dirs);
    disk.restart(Crash::Power);
    let dirs = open(&disk, &["/a", "/b", "/c"]).unwrap();
    assert!(dirs.directories().iter().all(|directory| directory.was_clean()));
    assert_eq!((load(&dirs, 1).recovered.len(), dirs.futures().len()), (0, 1));
    let moved = dirs.finish_move(&moving(&dirs), 0).unwrap();
    assert_eq!(values(&moved.log, 0), [(0, "kept".to_owned())]);
}

#[test]
fn a_move_ends_before_or_after_it_is_given_up() {
    for _ in 0..50 {
        let disk = SimulatedDisk::seeded(1);
        let dirs = formatted(&disk, &["/a", "/b"]);
        load(&dirs, 1);
        append(&create(&dirs, 0), "kept");
        let ids: Vec<Uuid> = dirs.directories().iter().map(|directory| directory.id().unwrap()).collect();
        dirs.start_move(&partition(0), ids[1], 0).unwrap();
        let moving = moving(&dirs);
        std::thread::scope(|scope| {
            scope.spawn(|| dirs.finish_move(&moving, 0));
            scope.spawn(|| dirs.start_move(&partition(0), ids[0], 0).unwrap());
        });
        dirs.remove_deleted(i64::MAX).unwrap();
        let replica = dirs.get(&partition(0)).unwrap();
        append(&replica, "more");
        assert_eq!(values(&replica.log, 0).len(), 2);
    }
}
