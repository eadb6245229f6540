//! `klamm cluster`: the cluster as a whole.

mod describe;
mod health;
pub(crate) mod picture;

use clap::Subcommand;

use crate::failure::Failure;

/// Describe a cluster and say whether it is healthy
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    Describe(describe::Describe),
    Health(health::Health),
}

impl ClusterCommand {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Describe(command) => command.run().await,
            Self::Health(command) => command.run().await,
        }
    }
}
