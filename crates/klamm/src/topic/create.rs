//! `klamm topic create`.

use clap::Args;
use klamm_client::{CreatedTopic, NewTopic, Refusal, ResourceType};
use klamm_protocol::ErrorCode;

use crate::advice::sort_out;
use crate::arguments::key_value;
use crate::config::resource::warn_of_no_effect;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  klamm topic create orders
  klamm topic create orders payments --partitions 12 --replication-factor 3
  klamm topic create users --config cleanup.policy=compact
  klamm topic create placed --replica-assignment 1:2,2:3,3:1";

/// Create topics
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Create {
    /// Names of the topics
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,

    /// Number of partitions; the broker's num.partitions where not given
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,

    /// Number of replicas of each partition; the broker's default.replication.factor where not given
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,

    /// The brokers of every partition: partitions separated by commas, their brokers by colons, the leader first
    #[arg(long, value_name = "ID:ID,…", conflicts_with_all = ["partitions", "replication_factor"], value_parser = Assignment::parse)]
    replica_assignment: Option<Assignment>,

    /// A setting of the topic, several times if need be; `klamm settings --topic` lists them
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = key_value)]
    config: Vec<(String, String)>,

    /// Leave topics that exist as they are, without an error
    #[arg(long)]
    if_not_exists: bool,

    /// Only check whether the topics could be created
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    connection: Connection,
}

/// The replicas of every partition, the preferred leader first.
#[derive(Clone, Debug, PartialEq)]
struct Assignment(Vec<Vec<i32>>);

impl Assignment {
    fn parse(text: &str) -> Result<Self, String> {
        let broker = |id: &str| id.parse::<i32>().ok().filter(|id| *id >= 0);
        let partition = |list: &str| list.split(':').map(broker).collect::<Option<Vec<_>>>();
        let partitions = text.split(',').map(partition).collect::<Option<Vec<_>>>();
        partitions
            .map(Self)
            .ok_or_else(|| "expected broker ids, as 1:2,2:3 for two partitions of two replicas".to_owned())
    }
}

impl Create {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let topics: Vec<NewTopic> = self.topics.iter().map(|name| self.new_topic(name)).collect();
        let mut outcomes = self.connection.admin()?.create_topics(&topics, self.dry_run).await?;
        if self.if_not_exists {
            outcomes.retain(|(_, outcome)| !exists_already(outcome));
        }
        let (created, result) = sort_out(outcomes, |name| format!("topic {name}"));
        let mut output = Output::stdout();
        for (name, topic) in created {
            output.line(self.report(&name, &topic))?;
        }
        output.flush()?;
        warn_of_no_effect(ResourceType::Topic, self.config.iter().map(|(name, _)| name.as_str()));
        result
    }

    fn new_topic(&self, name: &str) -> NewTopic {
        let assignment = self.replica_assignment.iter().flat_map(|assignment| assignment.0.iter().cloned());
        NewTopic {
            name: name.to_owned(),
            partitions: self.partitions,
            replication_factor: self.replication_factor,
            assignment: (0..).zip(assignment).collect(),
            configs: self.config.iter().cloned().collect(),
        }
    }

    fn report(&self, name: &str, topic: &CreatedTopic) -> String {
        let what = if self.dry_run { "could create" } else { "created" };
        match topic.partitions {
            ..0 => format!("{what} {name}"),
            count => {
                format!("{what} {name}: partitions {count}, replication factor {}", topic.replication_factor)
            }
        }
    }
}

fn exists_already<T>(outcome: &Result<T, Refusal>) -> bool {
    outcome.as_ref().is_err_and(|refusal| refusal.code == ErrorCode::TOPIC_ALREADY_EXISTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments() {
        assert_eq!(Assignment::parse("1"), Ok(Assignment(vec![vec![1]])));
        assert_eq!(Assignment::parse("1:2,2:3"), Ok(Assignment(vec![vec![1, 2], vec![2, 3]])));
        for text in ["", "1:", "a", "1,,2", "-1"] {
            assert!(Assignment::parse(text).is_err(), "{text}");
        }
    }
}
