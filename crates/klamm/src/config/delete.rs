//! `klamm config delete`.

use clap::Args;

use crate::config::alter::alter;
use crate::config::resource::{self, Resource};
use crate::connection::Connection;
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  klamm config delete --topic orders retention.ms
  klamm config delete --broker 1 max.connections";

/// Bring settings back to what they are without having been set
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Delete {
    /// Names of the settings
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,

    /// Only check whether the change would be accepted
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    resource: Resource,

    #[command(flatten)]
    connection: Connection,
}

impl Delete {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let changes = self.names.iter().map(|name| resource::delete(name)).collect();
        alter(&self.connection, self.resource.resource(), changes, self.dry_run).await
    }
}
