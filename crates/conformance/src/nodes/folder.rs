//! A node's folder: its settings, its data, its log.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

/// A folder with a node's settings and data; nodes of either software may run on it, one after another.
pub(crate) struct NodeFolder {
    root: PathBuf,
    address: String,
}

/// Who a node is, and where it listens.
pub(crate) struct Plan<'a> {
    pub(crate) node_id: usize,
    /// `process.roles`.
    pub(crate) roles: &'a str,
    /// Where it listens for clients, and where for controllers.
    pub(crate) ports: [u16; 2],
    /// The line that says who the controllers are.
    pub(crate) quorum: &'a str,
    /// Of the internal topics.
    pub(crate) replication_factor: usize,
    /// What is set besides; it comes last, and counts.
    pub(crate) settings: &'a [(&'a str, &'a str)],
}

impl NodeFolder {
    /// Settings for a node of its own that is broker and controller on free ports, and these besides.
    pub(crate) fn create(root: PathBuf, settings: &[(&str, &str)]) -> io::Result<Self> {
        let ports = free_ports()?;
        let quorum = format!("controller.quorum.voters=1@127.0.0.1:{}", ports[1]);
        let (roles, replication_factor) = ("broker,controller", 1);
        Self::planned(root, &Plan { node_id: 1, roles, ports, quorum: &quorum, replication_factor, settings })
    }

    /// Settings for this node.
    pub(crate) fn planned(root: PathBuf, plan: &Plan<'_>) -> io::Result<Self> {
        fs::create_dir_all(&root)?;
        fs::write(root.join("server.properties"), plan.properties(&root))?;
        Ok(Self { root, address: plan.address() })
    }

    /// Where others reach a node that runs here: clients, or controllers if it is no broker.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(crate) fn settings(&self) -> PathBuf {
        self.root.join("server.properties")
    }

    /// What the nodes that ran here wrote to standard output and standard error.
    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log")
    }
}

impl Plan<'_> {
    fn is_broker(&self) -> bool {
        self.roles.contains("broker")
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[usize::from(!self.is_broker())])
    }

    fn listeners(&self) -> String {
        let [clients, controllers] = [("PLAINTEXT", self.ports[0]), ("CONTROLLER", self.ports[1])]
            .map(|(name, port)| format!("{name}://127.0.0.1:{port}"));
        match self.roles {
            "broker" => clients,
            "controller" => controllers,
            _ => format!("{clients},{controllers}"),
        }
    }

    fn properties(&self, root: &Path) -> String {
        let Self { node_id, roles, quorum, replication_factor, .. } = self;
        let mut file = format!(
            "process.roles={roles}\n\
             node.id={node_id}\n\
             {quorum}\n\
             listeners={}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
             log.dirs={}\n\
             offsets.topic.replication.factor={replication_factor}\n\
             transaction.state.log.replication.factor={replication_factor}\n\
             transaction.state.log.min.isr=1\n\
             share.coordinator.state.topic.replication.factor={replication_factor}\n\
             share.coordinator.state.topic.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\n",
            self.listeners(),
            root.join("data").display()
        );
        if self.is_broker() {
            file.push_str(&format!("advertised.listeners=PLAINTEXT://{}\n", self.address()));
        }
        for (name, value) in self.settings {
            file.push_str(&format!("{name}={value}\n"));
        }
        file
    }
}

/// Ports of the loopback interface that nothing listens on.
pub(crate) fn free_ports() -> io::Result<[u16; 2]> {
    let listeners = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    Ok([listeners[0].local_addr()?.port(), listeners[1].local_addr()?.port()])
}
