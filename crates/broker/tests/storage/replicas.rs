//! Replicas in log directories: moved, unknown, unreadable, and on disks that break.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use klamm_log::disk::Disk;
use klamm_log::disk::simulated::{Crash, Fault, Operation, SimulatedDisk};
use klamm_log::{Loading, LogConfig, LogDirs, TopicPartition};
use klamm_protocol::messages::AlterReplicaLogDirsRequest;
use klamm_protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use klamm_protocol::{ErrorCode, Uuid};

use crate::node::{Node, PATIENCE};

const ONE: &[&str] = &["log.dirs=/a"];
const TWO: &[&str] = &["log.dirs=/a,/b", "metadata.log.dir=/m"];
const TOPICS: [&str; 4] = ["t0", "t1", "t2", "t3"];

/// The directories as a broker would open them, between two runs.
fn loaded(disk: &SimulatedDisk, paths: &[&str]) -> LogDirs {
    disk.restart(Crash::Process);
    let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    let dirs = LogDirs::open(Arc::new(disk.clone()), &paths, 100).unwrap();
    let config_of = |_: &TopicPartition| Arc::new(LogConfig::default());
    let except = TopicPartition::new("__cluster_metadata", 0);
    dirs.load(&Loading { config_of: &config_of, except: &except, threads: 1, now_ms: 0 }).unwrap();
    dirs
}

fn names(disk: &SimulatedDisk, dir: &str) -> Vec<String> {
    disk.list(Path::new(dir)).unwrap().into_iter().map(|entry| entry.name).collect()
}

fn exists(disk: &SimulatedDisk, path: &str) -> bool {
    disk.metadata(Path::new(path)).is_ok()
}

/// Writes to all topics until their folders are in a directory. A replica that is just swapped may refuse, and only then.
fn write_until_moved(node: &Node, disk: &SimulatedDisk, dir: &str) {
    let began = Instant::now();
    while !TOPICS.iter().all(|topic| exists(disk, &format!("{dir}/{topic}-0"))) {
        assert!(began.elapsed() < PATIENCE, "{:?} and {:?}", names(disk, "/a"), names(disk, "/b"));
        for topic in TOPICS {
            match node.produce(topic, "more") {
                Ok(_) | Err(ErrorCode::NOT_LEADER_OR_FOLLOWER) => {}
                Err(error_code) => panic!("{error_code}"),
            }
        }
    }
}

#[test]
fn replicas_move_while_they_are_written_to() {
    let disk = SimulatedDisk::seeded(1);
    let node = Node::start(&disk, TWO).unwrap();
    for topic in TOPICS {
        node.create_topic(topic, &[]);
        assert_eq!(node.produce(topic, "first"), Ok(0));
    }
    for dir in ["/b", "/a"] {
        let topic =
            |name: &&'static str| AlterReplicaLogDirTopic { name: (*name).into(), partitions: vec![0] };
        let topics = TOPICS.iter().map(topic).collect();
        let request =
            AlterReplicaLogDirsRequest { dirs: vec![AlterReplicaLogDir { path: dir.into(), topics }] };
        for topic in node.ask(&request, 2).results {
            assert_eq!(topic.partitions[0].error_code, ErrorCode::NONE);
        }
        write_until_moved(&node, &disk, dir);
    }
    node.stop();
}

#[test]
fn an_interrupted_move_goes_on_after_the_start() {
    let disk = SimulatedDisk::seeded(1);
    let node = Node::start(&disk, TWO).unwrap();
    for topic in TOPICS {
        node.create_topic(topic, &[]);
        assert_eq!(node.produce(topic, "first"), Ok(0));
    }
    node.stop();
    let dirs = loaded(&disk, &["/a", "/b"]);
    let target = dirs.directories()[1].id().unwrap();
    for topic in TOPICS {
        dirs.start_move(&TopicPartition::new(topic, 0), target, 0).unwrap();
    }
    drop(dirs);
    disk.restart(Crash::Process);
    let node = Node::start(&disk, TWO).unwrap();
    write_until_moved(&node, &disk, "/b");
    node.stop();
}

#[test]
fn folders_of_no_topic_are_set_aside_and_ids_that_are_missing_written() {
    let disk = SimulatedDisk::seeded(1);
    let node = Node::start(&disk, ONE).unwrap();
    node.create_topic("kept", &[]);
    assert_eq!(node.produce("kept", "value"), Ok(0));
    node.stop();
    let dirs = loaded(&disk, &["/a"]);
    let unknown = TopicPartition::new("unknown", 0);
    dirs.create(&unknown, Some(Uuid::from_u128(7)), None, Arc::default(), 0).unwrap();
    dirs.close(1, 1).unwrap();
    drop(dirs);
    disk.remove(Path::new("/a/kept-0/partition.metadata")).unwrap();
    disk.restart(Crash::Process);
    let node = Node::start(&disk, ONE).unwrap();
    assert_eq!(node.produce("kept", "value"), Ok(1));
    assert!(exists(&disk, "/a/kept-0/partition.metadata"));
    let names = names(&disk, "/a");
    assert!(!names.contains(&"unknown-0".to_owned()), "{names:?}");
    assert!(names.iter().any(|name| name.starts_with("unknown-0.") && name.ends_with("-stray")), "{names:?}");
    // The name is free.
    node.create_topic("unknown", &[]);
    assert_eq!(node.produce("unknown", "value"), Ok(0));
    node.stop();
}

/// The directory that comes back has more records of the deleted topic than there are of the new one.
#[test]
fn a_directory_that_comes_back_does_not_replace_a_topic_that_was_made_anew() {
    let disk = SimulatedDisk::seeded(1);
    let node = Node::start(&disk, TWO).unwrap();
    node.create_topic("topic", &[]);
    for offset in 0..3 {
        assert_eq!(node.produce("topic", "old"), Ok(offset));
    }
    node.stop();
    let dir = ["/a", "/b"].into_iter().find(|dir| exists(&disk, &format!("{dir}/topic-0"))).unwrap();
    let other = if dir == "/a" { "log.dirs=/b" } else { "log.dirs=/a" };
    disk.restart(Crash::Process);
    let node = Node::start(&disk, &[other, "metadata.log.dir=/m"]).unwrap();
    node.delete_topic("topic");
    node.create_topic("topic", &[]);
    assert_eq!(node.produce("topic", "new"), Ok(0));
    node.stop();
    disk.restart(Crash::Process);
    let node = Node::start(&disk, TWO).unwrap();
    assert_eq!(node.produce("topic", "new"), Ok(1));
    assert!(names(&disk, dir).iter().any(|name| name.ends_with("-stray")), "{:?}", names(&disk, dir));
    node.stop();
}

#[test]
fn a_folder_that_cannot_be_loaded_is_not_written_to() {
    let disk = SimulatedDisk::seeded(1);
    let node = Node::start(&disk, ONE).unwrap();
    node.create_topic("topic", &[]);
    assert_eq!(node.produce("topic", "value"), Ok(0));
    node.stop();
    disk.corrupt(Path::new("/a/topic-0/partition.metadata"), 12, b"damage").unwrap();
    let log_file = Path::new("/a/topic-0/00000000000000000000.log");
    let size = disk.metadata(log_file).unwrap().size;
    disk.restart(Crash::Process);
    let node = Node::start(&disk, ONE).unwrap();
    assert!(node.produce("topic", "value").is_err());
    assert_eq!(disk.metadata(log_file).unwrap().size, size);
    // Deleting the topic takes the folder with it.
    node.delete_topic("topic");
    node.create_topic("topic", &[]);
    assert_eq!(node.produce("topic", "value"), Ok(0));
    node.stop();
}

#[test]
fn a_broker_whose_disks_all_broke_ends() {
    let disk = SimulatedDisk::seeded(1);
    let node = Node::start(&disk, &["log.dirs=/a", "metadata.log.dir=/m"]).unwrap();
    node.create_topic("topic", &[("flush.messages", "1")]);
    assert_eq!(node.produce("topic", "value"), Ok(0));
    disk.inject(Fault::always(Operation::Sync, "/a/topic-0", io::ErrorKind::StorageFull));
    assert_eq!(node.produce("topic", "value"), Err(ErrorCode::KAFKA_STORAGE_ERROR));
    let reason = node.failure();
    assert!(reason.starts_with("all log directories are offline: cannot sync /a/topic-0/"), "{reason}");
}
