//! Three nodes, each broker and controller, that are one cluster.

use std::net::SocketAddr;

use tempfile::TempDir;

use super::node::Places;
use super::{Launcher, Node, Target};
use crate::failure::Result;
use crate::wire::wait_until_alive;

/// Nodes of a cluster, and replicas of a partition.
const NODES: usize = 3;

/// A cluster. Its nodes are known by their place in it; a node's id is one more.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
}

impl Cluster {
    /// Nodes with folders that are ready to start with.
    pub(crate) fn create(launcher: &Launcher, target: Target, settings: &[(&str, &str)]) -> Result<Self> {
        let places = Places::free(NODES)?;
        let node = |index| Node::create(launcher, target, (&places, index), settings);
        Ok(Self { nodes: (0..NODES).map(node).collect::<Result<Vec<_>>>()? })
    }

    /// Runs all nodes, without waiting for them.
    pub(crate) fn spawn(&mut self, launcher: &Launcher) -> Result<()> {
        self.nodes.iter_mut().try_for_each(|node| node.spawn(launcher))
    }

    /// Runs all nodes until they accept connections, and each takes all of them for alive: replicas of a topic that is made earlier
    /// would all be led by the first.
    pub(crate) fn start(&mut self, launcher: &Launcher) -> Result<()> {
        self.spawn(launcher)?;
        self.nodes.iter_mut().try_for_each(Node::wait_until_it_accepts)?;
        self.nodes.iter().try_for_each(|node| wait_until_alive(NODES, node.address()))
    }

    /// Fails if a node's process has ended.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        self.nodes.iter_mut().filter(|node| node.pid() != 0).try_for_each(Node::check_alive)
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn node_mut(&mut self, index: usize) -> &mut Node {
        &mut self.nodes[index]
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Node::address).collect()
    }

    /// Ends all nodes and gives their folders away.
    pub(crate) fn into_folders(self) -> Result<Vec<TempDir>> {
        self.nodes.into_iter().map(Node::into_folder).collect()
    }

    /// The processes that run.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.nodes.iter().map(Node::pid).filter(|pid| *pid != 0).collect()
    }
}
