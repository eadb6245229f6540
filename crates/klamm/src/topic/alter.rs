//! `klamm topic alter`.

use std::collections::BTreeMap;

use clap::Args;
use klamm_client::{AlterConfig, ConfigResource, NewPartitions, ResourceType};

use crate::advice::sort_out;
use crate::arguments::key_value;
use crate::config::resource::{delete, describe_change, set, warn_of_no_effect};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  klamm topic alter orders --partitions 24
  klamm topic alter orders --config retention.ms=86400000 --delete-config max.message.bytes

Keys are mapped to partitions by their number: with more partitions, records of a key no longer follow the earlier ones.";

/// Add partitions to a topic, or change its settings
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
#[group(id = "change", required = true, multiple = true, args = ["partitions", "config", "delete_config"])]
pub(crate) struct Alter {
    /// Name of the topic
    topic: String,

    /// The new number of partitions; it can only grow
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,

    /// A setting to change, several times if need be
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = key_value)]
    config: Vec<(String, String)>,

    /// A setting to bring back to its default
    #[arg(long, value_name = "NAME")]
    delete_config: Vec<String>,

    #[command(flatten)]
    connection: Connection,
}

impl Alter {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let admin = self.connection.admin()?;
        let mut output = Output::stdout();
        if let Some(total) = self.partitions {
            let new = NewPartitions { total, assignment: None };
            let outcomes =
                admin.create_partitions(&BTreeMap::from([(self.topic.clone(), new)]), false).await?;
            sort_out(outcomes, |name| format!("topic {name}")).1?;
            output.line(format!("{} has {total} partitions now", self.topic))?;
        }
        let changes = self.changes();
        if !changes.is_empty() {
            let described: Vec<String> = changes.iter().map(describe_change).collect();
            let resource = ConfigResource::topic(&self.topic);
            let outcomes = admin.alter_configs(&[(resource, changes)], false).await?;
            sort_out(outcomes, |resource| format!("topic {}", resource.name)).1?;
            described.into_iter().try_for_each(|change| output.line(format!("{}: {change}", self.topic)))?;
        }
        output.flush()?;
        warn_of_no_effect(ResourceType::Topic, self.config.iter().map(|(name, _)| name.as_str()));
        Ok(())
    }

    fn changes(&self) -> Vec<AlterConfig> {
        let set = self.config.iter().map(|(name, value)| set(name, value));
        set.chain(self.delete_config.iter().map(|name| delete(name))).collect()
    }
}
