//! `klamm config`: settings of a running cluster.

mod alter;
mod delete;
mod describe;
mod list;
pub(crate) mod resource;
mod set;

use clap::Subcommand;

use crate::failure::Failure;

/// List, describe, set and delete settings of topics, brokers, groups and the cluster
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    List(list::List),
    Describe(describe::Describe),
    Set(set::Set),
    Delete(delete::Delete),
}

impl ConfigCommand {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        match self {
            Self::List(command) => command.run().await,
            Self::Describe(command) => command.run().await,
            Self::Set(command) => command.run().await,
            Self::Delete(command) => command.run().await,
        }
    }
}
