//! A node's folder: its settings, its data, its log.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

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

/// Where ports are looked for: below those that systems give to outgoing connections, one of which could take a node's port while the node
/// is down.
const PORTS: Range<u16> = 20_000..32_000;

/// Ports of the loopback interface that nothing listens on, and that no other node of this process has.
pub(crate) fn free_ports() -> io::Result<[u16; 2]> {
    Ok([free_port()?, free_port()?])
}

fn free_port() -> io::Result<u16> {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    for _ in PORTS {
        // Runs beside each other begin at different places.
        let place =
            process::id().wrapping_mul(64).wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed)) % count;
        let port = PORTS.start + place as u16;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound.map(|_| port),
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, format!("no port of {PORTS:?} is free")))
}
