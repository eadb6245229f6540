//! How commands find a cluster: the options every client command has, made into clients.

use std::path::PathBuf;

use clap::Args;
use klamm_client::{Admin, AdminConfig, ConsumerConfig, ProducerConfig};
use klamm_config::properties;

use crate::arguments::key_value;
use crate::failure::{Context, Failure};

/// Which cluster, and how to talk to it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// Brokers to learn the cluster from; several are separated by commas
    #[arg(
        short = 'b',
        long,
        value_name = "HOST:PORT",
        env = "KLAMM_BOOTSTRAP",
        default_value = "127.0.0.1:9092",
        hide_env_values = true
    )]
    bootstrap_server: String,

    /// A properties file of client settings, as Kafka's tools take it
    #[arg(long, value_name = "FILE")]
    command_config: Option<PathBuf>,

    /// A client setting under Kafka's name, over those of the file
    #[arg(long, value_name = "NAME=VALUE", value_parser = key_value)]
    property: Vec<(String, String)>,
}

/// A person waits less long than a server: a quarter of Kafka's defaults, unless file or flags say otherwise.
const PATIENCE: [(&str, &str); 2] = [("default.api.timeout.ms", "15000"), ("max.block.ms", "15000")];

/// Client settings in the order they are applied: the last one of a name counts.
type Properties = Vec<(String, String)>;

impl Connection {
    pub(crate) fn admin(&self) -> Result<Admin, Failure> {
        let properties = self.properties(&AdminConfig::names(), &[])?;
        let config = AdminConfig::from_properties(pairs(&properties)).map_err(wrong_setting)?;
        Ok(Admin::new(config))
    }

    /// A client that asks controllers instead of brokers.
    pub(crate) fn controllers_admin(&self, controllers: &str) -> Result<Admin, Failure> {
        let asked = ("bootstrap.controllers", controllers.to_owned());
        let mut properties = self.properties(&AdminConfig::names(), &[asked])?;
        properties.retain(|(name, _)| name != "bootstrap.servers");
        let config = AdminConfig::from_properties(pairs(&properties)).map_err(wrong_setting)?;
        Ok(Admin::new(config))
    }

    /// `options` are settings that the command's own options stand for.
    pub(crate) fn producer_config(&self, options: &[(&str, String)]) -> Result<ProducerConfig, Failure> {
        let properties = self.properties(&ProducerConfig::names(), options)?;
        ProducerConfig::from_properties(pairs(&properties)).map_err(wrong_setting)
    }

    /// `options` are settings that the command's own options stand for.
    pub(crate) fn consumer_config(&self, options: &[(&str, String)]) -> Result<ConsumerConfig, Failure> {
        let properties = self.properties(&ConsumerConfig::names(), options)?;
        ConsumerConfig::from_properties(pairs(&properties)).map_err(wrong_setting)
    }

    /// Our defaults, the file's settings over them, then those of the options, and `--property` over all.
    fn properties(&self, known: &[&str], options: &[(&str, String)]) -> Result<Properties, Failure> {
        let patience = PATIENCE.iter().filter(|(name, _)| known.contains(name));
        let mut properties: Properties =
            patience.map(|(name, ms)| ((*name).to_owned(), (*ms).to_owned())).collect();
        properties.extend(self.file_properties()?);
        // One file may serve producers, consumers and admin clients: what is another's is not an error here.
        properties.retain(|(name, _)| known.contains(&name.as_str()) || !is_known_to_any(name));
        properties.push(("bootstrap.servers".to_owned(), self.bootstrap_server.clone()));
        properties.extend(options.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        properties.extend(self.property.iter().cloned());
        Ok(properties)
    }

    fn file_properties(&self) -> Result<Properties, Failure> {
        let Some(path) = &self.command_config else { return Ok(Vec::new()) };
        let shown = path.display();
        let bytes = std::fs::read(path).context(|| format!("cannot read --command-config {shown}"))?;
        let properties = properties::parse(&bytes).context(|| format!("{shown} is no properties file"))?;
        Ok(properties.into_iter().map(|property| (property.key, property.value)).collect())
    }
}

fn is_known_to_any(name: &str) -> bool {
    [AdminConfig::names(), ProducerConfig::names(), ConsumerConfig::names()].concat().contains(&name)
}

fn pairs(properties: &Properties) -> impl Iterator<Item = (&str, &str)> {
    properties.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

fn wrong_setting(error: klamm_client::ConfigError) -> Failure {
    Failure::new(format!("{error} (from --property or --command-config)"))
}
