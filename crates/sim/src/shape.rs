//! The shape of a cluster: which nodes there are, what they do, where they are, and their settings.

use klamm_broker::{InitialController, InitialControllers};
use klamm_config::endpoint::HostPort;
use klamm_protocol::Uuid;

use crate::network::Party;

/// Where nodes of a cluster keep their data, the metadata log in the first. A single node has the first alone.
pub(crate) const LOG_DIRS: [&str; 2] = ["/data", "/data-1"];

const CONTROLLER_PORT: u16 = 9093;

/// The cluster of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Which nodes there are.
    pub(crate) shape: Shape,
    /// Whether the voters are in the metadata log (KIP-853), and not in the settings.
    pub(crate) has_dynamic_voters: bool,
    /// Whether everything is flushed before it is acknowledged.
    pub(crate) is_durable: bool,
}

/// Which nodes a cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// One node, broker and controller.
    One,
    /// Three nodes, each broker and controller.
    Three,
    /// Five nodes, each broker and controller.
    Five,
    /// Three controllers and three brokers.
    Separate,
}

impl Shape {
    /// How many nodes there are.
    pub(crate) fn nodes(self) -> usize {
        match self {
            Self::One => 1,
            Self::Three => 3,
            Self::Five => 5,
            Self::Separate => 6,
        }
    }

    /// How many replicas a partition has.
    pub(crate) fn replicas(self) -> usize {
        self.nodes().min(3)
    }

    /// Where clients may begin.
    pub(crate) fn bootstrap_servers(self) -> String {
        let brokers: Vec<String> =
            (0..self.nodes()).filter(|node| self.is_broker(*node)).map(broker_address).collect();
        brokers.join(",")
    }

    /// The ids of all brokers.
    pub(crate) fn broker_ids(self) -> Vec<i32> {
        (0..self.nodes()).filter(|node| self.is_broker(*node)).map(node_id).collect()
    }

    /// Whether a node is a controller.
    pub(crate) fn is_controller(self, node: usize) -> bool {
        self != Self::Separate || node < 3
    }

    fn is_broker(self, node: usize) -> bool {
        self != Self::Separate || node >= 3
    }

    fn controllers(self) -> impl Iterator<Item = usize> {
        (0..self.nodes()).filter(move |node| self.is_controller(*node))
    }
}

impl Layout {
    /// A node's settings, `name=value`.
    pub(crate) fn settings(self, node: usize, is_flushing: bool) -> Vec<String> {
        let mut settings = common(is_flushing);
        match self.shape {
            Shape::One => settings.push("offsets.topic.replication.factor=1".to_owned()),
            _ => settings.extend(self.cluster_settings(node)),
        }
        settings
    }

    fn cluster_settings(self, node: usize) -> Vec<String> {
        let (mut roles, mut listeners) = (Vec::new(), Vec::new());
        if self.shape.is_broker(node) {
            roles.push("broker");
            listeners.push(format!("PLAINTEXT://{}", broker_address(node)));
        }
        if self.shape.is_controller(node) {
            roles.push("controller");
            listeners.push(format!("CONTROLLER://{}", controller_address(node)));
        }
        vec![
            format!("node.id={}", node_id(node)),
            format!("process.roles={}", roles.join(",")),
            format!("listeners={}", listeners.join(",")),
            format!("log.dirs={}", LOG_DIRS.join(",")),
            "controller.listener.names=CONTROLLER".to_owned(),
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
            self.quorum_setting(),
            "offsets.topic.replication.factor=3".to_owned(),
            "default.replication.factor=3".to_owned(),
            "min.insync.replicas=2".to_owned(),
            "replica.lag.time.max.ms=3000".to_owned(),
            "broker.session.timeout.ms=3000".to_owned(),
            "broker.heartbeat.interval.ms=500".to_owned(),
        ]
    }

    fn quorum_setting(self) -> String {
        let controllers = self.shape.controllers();
        if self.has_dynamic_voters {
            let servers: Vec<String> = controllers.map(controller_address).collect();
            return format!("controller.quorum.bootstrap.servers={}", servers.join(","));
        }
        let voter = |node| format!("{}@{}", node_id(node), controller_address(node));
        let voters: Vec<String> = controllers.map(voter).collect();
        format!("controller.quorum.voters={}", voters.join(","))
    }

    /// With which voters a node's folders are formatted.
    pub(crate) fn initial_controllers(self, node: usize) -> InitialControllers {
        if !self.has_dynamic_voters || !self.shape.is_controller(node) {
            return InitialControllers::Configured;
        }
        let controllers = self.shape.controllers().map(|node| {
            let (_, host, port) = controller_listener(node);
            let address = HostPort { host, port };
            InitialController { node_id: node_id(node), address, directory_id: directory_id(node) }
        });
        InitialControllers::Named(controllers.collect())
    }
}

/// A node's id.
pub(crate) fn node_id(node: usize) -> i32 {
    node as i32 + 1
}

/// The id of the folder in which a controller has the metadata log, where voters are named by it.
pub(crate) fn directory_id(node: usize) -> Uuid {
    Uuid::from_u128(0x51d0_0000_0000_4000_8000_0000_0000_0000 | node as u128)
}

/// A controller's listener: name, host and port.
pub(crate) fn controller_listener(node: usize) -> (String, String, u16) {
    ("CONTROLLER".to_owned(), host(node), CONTROLLER_PORT)
}

/// Where a broker listens for clients and brokers.
pub(crate) fn broker_address(node: usize) -> String {
    format!("{}:9092", host(node))
}

fn controller_address(node: usize) -> String {
    format!("{}:{CONTROLLER_PORT}", host(node))
}

fn host(node: usize) -> String {
    format!("10.0.0.{}", node_id(node))
}

/// What a party is called.
pub(crate) fn name(party: Party) -> String {
    match party {
        Party::Node(node) => format!("node {node}"),
        Party::Client => "client".to_owned(),
    }
}

/// The number of the node that is called so.
pub(crate) fn node_named(name: &str) -> Option<usize> {
    name.strip_prefix("node ")?.parse().ok()
}

fn common(is_durable: bool) -> Vec<String> {
    let mut settings: Vec<String> = [
        "offsets.topic.num.partitions=2",
        "group.initial.rebalance.delay.ms=100",
        "group.min.session.timeout.ms=1000",
        "num.recovery.threads.per.data.dir=1",
        "log.initial.task.delay.ms=700",
        "log.flush.offset.checkpoint.interval.ms=1500",
        "replica.high.watermark.checkpoint.interval.ms=1500",
        "log.retention.check.interval.ms=2000",
        "auto.create.topics.enable=false",
    ]
    .map(str::to_owned)
    .into();
    if is_durable {
        settings.push("log.flush.interval.messages=1".to_owned());
    }
    settings
}
