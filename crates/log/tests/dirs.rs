//! Log directories: identity, locks, loading, stopping and failing.

mod support;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use klamm_log::disk::simulated::{Crash, Fault, Operation, SimulatedDisk};
use klamm_log::disk::{self, Disk, RealDisk};
use klamm_log::{
    CreateError, DirsError, LeaderAppend, Loading, LogConfig, LogDirs, MetaProperties, TopicPartition,
};
use klamm_protocol::Uuid;
use support::dirs::{append, checkpointed, create, formatted, load, metadata, open, partition};
use support::{GOLDEN, batch, copy_golden, read_all, values};

#[test]
fn a_clean_stop_brings_everything_back_without_recovery() {
    let disk = SimulatedDisk::seeded(1);
    let dirs = formatted(&disk, &["/a", "/b"]);
    load(&dirs, 1);
    for number in 0..30 {
        let replica = create(&dirs, number);
        append(&replica, &format!("value {number}"));
        replica.log.advance_high_watermark(1);
    }
    let (meta, _) =
        dirs.open_separately(&dirs.directories()[0], &metadata(), Arc::new(LogConfig::default()), 0).unwrap();
    meta.append_as_leader(&[batch(0, &["record"])], LeaderAppend::coordinator(0, 0)).unwrap();
    drop(meta);
    dirs.close(42, 2).unwrap();
    drop(dirs);

    disk.restart(Crash::Power);
    let dirs = open(&disk, &["/a", "/b"]).unwrap();
    assert_eq!(dirs.directories()[0].previous_broker_epoch(), Some(42));
    let report = load(&dirs, 3);
    assert_eq!((report.loaded, report.recovered.len(), report.failed.len()), (30, 0, 0));
    for (partition, replica) in dirs.replicas() {
        assert_eq!(values(&replica.log, 0), [(0, format!("value {}", partition.partition))]);
        assert_eq!((replica.log.high_watermark(), replica.log.recovery_point()), (1, 1));
        assert_eq!(replica.topic_id, Some(Uuid::from_u128(7)));
    }
    let described = dirs.describe();
    assert_eq!(described.iter().map(|dir| dir.replicas.len()).collect::<Vec<_>>(), [15, 15]);
    assert!(described[0].space.is_some_and(|space| space.usable_bytes < space.total_bytes));
    let config = Arc::new(LogConfig::default());
    let (meta, report) = dirs.open_separately(&dirs.directories()[0], &metadata(), config, 0).unwrap();
    assert_eq!((meta.log_end_offset(), report.segments_verified), (1, 0));
    drop((meta, dirs));

    // The mark of the clean stop is gone since the start. The epoch of that stop is known still.
    disk.restart(Crash::Power);
    let dirs = open(&disk, &["/a", "/b"]).unwrap();
    let first = &dirs.directories()[0];
    assert_eq!((first.was_clean(), first.previous_broker_epoch()), (false, Some(42)));
}

#[test]
fn checkpoints_shorten_recovery_and_a_damaged_one_costs_only_time() {
    let disk = SimulatedDisk::seeded(1);
    let dirs = formatted(&disk, &["/a"]);
    load(&dirs, 1);
    let replica = create(&dirs, 0);
    append(&replica, "a");
    replica.log.advance_high_watermark(1);
    replica.log.flush(1).unwrap();
    dirs.checkpoint_offsets().unwrap();
    dirs.checkpoint_high_watermarks().unwrap();
    append(&replica, "b");
    drop(dirs);
    disk.restart(Crash::Process);
    let dirs = open(&disk, &["/a"]).unwrap();
    load(&dirs, 1);
    let log = dirs.get(&partition(0)).unwrap().log;
    assert_eq!((log.recovery_point(), log.high_watermark(), log.log_end_offset()), (1, 1, 2));
    drop(dirs);
    disk.restart(Crash::Process);
    disk.corrupt(Path::new("/a/recovery-point-offset-checkpoint"), 0, b"?").unwrap();
    let dirs = open(&disk, &["/a"]).unwrap();
    load(&dirs, 1);
    let log = dirs.get(&partition(0)).unwrap().log;
    assert_eq!((log.recovery_point(), log.log_end_offset()), (0, 2));
}

/// They are known until they are there again, or nobody has them.
#[test]
fn records_that_are_missing_in_the_middle_are_known_after_an_orderly_stop() {
    let disk = SimulatedDisk::seeded(1);
    let config = Arc::new(LogConfig { segment_bytes: 150, ..LogConfig::default() });
    let start = || {
        disk.restart(Crash::Process);
        let dirs = open(&disk, &["/a"]).unwrap();
        let config_of = |_: &TopicPartition| Arc::clone(&config);
        dirs.load(&Loading { config_of: &config_of, except: &metadata(), threads: 1, now_ms: 0 }).unwrap();
        let log = dirs.get(&partition(0)).unwrap().log;
        (dirs, log)
    };
    let dirs = formatted(&disk, &["/a"]);
    load(&dirs, 1);
    let replica = dirs.create(&partition(0), None, None, Arc::clone(&config), 0).unwrap();
    (0..4).for_each(|n| append(&replica, &format!("value {n}, which fills a segment that is this small")));
    assert_eq!(replica.log.segment_base_offsets(), [0, 1, 2, 3]);
    drop((dirs, replica));
    disk.remove(Path::new("/a/topic-0/00000000000000000001.log")).unwrap();

    let (dirs, log) = start();
    assert_eq!(log.gap(), Some(1));
    log.flush(4).unwrap();
    dirs.checkpoint_offsets().unwrap();
    drop((dirs, log));
    let (dirs, log) = start();
    assert_eq!((log.gap(), log.log_end_offset()), (Some(1), 4), "after a crash");
    log.begin_epoch(1, false);
    dirs.close(7, 1).unwrap();
    drop((dirs, log));
    let (dirs, log) = start();
    assert_eq!((log.gap(), log.log_end_offset()), (Some(1), 4), "after a stop");
    log.begin_epoch(2, true);
    assert_eq!(log.gap(), None);
    dirs.close(8, 1).unwrap();
    drop((dirs, log));
    let (dirs, log) = start();
    assert_eq!((dirs.directories()[0].was_clean(), log.gap()), (true, None));
}

#[test]
fn a_second_process_is_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let paths = [temporary.path().to_owned()];
    let first = LogDirs::open(Arc::new(RealDisk), &paths, 10).unwrap();
    let error = LogDirs::open(Arc::new(RealDisk), &paths, 10).unwrap_err();
    assert!(
        error.to_string().ends_with("is in use by another process, which holds its .lock file"),
        "{error}"
    );
    first.close(1, 1).unwrap();
    LogDirs::open(Arc::new(RealDisk), &paths, 10).unwrap();
}

#[test]
fn directories_must_belong_together() {
    let disk = SimulatedDisk::seeded(1);
    drop(formatted(&disk, &["/a"]));
    let other = open(&disk, &["/b"]).unwrap();
    other.format("another", 1, || Uuid::from_u128(5)).unwrap();
    drop(other);
    let error = open(&disk, &["/a", "/b"]).unwrap_err().to_string();
    assert_eq!(
        error,
        "log directory /b: belongs to node 1 of cluster another, but /a to node 1 of cluster cluster"
    );
    assert!(matches!(open(&disk, &[]), Err(DirsError::None)));
    disk.corrupt(Path::new("/b/meta.properties"), 2, b"x").unwrap();
    let error = open(&disk, &["/b"]).unwrap_err().to_string();
    assert_eq!(error, "cannot read /b/meta.properties: node.id is missing");
}

#[test]
fn kafkas_own_directory_is_read() {
    let meta = MetaProperties::read(&RealDisk, &Path::new(GOLDEN).join("log-dir")).unwrap().unwrap();
    assert_eq!((meta.node_id, meta.cluster_id.as_str()), (1, "qaQUwpWNRjuY0Ipg0pqDoA"));
    assert_eq!(meta.directory_id.unwrap().to_string(), "vJFxmYduShmm2svOZLeA8Q");

    let temporary = tempfile::tempdir().unwrap();
    let dir = copy_golden("log-dir", temporary.path());
    for folder in ["golden-1", "txn-0", "__consumer_offsets-1", "__cluster_metadata-0"] {
        copy_golden(folder, &dir);
    }
    let dirs = LogDirs::open(Arc::new(RealDisk), std::slice::from_ref(&dir), 10).unwrap();
    assert_eq!(dirs.directories()[0].previous_broker_epoch(), Some(17));
    let report = load(&dirs, 2);
    assert_eq!((report.loaded, report.recovered.len()), (3, 0));
    let golden = dirs.get(&TopicPartition::new("golden", 1)).unwrap().log;
    assert_eq!((golden.log_start_offset(), golden.high_watermark(), golden.log_end_offset()), (3, 23, 23));
    dirs.close(17, 2).unwrap();
    let written = std::fs::read_to_string(dir.join(".kafka_cleanshutdown")).unwrap();
    let theirs = std::fs::read_to_string(Path::new(GOLDEN).join("log-dir/.kafka_cleanshutdown")).unwrap();
    assert_eq!(written, theirs);
    let starts = std::fs::read_to_string(dir.join("log-start-offset-checkpoint")).unwrap();
    assert_eq!(starts, "0\n1\ngolden 1 3\n");
}

#[test]
fn partitions_are_made_once_and_deleted_with_a_delay() {
    let disk = SimulatedDisk::seeded(1);
    let dirs = formatted(&disk, &["/a", "/b"]);
    load(&dirs, 1);
    let replica = create(&dirs, 0);
    append(&replica, "a");
    assert_eq!(disk.metadata(Path::new("/a/topic-0/partition.metadata")).unwrap().size, 43);
    let again = dirs.create(&partition(0), None, None, Arc::new(LogConfig::default()), 0);
    assert!(matches!(again, Err(CreateError::Exists { .. })));
    let nowhere = dirs.create(&partition(1), None, Some(Uuid::ZERO), Arc::new(LogConfig::default()), 0);
    assert!(matches!(nowhere, Err(CreateError::NoDirectory)));
    assert!(dirs.delete(&partition(0), 100).unwrap());
    assert!(!dirs.delete(&partition(0), 100).unwrap());
    assert!(dirs.get(&partition(0)).is_none());
    let folders = |disk: &SimulatedDisk| {
        let entries = disk.list(Path::new("/a")).unwrap();
        entries.into_iter().filter(|entry| entry.is_dir).map(|entry| entry.name).collect::<Vec<_>>()
    };
    assert!(folders(&disk)[0].ends_with("-delete"));
    assert_eq!(read_all(&replica.log, 0).len() as u64, replica.log.size(), "readers go on");
    dirs.remove_deleted(60_099).unwrap();
    assert_eq!(folders(&disk).len(), 1);
    dirs.remove_deleted(60_100).unwrap();
    assert_eq!(folders(&disk), Vec::<String>::new());
    // What was not removed before the stop goes on the next start.
    create(&dirs, 0);
    dirs.delete(&partition(0), 0).unwrap();
    drop(dirs);
    disk.restart(Crash::Process);
    load(&open(&disk, &["/a", "/b"]).unwrap(), 1);
    assert_eq!(folders(&disk), Vec::<String>::new());
}

/// The records of a new partition 0 are all there after the process was killed, and nothing is known of them but that.
fn assert_begins_anew(dirs: LogDirs, disk: &SimulatedDisk, case: &str) {
    let replica = create(&dirs, 0);
    for n in 0..3 {
        append(&replica, &format!("new {n}"));
    }
    drop((dirs, replica));
    disk.restart(Crash::Process);
    let dirs = open(disk, &["/a"]).unwrap();
    load(&dirs, 1);
    let log = dirs.get(&partition(0)).unwrap().log;
    assert_eq!(values(&log, 0).len(), 3, "{case}");
    let offsets = (log.log_start_offset(), log.recovery_point(), log.high_watermark());
    assert_eq!(offsets, (0, 0, 0), "{case}");
}

/// A way for partition 0 to go.
type Removal = fn(&LogDirs);

#[test]
fn a_new_partition_inherits_nothing_from_a_deleted_one_of_its_name() {
    let remove: [(&str, Removal); 3] = [
        ("deleted", |dirs| assert!(dirs.delete(&partition(0), 0).unwrap())),
        ("deleted with others", |dirs| {
            create(dirs, 1);
            assert!(dirs.delete_all(&[partition(0), partition(1), partition(2)].into(), 0).is_empty());
            assert_eq!(dirs.replicas().len(), 0);
        }),
        ("set aside", |dirs| {
            assert!(dirs.set_aside(&partition(0), Some(Uuid::from_u128(7)), 0).unwrap());
        }),
    ];
    for (case, remove) in remove {
        let disk = SimulatedDisk::seeded(1);
        let dirs = formatted(&disk, &["/a"]);
        load(&dirs, 1);
        checkpointed(&dirs);
        remove(&dirs);
        assert_begins_anew(dirs, &disk, case);
    }
}

/// The stop came when the folder had its new name, and before the checkpoints followed.
#[test]
fn checkpoints_of_folders_that_are_gone_are_dropped_on_the_next_start() {
    let disk = SimulatedDisk::seeded(1);
    let dirs = formatted(&disk, &["/a"]);
    load(&dirs, 1);
    checkpointed(&dirs);
    drop(dirs);
    disk.rename(Path::new("/a/topic-0"), Path::new("/a/topic-0.00000000000000000000000000000001-delete"))
        .unwrap();
    disk.restart(Crash::Process);
    let dirs = open(&disk, &["/a"]).unwrap();
    assert_eq!(load(&dirs, 1).loaded, 0);
    assert_begins_anew(dirs, &disk, "renamed");
}

#[test]
fn checkpoints_are_written_by_one_thread_at_a_time() {
    let disk = SimulatedDisk::seeded(1);
    let dirs = formatted(&disk, &["/a"]);
    load(&dirs, 1);
    checkpointed(&dirs);
    let write = || (0..200).try_for_each(|_| dirs.checkpoint_offsets());
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4).map(|_| scope.spawn(write)).collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap().unwrap());
    });
}

#[test]
fn a_broken_disk_takes_its_directory_offline_and_no_other() {
    let disk = SimulatedDisk::seeded(1);
    let dirs = formatted(&disk, &["/a", "/b"]);
    load(&dirs, 1);
    let replica = create(&dirs, 0);
    append(&replica, "a");
    disk.inject(Fault::always(Operation::Sync, "/a/", io::ErrorKind::Other));
    let error = replica.log.flush(1).unwrap_err();
    let told = Arc::new(AtomicUsize::new(0));
    let counted = told.clone();
    dirs.tell_failures(move || _ = counted.fetch_add(1, Ordering::Relaxed));
    dirs.note_error(&error);
    dirs.note_error(&error);
    assert_eq!(told.load(Ordering::Relaxed), 1, "it is told once");
    assert!(dirs.is_offline(&replica.log.dir()));
    assert!(dirs.directories()[1].is_online());
    assert_eq!(create(&dirs, 1).directory.path(), Path::new("/b"));
    assert!(dirs.describe()[0].error.is_some());

    let disk = SimulatedDisk::seeded(1);
    disk.inject(Fault::always(Operation::Name, "/a", io::ErrorKind::PermissionDenied));
    let dirs = open(&disk, &["/a", "/b"]).unwrap();
    assert!(!dirs.directories()[0].is_online() && dirs.directories()[1].is_online());
    disk.inject(Fault::always(Operation::Name, "/c", io::ErrorKind::PermissionDenied));
    let error = open(&disk, &["/c"]).unwrap_err().to_string();
    assert_eq!(error, "no usable log directory is left: cannot create /c: permission denied");
}

#[test]
fn a_cut_that_cannot_be_written_down_ends_all_changes() {
    let disk = SimulatedDisk::seeded(1);
    let dirs = formatted(&disk, &["/a"]);
    load(&dirs, 1);
    let replica = create(&dirs, 0);
    (0..4).for_each(|_| append(&replica, "a"));
    replica.log.flush(4).unwrap();
    dirs.checkpoint_offsets().unwrap();
    assert!(replica.log.truncate_to(3, 0).unwrap());
    dirs.checkpoint_cut(&replica.log).unwrap();
    assert!(!replica.log.is_failed());

    let other = create(&dirs, 1);
    append(&other, "b");
    disk.inject(Fault::once(Operation::Sync, ".log", io::ErrorKind::Other));
    dirs.note_error(&other.log.flush(1).unwrap_err());
    assert!(replica.log.truncate_to(2, 0).unwrap());
    assert!(dirs.checkpoint_cut(&replica.log).is_err(), "the directory is offline");
    assert!(replica.log.is_failed());
}

/// Elsewhere a full disk passes. A log that takes no more changes does not, and nobody would miss it while its directory is online.
#[test]
fn a_cut_that_cannot_be_written_down_on_a_full_disk_takes_the_directory_offline() {
    let disk = SimulatedDisk::seeded(1);
    let dirs = formatted(&disk, &["/a"]);
    load(&dirs, 1);
    let replica = create(&dirs, 0);
    (0..4).for_each(|_| append(&replica, "a"));
    assert!(replica.log.truncate_to(3, 0).unwrap());
    disk.set_capacity(disk.used_bytes());
    assert!(dirs.checkpoint_cut(&replica.log).unwrap_err().is_full());
    assert!(replica.log.is_failed() && !dirs.directories()[0].is_online());
}

/// What waits for its deletion in a directory that is offline must not keep other directories' files from going.
#[test]
fn files_go_although_another_directory_is_offline() {
    let disk = SimulatedDisk::seeded(1);
    let dirs = formatted(&disk, &["/a", "/b"]);
    load(&dirs, 1);
    let replicas = [create(&dirs, 0), create(&dirs, 1)];
    for (number, replica) in (0..).zip(&replicas) {
        append(replica, "a");
        dirs.delete(&partition(number), 0).unwrap();
    }
    disk.inject(Fault::always(Operation::Name, "/a/", io::ErrorKind::Other));
    let failed = replicas.iter().find(|replica| replica.directory.path() == Path::new("/a")).unwrap();
    dirs.note_error(&failed.log.remove().unwrap_err());
    dirs.remove_deleted(i64::MAX).unwrap();
    let left = |path| disk.list(Path::new(path)).unwrap().iter().filter(|entry| entry.is_dir).count();
    assert_eq!((left("/a"), left("/b")), (1, 0));
}

#[test]
fn cordoned_directories_get_new_replicas_last() {
    let disk = SimulatedDisk::seeded(1);
    let dirs = formatted(&disk, &["/a", "/b"]);
    load(&dirs, 1);
    dirs.set_cordoned([PathBuf::from("/a")].into());
    for number in 0..2 {
        assert_eq!(create(&dirs, number).directory.path(), Path::new("/b"));
    }
    assert!(dirs.describe()[0].is_cordoned && !dirs.describe()[1].is_cordoned);
    dirs.set_cordoned(["/a", "/b"].map(PathBuf::from).into());
    assert_eq!(create(&dirs, 2).directory.path(), Path::new("/a"), "there is nowhere else");
}

/// Without room at the sync, what was written before may be gone: unlike at a write, that is no state that passes.
#[test]
fn a_sync_without_room_takes_the_directory_offline() {
    let disk = SimulatedDisk::seeded(1);
    let dirs = formatted(&disk, &["/a"]);
    load(&dirs, 1);
    let replica = create(&dirs, 0);
    append(&replica, "a");
    disk.inject(Fault::once(Operation::Sync, ".log", io::ErrorKind::StorageFull));
    let error = replica.log.flush(1).unwrap_err();
    assert!(!error.is_full(), "{error}");
    assert!(replica.log.is_failed());
    dirs.note_error(&error);
    assert!(!dirs.directories()[0].is_online());
}

/// One directory alone, as while the other is offline.
fn alone(disk: &SimulatedDisk, path: &str) -> LogDirs {
    disk.restart(Crash::Process);
    let dirs = open(disk, &[path]).unwrap();
    load(&dirs, 1);
    dirs
}

/// Makes partition 0 of a topic with as many records of a leader's epoch.
fn fill(dirs: &LogDirs, topic_id: u128, leader_epoch: i32, records: usize) {
    let topic_id = Some(Uuid::from_u128(topic_id));
    let log = dirs.create(&partition(0), topic_id, None, Arc::new(LogConfig::default()), 0).unwrap().log;
    for _ in 0..records {
        log.append_as_leader(&[batch(0, &["value"])], LeaderAppend::client(leader_epoch, 0)).unwrap();
    }
}

/// A topic was deleted and made anew while the directory was offline that had it.
#[test]
fn replicas_of_two_topics_of_one_name_are_both_kept() {
    let disk = SimulatedDisk::seeded(1);
    drop(formatted(&disk, &["/a", "/b"]));
    fill(&alone(&disk, "/a"), 7, 0, 3);
    fill(&alone(&disk, "/b"), 8, 0, 1);
    disk.restart(Crash::Process);
    let dirs = open(&disk, &["/a", "/b"]).unwrap();
    assert_eq!(load(&dirs, 1).loaded, 2);
    for (topic_id, records) in [(8, 1), (7, 3), (9, 3), (8, 1)] {
        dirs.choose(&partition(0), Uuid::from_u128(topic_id));
        assert_eq!(dirs.get(&partition(0)).unwrap().log.log_end_offset(), records);
    }
    dirs.set_namesakes_aside(|_| true, 0);
    dirs.close(1, 1).unwrap();
    drop(dirs);
    disk.restart(Crash::Process);
    let dirs = open(&disk, &["/a", "/b"]).unwrap();
    assert_eq!(load(&dirs, 1).loaded, 1);
    assert_eq!(dirs.get(&partition(0)).unwrap().topic_id, Some(Uuid::from_u128(8)));
    let kept = disk.list(Path::new("/a")).unwrap();
    assert!(kept.iter().any(|entry| entry.name.ends_with("-stray")), "{kept:?}");
}

#[test]
fn a_new_replica_sets_others_of_its_name_aside() {
    let disk = SimulatedDisk::seeded(1);
    drop(formatted(&disk, &["/a", "/b"]));
    fill(&alone(&disk, "/a"), 7, 0, 3);
    fill(&alone(&disk, "/b"), 8, 0, 1);
    disk.restart(Crash::Process);
    let dirs = open(&disk, &["/a", "/b"]).unwrap();
    load(&dirs, 1);
    dirs.delete(&partition(0), 0).unwrap();
    for directory in dirs.directories() {
        let config = Arc::new(LogConfig::default());
        dirs.create(&partition(0), Some(Uuid::from_u128(9)), directory.id(), config, 0).unwrap();
        dirs.delete(&partition(0), 0).unwrap();
    }
}

#[test]
fn of_two_copies_that_of_the_latest_leader_is_kept() {
    let disk = SimulatedDisk::seeded(1);
    drop(formatted(&disk, &["/a", "/b"]));
    fill(&alone(&disk, "/a"), 7, 1, 3);
    fill(&alone(&disk, "/b"), 7, 2, 1);
    disk.restart(Crash::Process);
    let dirs = open(&disk, &["/a", "/b"]).unwrap();
    assert_eq!(load(&dirs, 1).loaded, 1);
    assert_eq!(dirs.get(&partition(0)).unwrap().directory.path(), Path::new("/b"));
}

#[test]
fn nothing_is_begun_where_a_folder_could_not_be_loaded() {
    let disk = SimulatedDisk::seeded(1);
    let dirs = formatted(&disk, &["/a"]);
    load(&dirs, 1);
    for number in 0..2 {
        append(&create(&dirs, number), "kept");
    }
    dirs.close(1, 1).unwrap();
    drop(dirs);
    disk.restart(Crash::Process);
    let log_file = Path::new("/a/topic-0/00000000000000000000.log");
    let bytes = disk::read_file(&disk, log_file, 1000).unwrap();
    disk.inject(Fault::always(
        Operation::Look,
        "/a/topic-0/00000000000000000000.log",
        io::ErrorKind::InvalidData,
    ));
    let dirs = open(&disk, &["/a"]).unwrap();
    let report = load(&dirs, 1);
    assert_eq!((report.loaded, report.failed.len()), (1, 1));
    disk.heal();
    let created = dirs.create(&partition(0), None, None, Arc::new(LogConfig::default()), 0);
    assert!(matches!(created, Err(CreateError::Failed { .. })), "{created:?}");
    assert_eq!(dirs.failed(&partition(0)).unwrap().topic_id, Some(Uuid::from_u128(7)));
    assert_eq!(disk::read_file(&disk, log_file, 1000).unwrap(), bytes);
    // Deleting the topic, or setting the folder aside, makes the name free again.
    assert!(dirs.delete(&partition(0), 0).unwrap());
    create(&dirs, 0);
}

#[test]
fn a_folder_with_files_is_never_taken_for_a_new_one() {
    let disk = SimulatedDisk::seeded(1);
    let dirs = formatted(&disk, &["/a"]);
    load(&dirs, 1);
    disk.create_dir(Path::new("/a/topic-0")).unwrap();
    disk.open(Path::new("/a/topic-0/00000000000000000000.log"), disk::Access::Create).unwrap();
    let created = dirs.create(&partition(0), None, None, Arc::new(LogConfig::default()), 0);
    assert!(matches!(created, Err(CreateError::NotEmpty { .. })), "{created:?}");
    // An attempt that ended early leaves a folder that may be used.
    disk.create_dir(Path::new("/a/topic-1")).unwrap();
    create(&dirs, 1);
}

#[test]
fn a_replica_without_a_topic_is_set_aside_and_kept() {
    let disk = SimulatedDisk::seeded(1);
    let dirs = formatted(&disk, &["/a"]);
    load(&dirs, 1);
    append(&create(&dirs, 0), "kept");
    assert!(!dirs.set_aside(&partition(0), None, 5).unwrap(), "that of a topic with an id is not meant");
    assert!(dirs.set_aside(&partition(0), Some(Uuid::from_u128(7)), 5).unwrap());
    assert!(!dirs.set_aside(&partition(0), Some(Uuid::from_u128(7)), 5).unwrap());
    create(&dirs, 0);
    dirs.close(1, 1).unwrap();
    drop(dirs);
    disk.restart(Crash::Power);
    let dirs = open(&disk, &["/a"]).unwrap();
    assert_eq!(load(&dirs, 1).loaded, 1);
    let names: Vec<_> = disk.list(Path::new("/a")).unwrap().into_iter().map(|entry| entry.name).collect();
    let stray = names.iter().find(|name| name.ends_with("-stray")).unwrap();
    let log_file = Path::new("/a").join(stray).join("00000000000000000000.log");
    assert!(disk.metadata(&log_file).unwrap().size > 0);
}

/// The metadata log: its name is nobody else's, its directory is unclean from `begin` on, and checkpoints include it.
#[test]
fn a_log_that_is_opened_separately_is_looked_after() {
    let disk = SimulatedDisk::seeded(1);
    let dirs = formatted(&disk, &["/a"]);
    dirs.close(1, 1).unwrap();
    drop(dirs);
    disk.restart(Crash::Process);
    let dirs = open(&disk, &["/a"]).unwrap();
    let config = Arc::new(LogConfig::default());
    // A start that looks at it and goes no further.
    dirs.open_separately(&dirs.directories()[0], &metadata(), config.clone(), 0).unwrap();
    drop(dirs);
    disk.restart(Crash::Process);
    let dirs = open(&disk, &["/a"]).unwrap();
    assert!(dirs.directories()[0].was_clean());
    let (meta, _) = dirs.open_separately(&dirs.directories()[0], &metadata(), config.clone(), 0).unwrap();
    dirs.begin(&dirs.directories()[0]).unwrap();
    let created = dirs.create(&metadata(), None, None, config.clone(), 0);
    assert!(matches!(created, Err(CreateError::Reserved(_))), "{created:?}");
    meta.append_as_leader(&[batch(0, &["record"])], LeaderAppend::coordinator(0, 0)).unwrap();
    meta.flush(1).unwrap();
    dirs.checkpoint_offsets().unwrap();
    drop((dirs, meta));
    disk.restart(Crash::Power);
    let dirs = open(&disk, &["/a"]).unwrap();
    assert!(!dirs.directories()[0].was_clean());
    let (meta, _) = dirs.open_separately(&dirs.directories()[0], &metadata(), config, 0).unwrap();
    assert_eq!((meta.recovery_point(), meta.log_end_offset()), (1, 1));
}

#[test]
fn few_files_stay_open() {
    let temporary = tempfile::tempdir().unwrap();
    let files = klamm_log::OpenFiles::new(8);
    let config = LogConfig { segment_bytes: 100, ..LogConfig::default() };
    let opening = klamm_log::LogOpening { config: Arc::new(config), ..support::opening(temporary.path()) };
    let (log, _) = klamm_log::Log::open(Arc::new(RealDisk), Arc::clone(&files), opening).unwrap();
    for n in 0..30 {
        log.append_as_leader(&[batch(n, &["0123456789"])], LeaderAppend::client(0, 0)).unwrap();
    }
    assert_eq!(values(&log, 0).len(), 30);
    assert!(files.count() <= 8, "{} files are open", files.count());
    disk::read_file(&RealDisk, &temporary.path().join("00000000000000000000.log"), 1000).unwrap();
}
