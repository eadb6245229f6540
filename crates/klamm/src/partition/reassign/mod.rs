//! `klamm partition reassign`.

mod plan;

use std::path::{Path, PathBuf};

use clap::Args;
use klamm_client::{Admin, Reassignment};
use serde_json::{Value, json};

use crate::arguments::TopicPartitions;
use crate::connection::Connection;
use crate::failure::{Context, Failure};
use crate::output::Output;
use crate::partition::list_offline::ids;
use crate::partition::moving::{self, Moves};
use crate::partition::placement::{Assignment, Place, Places, load_of, place};
use crate::table::Table;
use crate::topic::partitions_of;

const EXAMPLES: &str = "\
Without --execute nothing is changed: the plan is printed. With --json it is printed as a plan that can be
edited and given back, and that Kafka's own tool reads as well. A command that is stopped takes its throttle
off; the move itself goes on, until --cancel takes it back.

Examples:
  klamm partition reassign --topic orders --to 1,2,4
  klamm partition reassign --topic orders:0-3 --to 1,2,4 --replication-factor 3 --json > plan.json
  klamm partition reassign --plan plan.json --throttle 50000000 --execute
  klamm partition reassign --status
  klamm partition reassign --cancel --topic orders";

/// Move partitions to other brokers: print the plan, or carry it out and wait
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
#[group(id = "what", required = true, multiple = true, args = ["plan", "topic", "status", "cancel"])]
pub(crate) struct Reassign {
    /// The new replicas as JSON, in the form of Kafka's kafka-reassign-partitions
    #[arg(short, long, value_name = "FILE", conflicts_with = "topic")]
    plan: Option<PathBuf>,

    /// A topic to move, or some partitions of one, as orders:0,2-4; several times if need be
    #[arg(short, long, value_name = "TOPIC[:PARTITIONS]", value_parser = TopicPartitions::parse)]
    topic: Vec<TopicPartitions>,

    /// The brokers to move to; replicas on them stay where they are
    #[arg(long, value_name = "ID,…", value_delimiter = ',', requires = "topic")]
    to: Vec<i32>,

    /// The number of replicas to have then; as many as there are where not given
    #[arg(short, long, value_name = "N", requires = "to", value_parser = clap::value_parser!(u16).range(1..))]
    replication_factor: Option<u16>,

    /// Bytes per second that each broker may spend on the move
    #[arg(long, value_name = "BYTES", conflicts_with = "no_wait", value_parser = clap::value_parser!(u64).range(1..))]
    throttle: Option<u64>,

    /// Carry the plan out, and wait until all is moved
    #[arg(short = 'x', long)]
    execute: bool,

    /// Do not wait
    #[arg(long, requires = "execute")]
    no_wait: bool,

    /// Show what is being moved
    #[arg(long, conflicts_with_all = ["plan", "topic", "execute", "throttle", "cancel"])]
    status: bool,

    /// Go back to where the partitions were: of the plan, of the topics, or all that are being moved
    #[arg(long, conflicts_with_all = ["to", "execute", "throttle"])]
    cancel: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,
}

impl Reassign {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let admin = self.connection.admin()?;
        match (self.status, self.cancel) {
            (true, _) => self.show_status(&admin).await,
            (_, true) => self.cancel(&admin).await,
            _ => self.reassign(&admin).await,
        }
    }

    async fn reassign(&self, admin: &Admin) -> Result<(), Failure> {
        let moves = self.moves(admin).await?;
        let mut output = Output::stdout();
        self.print(&mut output, &moves)?;
        output.flush()?;
        if !self.execute || moves.is_empty() {
            return Ok(());
        }
        if self.no_wait {
            return moving::begin(admin, &moves, None).await;
        }
        moving::carry_out(admin, &moves, self.throttle).await?;
        if !self.json {
            output.line("moved")?;
        }
        output.flush()
    }

    async fn moves(&self, admin: &Admin) -> Result<Moves, Failure> {
        if let Some(file) = &self.plan {
            let planned = read_plan(file)?;
            let current = current(admin, &topics_of(&planned)).await?;
            if let Some(unknown) = planned.keys().find(|partition| !current.contains_key(partition)) {
                return Err(Failure::new(format!("{}: there is no partition {unknown}", file.display())));
            }
            return Ok(moving::moves(&current, &planned));
        }
        if self.to.is_empty() {
            return Err(Failure::usage("where to? Name the brokers with --to, or give a --plan"));
        }
        let current = current(admin, &self.topic).await?;
        let places = self.places(admin).await?;
        let replicas = self.replication_factor.map(usize::from);
        let planned = place(&current, &places, load_of(&current), replicas);
        let planned = planned.map_err(|error| Failure::new(error.to_string()))?;
        Ok(moving::moves(&current, &planned))
    }

    async fn places(&self, admin: &Admin) -> Result<Places, Failure> {
        let cluster = admin.describe_cluster(true).await?;
        let find = |id: &i32| {
            let known = cluster.brokers.iter().find(|node| node.broker.id == *id);
            let node = known.ok_or_else(|| {
                Failure::new(format!("there is no broker {id}; klamm cluster describe shows those there are"))
            })?;
            Ok((*id, Place { rack: node.broker.rack.clone(), takes_more: true }))
        };
        self.to.iter().map(find).collect()
    }

    fn print(&self, output: &mut Output, moves: &Moves) -> Result<(), Failure> {
        if self.json {
            return output.json(&plan::as_json(moves.iter().map(|(partition, m)| (partition, &m.after))));
        }
        if moves.is_empty() {
            return output.line("every partition is where it shall be");
        }
        let mut table = Table::new(&["PARTITION", "BEFORE", "AFTER"]);
        for (partition, m) in moves {
            table.row([partition.to_string(), ids(&m.before), ids(&m.after)]);
        }
        output.bytes(table.render().as_bytes())?;
        if self.execute { Ok(()) } else { output.line("Nothing was changed; add --execute to do it.") }
    }

    async fn show_status(&self, admin: &Admin) -> Result<(), Failure> {
        let under_way = admin.list_partition_reassignments(None).await?;
        let mut output = Output::stdout();
        if self.json {
            output.json(
                &under_way
                    .iter()
                    .map(|(name, reassignment)| {
                        json!({
                            "topic": *name.topic,
                            "partition": name.partition,
                            "replicas": reassignment.replicas,
                            "adding": reassignment.adding,
                            "removing": reassignment.removing,
                        })
                    })
                    .collect::<Value>(),
            )?;
        } else if under_way.is_empty() {
            output.line("nothing is being moved")?;
        } else {
            let mut table = Table::new(&["PARTITION", "REPLICAS", "ADDING", "REMOVING"]);
            for (name, Reassignment { replicas, adding, removing }) in &under_way {
                table.row([name.to_string(), ids(replicas), ids(adding), ids(removing)]);
            }
            output.bytes(table.render().as_bytes())?;
        }
        output.flush()
    }

    async fn cancel(&self, admin: &Admin) -> Result<(), Failure> {
        let mut under_way = admin.list_partition_reassignments(None).await?;
        if let Some(file) = &self.plan {
            let planned = read_plan(file)?;
            under_way.retain(|partition, _| planned.contains_key(partition));
        } else if !self.topic.is_empty() {
            let chosen = current(admin, &self.topic).await?;
            under_way.retain(|partition, _| chosen.contains_key(partition));
        }
        let mut output = Output::stdout();
        if under_way.is_empty() {
            output.line("nothing of that is being moved")?;
            return output.flush();
        }
        let (done, ended) = moving::cancel(admin, &under_way).await?;
        done.iter().try_for_each(|partition| output.line(format!("cancelled the move of {partition}")))?;
        output.flush()?;
        ended
    }
}

fn read_plan(file: &Path) -> Result<Assignment, Failure> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).context(|| format!("cannot read {shown}"))?;
    plan::parse(&text).context(|| format!("{shown} is no plan"))
}

/// All partitions of the topics that the plan names.
fn topics_of(planned: &Assignment) -> Vec<TopicPartitions> {
    let mut topics: Vec<&str> = planned.keys().map(|partition| &*partition.topic).collect();
    topics.dedup();
    let whole = |topic: &str| TopicPartitions { topic: topic.to_owned(), partitions: Vec::new() };
    topics.into_iter().map(whole).collect()
}

/// The replicas that partitions have, or will have when moves under way are done.
async fn current(admin: &Admin, wanted: &[TopicPartitions]) -> Result<Assignment, Failure> {
    let partitions = partitions_of(admin, wanted).await?;
    let under_way = admin.list_partition_reassignments(None).await?;
    let settled = partitions.into_iter().map(|(name, partition)| {
        let target = under_way.get(&name).map(Reassignment::target);
        (name, target.unwrap_or(partition.replicas))
    });
    Ok(settled.collect())
}
