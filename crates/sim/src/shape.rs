//! The shape of a cluster: which nodes there are, what they do, where they are, and their settings.

use crate::network::Party;

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

    fn is_controller(self, node: usize) -> bool {
        self != Self::Separate || node < 3
    }

    fn is_broker(self, node: usize) -> bool {
        self != Self::Separate || node >= 3
    }

    /// A node's settings, `name=value`.
    pub(crate) fn settings(self, node: usize, is_durable: bool) -> Vec<String> {
        let mut settings = common(is_durable);
        match self {
            Self::One => settings.push("offsets.topic.replication.factor=1".to_owned()),
            _ => settings.extend(self.cluster_settings(node)),
        }
        settings
    }

    fn cluster_settings(self, node: usize) -> Vec<String> {
        let voters = (0..self.nodes()).filter(|node| self.is_controller(*node));
        let voters: Vec<String> =
            voters.map(|node| format!("{}@{}", node_id(node), controller_address(node))).collect();
        let (mut roles, mut listeners) = (Vec::new(), Vec::new());
        if self.is_broker(node) {
            roles.push("broker");
            listeners.push(format!("PLAINTEXT://{}", broker_address(node)));
        }
        if self.is_controller(node) {
            roles.push("controller");
            listeners.push(format!("CONTROLLER://{}", controller_address(node)));
        }
        vec![
            format!("node.id={}", node_id(node)),
            format!("process.roles={}", roles.join(",")),
            format!("listeners={}", listeners.join(",")),
            "controller.listener.names=CONTROLLER".to_owned(),
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
            format!("controller.quorum.voters={}", voters.join(",")),
            "offsets.topic.replication.factor=3".to_owned(),
            "default.replication.factor=3".to_owned(),
            "min.insync.replicas=2".to_owned(),
            "replica.lag.time.max.ms=3000".to_owned(),
            "broker.session.timeout.ms=3000".to_owned(),
            "broker.heartbeat.interval.ms=500".to_owned(),
        ]
    }
}

/// A node's id.
fn node_id(node: usize) -> usize {
    node + 1
}

/// Where a broker listens for clients and brokers.
pub(crate) fn broker_address(node: usize) -> String {
    format!("10.0.0.{}:9092", node_id(node))
}

fn controller_address(node: usize) -> String {
    format!("10.0.0.{}:9093", node_id(node))
}

/// What a party is called.
pub(crate) fn name(party: Party) -> String {
    match party {
        Party::Node(node) => format!("node {node}"),
        Party::Client => "client".to_owned(),
    }
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
