//! `klamm partition elect-leader`.

use std::collections::BTreeSet;

use clap::Args;
use klamm_client::{Admin, ElectionType, Outcomes, TopicPartition};
use klamm_protocol::ErrorCode;

use crate::advice::sort_out;
use crate::arguments::TopicPartitions;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::Output;
use crate::topic::partitions_of;

const EXAMPLES: &str = "\
Examples:
  klamm partition elect-leader --all                      back to the preferred leaders after a restart
  klamm partition elect-leader orders:0,3-5 payments
  klamm partition elect-leader orders:2 --unclean         a leader at any price: unsynced records are lost";

/// Give partitions their preferred leader, or any leader at all
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ElectLeader {
    /// Topics, or some partitions of them, as orders:0,2-4
    #[arg(value_name = "TOPIC[:PARTITIONS]", value_parser = TopicPartitions::parse, required_unless_present = "all")]
    partitions: Vec<TopicPartitions>,

    /// All partitions that need it
    #[arg(short, long, conflicts_with = "partitions")]
    all: bool,

    /// Where no replica in sync is left, take one that is not; records it lacks are lost
    #[arg(long)]
    unclean: bool,

    #[command(flatten)]
    connection: Connection,
}

impl ElectLeader {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let admin = self.connection.admin()?;
        let outcomes = self.elect(&admin).await?;
        let (needless, outcomes): (Vec<_>, Outcomes<_, _>) = outcomes.into_iter().partition(
            |(_, outcome)| matches!(outcome, Err(refusal) if refusal.code == ErrorCode::ELECTION_NOT_NEEDED),
        );
        let (elected, refused) = sort_out(outcomes, ToString::to_string);
        let mut output = Output::stdout();
        for (partition, ()) in &elected {
            output.line(format!("elected a leader of {partition}"))?;
        }
        // Of those that nobody named there may be thousands.
        for (partition, _) in needless.iter().filter(|_| !self.all) {
            output.line(format!("{partition} needs no election"))?;
        }
        if self.all && elected.is_empty() && refused.is_ok() {
            output.line("no partition needs an election")?;
        }
        output.flush()?;
        refused
    }

    async fn elect(&self, admin: &Admin) -> Result<Outcomes<TopicPartition, ()>, Failure> {
        let election = if self.unclean { ElectionType::Unclean } else { ElectionType::Preferred };
        let partitions = match self.all {
            true => None,
            false => Some(self.chosen(admin).await?.into_iter().collect::<Vec<_>>()),
        };
        Ok(admin.elect_leaders(election, partitions.as_deref()).await?)
    }

    async fn chosen(&self, admin: &Admin) -> Result<BTreeSet<TopicPartition>, Failure> {
        let chosen = partitions_of(admin, &self.partitions).await?;
        Ok(chosen.into_keys().collect())
    }
}
