//! `klamm log`: the files of a broker, without a broker.

mod checkpoint;
mod dump;
mod findings;
mod index;
mod record_text;
mod segment;
mod snapshot;

use clap::Subcommand;

use crate::failure::Failure;

/// Look into the files of a broker
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    Dump(dump::Dump),
}

impl LogCommand {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Dump(command) => command.run(),
        }
    }
}
