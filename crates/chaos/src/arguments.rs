//! The command line.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use clap::Parser;

use crate::draw::Kind;
use crate::failure::{Failure, Result};

const EXAMPLES: &str = "\
Examples:
  klamm-chaos --cycles 200
  klamm-chaos --nodes 5 --seed 7 --faults kill,pause,isolate
  klamm-chaos --cycles 20 --node-command './kafka broker'      another implementation; its folders are formatted by klamm";

/// Kill, pause and cut off real nodes under load, then check what clients were told
#[derive(Debug, Parser)]
#[command(name = "klamm-chaos", after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Arguments {
    /// How many nodes, each broker and controller
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(3..=9))]
    pub(crate) nodes: u16,

    /// How many faults
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) cycles: u32,

    /// What decides the schedule; drawn where not given
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// The kinds of faults to draw from; all where not given, a full disk only as root
    #[arg(long, value_name = "KIND,…", value_delimiter = ',')]
    pub(crate) faults: Vec<Kind>,

    /// Records per second of each producer
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(10..))]
    pub(crate) rate: u32,

    /// How many producers
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) producers: u8,

    /// How many seconds the cluster has to be in sync again after a fault
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    sync_within: u64,

    /// Keep the voters in the nodes' files instead of the metadata log
    #[arg(long)]
    pub(crate) static_voters: bool,

    /// The klamm binary; built beside this one where not given
    #[arg(long, value_name = "FILE")]
    klamm: Option<PathBuf>,

    /// What runs a node, with its server.properties as last argument; klamm start --config where not given
    #[arg(long, value_name = "COMMAND")]
    pub(crate) node_command: Option<String>,

    /// The first of the ports, of which each node takes ten
    #[arg(long, value_name = "PORT", default_value_t = 29_000, value_parser = clap::value_parser!(u16).range(1..=60_000))]
    pub(crate) base_port: u16,

    /// The folder of the run; a temporary one where not given
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,

    /// Keep the folder even when all went well
    #[arg(long)]
    pub(crate) keep: bool,

    /// A setting of all nodes, several times if need be
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
}

impl Arguments {
    pub(crate) fn sync_within(&self) -> Duration {
        Duration::from_secs(self.sync_within)
    }

    /// The binary that was named, or the one that the sources make, in the profile in which this program was made.
    pub(crate) fn klamm(&self) -> Result<PathBuf> {
        if let Some(binary) = &self.klamm {
            return Ok(binary.clone());
        }
        let binary = std::env::current_exe()?.with_file_name("klamm");
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build
            .args(["build", "--quiet", "-p", "klamm", "--bin", "klamm"])
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        if binary.parent().is_some_and(|folder| folder.ends_with("release")) {
            build.arg("--release");
        }
        match build.status()?.success() {
            true => Ok(binary),
            false => Err(Failure::new("klamm could not be built")),
        }
    }

    /// The faults to draw from.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        match self.faults.as_slice() {
            [] if rustix::process::geteuid().is_root() => Kind::ALL.to_vec(),
            [] => Kind::ALL.iter().copied().filter(|kind| *kind != Kind::FullDisk).collect(),
            faults => faults.to_vec(),
        }
    }
}
