//! The nodes' settings: addresses that lead through the proxies, and time-outs short enough for many cycles.

use std::path::Path;

/// Which ports a node has, counted from the first of the run. Clients take the first directly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    base: u16,
}

const PORTS_PER_NODE: u16 = 10;

impl Ports {
    pub(crate) fn of(base_port: u16, node: u16) -> Self {
        Self { base: base_port + (node - 1) * PORTS_PER_NODE }
    }

    pub(crate) fn clients(self) -> u16 {
        self.base
    }

    pub(crate) fn brokers(self) -> u16 {
        self.base + 1
    }

    pub(crate) fn controllers(self) -> u16 {
        self.base + 2
    }

    pub(crate) fn brokers_proxy(self) -> u16 {
        self.base + 3
    }

    pub(crate) fn controllers_proxy(self) -> u16 {
        self.base + 4
    }

    pub(crate) fn all(self) -> impl Iterator<Item = u16> {
        self.base..=self.controllers_proxy()
    }
}

/// What all nodes' settings have in common.
pub(crate) struct Settings<'a> {
    pub(crate) nodes: u16,
    pub(crate) base_port: u16,
    pub(crate) has_static_voters: bool,
    /// More of them, as name=value.
    pub(crate) set: &'a [String],
}

impl Settings<'_> {
    /// A node's server.properties.
    pub(crate) fn properties(&self, node: u16, data: &Path) -> String {
        let ports = Ports::of(self.base_port, node);
        let (clients, brokers, controllers) = (ports.clients(), ports.brokers(), ports.controllers());
        let (to_broker, to_controller) = (ports.brokers_proxy(), ports.controllers_proxy());
        let data = data.display();
        let voters = self.voters();
        let more: String = self.set.iter().map(|line| format!("{line}\n")).collect();
        format!(
            "process.roles=broker,controller\n\
             node.id={node}\n\
             listeners=CLIENTS://127.0.0.1:{clients},BROKERS://127.0.0.1:{brokers},CONTROLLER://127.0.0.1:{controllers}\n\
             advertised.listeners=CLIENTS://127.0.0.1:{clients},BROKERS://127.0.0.1:{to_broker},CONTROLLER://127.0.0.1:{to_controller}\n\
             listener.security.protocol.map=CLIENTS:PLAINTEXT,BROKERS:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             inter.broker.listener.name=BROKERS\n\
             controller.listener.names=CONTROLLER\n\
             {voters}\n\
             log.dirs={data}\n\
             default.replication.factor=3\n\
             min.insync.replicas=2\n\
             offsets.topic.replication.factor=3\n\
             offsets.topic.num.partitions=3\n\
             auto.create.topics.enable=false\n\
             broker.session.timeout.ms=3000\n\
             broker.heartbeat.interval.ms=500\n\
             replica.lag.time.max.ms=4000\n\
             {more}"
        )
    }

    /// The first voters of a quorum in the metadata log, for formatting; one directory id for each node.
    pub(crate) fn initial_controllers(&self, directory_ids: &[String]) -> String {
        let voter = |(node, directory): (u16, &String)| {
            format!("{node}@127.0.0.1:{}:{directory}", self.controller_address_port(node))
        };
        (1..).zip(directory_ids).map(voter).collect::<Vec<_>>().join(",")
    }

    fn voters(&self) -> String {
        let address = |node: u16| format!("127.0.0.1:{}", self.controller_address_port(node));
        let nodes = 1..=self.nodes;
        if self.has_static_voters {
            let voters: Vec<_> = nodes.map(|node| format!("{node}@{}", address(node))).collect();
            format!("controller.quorum.voters={}", voters.join(","))
        } else {
            let servers: Vec<_> = nodes.map(address).collect();
            format!("controller.quorum.bootstrap.servers={}", servers.join(","))
        }
    }

    fn controller_address_port(&self, node: u16) -> u16 {
        Ports::of(self.base_port, node).controllers_proxy()
    }
}
