//! `klamm cluster health`.

use clap::Args;
use klamm_client::TopicPartition;
use serde_json::{Value, json};

use crate::cluster::picture::{Findings, Picture};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::Output;

const EXAMPLES: &str = "\
The exit code is 0 for a healthy cluster and 1 for one that is not, or that does not answer.

Examples:
  klamm cluster health
  klamm cluster health --json | jq .offline";

/// Say whether a cluster is healthy, and what is wrong if it is not
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Health {
    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,
}

impl Health {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let findings = Picture::take(&self.connection.admin()?).await?.findings();
        let problems = findings.problems();
        let mut output = Output::stdout();
        if self.json {
            output.json(&as_json(&findings, problems.is_empty()))?;
        } else {
            print(&mut output, &findings)?;
        }
        output.flush()?;
        if problems.is_empty() { Ok(()) } else { Err(Failure::new(problems.join(", "))) }
    }
}

fn print(output: &mut Output, findings: &Findings) -> Result<(), Failure> {
    if findings.problems().is_empty() {
        return output.line("healthy");
    }
    let brokers = |ids: &[i32]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let partitions = |list: &[TopicPartition]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let lists = [
        ("fenced brokers", brokers(&findings.fenced)),
        ("voters behind", brokers(&findings.voters_behind)),
        ("offline", partitions(&findings.offline)),
        ("below min.insync.replicas", partitions(&findings.under_min_isr)),
        ("under-replicated", partitions(&findings.under_replicated)),
    ];
    let found = lists.into_iter().filter(|(_, items)| !items.is_empty());
    found.map(|(name, items)| format!("{name}: {}", items.join(" "))).try_for_each(|line| output.line(line))
}

fn as_json(findings: &Findings, is_healthy: bool) -> Value {
    let list = |partitions: &[TopicPartition]| -> Value {
        let item = |p: &TopicPartition| json!({ "topic": *p.topic, "partition": p.partition });
        partitions.iter().map(item).collect()
    };
    json!({
        "healthy": is_healthy,
        "fenced": findings.fenced,
        "has_controller": findings.has_quorum_leader,
        "voters_behind": findings.voters_behind,
        "offline": list(&findings.offline),
        "under_min_isr": list(&findings.under_min_isr),
        "under_replicated": list(&findings.under_replicated),
    })
}
