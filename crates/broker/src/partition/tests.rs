//! A partition without a broker around it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use klamm_config::{BrokerConfig, Layers};
use klamm_log::disk::simulated::SimulatedDisk;
use klamm_log::{LeaderAppend, LogConfig};
use klamm_metadata::partition::Partition as Registration;
use klamm_metadata::{MetadataImage, MetadataRecord, Provenance};
use klamm_net::{BoxFuture, Listener, Network, Stream};
use klamm_protocol::messages::register_broker_record::RegisterBrokerRecord;
use klamm_records::{AcceptedBatch, BatchBuilder, NewRecord};
use klamm_replica::FollowerFetch;
use tokio::time::Instant;

use super::following::FetchedRecords;
use super::*;
use crate::environment::{Executors, Place, SystemClock, SystemRandom, TaskMaker};

/// Nobody is reached, and what is left to other threads is never done.
struct Nowhere;

impl Network for Nowhere {
    fn listen(&self, _: SocketAddr, _: u32) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn resolve<'a>(&'a self, _: &'a str, _: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn dial<'a>(&'a self, _: &'a str, _: u16) -> BoxFuture<'a, io::Result<Stream>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }
}

impl Executors for Nowhere {
    fn workers(&self) -> usize {
        1
    }

    fn spawn(&self, _: Place, _: TaskMaker) {}

    fn run_blocking(&self, _: Box<dyn FnOnce() + Send>) {}
}

/// A world with nothing in it but an empty disk.
pub(crate) fn environment() -> Environment {
    Environment {
        network: Arc::new(Nowhere),
        disk: Arc::new(SimulatedDisk::seeded(1)),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        executors: Arc::new(Nowhere),
    }
}

/// The only partition of a topic, which nobody leads.
pub(crate) fn partition(topic: &str) -> Arc<Partition> {
    let environment = environment();
    let dirs = LogDirs::open(environment.disk.clone(), &[PathBuf::from("/data")], 10).unwrap();
    partition_on(&Arc::new(dirs), topic)
}

/// The same in these directories.
pub(crate) fn partition_on(dirs: &Arc<LogDirs>, topic: &str) -> Arc<Partition> {
    let environment = environment();
    let dirs = dirs.clone();
    let layers = Layers::default();
    let settings =
        PartitionSettings::new(TopicConfig::defaults(&layers), &BrokerConfig::new(&layers).unwrap());
    let log = new_log(&dirs, topic);
    let topic_id = Uuid::from_u128(1);
    Arc::new(Partition::new(topic.into(), topic_id, 0, log, Arc::new(settings), dirs, environment))
}

fn new_log(dirs: &LogDirs, topic: &str) -> Arc<Log> {
    let name = TopicPartition::new(topic, 0);
    dirs.create(&name, None, None, Arc::new(LogConfig::default()), 0).unwrap().log
}

/// Broker 1 leads 1 and 2.
fn led(leader_epoch: i32) -> Registration {
    Registration {
        replicas: [1, 2].as_slice().into(),
        directories: [Uuid::ZERO; 2].as_slice().into(),
        isr: [1, 2].as_slice().into(),
        leader: 1,
        leader_epoch,
        partition_epoch: leader_epoch,
        ..Registration::default()
    }
}

/// A cluster of these brokers.
fn cluster(brokers: &[i32]) -> MetadataImage {
    let registered = brokers.iter().map(|&broker_id| {
        MetadataRecord::RegisterBroker(RegisterBrokerRecord {
            broker_id,
            broker_epoch: 100,
            fenced: false,
            ..RegisterBrokerRecord::default()
        })
    });
    let records: Vec<_> = registered.collect();
    MetadataImage::default().apply(&records, Provenance::default()).unwrap().0
}

fn append(log: &Log, values: i64) {
    log.append_as_leader(&[batch(values)], LeaderAppend::client(5, 0)).unwrap();
}

fn batch(values: i64) -> AcceptedBatch<'static> {
    let mut builder = BatchBuilder::new(0);
    for timestamp in 0..values {
        builder.append(&NewRecord { timestamp, key: None, value: Some(b"value"), headers: &[] });
    }
    builder.finish()
}

/// Nothing of a full segment may be lost that the segments behind it still have.
#[test]
fn a_follower_flushes_the_segments_it_has_filled() {
    let partition = partition("t");
    partition.follow(2, &led(5), &cluster(&[1, 2]).cluster);
    partition.log().set_config(Arc::new(LogConfig { segment_bytes: 100, ..LogConfig::default() }));
    let is_flushing = [0, 1].map(|base_offset| {
        let mut fetched = batch(1);
        fetched.stamp(base_offset, 5);
        let fetched =
            FetchedRecords { records: &fetched.into_bytes(), high_watermark: 0, log_start_offset: 0 };
        partition.take_fetched(partition.position().unwrap(), fetched).unwrap();
        partition.flushes.is_under_way()
    });
    assert_eq!(is_flushing, [false, true], "the second batch begins a segment");
}

/// What a loss of power took from the middle comes from the leader, with all behind it.
#[test]
fn a_follower_goes_on_where_records_are_missing() {
    let partition = partition("t");
    partition.follow(2, &led(5), &cluster(&[1, 2]).cluster);
    let with_gap = log_with_gap();
    let (gap, end) = (with_gap.gap().unwrap(), with_gap.log_end_offset());
    partition.replace_log(Arc::new(with_gap));
    let position = partition.position().unwrap();
    assert!(partition.has_gap() && position.fetch_offset == gap && gap < end);
    partition.cut_at_gap(position).unwrap();
    assert!(!partition.has_gap());
    assert_eq!((partition.position().unwrap().fetch_offset, partition.log().log_end_offset()), (gap, gap));
}

/// Who has led with a gap may be in sync, and what was acknowledged since lies behind the gap.
#[test]
fn what_has_led_is_not_cut_at_its_gap() {
    let partition = partition("t");
    partition.replace_log(Arc::new(log_with_gap()));
    let end = partition.log().log_end_offset();
    partition.follow(1, &led(5), &cluster(&[1, 2]).cluster);
    partition.follow(2, &led(6), &cluster(&[1, 2]).cluster);
    assert!(partition.log().gap().is_some() && !partition.has_gap());
    assert_eq!(partition.position().unwrap().fetch_offset, end);
}

/// Three segments of a batch each; the second is lost.
fn log_with_gap() -> Log {
    let disk: Arc<dyn klamm_log::disk::Disk> = Arc::new(SimulatedDisk::seeded(1));
    let dir = std::path::Path::new("/t-0");
    disk.create_dir(dir).unwrap();
    let opening = |was_clean| klamm_log::LogOpening {
        dir: dir.to_owned(),
        config: Arc::new(LogConfig { segment_bytes: 100, ..LogConfig::default() }),
        log_start_offset: 0,
        recovery_point: 0,
        was_clean,
        is_contiguous: false,
        now_ms: 0,
    };
    let open =
        |was_clean| Log::open(disk.clone(), klamm_log::OpenFiles::new(10), opening(was_clean)).unwrap().0;
    let log = open(true);
    (0..3).for_each(|_| append(&log, 1));
    drop(log);
    disk.remove(&dir.join("00000000000000000001.log")).unwrap();
    open(false)
}

/// Followers ask about the leader's epoch, which may have no records yet.
#[test]
fn a_log_that_moved_knows_the_leaders_epoch() {
    let partition = partition("t");
    partition.follow(1, &led(5), &cluster(&[1, 2]).cluster);
    let moved = new_log(&partition.log_dirs, "moved");
    partition.replace_log(moved.clone());
    assert_eq!(moved.latest_epoch(), Some(5));
    partition.follow(2, &led(6), &cluster(&[1, 2]).cluster);
    let moved = new_log(&partition.log_dirs, "moved-again");
    partition.replace_log(moved.clone());
    assert_eq!(moved.latest_epoch(), None, "a follower learns of epochs with the records");
}

/// Between the copying of the offsets and the swap the old log is still what clients and followers see.
#[test]
fn a_log_that_moved_takes_over_what_is_committed_and_deleted() {
    let partition = partition("t");
    partition.follow(1, &led(5), &cluster(&[1, 2]).cluster);
    append(&partition.log(), 3);
    let moved = new_log(&partition.log_dirs, "moved");
    append(&moved, 3);
    let fetch = FollowerFetch { replica_id: 2, broker_epoch: 100, fetch_offset: 3, log_start_offset: 0 };
    partition.follower_fetched(5, fetch).unwrap();
    assert_eq!((partition.high_watermark(), partition.delete_records(2)), (3, Ok(2)));
    partition.replace_log(moved);
    assert_eq!((partition.high_watermark(), partition.log_start_offset()), (3, 2));
    assert_eq!(partition.delete_records(4), Err(ErrorCode::OFFSET_OUT_OF_RANGE));
    assert_eq!(partition.delete_records(-1), Ok(3));
}

#[test]
fn a_deletion_of_records_does_not_wait_for_who_is_fenced_meanwhile() {
    type News<'n> = &'n dyn Fn(&Arc<Partition>);
    let all = cluster(&[1, 2]);
    let gone = cluster(&[1]);
    let news: [News<'_>; 2] =
        [&|partition| partition.brokers_changed(&led(5), &gone.cluster), &|partition| {
            let shrunk = Registration { partition_epoch: 6, isr: [1].as_slice().into(), ..led(5) };
            partition.follow(1, &shrunk, &gone.cluster);
        }];
    for tell in news {
        let partition = partition("t");
        partition.follow(1, &led(5), &all.cluster);
        append(&partition.log(), 3);
        let fetch = FollowerFetch { replica_id: 2, broker_epoch: 100, fetch_offset: 3, log_start_offset: 0 };
        partition.follower_fetched(5, fetch).unwrap();
        partition.log().advance_log_start(2);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let done = runtime.block_on(async {
            let deadline = Instant::now() + Duration::from_secs(10);
            let told = async { tell(&partition) };
            tokio::join!(partition.deleted_everywhere(2, deadline), told).0
        });
        assert_eq!(done, Ok(2));
    }
}
