//! Log directories on a simulated disk.

use std::path::PathBuf;
use std::sync::Arc;

use klamm_log::disk::Disk;
use klamm_log::disk::simulated::SimulatedDisk;
use klamm_log::{DirsError, LeaderAppend, LoadReport, Loading, LogConfig, LogDirs, Replica, TopicPartition};
use klamm_protocol::Uuid;

use super::batch;

pub(crate) fn open(disk: &SimulatedDisk, paths: &[&str]) -> Result<LogDirs, DirsError> {
    let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    LogDirs::open(Arc::new(disk.clone()), &paths, 10)
}

pub(crate) fn formatted(disk: &SimulatedDisk, paths: &[&str]) -> LogDirs {
    formatted_on(Arc::new(disk.clone()), paths)
}

/// The same on a disk of another kind.
pub(crate) fn formatted_on(disk: Arc<dyn Disk>, paths: &[&str]) -> LogDirs {
    let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    let dirs = LogDirs::open(disk, &paths, 10).unwrap();
    let mut id = 1000;
    dirs.format("cluster", 1, || {
        id += 1;
        Uuid::from_u128(id)
    })
    .unwrap();
    dirs
}

pub(crate) fn metadata() -> TopicPartition {
    TopicPartition::new("__cluster_metadata", 0)
}

pub(crate) fn load(dirs: &LogDirs, threads: usize) -> LoadReport {
    let config_of = |_: &TopicPartition| Arc::new(LogConfig::default());
    dirs.load(&Loading { config_of: &config_of, except: &metadata(), threads, now_ms: 0 }).unwrap()
}

pub(crate) fn partition(number: i32) -> TopicPartition {
    TopicPartition::new("topic", number)
}

pub(crate) fn create(dirs: &LogDirs, number: i32) -> Replica {
    let topic_id = Some(Uuid::from_u128(7));
    dirs.create(&partition(number), topic_id, None, Arc::new(LogConfig::default()), 0).unwrap()
}

pub(crate) fn append(replica: &Replica, value: &str) {
    replica.log.append_as_leader(&[batch(0, &[value])], LeaderAppend::client(0, 0)).unwrap();
}

/// A partition whose records below 5 are deleted, as the checkpoints have it.
pub(crate) fn checkpointed(dirs: &LogDirs) {
    let replica = create(dirs, 0);
    for n in 0..8 {
        append(&replica, &format!("old {n}"));
    }
    replica.log.advance_high_watermark(8);
    replica.log.flush(8).unwrap();
    replica.log.advance_log_start(5);
    dirs.checkpoint_offsets().unwrap();
    dirs.checkpoint_high_watermarks().unwrap();
}
