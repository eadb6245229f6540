//! Clusters of several nodes, each of either software.

use std::fs;
use std::path::Path;

use super::{Node, NodeFolder, Plan, Software, format_with, free_ports};
use crate::check::{Fault, Verdict};
use crate::peers::Peers;

/// What a node of a cluster is made of: its software, its `process.roles`.
pub(crate) type Member<'a> = (&'a Software, &'a str);

/// Where the voters of a cluster's quorum are kept.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Voters {
    /// In the nodes' settings: all controllers vote, for good.
    Static,
    /// In the metadata log: the first controller begins alone, and others join.
    Dynamic,
}

/// Nodes with the ids 1, 2, 3, ….
pub(crate) struct Cluster<'a> {
    peers: &'a Peers,
    members: Vec<Running<'a>>,
}

struct Running<'a> {
    software: &'a Software,
    roles: &'a str,
    folder: NodeFolder,
    controller_address: String,
    node: Option<Node>,
}

/// What a node that joins a quorum is formatted with.
const JOINS: &[&str] = &["--no-initial-controllers"];
/// What the first voter is formatted with.
const BEGINS: &[&str] = &["--standalone"];

impl Voters {
    /// The line in the nodes' settings; controllers are given with their ids and addresses.
    fn line(self, controllers: &[(usize, String)]) -> String {
        let (name, texts): (_, Vec<_>) = match self {
            Self::Static => {
                ("voters", controllers.iter().map(|(id, address)| format!("{id}@{address}")).collect())
            }
            Self::Dynamic => {
                ("bootstrap.servers", controllers.iter().map(|(_, address)| address.clone()).collect())
            }
        };
        format!("controller.quorum.{name}={}", texts.join(","))
    }

    /// What a node is formatted with.
    fn options(self, is_first_controller: bool) -> &'static [&'static str] {
        match (self, is_first_controller) {
            (Self::Static, _) => &[],
            (Self::Dynamic, true) => BEGINS,
            (Self::Dynamic, false) => JOINS,
        }
    }
}

impl<'a> Cluster<'a> {
    /// Formats the nodes' folders, each with its software's own tool, and starts none.
    pub(crate) fn format(
        root: &Path,
        peers: &'a Peers,
        members: &[Member<'a>],
        settings: &[(&str, &str)],
        voters: Voters,
    ) -> Verdict<Self> {
        let ports = members.iter().map(|_| free_ports()).collect::<Result<Vec<_>, _>>()?;
        let address = |ports: &[u16; 2]| format!("127.0.0.1:{}", ports[1]);
        let ids = 1..;
        let controllers: Vec<(usize, String)> = ids
            .clone()
            .zip(members)
            .zip(&ports)
            .filter(|((_, (_, roles)), _)| roles.contains("controller"))
            .map(|((id, _), ports)| (id, address(ports)))
            .collect();
        let quorum = voters.line(&controllers);
        let replication_factor =
            members.iter().filter(|(_, roles)| roles.contains("broker")).count().clamp(1, 3);
        let mut running = Vec::new();
        for ((node_id, (software, roles)), ports) in ids.zip(members).zip(ports) {
            let plan = Plan { node_id, roles, ports, quorum: &quorum, replication_factor, settings };
            let folder = NodeFolder::planned(root.join(format!("node-{node_id}")), &plan)?;
            let is_first = controllers.first().is_some_and(|(id, _)| *id == node_id);
            format_with(software, &folder, peers, voters.options(is_first))?;
            running.push(Running {
                software,
                roles,
                folder,
                controller_address: address(&ports),
                node: None,
            });
        }
        Ok(Self { peers, members: running })
    }

    /// Takes everything from the disk of a node that is stopped, and formats it as one that joins.
    pub(crate) fn wipe(&mut self, id: usize) -> Verdict {
        let peers = self.peers;
        let member = self.member(id)?;
        fs::remove_dir_all(member.folder.data())?;
        format_with(member.software, &member.folder, peers, JOINS)
    }

    fn member(&mut self, id: usize) -> Verdict<&mut Running<'a>> {
        let unknown = || Fault::failed("a node of the cluster", format!("node {id}"));
        self.members.get_mut(id.wrapping_sub(1)).ok_or_else(unknown)
    }

    /// Starts a node and waits until it listens.
    pub(crate) fn start(&mut self, id: usize) -> Verdict {
        let peers = self.peers;
        let member = self.member(id)?;
        member.node = Some(member.software.start(&member.folder, peers)?);
        Ok(())
    }

    /// Starts all nodes at once: the first may wait for a majority before it listens.
    pub(crate) fn start_all(&mut self) -> Verdict {
        for member in &mut self.members {
            member.node = Some(member.software.launch(&member.folder, self.peers)?);
        }
        for member in &mut self.members {
            if let Some(node) = &mut member.node {
                node.wait_until_ready(&member.folder)?;
            }
        }
        Ok(())
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, id: usize) -> Verdict {
        self.member(id)?.node.take().map_or(Ok(()), |node| Ok(node.kill()?))
    }

    /// SIGTERM.
    pub(crate) fn stop(&mut self, id: usize) -> Verdict {
        self.member(id)?.node.take().map_or(Ok(()), Node::stop)
    }

    /// All of them, brokers before controllers, so that each can take its leave.
    pub(crate) fn stop_all(&mut self) -> Verdict {
        let mut ids: Vec<usize> = (1..=self.members.len()).collect();
        ids.sort_by_key(|id| self.members[id - 1].roles.contains("controller"));
        ids.into_iter().try_for_each(|id| self.stop(id))
    }

    /// Where clients reach the brokers.
    pub(crate) fn bootstrap(&self) -> String {
        let brokers = self.members.iter().filter(|member| member.roles.contains("broker"));
        brokers.map(|member| member.folder.address().to_owned()).collect::<Vec<_>>().join(",")
    }

    /// Where the controllers are reached.
    pub(crate) fn controllers(&self) -> String {
        let controllers = self.members.iter().filter(|member| member.roles.contains("controller"));
        controllers.map(|member| member.controller_address.clone()).collect::<Vec<_>>().join(",")
    }

    pub(crate) fn folder(&self, id: usize) -> &NodeFolder {
        &self.members[id - 1].folder
    }
}
