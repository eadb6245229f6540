//! `klamm partition`: where partitions are, and who leads them.

mod elect_leader;
mod list_offline;
pub(crate) mod moving;
pub(crate) mod placement;
mod reassign;

use clap::Subcommand;

use crate::failure::Failure;

/// Move partitions, elect their leaders, list those that are offline
#[derive(Debug, Subcommand)]
pub(crate) enum PartitionCommand {
    Reassign(reassign::Reassign),
    ElectLeader(elect_leader::ElectLeader),
    ListOffline(list_offline::ListOffline),
}

impl PartitionCommand {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Reassign(command) => command.run().await,
            Self::ElectLeader(command) => command.run().await,
            Self::ListOffline(command) => command.run().await,
        }
    }
}
