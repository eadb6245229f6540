//! Nodes and clusters that several scenarios use, warm from one to the next.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use tempfile::TempDir;

use crate::failure::Result;
use crate::target::{Cluster, Node, Target};

/// What runs on. Either nodes or clusters do, so that what is idle takes no memory from what is measured.
#[derive(Default)]
pub(crate) struct Shared {
    nodes: RefCell<BTreeMap<Target, Rc<Node>>>,
    clusters: RefCell<BTreeMap<Target, Rc<RefCell<Cluster>>>>,
    leftovers: RefCell<Vec<TempDir>>,
}

impl Shared {
    /// The target's node; made if there is none.
    pub(super) fn node(&self, target: Target, make: impl FnOnce() -> Result<Node>) -> Result<Rc<Node>> {
        self.clusters.borrow_mut().clear();
        if let Some(node) = self.nodes.borrow().get(&target) {
            return Ok(node.clone());
        }
        let node = Rc::new(make()?);
        self.nodes.borrow_mut().insert(target, node.clone());
        Ok(node)
    }

    /// The target's cluster; made if there is none.
    pub(super) fn cluster(
        &self,
        target: Target,
        make: impl FnOnce() -> Result<Cluster>,
    ) -> Result<Rc<RefCell<Cluster>>> {
        self.nodes.borrow_mut().clear();
        if let Some(cluster) = self.clusters.borrow().get(&target) {
            return Ok(cluster.clone());
        }
        let cluster = Rc::new(RefCell::new(make()?));
        self.clusters.borrow_mut().insert(target, cluster.clone());
        Ok(cluster)
    }

    /// Keeps folders of very many files until the end of the run: ext4 does not give the inodes of deleted files away for
    /// minutes, and looks at each of them in vain before it finds one for a new file.
    pub(super) fn delete_at_the_end(&self, folders: impl IntoIterator<Item = TempDir>) {
        self.leftovers.borrow_mut().extend(folders);
    }

    /// Ends what a target has, because it is not what it should be.
    pub(crate) fn drop_target(&self, target: Target) {
        self.nodes.borrow_mut().remove(&target);
        self.clusters.borrow_mut().remove(&target);
    }

    /// Ends everything, before a scenario that wants the machine to itself.
    pub(super) fn drop_all(&self) {
        self.nodes.borrow_mut().clear();
        self.clusters.borrow_mut().clear();
    }
}
