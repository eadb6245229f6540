//! The command line as a whole: what `klamm` alone prints, and the options every command has.

use clap::{ArgAction, Parser, Subcommand};

use crate::broker::BrokerCommand;
use crate::cluster::ClusterCommand;
use crate::completions::Completions;
use crate::config::ConfigCommand;
use crate::consume::Consume;
use crate::format::Format;
use crate::group::GroupCommand;
use crate::log::LogCommand;
use crate::partition::PartitionCommand;
use crate::produce::Produce;
use crate::quorum::QuorumCommand;
use crate::random_uuid::RandomUuid;
use crate::settings::Settings;
use crate::start::Start;
use crate::topic::TopicCommand;

const EXAMPLES: &str = "\
Examples:
  klamm start                                      a broker on 127.0.0.1:9092, data in ./klamm-data
  klamm topic create greetings --partitions 3      a topic
  echo hello | klamm produce greetings             a record for every line
  klamm consume greetings --from-beginning         and back
  klamm help consume                               all about one command";

/// Apache Kafka, rebuilt: a broker and its tools in one binary.
#[derive(Debug, Parser)]
#[command(name = "klamm", version, after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Cli {
    /// Log more to standard error, -vv and -vvv still more; RUST_LOG overrides it.
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Every command")]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Start(Start),
    Format(Format),
    #[command(subcommand)]
    Topic(TopicCommand),
    Produce(Produce),
    Consume(Consume),
    #[command(subcommand)]
    Group(GroupCommand),
    #[command(subcommand)]
    Config(ConfigCommand),
    #[command(subcommand)]
    Cluster(ClusterCommand),
    #[command(subcommand)]
    Quorum(QuorumCommand),
    #[command(subcommand)]
    Partition(PartitionCommand),
    #[command(subcommand)]
    Broker(BrokerCommand),
    #[command(subcommand)]
    Log(LogCommand),
    Settings(Settings),
    RandomUuid(RandomUuid),
    Completions(Completions),
}
