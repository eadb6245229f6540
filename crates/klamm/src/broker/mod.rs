//! `klamm broker`: a single broker of a cluster.

mod decommission;

use clap::Subcommand;

use crate::failure::Failure;

/// Take a broker out of a cluster
#[derive(Debug, Subcommand)]
pub(crate) enum BrokerCommand {
    Decommission(decommission::Decommission),
}

impl BrokerCommand {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Decommission(command) => command.run().await,
        }
    }
}
