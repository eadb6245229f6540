//! `klamm cluster`: the cluster as a whole.

mod describe;
mod dev;
mod health;
pub(crate) mod picture;

use clap::Subcommand;

use crate::failure::Failure;
use crate::{block_on, noting_delay};

/// Describe a cluster, say whether it is healthy, run one for development
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    Describe(describe::Describe),
    Health(health::Health),
    Dev(dev::Dev),
}

impl ClusterCommand {
    pub(crate) fn run(&self, verbose: u8) -> Result<(), Failure> {
        match self {
            Self::Describe(command) => block_on(noting_delay(command.run())),
            Self::Health(command) => block_on(noting_delay(command.run())),
            Self::Dev(command) => command.run(verbose),
        }
    }
}
