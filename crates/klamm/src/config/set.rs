//! `klamm config set`.

use clap::Args;

use crate::arguments::key_value;
use crate::config::alter::alter;
use crate::config::resource::{self, Resource};
use crate::connection::Connection;
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  klamm config set --topic orders retention.ms=86400000 cleanup.policy=delete
  klamm config set --cluster log.retention.ms=86400000
  klamm config set --broker 1 max.connections=5000";

/// Change settings while the cluster runs; those not named stay as they are
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Set {
    /// Settings and their new values
    #[arg(required = true, value_name = "NAME=VALUE", value_parser = key_value)]
    settings: Vec<(String, String)>,

    /// Only check whether the change would be accepted
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    resource: Resource,

    #[command(flatten)]
    connection: Connection,
}

impl Set {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let changes = self.settings.iter().map(|(name, value)| resource::set(name, value)).collect();
        alter(&self.connection, self.resource.resource(), changes, self.dry_run).await
    }
}
