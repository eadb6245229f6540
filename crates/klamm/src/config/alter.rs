//! Changing settings: what `set` and `delete` have in common.

use klamm_client::{AlterConfig, ConfigResource};

use crate::advice::sort_out;
use crate::config::resource::{describe_change, name_of, warn_of_no_effect};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::Output;

/// Makes the changes and reports them, and which of them have no effect; with `dry_run` only asks whether they would be accepted.
pub(crate) async fn alter(
    connection: &Connection,
    resource: ConfigResource,
    changes: Vec<AlterConfig>,
    dry_run: bool,
) -> Result<(), Failure> {
    let lines: Vec<String> = changes.iter().map(describe_change).collect();
    let (name, kind) = (name_of(&resource), resource.kind);
    let names: Vec<String> = changes.iter().map(|change| change.name.clone()).collect();
    let outcomes = connection.admin()?.alter_configs(&[(resource, changes)], dry_run).await?;
    sort_out(outcomes, name_of).1?;
    let mut output = Output::stdout();
    let note = if dry_run { " (would be accepted; nothing was changed)" } else { "" };
    lines.iter().try_for_each(|line| output.line(format!("{name}: {line}{note}")))?;
    output.flush()?;
    warn_of_no_effect(kind, names.iter().map(String::as_str));
    Ok(())
}
