//! Starts on directories that are new, half new, lost, or another's.

use std::io;
use std::path::Path;

use klamm_log::disk::simulated::{Crash, Fault, Operation, SimulatedDisk};
use klamm_log::disk::{self, Disk};
use klamm_net::{Network, TcpNetwork};
use klamm_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use klamm_protocol::messages::{DescribeQuorumRequest, MetadataRequest};

use crate::node::Node;

const ONE: &[&str] = &["log.dirs=/a"];
const TWO: &[&str] = &["log.dirs=/a,/b", "metadata.log.dir=/a"];
/// The voters stand in the metadata log, by node and directory.
const DYNAMIC: &[&str] =
    &["log.dirs=/b,/a", "metadata.log.dir=/a", "controller.quorum.bootstrap.servers=127.0.0.1:0"];

/// A disk with the directories of a broker that ran and was stopped.
fn used(settings: &[&str]) -> SimulatedDisk {
    let disk = SimulatedDisk::seeded(1);
    Node::start(&disk, settings).unwrap().stop();
    disk
}

/// Why a start is refused.
fn refused(disk: &SimulatedDisk, settings: &[&str]) -> String {
    disk.restart(Crash::Process);
    Node::start(disk, settings).err().expect("the start is refused")
}

fn replace(disk: &SimulatedDisk, path: &str, content: &str) {
    disk::replace_file(disk, Path::new(path), content.as_bytes(), true).unwrap();
}

#[test]
fn a_broker_starts_again_where_it_stopped() {
    let disk = used(TWO);
    for _ in 0..2 {
        disk.restart(Crash::Power);
        Node::start(&disk, TWO).unwrap().stop();
    }
}

#[test]
fn lost_metadata_is_no_new_cluster() {
    let disk = used(TWO);
    let (folder, lost) = (Path::new("/a/__cluster_metadata-0"), Path::new("/b/__cluster_metadata-0"));
    disk.rename(folder, lost).unwrap();
    assert_eq!(refused(&disk, TWO), "log directory /b has the metadata log, but metadata.log.dir is /a");
    disk.rename(lost, Path::new("/lost")).unwrap();
    let error = "log directory /a belongs to a cluster, but the metadata directory /a has no metadata log";
    assert_eq!(refused(&disk, TWO), error);
    disk.create_dir(folder).unwrap();
    assert_eq!(refused(&disk, TWO), error);
    disk.remove_dir(folder).unwrap();
    disk.remove(Path::new("/a/meta.properties")).unwrap();
    assert_eq!(
        refused(&disk, TWO),
        "log directory /b belongs to a cluster, but the metadata directory /a has no meta.properties"
    );
}

#[test]
fn directories_with_partitions_are_not_formatted() {
    let disk = SimulatedDisk::seeded(1);
    disk.create_dir(Path::new("/a/topic-0")).unwrap();
    let error = "log directory /a has no meta.properties, but is not empty: it has topic-0";
    assert_eq!(refused(&disk, ONE), error);

    let disk = used(ONE);
    disk.remove(Path::new("/a/meta.properties")).unwrap();
    let error = "log directory /a has no meta.properties, but is not empty: it has __cluster_metadata-0";
    assert_eq!(refused(&disk, ONE), error);

    let disk = used(ONE);
    disk.create_dir(Path::new("/b/topic-0")).unwrap();
    let error = "log directory /b has no meta.properties, but is not empty: it has topic-0";
    assert_eq!(refused(&disk, TWO), error);
}

/// Wherever the power fails during the first start, the next one succeeds.
#[test]
fn the_first_start_may_be_interrupted_anywhere() {
    for stop in (0..60).chain((60..240).step_by(9)) {
        for settings in [TWO, DYNAMIC] {
            let disk = SimulatedDisk::seeded(stop);
            disk.crash_after(stop);
            drop(Node::start(&disk, settings));
            disk.restart(Crash::Power);
            let again = Node::start(&disk, settings);
            again.unwrap_or_else(|error| panic!("stop {stop}: {error}")).stop();
        }
    }
}

#[test]
fn directories_of_several_clusters_are_refused() {
    let disk = used(&["log.dirs=/a", "metadata.log.dir=/m"]);
    disk.restart(Crash::Process);
    Node::start(&disk, &["log.dirs=/b", "metadata.log.dir=/n"]).unwrap().stop();
    let error = refused(&disk, &["log.dirs=/a", "metadata.log.dir=/n"]);
    assert!(error.starts_with("log directory /n: belongs to node 1 of cluster "), "{error}");
}

#[test]
fn a_gap_between_snapshot_and_metadata_log_is_named() {
    let disk = used(ONE);
    replace(&disk, "/a/log-start-offset-checkpoint", "0\n1\n__cluster_metadata 0 5\n");
    assert_eq!(
        refused(&disk, ONE),
        "/a/__cluster_metadata-0: the metadata log begins at 5, but the newest snapshot ends at 0"
    );
}

/// A node that stopped while a loaded snapshot took the log's place: to followers the older one would stand for the log's beginning.
#[test]
fn snapshots_before_the_metadata_logs_start_are_removed() {
    let disk = used(ONE);
    let folder = Path::new("/a/__cluster_metadata-0");
    let [older, newer] = ["00000000000000000000-0000000000", "00000000000000001000-0000000001"]
        .map(|id| folder.join(format!("{id}.checkpoint")));
    let snapshot = disk::read_file(&disk, &older, 10_000).unwrap();
    disk::replace_file(&disk, &newer, &snapshot, true).unwrap();
    disk.restart(Crash::Process);
    Node::start(&disk, ONE).unwrap().stop();
    assert!(disk.metadata(&newer).is_ok());
    assert!(disk.metadata(&older).is_err());
}

#[test]
fn a_node_that_is_no_voter_does_not_wait_for_ever() {
    let disk = used(DYNAMIC);
    let path = Path::new("/a/meta.properties");
    let meta = String::from_utf8(disk::read_file(&disk, path, 1000).unwrap()).unwrap();
    let id = meta.lines().find_map(|line| line.strip_prefix("directory.id=")).unwrap();
    replace(&disk, "/a/meta.properties", &meta.replace(id, "AAAAAAAAAAAAAAAAAAAABw"));
    assert_eq!(
        refused(&disk, DYNAMIC),
        "/a/__cluster_metadata-0: node 1 with directory id AAAAAAAAAAAAAAAAAAAABw is no voter of the metadata log"
    );
}

#[test]
fn a_start_whose_controller_ends_says_why() {
    let disk = used(ONE);
    disk.inject(Fault::always(Operation::Sync, "/a/__cluster_metadata-0", io::ErrorKind::Other));
    let error = refused(&disk, ONE);
    assert!(error.contains("/a/__cluster_metadata-0"), "{error}");
}

/// A directory of its own for the metadata log is unclean while the broker runs.
#[test]
fn the_metadata_directory_loses_its_mark_of_a_clean_stop() {
    let settings = &["log.dirs=/a", "metadata.log.dir=/m"];
    let disk = used(settings);
    let mark = Path::new("/m/.kafka_cleanshutdown");
    assert!(disk.metadata(mark).is_ok());
    disk.restart(Crash::Process);
    let node = Node::start(&disk, settings).unwrap();
    assert!(disk.metadata(mark).is_err());
    node.stop();
    assert!(disk.metadata(mark).is_ok());
}

#[test]
fn listeners_without_a_host_are_found_under_the_machines_name() {
    let everywhere = [DYNAMIC, &["listeners=PLAINTEXT://:0,CONTROLLER://:0"]].concat();
    let node = Node::start(&SimulatedDisk::seeded(1), &everywhere).unwrap();
    let name = TcpNetwork.host_name().unwrap_or_else(|| "localhost".to_owned());
    let metadata = node.ask(&MetadataRequest::default(), 12);
    assert_eq!(metadata.brokers[0].host, name);
    let partitions = vec![PartitionData { partition_index: 0 }];
    let topics = vec![TopicData { topic_name: "__cluster_metadata".into(), partitions }];
    let quorum = node.ask(&DescribeQuorumRequest { topics }, 2);
    assert_eq!(quorum.nodes[0].listeners[0].host, name);
    node.stop();
}
