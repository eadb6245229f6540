//! What formatting leaves on disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use klamm_broker::environment::{Environment, SystemClock, SystemRandom};
use klamm_broker::{
    FormatError, FormatOptions, FormattedDirectory, InitialController, InitialControllers, WorkerThreads,
    format,
};
use klamm_config::load::{Options, load};
use klamm_log::disk::simulated::SimulatedDisk;
use klamm_log::disk::{self, Disk};
use klamm_metadata::MetadataRecord;
use klamm_metadata::snapshot::Snapshot;
use klamm_net::TcpNetwork;
use klamm_protocol::Uuid;

use crate::node::Node;

const CLUSTER_ID: &str = "vJFxmYduShmm2svOZLeA8Q";
const DYNAMIC: &str = "controller.quorum.bootstrap.servers=127.0.0.1:0";
const STATIC: &str = "controller.quorum.voters=1@127.0.0.1:0,2@127.0.0.1:1";
const SNAPSHOT: &str = "__cluster_metadata-0/00000000000000000000-0000000000.checkpoint";

fn options(controllers: InitialControllers) -> FormatOptions {
    FormatOptions {
        cluster_id: CLUSTER_ID.to_owned(),
        controllers,
        release_version: None,
        features: Default::default(),
        ignore_formatted: false,
    }
}

fn run(
    disk: &SimulatedDisk,
    settings: &[&str],
    options: &FormatOptions,
) -> Result<Vec<FormattedDirectory>, FormatError> {
    let listeners = "listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0";
    let set = std::iter::once(&listeners).chain(settings).map(ToString::to_string).collect();
    let loaded = load(&Options { set, ..Options::default() }).unwrap();
    let threads = Arc::new(WorkerThreads::start(1).unwrap());
    let environment = Environment {
        network: Arc::new(TcpNetwork),
        disk: Arc::new(disk.clone()),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        executors: threads.clone(),
    };
    let formatted = format(&environment, &loaded.node, options);
    threads.stop();
    formatted
}

fn refused(settings: &[&str], options: &FormatOptions) -> String {
    run(&SimulatedDisk::seeded(0), settings, options).unwrap_err().to_string()
}

fn snapshot(disk: &SimulatedDisk, dir: &str) -> Snapshot {
    let bytes = disk::read_file(disk, &Path::new(dir).join(SNAPSHOT), 1_000_000).unwrap();
    Snapshot::decode(&bytes).unwrap()
}

fn voters(snapshot: &Snapshot) -> Vec<(i32, Uuid)> {
    let voters = snapshot.quorum.voters.iter().flat_map(|record| &record.voters);
    voters.map(|voter| (voter.voter_id, voter.voter_directory_id)).collect()
}

#[test]
fn a_controller_that_stands_alone_is_the_voter_of_its_snapshot() {
    let disk = SimulatedDisk::seeded(1);
    let settings = ["log.dirs=/a,/b", "metadata.log.dir=/m", DYNAMIC];
    let formatted = run(&disk, &settings, &options(InitialControllers::Standalone)).unwrap();
    let paths: Vec<_> =
        formatted.iter().map(|directory| (directory.path.clone(), directory.is_metadata)).collect();
    let expected = [("/a", false), ("/b", false), ("/m", true)].map(|(path, is)| (PathBuf::from(path), is));
    assert_eq!(paths, expected);
    let snapshot = snapshot(&disk, "/m");
    assert_eq!(snapshot.quorum.kraft_version, 1);
    assert_eq!(voters(&snapshot), [(1, formatted[2].directory_id)]);
    let meta = disk::read_file(&disk, Path::new("/a/meta.properties"), 1000).unwrap();
    let meta = String::from_utf8(meta).unwrap();
    for line in ["version=1", "node.id=1", "cluster.id=vJFxmYduShmm2svOZLeA8Q"] {
        assert!(meta.lines().any(|other| other == line), "{meta}");
    }
    Node::start(&disk, &settings).unwrap().stop();
}

#[test]
fn named_controllers_get_the_directories_they_are_named_with() {
    let disk = SimulatedDisk::seeded(1);
    let named = ["1@h1:9093:JEXY6aqzQY-32P5TStzaFg", "2@h2:9093:MvDxzVmcRsaTz33bUuRU6A"];
    let named: Vec<InitialController> = named.iter().map(|text| text.parse().unwrap()).collect();
    let expected: Vec<_> = named.iter().map(|one| (one.node_id, one.directory_id)).collect();
    let twice = vec![named[0].clone(), named[0].clone()];
    let formatted =
        run(&disk, &["log.dirs=/a", DYNAMIC], &options(InitialControllers::Named(named))).unwrap();
    assert_eq!(formatted[0].directory_id, expected[0].1);
    assert_eq!(voters(&snapshot(&disk, "/a")), expected);
    let error = refused(&["log.dirs=/a", DYNAMIC], &options(InitialControllers::Named(twice)));
    assert_eq!(error, "the initial controllers name node 1, or its directory, twice");
    for text in ["1@h1:9093", "h1:9093:JEXY6aqzQY-32P5TStzaFg", "1@h1:JEXY6aqzQY-32P5TStzaFg"] {
        assert!(text.parse::<InitialController>().is_err(), "{text}");
    }
}

#[test]
fn voters_are_where_the_settings_or_the_options_say() {
    let disk = SimulatedDisk::seeded(1);
    run(&disk, &["log.dirs=/a", STATIC], &options(InitialControllers::Configured)).unwrap();
    run(&disk, &["log.dirs=/b", DYNAMIC], &options(InitialControllers::Nobody)).unwrap();
    let levels = ["/a", "/b"].map(|dir| snapshot(&disk, dir).quorum.kraft_version);
    assert_eq!(levels, [0, 1]);
    assert_eq!(voters(&snapshot(&disk, "/b")), []);
    let both = refused(&["log.dirs=/a", STATIC], &options(InitialControllers::Standalone));
    assert!(both.starts_with("controller.quorum.voters is set"), "{both}");
    let none = refused(&["log.dirs=/a", DYNAMIC], &options(InitialControllers::Configured));
    assert!(none.starts_with("controller.quorum.voters is not set"), "{none}");
}

#[test]
fn a_broker_gets_no_snapshot() {
    let disk = SimulatedDisk::seeded(1);
    let settings =
        ["log.dirs=/a", "process.roles=broker", "listeners=PLAINTEXT://127.0.0.1:0", "node.id=5", DYNAMIC];
    let settings = [&settings[..], &["controller.listener.names=CONTROLLER"]].concat();
    run(&disk, &settings, &options(InitialControllers::Configured)).unwrap();
    assert!(disk.metadata(Path::new("/a/meta.properties")).is_ok());
    assert!(disk.metadata(&Path::new("/a").join(SNAPSHOT)).is_err());
}

#[test]
fn what_is_formatted_is_left_alone() {
    let disk = SimulatedDisk::seeded(1);
    let first = run(&disk, &["log.dirs=/a", DYNAMIC], &options(InitialControllers::Standalone)).unwrap();
    let again = options(InitialControllers::Standalone);
    let error = run(&disk, &["log.dirs=/a", DYNAMIC], &again).unwrap_err();
    assert_eq!(error.to_string(), "log directory /a is formatted already");
    let more = FormatOptions { ignore_formatted: true, ..again };
    let both = run(&disk, &["log.dirs=/a,/b", DYNAMIC], &more).unwrap();
    let was_formatted: Vec<_> = both.iter().map(|directory| directory.was_formatted).collect();
    assert_eq!((was_formatted, both[0].directory_id), (vec![true, false], first[0].directory_id));
    let other = FormatOptions { cluster_id: "4cFrFFzyRX6WbT4fJTrjmw".to_owned(), ..more };
    let error = run(&disk, &["log.dirs=/a", DYNAMIC], &other).unwrap_err();
    assert_eq!(error.to_string(), "log directory /a belongs to node 1 of cluster vJFxmYduShmm2svOZLeA8Q");
}

#[test]
fn features_begin_as_asked() {
    let disk = SimulatedDisk::seeded(1);
    let standalone = options(InitialControllers::Standalone);
    let asked = FormatOptions {
        release_version: Some("4.1".to_owned()),
        features: [("group.version".to_owned(), 0), ("transaction.version".to_owned(), 1)].into(),
        ..standalone.clone()
    };
    run(&disk, &["log.dirs=/a", DYNAMIC], &asked).unwrap();
    let levels: Vec<_> = snapshot(&disk, "/a")
        .records
        .iter()
        .filter_map(|record| match record {
            MetadataRecord::FeatureLevel(level) => Some((level.name.to_string(), level.feature_level)),
            _ => None,
        })
        .collect();
    assert_eq!(levels[0], ("metadata.version".to_owned(), 27));
    assert!(levels.contains(&("transaction.version".to_owned(), 1)), "{levels:?}");
    assert!(levels.iter().all(|(name, _)| name != "group.version"), "{levels:?}");
    let with = |name: &str, level| {
        let features = [(name.to_owned(), level)].into();
        refused(&["log.dirs=/a", DYNAMIC], &FormatOptions { features, ..standalone.clone() })
    };
    assert!(with("colour.version", 1).starts_with("feature colour.version is not known"));
    assert_eq!(with("group.version", 9), "feature group.version has no level 9: it goes up to 1");
    assert!(with("kraft.version", 0).starts_with("kraft.version=0 does not fit"));
}
