//! `klamm config describe`.

use clap::Args;
use klamm_client::{ConfigEntry, ConfigResource};
use serde_json::{Value, json};

use crate::advice::sort_out;
use crate::config::resource::{Resource, is_own, name_of, shown_value, source_text};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::Table;

const EXAMPLES: &str = "\
Examples:
  klamm config describe --topic orders            what was set for the topic
  klamm config describe --topic orders --all      everything, with where it comes from
  klamm config describe --broker 1 log.dirs num.partitions
  klamm config describe --cluster";

/// Show settings that were changed, or all
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Describe {
    /// Names of settings; those that were set where none is given
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Show those at their defaults too
    #[arg(short, long)]
    all: bool,

    /// Print JSON, with synonyms
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    resource: Resource,

    #[command(flatten)]
    connection: Connection,
}

impl Describe {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let resource = self.resource.resource();
        let outcomes = self.connection.admin()?.describe_configs(&[resource], self.json).await?;
        let (described, refused) = sort_out(outcomes, name_of);
        refused?;
        let mut output = Output::stdout();
        for (resource, mut entries) in described {
            self.check_names(&resource, &entries)?;
            entries.retain(|entry| self.is_wanted(&resource, entry));
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            self.print(&mut output, &resource, &entries)?;
        }
        output.flush()
    }

    fn is_wanted(&self, resource: &ConfigResource, entry: &ConfigEntry) -> bool {
        match self.names.is_empty() {
            true => self.all || is_own(resource, entry),
            false => self.names.contains(&entry.name),
        }
    }

    fn check_names(&self, resource: &ConfigResource, entries: &[ConfigEntry]) -> Result<(), Failure> {
        let unknown = self.names.iter().find(|name| entries.iter().all(|entry| entry.name != **name));
        unknown.map_or(Ok(()), |name| {
            Err(Failure::new(format!(
                "{} has no setting {name}; --all shows those it has",
                name_of(resource)
            )))
        })
    }

    fn print(
        &self,
        output: &mut Output,
        resource: &ConfigResource,
        entries: &[ConfigEntry],
    ) -> Result<(), Failure> {
        if self.json {
            return output.json(&entries.iter().map(as_json).collect());
        }
        if entries.is_empty() {
            return output
                .line(format!("nothing was set for {}; --all shows defaults too", name_of(resource)));
        }
        let mut table = Table::new(&["NAME", "VALUE", "FROM"]);
        for entry in entries {
            table.row([
                entry.name.clone(),
                shown_value(entry).to_owned(),
                source_text(entry.source).to_owned(),
            ]);
        }
        output.bytes(table.render().as_bytes())
    }
}

fn as_json(entry: &ConfigEntry) -> Value {
    let synonyms = entry.synonyms.iter().map(|synonym| {
        json!({ "name": synonym.name, "value": synonym.value, "from": source_text(synonym.source) })
    });
    json!({
        "name": entry.name,
        "value": entry.value,
        "from": source_text(entry.source),
        "sensitive": entry.is_sensitive,
        "read_only": entry.is_read_only,
        "synonyms": synonyms.collect::<Value>(),
        "doc": entry.documentation,
    })
}
