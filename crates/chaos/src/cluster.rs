//! The cluster: its nodes, the wires between them, and what can be done to both.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use klamm_client::{Admin, AdminConfig, Quorum, Uuid};
use tokio::time::Instant;

use crate::arguments::Arguments;
use crate::draw::{Draw, Kind};
use crate::failure::{Failure, Result};
use crate::node::Node;
use crate::proxy::{Cut, Wires};
use crate::settings::{Ports, Settings};

/// The size of a node's own disk, where it has one.
const DISK_MEGABYTES: u32 = 512;
/// How long a node with a new disk may take to get its vote back.
const REJOIN_TIME_MAX: Duration = Duration::from_secs(60);

pub(crate) struct Cluster {
    nodes: Vec<Node>,
    wires: Wires,
    klamm: PathBuf,
    cluster_id: String,
    base_port: u16,
    has_static_voters: bool,
}

/// Whoever else listens there would be taken for a node of this cluster.
fn check_ports(arguments: &Arguments) -> Result<()> {
    for node in 1..=arguments.nodes {
        for port in Ports::of(arguments.base_port, node).all() {
            std::net::TcpListener::bind(("127.0.0.1", port)).map_err(|error| {
                Failure::new(format!("port {port} cannot be used: {error}; see --base-port"))
            })?;
        }
    }
    Ok(())
}

impl Cluster {
    /// Formats and starts all nodes in this folder.
    pub(crate) async fn start(arguments: &Arguments, folder: &Path, has_own_disks: bool) -> Result<Self> {
        check_ports(arguments)?;
        let klamm = arguments.klamm()?;
        let command: Vec<String> = match &arguments.node_command {
            Some(command) => command.split_whitespace().map(str::to_owned).collect(),
            // With their input a node's end follows ours, however that comes.
            None => [&*klamm.display().to_string(), "start", "--stop-with-stdin", "--config"]
                .map(str::to_owned)
                .into(),
        };
        let nodes =
            (1..=arguments.nodes).map(|id| Node::new(id, folder.join(format!("node-{id}")), command.clone()));
        let mut cluster = Self {
            nodes: nodes.collect::<Result<_>>()?,
            wires: Wires::new(),
            cluster_id: random_uuid(&klamm)?,
            klamm,
            base_port: arguments.base_port,
            has_static_voters: arguments.static_voters,
        };
        if has_own_disks {
            cluster.nodes.iter_mut().try_for_each(|node| node.mount_disk(DISK_MEGABYTES))?;
        }
        cluster.format(arguments)?;
        for node in 1..=arguments.nodes {
            let ports = Ports::of(arguments.base_port, node);
            cluster.wires.lead(node, ports.brokers_proxy(), ports.brokers());
            cluster.wires.lead(node, ports.controllers_proxy(), ports.controllers());
        }
        cluster.start_all()?;
        Ok(cluster)
    }

    fn format(&self, arguments: &Arguments) -> Result<()> {
        let settings = Settings {
            nodes: arguments.nodes,
            base_port: arguments.base_port,
            has_static_voters: arguments.static_voters,
            set: &arguments.set,
        };
        let ids = self.nodes.iter().map(|_| random_uuid(&self.klamm)).collect::<Result<Vec<_>>>()?;
        let voters = settings.initial_controllers(&ids);
        for node in &self.nodes {
            std::fs::write(node.settings(), settings.properties(node.id, &node.data()))?;
            let first = ["--initial-controllers", &voters];
            self.format_node(node, if self.has_static_voters { &[] } else { &first })?;
        }
        Ok(())
    }

    fn format_node(&self, node: &Node, voters: &[&str]) -> Result<()> {
        let file = node.settings();
        let mut command = Command::new(&self.klamm);
        command.args(["format", "--cluster-id", &self.cluster_id, "--config"]).arg(file).args(voters);
        output_of(&mut command).map(|_| ())
    }

    /// Where clients reach the nodes, each by itself.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let address = |node: &Node| format!("127.0.0.1:{}", Ports::of(self.base_port, node.id).clients());
        self.nodes.iter().map(address).collect()
    }

    pub(crate) fn bootstrap(&self) -> String {
        self.addresses().join(",")
    }

    pub(crate) fn admin(&self) -> Result<Admin> {
        let patience = ("default.api.timeout.ms", "20000");
        let config =
            AdminConfig::from_properties([("bootstrap.servers", self.bootstrap().as_str()), patience])?;
        Ok(Admin::new(config))
    }

    /// Nodes whose processes ended by themselves since this was asked last.
    pub(crate) fn died(&mut self) -> Result<Vec<u16>> {
        let mut died = Vec::new();
        for node in &mut self.nodes {
            if node.has_died()? {
                died.push(node.id);
            }
        }
        Ok(died)
    }

    fn start_all(&mut self) -> Result<()> {
        self.nodes.iter_mut().try_for_each(Node::start)?;
        let pids = self.nodes.iter().filter_map(|node| Some((node.id, node.pid()?))).collect();
        self.wires.set_pids(pids);
        Ok(())
    }

    /// Takes the nodes' own disks away, with all that is on them.
    pub(crate) fn release_disks(&mut self) -> Result<()> {
        self.nodes.iter_mut().try_for_each(Node::release_disk)
    }

    fn node(&mut self, id: u16) -> &mut Node {
        &mut self.nodes[usize::from(id) - 1]
    }

    fn others(&self, id: u16) -> Vec<u16> {
        self.nodes.iter().map(|node| node.id).filter(|other| *other != id).collect()
    }

    /// Lets the fault happen, last, and be over.
    pub(crate) async fn suffer(&mut self, draw: &Draw) -> Result<()> {
        let voter = match draw.kind {
            Kind::Wipe if !self.has_static_voters => Some(self.directory_of(draw.node).await?),
            _ => None,
        };
        self.begin(draw).await?;
        tokio::time::sleep(draw.lasts).await;
        self.end(draw)?;
        match voter {
            Some(directory) => self.rejoin(draw.node, directory).await,
            None => Ok(()),
        }
    }

    async fn begin(&mut self, draw: &Draw) -> Result<()> {
        let others = self.others(draw.node);
        let cut_both = |wires: &Wires, other: u16, cut: Cut| {
            wires.cut(draw.node, other, cut);
            wires.cut(other, draw.node, cut);
        };
        match draw.kind {
            Kind::Kill => self.node(draw.node).kill()?,
            Kind::KillAll => self.nodes.iter_mut().try_for_each(Node::kill)?,
            Kind::Restart => {
                if !self.node(draw.node).stop().await? {
                    return Err(Failure::new(format!("node {} does not stop on SIGTERM", draw.node)));
                }
            }
            Kind::Pause => self.node(draw.node).pause()?,
            Kind::Wipe => {
                self.node(draw.node).kill()?;
                self.node(draw.node).wipe()?;
                let joins = if self.has_static_voters { &[][..] } else { &["--no-initial-controllers"] };
                self.format_node(&self.nodes[usize::from(draw.node) - 1], joins)?;
            }
            Kind::Isolate => others.iter().for_each(|other| cut_both(&self.wires, *other, Cut::Reset)),
            Kind::Silence => others.iter().for_each(|other| cut_both(&self.wires, *other, Cut::Silent)),
            Kind::Mute => others.iter().for_each(|other| self.wires.cut(draw.node, *other, Cut::Silent)),
            Kind::Deafen => others.iter().for_each(|other| self.wires.cut(*other, draw.node, Cut::Silent)),
            Kind::Part => cut_both(&self.wires, draw.other, Cut::Reset),
            Kind::FullDisk => self.node(draw.node).fill_disk()?,
        }
        Ok(())
    }

    fn end(&mut self, draw: &Draw) -> Result<()> {
        self.wires.mend();
        match draw.kind {
            Kind::Pause => self.node(draw.node).go_on()?,
            Kind::FullDisk => self.node(draw.node).free_disk()?,
            _ => {}
        }
        self.start_all()
    }

    /// Starts a node again that has lost its only disk and ended, as somebody would. It may still be about to when there is room
    /// again.
    pub(crate) fn revive_after(&mut self, draw: &Draw) -> Result<()> {
        if draw.kind == Kind::FullDisk && self.node(draw.node).has_died()? {
            self.start_all()?;
        }
        Ok(())
    }

    /// The active controller, if the brokers know of one.
    pub(crate) async fn controller(&self) -> Option<i32> {
        let quorum = self.admin().ok()?.describe_quorum().await.ok()?;
        Some(quorum.leader).filter(|id| *id >= 0)
    }

    /// The directory that a node votes with.
    async fn directory_of(&self, node: u16) -> Result<Uuid> {
        let quorum = self.admin()?.describe_quorum().await?;
        let voter = quorum.voters.iter().find(|voter| voter.id == i32::from(node));
        voter.map(|voter| voter.directory_id).ok_or_else(|| Failure::new(format!("node {node} is no voter")))
    }

    /// The directory that a node's disk was formatted as.
    fn own_directory_of(&self, node: u16) -> Result<Uuid> {
        let path = self.nodes[usize::from(node) - 1].data().join("meta.properties");
        let properties = std::fs::read_to_string(path)?;
        let id = properties.lines().find_map(|line| line.strip_prefix("directory.id="));
        id.and_then(|id| id.parse().ok())
            .ok_or_else(|| Failure::new(format!("node {node} has no directory id")))
    }

    /// Gives a node that came back with a new disk its vote again, in place of the one that it had before.
    async fn rejoin(&self, node: u16, before: Uuid) -> Result<()> {
        let admin = self.admin()?;
        let deadline = Instant::now() + REJOIN_TIME_MAX;
        loop {
            let step = self.rejoin_step(&admin, node, before).await;
            match step {
                Ok(true) => return Ok(()),
                Err(error) if Instant::now() >= deadline => {
                    return Err(Failure::new(format!("node {node} does not get its vote back: {error}")));
                }
                Ok(false) if Instant::now() >= deadline => {
                    return Err(Failure::new(format!("node {node} does not follow the metadata log")));
                }
                Ok(false) | Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// Whether the node votes with its new disk.
    async fn rejoin_step(&self, admin: &Admin, node: u16, before: Uuid) -> Result<bool> {
        let id = i32::from(node);
        let Quorum { voters, observers, .. } = admin.describe_quorum().await?;
        // The leader remembers observers that are no more, so the disk itself says which is meant.
        let own = self.own_directory_of(node)?;
        if voters.iter().any(|voter| voter.id == id && voter.directory_id == own) {
            return Ok(true);
        }
        let new = observers.iter().find(|observer| observer.id == id && observer.directory_id == own);
        let Some(new) = new else { return Ok(false) };
        if voters.iter().any(|voter| voter.id == id) {
            admin.remove_raft_voter(id, before).await?;
        }
        let port = Ports::of(self.base_port, node).controllers_proxy();
        let listener = ("CONTROLLER".to_owned(), "127.0.0.1".to_owned(), port);
        admin.add_raft_voter(id, new.directory_id, &[listener]).await?;
        Ok(true)
    }
}

fn random_uuid(klamm: &Path) -> Result<String> {
    output_of(Command::new(klamm).arg("random-uuid"))
}

fn output_of(command: &mut Command) -> Result<String> {
    let output =
        command.output().map_err(|error| Failure::new(format!("cannot run {command:?}: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format!("{command:?}: {}", said.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
