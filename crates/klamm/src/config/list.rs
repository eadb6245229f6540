//! `klamm config list`.

use clap::Args;
use klamm_client::{Admin, ConfigEntry, ConfigResource};
use serde_json::{Value, json};

use crate::config::resource::{is_own, name_of, shown_value};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::Table;

/// List every setting that was changed while the cluster ran, of topics, brokers, groups and the cluster
#[derive(Args, Debug)]
pub(crate) struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,
}

impl List {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let admin = self.connection.admin()?;
        let answers = admin.describe_configs(&resources(&admin).await?, false).await?;
        // What may not be seen, or went away in between, has nothing to list.
        let seen = answers.into_iter().filter_map(|(resource, entries)| Some((resource, entries.ok()?)));
        let changed: Vec<(ConfigResource, ConfigEntry)> = seen
            .flat_map(|(resource, entries)| entries.into_iter().map(move |entry| (resource.clone(), entry)))
            .filter(|(resource, entry)| is_own(resource, entry))
            .collect();
        let mut output = Output::stdout();
        if self.json {
            output.json(&changed.iter().map(as_json).collect())?;
        } else {
            output.bytes(table_of(&changed).render().as_bytes())?;
        }
        output.flush()
    }
}

/// Everything that can have settings of its own.
async fn resources(admin: &Admin) -> Result<Vec<ConfigResource>, Failure> {
    let topics = admin.list_topics(true).await?;
    let brokers = admin.describe_cluster(false).await?.brokers;
    let groups = admin.list_groups(&[], &[]).await?;
    let cluster = [ConfigResource::broker(None)];
    Ok(cluster
        .into_iter()
        .chain(brokers.iter().map(|node| ConfigResource::broker(Some(node.broker.id))))
        .chain(topics.iter().map(|topic| ConfigResource::topic(&*topic.name)))
        .chain(groups.into_iter().map(|group| ConfigResource::group(group.id)))
        .collect())
}

fn table_of(changed: &[(ConfigResource, ConfigEntry)]) -> Table {
    let mut table = Table::new(&["WHOSE", "NAME", "VALUE"]);
    for (resource, entry) in changed {
        table.row([name_of(resource), entry.name.clone(), shown_value(entry).to_owned()]);
    }
    table
}

fn as_json((resource, entry): &(ConfigResource, ConfigEntry)) -> Value {
    json!({ "whose": name_of(resource), "name": entry.name, "value": entry.value })
}
