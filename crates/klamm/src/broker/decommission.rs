//! `klamm broker decommission`.

use std::time::Duration;

use clap::Args;
use klamm_client::{Admin, ClusterDescription, ClusterNode, Reassignment, TopicPartition};

use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::Output;
use crate::partition::moving::{self, Moves};
use crate::partition::placement::{Assignment, Place, Places, load_of, place};
use crate::progress_line::ProgressLine;

const EXAMPLES: &str = "\
Without --execute nothing is changed: it says what would be moved. With it the broker's replicas move to the
others; then stop the broker's process, and as soon as it is gone it is unregistered. A command that was
interrupted goes on where it was when it is run again.

Examples:
  klamm broker decommission 3
  klamm broker decommission 3 --execute --throttle 50000000

A broker that is a controller as well keeps its vote: klamm quorum remove-voter takes it away.";

/// Move everything away from a broker, then forget it
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Decommission {
    /// The broker's id
    #[arg(value_parser = clap::value_parser!(i32).range(0..))]
    id: i32,

    /// Bytes per second that each broker may spend on the move
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    throttle: Option<u64>,

    /// Do it
    #[arg(short = 'x', long)]
    execute: bool,

    #[command(flatten)]
    connection: Connection,
}

/// Between two looks at whether the broker has stopped.
const LOOK: Duration = Duration::from_millis(500);

impl Decommission {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let admin = self.connection.admin()?;
        let cluster = admin.describe_cluster(true).await?;
        if cluster.brokers.iter().all(|node| node.broker.id != self.id) {
            let id = self.id;
            return Err(Failure::new(format!(
                "there is no broker {id}; klamm cluster describe shows the brokers"
            )));
        }
        let mut output = Output::stdout();
        // Topics made while others move may land on it again.
        loop {
            let moves = self.moves(&admin, &cluster).await?;
            if moves.is_empty() {
                break;
            }
            output.line(self.plan_line(&moves))?;
            output.flush()?;
            if !self.execute {
                return Ok(());
            }
            moving::carry_out(&admin, &moves, self.throttle).await?;
        }
        output.line(format!("broker {} holds nothing", self.id))?;
        output.flush()?;
        if self.execute { self.unregister(&admin, &mut output).await } else { Ok(()) }
    }

    fn plan_line(&self, moves: &Moves) -> String {
        let (id, count) = (self.id, moves.len());
        let partitions = if count == 1 { "1 partition".to_owned() } else { format!("{count} partitions") };
        match self.execute {
            true => format!("moving {partitions} away from broker {id}"),
            false => {
                format!(
                    "would move {partitions} away from broker {id}.\nNothing was changed; add --execute to do it."
                )
            }
        }
    }

    /// What has to move for the broker to hold nothing, moves under way included.
    async fn moves(&self, admin: &Admin, cluster: &ClusterDescription) -> Result<Moves, Failure> {
        let topics = admin.list_topics(true).await?;
        let under_way = admin.list_partition_reassignments(None).await?;
        let (mut before, mut targets) = (Assignment::new(), Assignment::new());
        for (topic, partition) in topics.iter().flat_map(|t| t.partitions.iter().map(move |p| (t, p))) {
            let name = TopicPartition::new(&topic.name, partition.index);
            let target = under_way.get(&name).map(Reassignment::target);
            targets.insert(name.clone(), target.unwrap_or_else(|| partition.replicas.clone()));
            before.insert(name, partition.replicas.clone());
        }
        let load = load_of(&targets);
        before.retain(|_, replicas| replicas.contains(&self.id));
        targets.retain(|name, _| before.contains_key(name));
        let planned = place(&targets, &self.places(cluster), load, None).map_err(|error| {
            Failure::new(format!(
                "{error}; add a broker, or lower its replicas with klamm partition reassign"
            ))
        })?;
        Ok(moving::moves(&before, &planned))
    }

    /// The others. One that is down keeps its replicas, and gets no more.
    fn places(&self, cluster: &ClusterDescription) -> Places {
        let others = cluster.brokers.iter().filter(|node| node.broker.id != self.id);
        let place =
            |node: &ClusterNode| Place { rack: node.broker.rack.clone(), takes_more: !node.is_fenced };
        others.map(|node| (node.broker.id, place(node))).collect()
    }

    /// Waits for the process to be stopped: a broker that runs would not know that it is forgotten.
    async fn unregister(&self, admin: &Admin, output: &mut Output) -> Result<(), Failure> {
        let mut line = ProgressLine::new(true);
        let mut is_told = false;
        while is_serving(admin, self.id).await? {
            if !is_told {
                output
                    .line(format!("stop the process of broker {} now; waiting for it to be gone", self.id))?;
                output.flush()?;
                is_told = true;
            }
            line.show(|| format!("broker {} still runs", self.id));
            tokio::time::sleep(LOOK).await;
        }
        drop(line);
        admin.unregister_broker(self.id).await?;
        output.line(format!("broker {} is unregistered", self.id))?;
        output.flush()
    }
}

async fn is_serving(admin: &Admin, id: i32) -> Result<bool, Failure> {
    let cluster = admin.describe_cluster(true).await?;
    Ok(cluster.brokers.iter().any(|node| node.broker.id == id && !node.is_fenced))
}
