//! `klamm topic`: topics, made, shown, changed, deleted.

mod alter;
mod create;
mod delete;
mod describe;
mod list;
mod partitions;

use clap::Subcommand;

pub(crate) use self::partitions::partitions_of;
use crate::failure::Failure;

/// Create, list, describe, alter and delete topics
#[derive(Debug, Subcommand)]
pub(crate) enum TopicCommand {
    Create(create::Create),
    List(list::List),
    Describe(describe::Describe),
    Alter(alter::Alter),
    Delete(delete::Delete),
}

impl TopicCommand {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Create(command) => command.run().await,
            Self::List(command) => command.run().await,
            Self::Describe(command) => command.run().await,
            Self::Alter(command) => command.run().await,
            Self::Delete(command) => command.run().await,
        }
    }
}
