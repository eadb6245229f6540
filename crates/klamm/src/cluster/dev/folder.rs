//! The folders of a development cluster: written and formatted once, then left as they are.

use std::fs;
use std::path::{Path, PathBuf};

use klamm_broker::{FormatOptions, InitialController, InitialControllers, format};
use klamm_config::endpoint::HostPort;
use klamm_config::load::{Loaded, Options, load};
use klamm_config::properties;

use crate::cluster::picture::address;
use crate::environment;
use crate::failure::{Context, Failure};
use crate::random_uuid::random_uuid;
use crate::start::all_problems;

const HOST: &str = "127.0.0.1";
/// From a node's port for clients to its port for controllers.
const CONTROLLER_PORT_DISTANCE: u16 = 100;

/// A development cluster's folder.
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) nodes: u16,
    pub(super) base_port: u16,
    pub(super) has_static_voters: bool,
}

/// A node that can be started.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: u16,
    /// Its server.properties.
    pub(super) file: PathBuf,
    /// Where clients reach it.
    pub(super) address: String,
}

impl Folder {
    /// Writes what is missing.
    pub(super) fn prepare(&self) -> Result<Vec<Node>, Failure> {
        let loaded = (1..=self.nodes).map(|id| self.load(id)).collect::<Result<Vec<_>, _>>()?;
        self.format(&loaded)?;
        let nodes = (1..).zip(&loaded).map(|(id, loaded)| {
            let listener = loaded.node.advertised_broker_listeners.first();
            let address = listener.map(|l| address(l.host.as_deref().unwrap_or(HOST), l.port));
            Node { id, file: self.file(id), address: address.unwrap_or_default() }
        });
        Ok(nodes.collect())
    }

    fn load(&self, id: u16) -> Result<Loaded, Failure> {
        let file = self.file(id);
        let shown = file.display();
        if !file.exists() {
            fs::create_dir_all(self.folder(id)).context(|| format!("cannot create the folder of {shown}"))?;
            fs::write(&file, self.properties(id)?).context(|| format!("cannot write {shown}"))?;
        }
        load(&Options { file: Some(file), ..Options::default() }).map_err(all_problems)
    }

    /// Formats the nodes that are new. Where the cluster exists already they come without a vote.
    fn format(&self, loaded: &[Loaded]) -> Result<(), Failure> {
        let known = loaded.iter().find_map(|loaded| cluster_id(&loaded.node.metadata_log_dir));
        let controllers = match (&known, self.has_static_voters) {
            (_, true) => InitialControllers::Configured,
            (Some(_), _) => InitialControllers::Nobody,
            (None, _) => InitialControllers::Named(self.initial_controllers()),
        };
        let options = FormatOptions {
            cluster_id: known.unwrap_or_else(|| random_uuid().to_string()),
            controllers,
            release_version: None,
            features: Default::default(),
            ignore_formatted: true,
        };
        let (environment, threads) = environment::start(1)?;
        let formatted = loaded.iter().try_for_each(|loaded| {
            let formatted = format(&environment, &loaded.node, &options).map(|_| ());
            formatted.context(|| format!("cannot format node {}", loaded.node.node_id))
        });
        threads.stop();
        formatted
    }

    fn initial_controllers(&self) -> Vec<InitialController> {
        let controller = |id: u16| InitialController {
            node_id: id.into(),
            address: HostPort { host: HOST.to_owned(), port: self.controller_port(id) },
            directory_id: random_uuid(),
        };
        (1..=self.nodes).map(controller).collect()
    }

    fn properties(&self, id: u16) -> Result<String, Failure> {
        let data =
            std::path::absolute(self.folder(id)).context(|| "cannot tell the folder's path".to_owned())?;
        let (port, controller_port) = (self.port(id), self.controller_port(id));
        let (replicas, min_isr) = (self.nodes.min(3), if self.nodes < 3 { 1 } else { 2 });
        Ok(format!(
            "# Node {id} of a development cluster; klamm cluster dev has written it once, and reads it since.\n\
             process.roles=broker,controller\n\
             node.id={id}\n\
             listeners=PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
             {}\n\
             log.dirs={}\n\
             default.replication.factor={replicas}\n\
             min.insync.replicas={min_isr}\n\
             offsets.topic.replication.factor={replicas}\n\
             group.initial.rebalance.delay.ms=0\n",
            self.voters(),
            data.join("data").display()
        ))
    }

    fn voters(&self) -> String {
        let ids = 1..=self.nodes;
        if self.has_static_voters {
            let voters = ids.map(|id| format!("{id}@{HOST}:{}", self.controller_port(id)));
            format!("controller.quorum.voters={}", voters.collect::<Vec<_>>().join(","))
        } else {
            let servers = ids.map(|id| format!("{HOST}:{}", self.controller_port(id)));
            format!("controller.quorum.bootstrap.servers={}", servers.collect::<Vec<_>>().join(","))
        }
    }

    fn folder(&self, id: u16) -> PathBuf {
        self.path.join(format!("node-{id}"))
    }

    fn file(&self, id: u16) -> PathBuf {
        self.folder(id).join("server.properties")
    }

    fn port(&self, id: u16) -> u16 {
        self.base_port + id - 1
    }

    fn controller_port(&self, id: u16) -> u16 {
        self.port(id) + CONTROLLER_PORT_DISTANCE
    }
}

/// The id of the cluster that a directory was formatted for.
fn cluster_id(directory: &Path) -> Option<String> {
    let bytes = fs::read(directory.join("meta.properties")).ok()?;
    let properties = properties::parse(&bytes).ok()?;
    properties.into_iter().find(|property| property.key == "cluster.id").map(|property| property.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(path: &Path, nodes: u16, has_static_voters: bool) -> Folder {
        Folder { path: path.to_owned(), nodes, base_port: 19000, has_static_voters }
    }

    #[test]
    fn nodes_are_of_one_cluster_and_can_be_added() {
        let directory = tempfile::tempdir().unwrap();
        for (count, has_static_voters) in [(3, false), (5, false)] {
            let nodes = folder(directory.path(), count, has_static_voters).prepare().unwrap();
            let addresses: Vec<_> = nodes.iter().map(|node| node.address.as_str()).collect();
            assert_eq!(addresses[..3], ["127.0.0.1:19000", "127.0.0.1:19001", "127.0.0.1:19002"]);
            let id = |node: &Node| cluster_id(&node.file.parent().unwrap().join("data"));
            let ids: Vec<_> = nodes.iter().map(id).collect();
            assert_eq!(ids.len(), usize::from(count));
            assert!(ids[0].is_some() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        }
    }

    #[test]
    fn a_file_is_written_once() {
        let directory = tempfile::tempdir().unwrap();
        let nodes = folder(directory.path(), 1, true).prepare().unwrap();
        let edited = fs::read_to_string(&nodes[0].file).unwrap().replace(":19000", ":19007");
        fs::write(&nodes[0].file, edited).unwrap();
        assert_eq!(folder(directory.path(), 1, true).prepare().unwrap()[0].address, "127.0.0.1:19007");
    }
}
