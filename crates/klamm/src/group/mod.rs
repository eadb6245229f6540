//! `klamm group`: consumer groups and their offsets.

mod delete;
mod describe;
mod list;
mod reset_offsets;
mod reset_plan;

use clap::Subcommand;

use crate::failure::Failure;

/// List, describe and delete consumer groups, reset their offsets
#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    List(list::List),
    Describe(describe::Describe),
    Delete(delete::Delete),
    ResetOffsets(reset_offsets::ResetOffsets),
}

impl GroupCommand {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        match self {
            Self::List(command) => command.run().await,
            Self::Describe(command) => command.run().await,
            Self::Delete(command) => command.run().await,
            Self::ResetOffsets(command) => command.run().await,
        }
    }
}
