//! `klamm topic list`.

use clap::Args;
use klamm_client::Topic;
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::Output;

/// List the names of topics
#[derive(Args, Debug)]
pub(crate) struct List {
    /// List Kafka's own topics too, as __consumer_offsets
    #[arg(short, long)]
    internal: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,
}

impl List {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let topics = self.connection.admin()?.list_topics(self.internal).await?;
        let mut output = Output::stdout();
        if self.json {
            output.json(&topics.iter().map(|topic| as_json(topic)).collect())?;
        } else {
            topics.iter().try_for_each(|topic| output.line(&topic.name))?;
        }
        output.flush()
    }
}

fn as_json(topic: &Topic) -> Value {
    json!({
        "name": *topic.name,
        "id": topic.id.to_string(),
        "internal": topic.is_internal,
        "partitions": topic.partitions.len(),
        "replication_factor": topic.partitions.first().map_or(0, |partition| partition.replicas.len()),
    })
}
