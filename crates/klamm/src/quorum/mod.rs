//! `klamm quorum`: the controllers and their log.

mod add_voter;
mod describe;
mod remove_voter;

use clap::{Args, Subcommand};
use klamm_client::Admin;

use crate::connection::Connection;
use crate::failure::Failure;

/// Describe the metadata quorum, add and remove voters
#[derive(Debug, Subcommand)]
pub(crate) enum QuorumCommand {
    Describe(describe::Describe),
    AddVoter(add_voter::AddVoter),
    RemoveVoter(remove_voter::RemoveVoter),
}

impl QuorumCommand {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Describe(command) => command.run().await,
            Self::AddVoter(command) => command.run().await,
            Self::RemoveVoter(command) => command.run().await,
        }
    }
}

/// Whom to ask: brokers, or the controllers themselves, who answer when no broker does.
#[derive(Args, Debug)]
struct QuorumConnection {
    /// Controllers to ask instead of brokers; several are separated by commas
    #[arg(long, value_name = "HOST:PORT", help_heading = "Connection")]
    bootstrap_controller: Option<String>,

    #[command(flatten)]
    connection: Connection,
}

impl QuorumConnection {
    fn admin(&self) -> Result<Admin, Failure> {
        match &self.bootstrap_controller {
            Some(controllers) => self.connection.controllers_admin(controllers),
            None => self.connection.admin(),
        }
    }
}
