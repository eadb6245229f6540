//! `klamm topic describe`.

use std::collections::HashMap;
use std::sync::Arc;

use clap::Args;
use klamm_client::{Admin, ConfigEntry, ConfigResource, ConfigSource, Partition, Topic};
use serde_json::{Map, Value, json};

use crate::advice::sort_out;
use crate::config::resource::shown_value;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::Table;

const EXAMPLES: &str = "\
Examples:
  klamm topic describe orders
  klamm topic describe --under-replicated
  klamm topic describe orders --json";

/// Show the partitions of topics, their leaders and replicas, and the topics' own settings
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Describe {
    /// Names of topics; all but Kafka's own where none is given
    #[arg(value_name = "TOPIC")]
    topics: Vec<String>,

    /// Only partitions that have replicas out of sync
    #[arg(long)]
    under_replicated: bool,

    /// Only partitions without a leader
    #[arg(long)]
    unavailable: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,
}

/// A topic and the settings that somebody has given it.
type Described = (Arc<Topic>, Vec<ConfigEntry>);

impl Describe {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let admin = self.connection.admin()?;
        let (topics, missing) = self.topics(&admin).await?;
        let described = with_settings(&admin, topics).await?;
        let mut output = Output::stdout();
        if self.json {
            output.json(&described.iter().map(|topic| self.as_json(topic)).collect())?;
        } else {
            described.iter().try_for_each(|topic| self.print(&mut output, topic))?;
        }
        output.flush()?;
        missing
    }

    /// The topics there are, and the failure about those there are not.
    async fn topics(&self, admin: &Admin) -> Result<(Vec<Arc<Topic>>, Result<(), Failure>), Failure> {
        if self.topics.is_empty() {
            return Ok((admin.list_topics(false).await?, Ok(())));
        }
        let outcomes = admin.describe_topics(&self.topics).await?;
        let (found, missing) = sort_out(outcomes, |name| format!("topic {name}"));
        Ok((found.into_iter().map(|(_, topic)| topic).collect(), missing))
    }

    fn is_wanted(&self, partition: &Partition) -> bool {
        (!self.under_replicated || partition.isr.len() < partition.replicas.len())
            && (!self.unavailable || partition.leader.is_none())
    }

    fn is_filtered(&self) -> bool {
        self.under_replicated || self.unavailable
    }

    fn print(&self, output: &mut Output, (topic, settings): &Described) -> Result<(), Failure> {
        let mut table = Table::new(&[">PARTITION", ">LEADER", ">EPOCH", "REPLICAS", "IN SYNC", "OFFLINE"]);
        let wanted: Vec<&Partition> =
            topic.partitions.iter().filter(|partition| self.is_wanted(partition)).collect();
        if wanted.is_empty() && self.is_filtered() {
            return Ok(());
        }
        for partition in wanted {
            table.row([
                partition.index.to_string(),
                partition.leader.map_or_else(|| "none".to_owned(), |leader| leader.to_string()),
                partition.leader_epoch.to_string(),
                ids(&partition.replicas),
                ids(&partition.isr),
                ids(&partition.offline),
            ]);
        }
        let settings = settings.iter().map(|entry| format!("  {}={}", entry.name, shown_value(entry)));
        output.line(format!("{}  id {}{}", topic.name, topic.id, settings.collect::<String>()))?;
        output.line(table.render())
    }

    fn as_json(&self, (topic, settings): &Described) -> Value {
        let partitions = topic.partitions.iter().filter(|partition| self.is_wanted(partition));
        let settings = settings.iter().map(|entry| (entry.name.clone(), entry.value.clone().into()));
        json!({
            "name": *topic.name,
            "id": topic.id.to_string(),
            "internal": topic.is_internal,
            "settings": settings.collect::<Map<_, _>>(),
            "partitions": partitions.map(|partition| json!({
                "partition": partition.index,
                "leader": partition.leader,
                "leader_epoch": partition.leader_epoch,
                "replicas": partition.replicas,
                "isr": partition.isr,
                "offline": partition.offline,
            })).collect::<Value>(),
        })
    }
}

/// Adds each topic's own settings; a topic whose settings may not be seen has none here.
async fn with_settings(admin: &Admin, topics: Vec<Arc<Topic>>) -> Result<Vec<Described>, Failure> {
    let resources: Vec<_> = topics.iter().map(|topic| ConfigResource::topic(&*topic.name)).collect();
    let answers = admin.describe_configs(&resources, false).await?;
    let mut settings: HashMap<_, _> =
        answers.into_iter().filter_map(|(resource, entries)| Some((resource.name, entries.ok()?))).collect();
    let own = |topic: Arc<Topic>| {
        let mut entries = settings.remove(&*topic.name).unwrap_or_default();
        entries.retain(|entry| entry.source == ConfigSource::DynamicTopic);
        (topic, entries)
    };
    Ok(topics.into_iter().map(own).collect())
}

/// Ids of brokers as a list; a dash for none.
fn ids(brokers: &[i32]) -> String {
    if brokers.is_empty() {
        return "-".to_owned();
    }
    brokers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
