//! `klamm group reset-offsets`.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use klamm_client::{Admin, GroupOffset, IsolationLevel, OffsetSpec, TopicPartition};
use serde_json::{Value, json};

use crate::advice::sort_out;
use crate::arguments::TopicPartitions;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::group::reset_plan::{self, PartitionState, Reset, Target};
use crate::output::Output;
use crate::table::Table;
use crate::time;
use crate::topic::partitions_of;

const EXAMPLES: &str = "\
Without --execute nothing is changed: the plan is printed.

Examples:
  klamm group reset-offsets billing --topic orders --to-earliest
  klamm group reset-offsets billing --all-topics --to-datetime 2026-03-31T18:00:00Z --execute
  klamm group reset-offsets billing --topic orders:0,3-5 --shift-by -100 --execute

The group must have no members: stop its consumers first.";

/// Move the offsets of a group without members: print the plan, or carry it out
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, override_usage = "klamm group reset-offsets <GROUP> <--topic <TOPIC>|--all-topics> <WHERE TO> [OPTIONS]")]
pub(crate) struct ResetOffsets {
    /// Name of the group
    group: String,

    /// A topic, or some partitions of one, as orders:0,2-4; several times if need be
    #[arg(short, long, value_name = "TOPIC[:PARTITIONS]", value_parser = TopicPartitions::parse, required_unless_present = "all_topics")]
    topic: Vec<TopicPartitions>,

    /// All topics the group has offsets for
    #[arg(long, conflicts_with = "topic")]
    all_topics: bool,

    /// Carry the plan out
    #[arg(short = 'x', long)]
    execute: bool,

    /// Print the plan and change nothing; this is the default
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: TargetArgs,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
#[command(next_help_heading = "Where to (one of)")]
struct TargetArgs {
    /// The oldest records there are
    #[arg(long)]
    to_earliest: bool,

    /// The end: only what arrives from now on
    #[arg(long)]
    to_latest: bool,

    /// Where the offsets are; the end for partitions without one
    #[arg(long)]
    to_current: bool,

    /// This offset
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    to_offset: Option<i64>,

    /// The first record at or after a time; UTC unless it names a zone
    #[arg(long, value_name = "DATETIME", value_parser = datetime)]
    to_datetime: Option<i64>,

    /// The first record not older than this, as 2h, 7d or PT2H
    #[arg(long, value_name = "DURATION", value_parser = time::parse_duration)]
    by_duration: Option<i64>,

    /// So many records forwards, or backwards with -N
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    shift_by: Option<i64>,
}

fn datetime(text: &str) -> Result<i64, String> {
    time::parse_datetime(text).ok_or_else(|| "expected a datetime, as 2026-03-31T18:00:00Z".to_owned())
}

impl TargetArgs {
    /// The one that was given; ages count from `now_ms`.
    fn target(&self, now_ms: i64) -> Target {
        let flags = [
            (self.to_earliest, Target::Earliest),
            (self.to_latest, Target::Latest),
            (self.to_current, Target::Current),
        ];
        let given = flags.into_iter().find_map(|(given, target)| given.then_some(target));
        given
            .or(self.to_offset.map(Target::Offset))
            .or(self.to_datetime.map(Target::Time))
            .or(self.by_duration.map(|age_ms| Target::Time(now_ms.saturating_sub(age_ms))))
            .or(self.shift_by.map(Target::ShiftBy))
            .expect("the command line has exactly one of the targets")
    }
}

impl ResetOffsets {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let admin = self.connection.admin()?;
        let target = self.target.target(time::now_ms());
        let committed = admin.list_group_offsets(&self.group, None).await?;
        let partitions = self.partitions(&admin, &committed).await?;
        let states = partition_states(&admin, target, partitions, &committed).await?;
        let plan = reset_plan::plan(target, states).map_err(|error| Failure::new(error.to_string()))?;
        if self.execute {
            self.carry_out(&admin, &plan).await?;
        }
        let mut output = Output::stdout();
        self.print(&mut output, &plan)?;
        output.flush()
    }

    /// The partitions that were asked for.
    async fn partitions(
        &self,
        admin: &Admin,
        committed: &BTreeMap<TopicPartition, GroupOffset>,
    ) -> Result<BTreeSet<TopicPartition>, Failure> {
        if self.all_topics {
            if committed.is_empty() {
                return Err(Failure::new(format!(
                    "group {} has no offsets; name topics with --topic",
                    self.group
                )));
            }
            return Ok(committed.keys().cloned().collect());
        }
        Ok(partitions_of(admin, &self.topic).await?.into_keys().collect())
    }

    async fn carry_out(&self, admin: &Admin, plan: &[Reset]) -> Result<(), Failure> {
        let offset = |reset: &Reset| {
            let partition = TopicPartition::new(&reset.topic, reset.partition);
            (partition, GroupOffset { offset: reset.after, leader_epoch: None, metadata: String::new() })
        };
        let outcomes = admin.alter_group_offsets(&self.group, &plan.iter().map(offset).collect()).await?;
        sort_out(outcomes, ToString::to_string).1
    }

    fn print(&self, output: &mut Output, plan: &[Reset]) -> Result<(), Failure> {
        if self.json {
            let line = |reset: &Reset| {
                json!({
                    "topic": reset.topic,
                    "partition": reset.partition,
                    "before": reset.before,
                    "after": reset.after,
                })
            };
            let resets: Value = plan.iter().map(line).collect();
            return output.json(&json!({ "group": self.group, "executed": self.execute, "offsets": resets }));
        }
        let mut table = Table::new(&["TOPIC", ">PARTITION", ">BEFORE", ">AFTER"]);
        for reset in plan {
            table.row([
                reset.topic.clone(),
                reset.partition.to_string(),
                reset.before.map_or_else(|| "-".to_owned(), |before| before.to_string()),
                reset.after.to_string(),
            ]);
        }
        output.bytes(table.render().as_bytes())?;
        if self.execute { Ok(()) } else { output.line("Nothing was changed; add --execute to do it.") }
    }
}

/// Asks for all that the plan has to know.
async fn partition_states(
    admin: &Admin,
    target: Target,
    partitions: BTreeSet<TopicPartition>,
    committed: &BTreeMap<TopicPartition, GroupOffset>,
) -> Result<Vec<PartitionState>, Failure> {
    let earliest = list_offsets(admin, &partitions, OffsetSpec::Earliest).await?;
    let latest = list_offsets(admin, &partitions, OffsetSpec::Latest).await?;
    let at_time = match target {
        Target::Time(ms) => list_offsets(admin, &partitions, OffsetSpec::Timestamp(ms)).await?,
        _ => BTreeMap::new(),
    };
    let state = |partition: TopicPartition| PartitionState {
        committed: committed.get(&partition).map(|committed| committed.offset),
        earliest: earliest.get(&partition).copied().flatten().unwrap_or(0),
        latest: latest.get(&partition).copied().flatten().unwrap_or(0),
        at_time: at_time.get(&partition).copied().flatten(),
        topic: partition.topic.to_string(),
        partition: partition.partition,
    };
    Ok(partitions.into_iter().map(state).collect())
}

async fn list_offsets(
    admin: &Admin,
    partitions: &BTreeSet<TopicPartition>,
    spec: OffsetSpec,
) -> Result<BTreeMap<TopicPartition, Option<i64>>, Failure> {
    let specs = partitions.iter().map(|partition| (partition.clone(), spec)).collect();
    let outcomes = admin.list_offsets(&specs, IsolationLevel::ReadUncommitted).await?;
    let (listed, refused) = sort_out(outcomes, ToString::to_string);
    refused?;
    Ok(listed.into_iter().map(|(partition, listed)| (partition, listed.offset)).collect())
}
