//! `klamm quorum describe`.

use clap::Args;
use klamm_client::{Quorum, QuorumReplica, Uuid};
use serde_json::{Value, json};

use crate::cluster::picture::address;
use crate::failure::Failure;
use crate::output::Output;
use crate::quorum::QuorumConnection;
use crate::table::Table;

const EXAMPLES: &str = "\
Examples:
  klamm quorum describe
  klamm quorum describe --bootstrap-controller 10.0.0.1:9093
  klamm quorum describe --json";

/// Show who votes in the metadata quorum, who leads, and who keeps up
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Describe {
    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: QuorumConnection,
}

impl Describe {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let quorum = self.connection.admin()?.describe_quorum().await?;
        let mut output = Output::stdout();
        if self.json {
            output.json(&as_json(&quorum))?;
        } else {
            output.line(headline(&quorum))?;
            output.bytes(table_of(&quorum).render().as_bytes())?;
        }
        output.flush()
    }
}

fn headline(quorum: &Quorum) -> String {
    let leader = if quorum.leader < 0 { "none".to_owned() } else { format!("node {}", quorum.leader) };
    format!("leader {leader}, epoch {}, high watermark {}\n", quorum.leader_epoch, quorum.high_watermark)
}

fn table_of(quorum: &Quorum) -> Table {
    let header = [">NODE", "ROLE", "DIRECTORY", "ADDRESS", ">LOG END", ">LAG", ">FETCHED", ">CAUGHT UP"];
    let mut table = Table::new(&header);
    for (role, replica) in replicas(quorum) {
        table.row([
            replica.id.to_string(),
            role.to_owned(),
            directory(replica).unwrap_or_else(|| "-".to_owned()),
            addresses(quorum, replica.id),
            known(replica.log_end_offset).map_or_else(|| "-".to_owned(), |offset| offset.to_string()),
            lag(quorum, replica).map_or_else(|| "-".to_owned(), |lag| lag.to_string()),
            ago(quorum, replica.last_fetch_ms),
            ago(quorum, replica.last_caught_up_ms),
        ]);
    }
    table
}

/// Voters first, the leader before them.
fn replicas(quorum: &Quorum) -> impl Iterator<Item = (&'static str, &QuorumReplica)> {
    let leads = |replica: &&QuorumReplica| replica.id == quorum.leader;
    let leader = quorum.voters.iter().filter(leads).map(|replica| ("leader", replica));
    let voters =
        quorum.voters.iter().filter(move |replica| !leads(replica)).map(|replica| ("voter", replica));
    leader.chain(voters).chain(quorum.observers.iter().map(|replica| ("observer", replica)))
}

fn directory(replica: &QuorumReplica) -> Option<String> {
    (replica.directory_id != Uuid::ZERO).then(|| replica.directory_id.to_string())
}

fn addresses(quorum: &Quorum, id: i32) -> String {
    let listeners = quorum.endpoints.get(&id).map_or(&[][..], Vec::as_slice);
    match listeners {
        [] => "-".to_owned(),
        listeners => listeners.iter().map(|(host, port)| address(host, *port)).collect::<Vec<_>>().join(","),
    }
}

fn known(number: i64) -> Option<i64> {
    (number >= 0).then_some(number)
}

fn leader(quorum: &Quorum) -> Option<&QuorumReplica> {
    quorum.voters.iter().find(|voter| voter.id == quorum.leader)
}

fn lag(quorum: &Quorum, replica: &QuorumReplica) -> Option<i64> {
    Some((leader(quorum)?.log_end_offset - known(replica.log_end_offset)?).max(0))
}

/// How long before the leader's own last moment; its clock is the one that counts here.
fn ago(quorum: &Quorum, at_ms: i64) -> String {
    match leader(quorum).map(|leader| leader.last_fetch_ms).zip(known(at_ms)) {
        Some((now_ms, at_ms)) => format!("{} ms ago", (now_ms - at_ms).max(0)),
        None => "-".to_owned(),
    }
}

fn as_json(quorum: &Quorum) -> Value {
    let replica = |(role, replica): (&str, &QuorumReplica)| {
        let listeners = quorum.endpoints.get(&replica.id).map_or(&[][..], Vec::as_slice);
        json!({
            "id": replica.id,
            "role": role,
            "directory_id": directory(replica),
            "listeners": listeners.iter().map(|(host, port)| address(host, *port)).collect::<Value>(),
            "log_end_offset": known(replica.log_end_offset),
            "lag": lag(quorum, replica),
            "last_fetch_ms": known(replica.last_fetch_ms),
            "last_caught_up_ms": known(replica.last_caught_up_ms),
        })
    };
    json!({
        "leader": known(quorum.leader.into()),
        "leader_epoch": quorum.leader_epoch,
        "high_watermark": quorum.high_watermark,
        "replicas": replicas(quorum).map(replica).collect::<Value>(),
    })
}
