//! Disks that fail, and directories that are cordoned, in a cluster.

use std::io;
use std::time::{Duration, Instant};

use klamm_log::disk::simulated::{Fault, Operation};
use klamm_metadata::MetadataVersion;
use klamm_protocol::messages::assign_replicas_to_dirs_request as assign;
use klamm_protocol::messages::describe_log_dirs_response::DescribeLogDirsResult;
use klamm_protocol::messages::update_features_request::FeatureUpdateKey;
use klamm_protocol::messages::{AssignReplicasToDirsRequest, DescribeLogDirsRequest, UpdateFeaturesRequest};
use klamm_protocol::{ErrorCode, Uuid};

use crate::cluster::{Cluster, Resource, Role, eventually};
use crate::replicated::{ALL, Replicated};

const TWO_DISKS: &[&str] = &["metadata.log.dir=/metadata", "log.dirs=/first,/second"];
/// The default of `replica.lag.time.max.ms`.
const LAG_TIME_MAX: Duration = Duration::from_secs(30);
const OPERATIONS: [Operation; 7] = [
    Operation::Open,
    Operation::Read,
    Operation::Write,
    Operation::Truncate,
    Operation::Sync,
    Operation::Name,
    Operation::Look,
];

/// From now on nothing works any more on what is below a folder.
fn fail(cluster: &Cluster, id: i32, folder: &str) {
    for operation in OPERATIONS {
        cluster.disk(id).inject(Fault::always(operation, folder, io::ErrorKind::Other));
    }
}

fn log_dirs(cluster: &Cluster, id: i32) -> Vec<DescribeLogDirsResult<'static>> {
    cluster.ask(id, &DescribeLogDirsRequest { topics: None }, 5).results
}

/// The directory in which a broker has a topic's first partition.
fn directory_of(cluster: &Cluster, id: i32, topic: &str) -> String {
    let dirs = log_dirs(cluster, id);
    let is_here = |dir: &&DescribeLogDirsResult<'_>| dir.topics.iter().any(|known| known.name == topic);
    dirs.iter().find(is_here).expect("it is in a directory").log_dir.to_string()
}

/// The leader, the replicas in sync and those offline of a topic's first partition.
fn state(cluster: &Cluster, by: i32, topic: &str) -> (i32, Vec<i32>, Vec<i32>) {
    let metadata = cluster.metadata(by);
    let topic = metadata.topics.iter().find(|known| known.name.as_deref() == Some(topic));
    let Some(partition) = topic.and_then(|topic| topic.partitions.first()) else { return Default::default() };
    let mut isr = partition.isr_nodes.clone();
    isr.sort_unstable();
    (partition.leader_id, isr, partition.offline_replicas.clone())
}

#[test]
fn a_failed_disk_takes_its_replicas_and_nothing_else() {
    let mut replicated = Replicated::with(TWO_DISKS, "2");
    replicated.produce_until_acknowledged(1, "before");
    replicated.settles();
    let victim = replicated.leader(1);
    let cluster = &replicated.cluster;
    assert_eq!(cluster.create_topic(1, "other", 3), ErrorCode::NONE);
    eventually("the other topic is in sync", || state(cluster, victim, "other").1 == [1, 2, 3]);
    let lost = directory_of(cluster, victim, "t");
    assert_ne!(directory_of(cluster, victim, "other"), lost, "new replicas go where there are few");
    fail(cluster, victim, &format!("{lost}/"));
    let witness = victim % 3 + 1;
    replicated.produce_until_acknowledged(witness, "after");
    let others: Vec<i32> = (1..=3).filter(|id| *id != victim).collect();
    for id in 1..=3 {
        eventually("the leader has moved", || {
            let (leader, isr, offline) = state(cluster, id, "t");
            others.contains(&leader) && isr == others && offline == [victim]
        });
        let (_, isr, offline) = state(cluster, id, "other");
        assert_eq!((isr, offline), (vec![1, 2, 3], vec![]), "node {id}");
        assert_eq!(cluster.alive(id), [1, 2, 3]);
    }
    let refused = replicated.produce(victim, ALL, &["to the dead".to_owned()]);
    assert_eq!(refused, Err(ErrorCode::KAFKA_STORAGE_ERROR));
    assert_eq!(replicated.fetch(victim, 0, "").error_code, ErrorCode::KAFKA_STORAGE_ERROR);
    let dirs = log_dirs(cluster, victim);
    let of = |path: &str| dirs.iter().find(|dir| dir.log_dir == path).unwrap().error_code;
    assert_eq!(of(&lost), ErrorCode::KAFKA_STORAGE_ERROR);
    replicated.cluster.stop(victim);
    replicated.cluster.disk(victim).heal();
    replicated.cluster.start_all(&[victim]);
    replicated.settles();
    let mut found = replicated.values(victim);
    found.dedup();
    assert_eq!(found, ["before", "after"]);
}

#[test]
fn a_follower_whose_disk_failed_leaves_the_isr_and_comes_back_with_a_new_one() {
    let mut replicated = Replicated::with(TWO_DISKS, "2");
    replicated.produce_until_acknowledged(1, "before");
    replicated.settles();
    let leader = replicated.leader(1);
    let victim = leader % 3 + 1;
    let lost = directory_of(&replicated.cluster, victim, "t");
    fail(&replicated.cluster, victim, &format!("{lost}/"));
    let others: Vec<i32> = (1..=3).filter(|id| *id != victim).collect();
    // It notices when it has something to write.
    let began = Instant::now();
    replicated.produce_until_acknowledged(leader, "after");
    assert!(began.elapsed() < LAG_TIME_MAX, "the lost replica was waited for");
    eventually("it is out of sync", || {
        let (_, isr, offline) = state(&replicated.cluster, leader, "t");
        isr == others && offline == [victim]
    });
    replicated.produce_until_acknowledged(leader, "with two");
    // Started again with the disk still broken it cannot know which directory that is, and waits.
    replicated.cluster.kill(victim);
    fail(&replicated.cluster, victim, &lost);
    replicated.cluster.start_all(&[victim]);
    assert_eq!(replicated.fetch(victim, 0, "").error_code, ErrorCode::KAFKA_STORAGE_ERROR);
    replicated.cluster.stop(victim);
    replicated.cluster.disk(victim).heal();
    replicated.cluster.start_all(&[victim]);
    replicated.settles();
}

/// A report of an earlier directory may be carried out late.
#[test]
fn a_replica_that_the_metadata_has_in_a_wrong_directory_is_set_right() {
    let cluster = Cluster::started_with(&[Role::Both, Role::Broker], TWO_DISKS);
    eventually("all brokers are alive", || cluster.alive(1) == [1, 2]);
    assert_eq!(cluster.create_topic(1, "t", 2), ErrorCode::NONE);
    eventually("the topic is in sync", || state(&cluster, 2, "t").1 == [1, 2]);
    let topic_id = cluster.metadata(1).topics[0].topic_id;
    let (leader, ..) = state(&cluster, 1, "t");
    let wrong = Uuid([7; 16]);
    let report = |broker_epoch| {
        let partitions = vec![assign::PartitionData { partition_index: 0 }];
        let topics = vec![assign::TopicData { topic_id, partitions }];
        let directories = vec![assign::DirectoryData { id: wrong, topics }];
        let request = AssignReplicasToDirsRequest { broker_id: leader, broker_epoch, directories };
        cluster.ask_controller(1, &request, 0).error_code
    };
    let epoch = (0..1000).find(|&epoch| report(epoch) != ErrorCode::STALE_BROKER_EPOCH);
    assert!(epoch.is_some(), "the epoch is the offset of the registration");
    let other = 3 - leader;
    eventually("it leads no more", || state(&cluster, 1, "t").0 == other);
    eventually("it is where it was", || state(&cluster, 1, "t").2.is_empty());
}

fn raise_metadata_version(cluster: &Cluster, level: i16) -> ErrorCode {
    let update = FeatureUpdateKey {
        feature: "metadata.version".into(),
        max_version_level: level,
        upgrade_type: 1,
        ..FeatureUpdateKey::default()
    };
    let request =
        UpdateFeaturesRequest { timeout_ms: 10_000, feature_updates: vec![update], ..Default::default() };
    cluster.ask(1, &request, 1).error_code
}

/// Its registration was made when the metadata had no room for directories.
#[test]
fn a_disk_that_fails_after_an_upgrade_is_noted() {
    let roles = [Role::Both, Role::Broker];
    let mut cluster = Cluster::formatted(&roles, TWO_DISKS, Some("3.6"));
    cluster.start_all(&[1, 2]);
    eventually("all brokers are alive", || cluster.alive(1) == [1, 2]);
    assert_eq!(cluster.create_topic(1, "t", 2), ErrorCode::NONE);
    eventually("the topic is in sync", || state(&cluster, 2, "t").1 == [1, 2]);
    let latest = MetadataVersion::LATEST.level();
    eventually("both support the latest level", || {
        raise_metadata_version(&cluster, latest) == ErrorCode::NONE
    });
    let lost = directory_of(&cluster, 2, "t");
    fail(&cluster, 2, &format!("{lost}/"));
    eventually("the replica is lost", || {
        // Something that is to be written there makes the broker notice.
        cluster.create_topic(1, "u", 2);
        state(&cluster, 1, "t") == (1, vec![1], vec![2])
    });
    assert_eq!(cluster.alive(1), [1, 2]);
}

#[test]
fn a_broker_without_a_disk_stops() {
    let mut replicated = Replicated::with(TWO_DISKS, "2");
    replicated.produce_until_acknowledged(1, "before");
    let victim = replicated.leader(1);
    for folder in ["/first/", "/second/"] {
        fail(&replicated.cluster, victim, folder);
    }
    // The checkpoints are in every directory.
    replicated.produce_until_acknowledged(victim % 3 + 1, "after");
    let reason = replicated.cluster.end(victim);
    assert!(reason.starts_with("all log directories are offline"), "{reason}");
}

fn cordon(cluster: &Cluster, broker: i32, dirs: &'static str) -> ErrorCode {
    cluster.set(broker, Resource::Broker(broker), "cordoned.log.dirs", Some(dirs))
}

#[test]
fn cordoned_directories_get_no_new_replicas() {
    let cluster = Cluster::started_with(&[Role::Both, Role::Broker], TWO_DISKS);
    eventually("all brokers are alive", || cluster.alive(1) == [1, 2]);
    assert_eq!(cordon(&cluster, 2, "/first"), ErrorCode::NONE);
    let is_cordoned = || log_dirs(&cluster, 2).iter().map(|dir| dir.is_cordoned).collect::<Vec<_>>();
    eventually("the first is cordoned", || is_cordoned() == [true, false]);
    for name in ["a", "b", "c"] {
        assert_eq!(cluster.create_topic(1, name, 2), ErrorCode::NONE);
        eventually("the topic is in sync", || state(&cluster, 2, name).1 == [1, 2]);
        assert_eq!(directory_of(&cluster, 2, name), "/second");
    }
    assert_eq!(cordon(&cluster, 2, "*"), ErrorCode::NONE);
    let mut attempts = 0;
    eventually("the broker gets no replicas", || {
        attempts += 1;
        cluster.create_topic(1, format!("d{attempts}"), 2) == ErrorCode::INVALID_REPLICATION_FACTOR
    });
}
