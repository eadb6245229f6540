//! `klamm group list`.

use clap::Args;
use klamm_client::GroupListing;
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::Table;

/// List groups
#[derive(Args, Debug)]
pub(crate) struct List {
    /// Only groups in these states, as Stable or Empty; several are separated by commas
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,
}

impl List {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let states: Vec<&str> = self.state.iter().map(String::as_str).collect();
        let groups = self.connection.admin()?.list_groups(&states, &[]).await?;
        let mut output = Output::stdout();
        if self.json {
            output.json(&groups.iter().map(as_json).collect())?;
        } else {
            output.bytes(table_of(groups).render().as_bytes())?;
        }
        output.flush()
    }
}

fn table_of(groups: Vec<GroupListing>) -> Table {
    let mut table = Table::new(&["GROUP", "STATE", "KIND", "PROTOCOL", ">COORDINATOR"]);
    for group in groups {
        table.row([group.id, group.state, group.kind, group.protocol_type, group.coordinator.to_string()]);
    }
    table
}

fn as_json(group: &GroupListing) -> Value {
    json!({
        "group": group.id,
        "state": group.state,
        "kind": group.kind,
        "protocol": group.protocol_type,
        "coordinator": group.coordinator,
    })
}
