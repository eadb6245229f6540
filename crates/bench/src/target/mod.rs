//! What is measured: Klamm, Apache Kafka, and two floors that show what the machine itself costs.

mod cluster;
mod kafka;
mod klamm;
mod node;
pub(crate) mod null;
pub(crate) mod sendfile;

use std::fmt;
use std::path::PathBuf;
use std::process::Command;

pub(crate) use cluster::Cluster;
pub(crate) use kafka::VERSION as KAFKA_VERSION;
pub(crate) use node::Node;
use node::Places;

use crate::arguments::Arguments;
use crate::failure::{Failure, Result};

const CLUSTER_ID: &str = "a2xhbW0tYmVuY2htYXJrcw";

/// Whose process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub(crate) enum Target {
    Klamm,
    Kafka,
    /// Frames, checksums and appends; nothing else of a broker's duties.
    Null,
    /// Canned heads and file contents.
    Sendfile,
}

impl Target {
    /// Floors have no topics and no settings.
    pub(crate) fn is_floor(self) -> bool {
        matches!(self, Self::Null | Self::Sendfile)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Klamm => "Klamm",
            Self::Kafka => "Apache Kafka",
            Self::Null => "null broker",
            Self::Sendfile => "sendfile",
        })
    }
}

/// Starts targets, each in a folder of its own.
#[derive(Debug)]
pub(crate) struct Launcher {
    /// The broker's binary.
    pub(crate) klamm: PathBuf,
    /// Where the nodes' data goes.
    pub(crate) folder: PathBuf,
}

impl Launcher {
    /// A new node on a free port, with these settings besides the usual ones; runs once it accepts connections.
    pub(crate) fn launch(&self, target: Target, settings: &[(&str, &str)]) -> Result<Node> {
        let mut node = Node::create(self, target, (&Places::free(1)?, 0), settings)?;
        node.start(self)?;
        Ok(node)
    }
}

/// Klamm's binary: the one that was named, or the release build of these sources.
pub(crate) fn klamm_binary(arguments: &Arguments) -> Result<PathBuf> {
    if arguments.needs_build() {
        klamm::build()?;
    }
    arguments.klamm.clone().map_or_else(klamm::beside_this_binary, Ok)
}

/// Runs a program that prepares something, to its end.
fn run(command: &mut Command, what: &str) -> Result<()> {
    let output = command.output().map_err(Failure::doing(what))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(Failure::Other(format!("{what}: {}", String::from_utf8_lossy(&said))))
}
