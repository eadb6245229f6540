//! `klamm format`: a node's folders made ready for a cluster.

use std::path::PathBuf;

use clap::Args;
use klamm_broker::{FormatOptions, FormattedDirectory, InitialController, InitialControllers, format};
use klamm_config::load::{Options, load};
use serde_json::{Value, json};

use crate::arguments::key_value;
use crate::environment;
use crate::failure::Failure;
use crate::output::Output;
use crate::random_uuid::random_uuid;
use crate::start::all_problems;

const EXAMPLES: &str = "\
Examples:
  klamm format --config server.properties --standalone              one node that others can join later
  klamm format --config server.properties --cluster-id $ID \\
      --initial-controllers 1@a:9093:$DIR1,2@b:9093:$DIR2,3@c:9093:$DIR3
  klamm format --config server.properties --cluster-id $ID --no-initial-controllers     a node that joins

Format every node of a cluster with the same cluster id, and the same initial controllers: klamm random-uuid
makes ids. With controller.quorum.voters in the file none of the three options is needed. A node that is a
cluster of its own needs none of this: klamm start formats its folders, with a file or without.";

/// Make a node's data folders ready for a cluster
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Format {
    /// The node's server.properties
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,

    /// A setting, several times if need be
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,

    /// The cluster's id; a new one where the node stands alone
    #[arg(short = 't', long, value_name = "ID", required_unless_present = "standalone")]
    cluster_id: Option<String>,

    /// This controller is the quorum's only voter; others can be added later
    #[arg(short, long)]
    standalone: bool,

    /// The quorum's first voters: node id, controller address and directory id of each
    #[arg(
        short = 'I',
        long,
        value_name = "ID@HOST:PORT:DIRECTORY,…",
        value_delimiter = ',',
        conflicts_with = "standalone"
    )]
    initial_controllers: Vec<InitialController>,

    /// No voters: the node finds them by controller.quorum.bootstrap.servers
    #[arg(short = 'N', long, conflicts_with_all = ["standalone", "initial_controllers"])]
    no_initial_controllers: bool,

    /// The release whose features the cluster begins with, as 4.4 or 4.4-IV2; the latest where not given
    #[arg(short, long, value_name = "VERSION")]
    release_version: Option<String>,

    /// The level of a feature, as kraft.version=1, several times if need be
    #[arg(short, long, value_name = "NAME=LEVEL", value_parser = feature_level)]
    feature: Vec<(String, i16)>,

    /// Leave folders that are formatted as they are
    #[arg(short = 'g', long)]
    ignore_formatted: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Format {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let options =
            Options { file: Some(self.config.clone()), set: self.set.clone(), ..Options::default() };
        let loaded = load(&options).map_err(all_problems)?;
        let options = self.options();
        let (environment, threads) = environment::start(1)?;
        let formatted = format(&environment, &loaded.node, &options);
        threads.stop();
        let formatted = formatted.map_err(|error| Failure::new(error.to_string()))?;
        self.print(&options.cluster_id, &formatted)
    }

    fn options(&self) -> FormatOptions {
        FormatOptions {
            cluster_id: self.cluster_id.clone().unwrap_or_else(|| random_uuid().to_string()),
            controllers: self.controllers(),
            release_version: self.release_version.clone(),
            features: self.feature.iter().cloned().collect(),
            ignore_formatted: self.ignore_formatted,
        }
    }

    fn controllers(&self) -> InitialControllers {
        match (self.standalone, self.no_initial_controllers, self.initial_controllers.as_slice()) {
            (true, ..) => InitialControllers::Standalone,
            (_, true, _) => InitialControllers::Nobody,
            (_, _, []) => InitialControllers::Configured,
            (_, _, controllers) => InitialControllers::Named(controllers.to_vec()),
        }
    }

    fn print(&self, cluster_id: &str, formatted: &[FormattedDirectory]) -> Result<(), Failure> {
        let mut output = Output::stdout();
        if self.json {
            let directories: Value = formatted.iter().map(as_json).collect();
            output.json(&json!({ "cluster_id": cluster_id, "directories": directories }))?;
        } else {
            formatted.iter().try_for_each(|directory| output.line(line_of(cluster_id, directory)))?;
        }
        output.flush()
    }
}

fn feature_level(text: &str) -> Result<(String, i16), String> {
    let (name, level) = key_value(text)?;
    let level = level.parse().ok().filter(|level| *level >= 0);
    level
        .map(|level| (name, level))
        .ok_or_else(|| "expected a feature and its level, as kraft.version=1".to_owned())
}

fn line_of(cluster_id: &str, directory: &FormattedDirectory) -> String {
    let path = directory.path.display();
    match directory.was_formatted {
        true => format!("{path} is formatted already, and was left as it is"),
        false => format!(
            "formatted {path} as directory {} of cluster {cluster_id}, metadata version {}",
            directory.directory_id, directory.metadata_version
        ),
    }
}

fn as_json(directory: &FormattedDirectory) -> Value {
    json!({
        "path": directory.path.display().to_string(),
        "directory_id": directory.directory_id.to_string(),
        "holds_metadata": directory.is_metadata,
        "was_formatted": directory.was_formatted,
        "metadata_version": directory.metadata_version.to_string(),
    })
}
