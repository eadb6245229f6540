//! `klamm cluster dev`: a whole cluster on one machine, each node a process of this binary.

mod folder;
mod processes;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use self::folder::Folder;
use self::processes::{Event, Processes};
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  klamm cluster dev                                        3 nodes on 127.0.0.1:9092, 9093 and 9094
  klamm cluster dev --nodes 5 --data /tmp/five --base-port 19000
  klamm cluster dev --set num.partitions=6

Each node has a folder with its server.properties, which is yours to edit: it is written once and then left as it
is. Controllers listen 100 ports above. A node that ends is not started again; Ctrl-C stops them all, and the same
command goes on with the same data. More --nodes than before join as brokers without a vote.";

/// How long nodes may take to stop before they are killed.
const STOP_TIME_MAX: Duration = Duration::from_secs(30);

/// A second signal within this time is the same wish arriving twice, to the process and to its group.
const SAME_WISH: Duration = Duration::from_secs(1);

/// Run a whole cluster on this machine, for trying and for tests
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Dev {
    /// How many nodes, each broker and controller
    #[arg(short, long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: u16,

    /// The folder for all nodes
    #[arg(short, long, value_name = "DIR", default_value = "klamm-cluster")]
    data: PathBuf,

    /// The first node's port; the others follow
    #[arg(long, value_name = "PORT", default_value_t = 9092, value_parser = clap::value_parser!(u16).range(1..=65000))]
    base_port: u16,

    /// A setting of all nodes, several times if need be
    #[arg(short, long, value_name = "NAME=VALUE")]
    set: Vec<String>,

    /// Fix the voters in the nodes' files (controller.quorum.voters) instead of keeping them in the metadata log
    #[arg(long)]
    static_voters: bool,
}

impl Dev {
    /// Runs until it is asked to stop, or no node is left. `verbose` is passed on.
    pub(crate) fn run(&self, verbose: u8) -> Result<(), Failure> {
        let began = Instant::now();
        let folder = Folder {
            path: self.data.clone(),
            nodes: self.nodes,
            base_port: self.base_port,
            has_static_voters: self.static_voters,
        };
        let nodes = folder.prepare()?;
        let mut options: Vec<String> =
            self.set.iter().flat_map(|set| ["--set".to_owned(), set.clone()]).collect();
        options.extend(std::iter::repeat_n("-v".to_owned(), usize::from(verbose)));
        let mut processes = Processes::start(&nodes, &options)?;
        let mut is_told = false;
        while processes.running() > 0 {
            match processes.next() {
                Event::Line(node, line) => say(&format!("node {node} | {line}")),
                Event::Ended(node, status) => {
                    say(&format!(
                        "klamm: node {node} ended ({status}); {} of {} go on",
                        processes.running(),
                        nodes.len()
                    ));
                }
                Event::AskedToStop => return stop(&mut processes),
            }
            if !is_told && processes.are_ready() {
                is_told = true;
                say(&ready_line(&folder, &processes, began));
            }
        }
        Err(Failure::new("no node is left"))
    }
}

fn ready_line(folder: &Folder, processes: &Processes, began: Instant) -> String {
    let took = began.elapsed().as_millis();
    let (running, all) = (processes.running(), folder.nodes);
    let nodes = match (running == usize::from(all), all) {
        (true, 1) => "1 node".to_owned(),
        (true, _) => format!("{all} nodes"),
        (false, _) => format!("{running} of {all} nodes"),
    };
    format!("klamm: cluster of {nodes} is ready on {} after {took} ms", processes.bootstrap())
}

/// Asks all to stop, and kills those that take too long, or all where it is asked for again.
fn stop(processes: &mut Processes) -> Result<(), Failure> {
    let asked = Instant::now();
    let deadline = asked + STOP_TIME_MAX;
    processes.terminate();
    let mut unclean = Vec::new();
    while processes.running() > 0 {
        match processes.next_before(deadline) {
            Some(Event::Line(node, line)) => say(&format!("node {node} | {line}")),
            Some(Event::Ended(_, status)) if status.success() => {}
            Some(Event::Ended(node, status)) => unclean.push(format!("node {node} ended with {status}")),
            Some(Event::AskedToStop) if asked.elapsed() < SAME_WISH => {}
            Some(Event::AskedToStop) | None => processes.kill(),
        }
    }
    if unclean.is_empty() { Ok(()) } else { Err(Failure::new(unclean.join(", "))) }
}

/// A closed standard error leaves nobody to tell.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
