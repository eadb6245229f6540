//! From files and flags to a node: defaults, warnings, and every message.

use std::path::PathBuf;

use klamm_config::load::{self, LoadError, Loaded, Options};
use klamm_config::{Listener, TopicConfig};

fn load_file(text: &str, options: Options) -> Result<Loaded, LoadError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.properties");
    std::fs::write(&path, text).unwrap();
    load::load(&Options { file: Some(path.clone()), ..options }).map_err(|error| shorten(error, &path))
}

/// Messages without the folder that holds the file.
fn shorten(mut error: LoadError, path: &std::path::Path) -> LoadError {
    for problem in &mut error.problems {
        use load::{Origin, Problem};
        match problem {
            Problem::Unknown { origin: Origin::File(file, _), .. }
            | Problem::Value { origin: Origin::File(file, _), .. }
            | Problem::ZooKeeper { origin: Origin::File(file, _) }
            | Problem::File { path: file, .. }
                if file == path =>
            {
                *file = PathBuf::from("f")
            }
            _ => {}
        }
    }
    error
}

fn refused(text: &str) -> String {
    load_file(text, Options::default()).map(drop).unwrap_err().to_string()
}

fn shown(listeners: &[Listener]) -> Vec<String> {
    let host = |listener: &Listener| listener.host.clone().unwrap_or_default();
    listeners.iter().map(|l| format!("{}://{}:{}", l.name, host(l), l.port)).collect()
}

const BROKER_AND_CONTROLLER: &str = "
process.roles=broker,controller
node.id=3
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
controller.quorum.voters=3@c3:9093,4@c4:9093
log.dirs=/a,/b
";

#[test]
fn without_settings_a_node_is_of_its_own() {
    let Loaded { node, broker, warnings, .. } = load::load(&Options::default()).unwrap();
    assert_eq!((node.node_id, node.roles.broker, node.roles.controller), (1, true, true));
    assert_eq!(shown(&node.broker_listeners), ["PLAINTEXT://127.0.0.1:9092"]);
    assert_eq!(shown(&node.controller_listeners), ["CONTROLLER://127.0.0.1:9093"]);
    assert_eq!(shown(&node.advertised_broker_listeners), ["PLAINTEXT://127.0.0.1:9092"]);
    assert_eq!(node.voters[0].address.to_string(), "127.0.0.1:9093");
    assert_eq!((node.voters[0].id, node.voters.len()), (1, 1));
    assert_eq!(node.log_dirs, [PathBuf::from("klamm-data")]);
    assert_eq!(node.metadata_log_dir, PathBuf::from("klamm-data"));
    assert_eq!((broker.offsets_topic_replication_factor, broker.group_initial_rebalance_delay_ms), (1, 3000));
    assert_eq!((node.metrics_listener, node.worker_threads, warnings), (None, 0, vec![]));
}

#[test]
fn flags_come_before_the_file_and_the_file_before_defaults() {
    let options = Options {
        set: ["num.partitions=7", "log.retention.hours = 1", "klamm.metrics.listener=127.0.0.1:9644"]
            .map(String::from)
            .into(),
        data: Some(PathBuf::from("/data")),
        listen: Some("[::1]:19092".to_owned()),
        file: None,
    };
    let loaded =
        load_file("num.partitions=3\nlog.dir=/old\nbroker.id=5\nnum.io.threads=4\n", options).unwrap();
    assert_eq!(loaded.broker.num_partitions, 7);
    assert_eq!(TopicConfig::defaults(&loaded.layers).retention_ms, 3_600_000);
    assert_eq!(loaded.node.node_id, 5);
    assert_eq!(loaded.node.voters[0].id, 5);
    assert_eq!(loaded.node.log_dirs, [PathBuf::from("/data")]);
    assert_eq!(shown(&loaded.node.broker_listeners), ["PLAINTEXT://::1:19092"]);
    assert_eq!(shown(&loaded.node.controller_listeners), ["CONTROLLER://127.0.0.1:19093"]);
    assert_eq!(loaded.node.metrics_listener.unwrap().to_string(), "127.0.0.1:9644");
}

#[test]
fn a_server_properties_file_works_as_it_is() {
    let Loaded { node, broker, .. } = load_file(BROKER_AND_CONTROLLER, Options::default()).unwrap();
    assert_eq!(node.log_dirs, ["/a", "/b"].map(PathBuf::from));
    assert_eq!(shown(&node.advertised_broker_listeners), ["PLAINTEXT://:9092"]);
    assert_eq!(shown(&node.advertised_controller_listeners), ["CONTROLLER://c3:9093"]);
    assert_eq!(node.inter_broker_listener, "PLAINTEXT");
    assert_eq!(broker.offsets_topic_replication_factor, 3);
}

#[test]
fn what_has_no_effect_is_told() {
    let text = "num.io.threads=9\nnum.network.threads=3\nlog.cleaner.threads=2\nsuper.users=User:a\n\
                zookeeper.session.timeout.ms=1\nlistener.name.a.ssl.protocol=x\nnum.partitions=2\nnum.partitions=3\n";
    let loaded = load_file(text, Options::default()).unwrap();
    let warnings: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    let texts: Vec<_> =
        warnings.iter().map(|text| text.rsplit_once("server.properties").unwrap().1).collect();
    assert_eq!(
        texts,
        [
            ":7: num.partitions is set again further on, and this value does not count",
            ":6: listener.name.a.ssl.protocol is not implemented yet and has no effect",
            ":3: log.cleaner.threads is not implemented yet and has no effect",
            ":1: num.io.threads has no effect: Klamm has nothing that it would tune",
            ":4: super.users is for a plugin and has no effect",
            ":5: zookeeper.session.timeout.ms no longer exists since Kafka 4.0 and has no effect",
        ]
    );
    assert_eq!(loaded.broker.num_partitions, 3);
}

#[test]
fn all_that_is_wrong_is_told_with_its_place() {
    let text = "num.partitions=0\n\nlog.retenton.ms=1\nlistener.name.x.max.connections=-1\n";
    assert_eq!(
        refused(text),
        "f:4: Invalid value -1 for configuration listener.name.x.max.connections: must be at least 0\n\
         f:3: there is no setting log.retenton.ms; did you mean log.retention.ms?\n\
         f:1: Invalid value 0 for configuration num.partitions: must be at least 1"
    );
    assert_eq!(refused("a=\\u00"), "f: line 1: \\u must be followed by four hexadecimal digits");
    assert_eq!(
        refused("zookeeper.connect=z:2181"),
        "f:1: zookeeper.connect is of a cluster with ZooKeeper; since Kafka 4.0 a node needs process.roles"
    );
}

#[test]
fn flags_that_are_wrong_are_told() {
    let cases = [
        (Some("num.partitions"), None, "--set num.partitions: write it as name=value"),
        (
            Some("num.partitons=1"),
            None,
            "--set: there is no setting num.partitons; did you mean num.partitions?",
        ),
        (None, Some("9092"), "--listen 9092: 9092 is not of the form host:port"),
        (None, Some("h:99999"), "--listen h:99999: 99999 is not a port: it must be from 0 to 65535"),
        (Some("listeners=A://:1"), Some("h:1"), "--listen h:1: listeners is set as well; use one of them"),
        (
            Some("process.roles=broker"),
            Some("h:1"),
            "--listen h:1: the settings name the node's roles; set listeners there",
        ),
    ];
    for (set, listen, expected) in cases {
        let set = set.map(str::to_owned).into_iter().collect();
        let error = load::load(&Options { set, listen: listen.map(str::to_owned), ..Options::default() })
            .unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let missing = Options { file: Some(PathBuf::from("/no/such")), ..Options::default() };
    assert_eq!(
        load::load(&missing).unwrap_err().to_string(),
        "/no/such: No such file or directory (os error 2)"
    );
}

/// Each change to a good file, and what is then wrong.
const CONFLICTS: &[(&str, &str)] = &[
    ("broker.id=4", "node.id (3) and its old name broker.id (4) must be the same"),
    (
        "controller.quorum.voters=4@c4:9093",
        "controller.quorum.voters must hold this node, 3, since process.roles holds controller",
    ),
    (
        "controller.quorum.voters=",
        "either controller.quorum.voters or controller.quorum.bootstrap.servers must name the controllers",
    ),
    (
        "controller.listener.names=OTHER",
        "listeners holds CONTROLLER, but listener.security.protocol.map does not say what it speaks",
    ),
    (
        "controller.listener.names=CONTROLLER,PLAINTEXT",
        "a broker needs a listener: all of listeners are in controller.listener.names",
    ),
    (
        "controller.listener.names=CONTROLLER,OTHER",
        "controller.listener.names holds OTHER, but listeners does not",
    ),
    (
        "process.roles=broker",
        "controller.quorum.voters must not hold this node, 3, since process.roles does not hold controller",
    ),
    (
        "process.roles=broker\ncontroller.quorum.voters=4@c:1",
        "listeners holds CONTROLLER of controller.listener.names, but this node is no controller",
    ),
    (
        "process.roles=controller",
        "listeners holds PLAINTEXT, but a controller that is no broker has only those of controller.listener.names",
    ),
    ("listeners=PLAINTEXT://:9092", "controller.listener.names holds CONTROLLER, but listeners does not"),
    (
        "listeners=CONTROLLER://:9093",
        "a broker needs a listener: all of listeners are in controller.listener.names",
    ),
    ("listeners=PLAINTEXT:9092", "listeners: PLAINTEXT:9092 is not of the form NAME://host:port"),
    ("listeners=PLAINTEXT://:1,CONTROLLER://:1", "listeners: PLAINTEXT and CONTROLLER have the same port, 1"),
    ("listeners=PLAINTEXT://:1,PLAINTEXT://:2,CONTROLLER://:3", "listeners holds PLAINTEXT twice"),
    (
        "listeners=SSL://:1,CONTROLLER://:3",
        "listeners: SSL speaks SSL, which Klamm does not do yet; use PLAINTEXT",
    ),
    (
        "listeners=X://:1,CONTROLLER://:3",
        "listeners holds X, but listener.security.protocol.map does not say what it speaks",
    ),
    (
        "advertised.listeners=PLAINTEXT://0.0.0.0:9092",
        "advertised.listeners cannot use 0.0.0.0, since nobody can connect to that: name an address that clients reach",
    ),
    (
        "listeners=PLAINTEXT://0.0.0.0:9092,CONTROLLER://:1",
        "advertised.listeners cannot use 0.0.0.0, since nobody can connect to that: name an address that clients reach",
    ),
    (
        "listener.security.protocol.map=PLAINTEXT:TLS",
        "listener.security.protocol.map: TLS is not a security protocol; they are PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL",
    ),
    (
        "listener.security.protocol.map=PLAINTEXT",
        "listener.security.protocol.map: PLAINTEXT is not of the form NAME:PROTOCOL",
    ),
    (
        "inter.broker.listener.name=X",
        "inter.broker.listener.name is X, but listener.security.protocol.map does not say what it speaks",
    ),
    (
        "inter.broker.listener.name=SSL",
        "inter.broker.listener.name is SSL, but the advertised listeners are PLAINTEXT",
    ),
    (
        "inter.broker.listener.name=PLAINTEXT\nsecurity.inter.broker.protocol=PLAINTEXT",
        "only one of inter.broker.listener.name and security.inter.broker.protocol can be set",
    ),
    (
        "listener.security.protocol.map=A:PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         advertised.listeners=PLAINTEXT://h:1,A://h:2",
        "advertised.listeners holds A, PLAINTEXT, not all of which are in listeners",
    ),
    (
        "replica.selector.class=com.example.Nearest",
        "replica.selector.class is com.example.Nearest, but Klamm has only org.apache.kafka.common.replica.RackAwareReplicaSelector",
    ),
    ("klamm.metrics.listener=9644", "klamm.metrics.listener: 9644 is not of the form host:port"),
    ("log.roll.ms=0", "log.roll.ms (0) must be at least 1"),
    ("log.roll.jitter.ms=-1", "log.roll.jitter.ms (-1) must be at least 0"),
    ("log.retention.minutes=0", "log.retention.ms must be -1 or at least 1"),
    (
        "log.cleaner.dedupe.buffer.size=1048576",
        "log.cleaner.dedupe.buffer.size must be more than 1 MiB for each of log.cleaner.threads",
    ),
    (
        "log.cleaner.min.compaction.lag.ms=2\nlog.cleaner.max.compaction.lag.ms=1",
        "log.cleaner.min.compaction.lag.ms (2) must not be greater than log.cleaner.max.compaction.lag.ms (1)",
    ),
    (
        "replica.fetch.wait.max.ms=30001",
        "replica.fetch.wait.max.ms (30001) must not be greater than replica.socket.timeout.ms (30000)",
    ),
    (
        "queued.max.request.bytes=5",
        "queued.max.request.bytes (5) must be at least socket.request.max.bytes (104857600)",
    ),
    (
        "max.connections.per.ip=0",
        "max.connections.per.ip can be 0 only when max.connections.per.ip.overrides is set",
    ),
    (
        "connections.max.idle.ms=100",
        "connection.failed.authentication.delay.ms (100) must be less than connections.max.idle.ms (100)",
    ),
];

#[test]
fn what_does_not_go_together_is_refused() {
    for (change, expected) in CONFLICTS {
        assert_eq!(&refused(&format!("{BROKER_AND_CONTROLLER}{change}\n")), expected, "{change}");
    }
    assert_eq!(
        refused("process.roles=broker\ncontroller.listener.names=C"),
        "node.id is missing: it must be unique in the cluster"
    );
    assert_eq!(
        refused("process.roles=broker\nnode.id=1\ncontroller.quorum.voters=2@c:1"),
        "controller.listener.names must name the listener of the controllers, also on a broker"
    );
}
