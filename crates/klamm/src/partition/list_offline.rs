//! `klamm partition list-offline`.

use clap::Args;
use klamm_client::{Admin, PartitionDescription};
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::Table;

const EXAMPLES: &str = "\
A partition without a leader comes back when a broker of its ISR does, or one that is eligible. Where none of
them ever will, klamm partition elect-leader --unclean makes another replica leader, and loses records.

Examples:
  klamm partition list-offline
  klamm partition list-offline --json";

/// List partitions without a leader, and who could lead them
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ListOffline {
    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,
}

impl ListOffline {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let offline = offline(&self.connection.admin()?).await?;
        let mut output = Output::stdout();
        if self.json {
            output.json(&offline.iter().map(as_json).collect())?;
        } else if offline.is_empty() {
            output.line("every partition has a leader")?;
        } else {
            output.bytes(table_of(&offline).render().as_bytes())?;
        }
        output.flush()
    }
}

async fn offline(admin: &Admin) -> Result<Vec<PartitionDescription>, Failure> {
    let topics = admin.list_topics(true).await?;
    let names = topics.iter().filter(|topic| topic.partitions.iter().any(|p| p.leader.is_none()));
    let mut described = admin.describe_partitions(names.map(|topic| &*topic.name)).await?;
    described.retain(|partition| partition.leader.is_none());
    Ok(described)
}

fn table_of(offline: &[PartitionDescription]) -> Table {
    let mut table = Table::new(&["PARTITION", "REPLICAS", "IN SYNC", "ELIGIBLE", "LAST ELIGIBLE", "OFFLINE"]);
    for partition in offline {
        table.row([
            partition.partition.to_string(),
            ids(&partition.replicas),
            ids(&partition.isr),
            ids(&partition.eligible_leaders),
            ids(&partition.last_known_eligible),
            ids(&partition.offline),
        ]);
    }
    table
}

/// Ids of brokers as a list; a dash for none.
pub(crate) fn ids(brokers: &[i32]) -> String {
    if brokers.is_empty() {
        return "-".to_owned();
    }
    brokers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn as_json(partition: &PartitionDescription) -> Value {
    json!({
        "topic": *partition.partition.topic,
        "partition": partition.partition.partition,
        "leader_epoch": partition.leader_epoch,
        "replicas": partition.replicas,
        "isr": partition.isr,
        "eligible_leaders": partition.eligible_leaders,
        "last_known_eligible": partition.last_known_eligible,
        "offline": partition.offline,
    })
}
