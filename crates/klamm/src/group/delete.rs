//! `klamm group delete`.

use clap::Args;

use crate::advice::sort_out;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::Output;

/// Delete groups without members, and their offsets
#[derive(Args, Debug)]
pub(crate) struct Delete {
    /// Names of the groups
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,

    #[command(flatten)]
    connection: Connection,
}

impl Delete {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let outcomes = self.connection.admin()?.delete_groups(&self.groups).await?;
        let (deleted, result) = sort_out(outcomes, |name| format!("group {name}"));
        let mut output = Output::stdout();
        deleted.iter().try_for_each(|(name, ())| output.line(format!("deleted {name}")))?;
        output.flush()?;
        result
    }
}
