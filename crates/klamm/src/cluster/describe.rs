//! `klamm cluster describe`.

use clap::Args;
use klamm_client::Features;
use serde_json::{Value, json};

use crate::cluster::picture::{Node, Picture};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::Table;

const EXAMPLES: &str = "\
Examples:
  klamm cluster describe
  klamm cluster describe --json -b 10.0.0.1:9092,10.0.0.2:9092";

/// Show the nodes of a cluster, their roles, its controller and how its partitions are
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Describe {
    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,
}

impl Describe {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let admin = self.connection.admin()?;
        let picture = Picture::take(&admin).await?;
        let features = admin.describe_features().await?;
        let mut output = Output::stdout();
        if self.json {
            output.json(&as_json(&picture, &features))?;
        } else {
            output.line(headline(&picture, &features))?;
            output.line(table_of(&picture).render())?;
            output.line(partition_line(&picture))?;
        }
        output.flush()
    }
}

fn headline(picture: &Picture, features: &Features) -> String {
    let quorum = &picture.quorum;
    let leader = match quorum.leader {
        ..0 => "none".to_owned(),
        leader => format!("node {leader} (epoch {})", quorum.leader_epoch),
    };
    let levels: String = features.finalized.iter().map(|(name, level)| format!("  {name}={level}")).collect();
    format!("cluster {}  controller {leader}\nfeatures{levels}\n", picture.cluster.cluster_id)
}

fn table_of(picture: &Picture) -> Table {
    let header = [">NODE", "ROLES", "STATE", "ADDRESS", "RACK", "METADATA", ">LEADS", ">REPLICAS"];
    let mut table = Table::new(&header);
    for node in picture.nodes() {
        let held = picture.partitions().filter(|(_, p)| p.replicas.contains(&node.id)).count();
        let led = picture.partitions().filter(|(_, p)| p.leader == Some(node.id)).count();
        let count = |number: usize| if node.is_broker { number.to_string() } else { "-".to_owned() };
        table.row([
            node.id.to_string(),
            roles(&node).join(","),
            state(&node).to_owned(),
            node.address.clone().unwrap_or_else(|| "-".to_owned()),
            node.rack.clone().unwrap_or_else(|| "-".to_owned()),
            metadata_text(picture, &node),
            count(led),
            count(held),
        ]);
    }
    table
}

fn roles(node: &Node) -> Vec<&'static str> {
    let roles = [(node.is_broker, "broker"), (node.is_voter, "voter")];
    let roles: Vec<&str> = roles.into_iter().filter_map(|(has, role)| has.then_some(role)).collect();
    if roles.is_empty() { vec!["observer"] } else { roles }
}

fn state(node: &Node) -> &'static str {
    match (node.is_broker, node.is_fenced) {
        (true, true) => "fenced",
        (true, false) => "serving",
        (false, _) => "-",
    }
}

fn metadata_text(picture: &Picture, node: &Node) -> String {
    match node.metadata_lag {
        _ if node.id == picture.quorum.leader => "leads".to_owned(),
        Some(0) => "up to date".to_owned(),
        Some(lag) => format!("{lag} behind"),
        None => "unknown".to_owned(),
    }
}

fn partition_line(picture: &Picture) -> String {
    let findings = picture.findings();
    format!(
        "partitions {}, offline {}, below min.insync.replicas {}, under-replicated {}, moving {}",
        picture.partitions().count(),
        findings.offline.len(),
        findings.under_min_isr.len(),
        findings.under_replicated.len(),
        picture.moves.len()
    )
}

fn as_json(picture: &Picture, features: &Features) -> Value {
    let findings = picture.findings();
    let node = |node: &Node| {
        json!({
            "id": node.id,
            "roles": roles(node),
            "fenced": node.is_fenced,
            "address": node.address,
            "rack": node.rack,
            "metadata_lag": node.metadata_lag,
        })
    };
    json!({
        "cluster_id": picture.cluster.cluster_id,
        "controller": (picture.quorum.leader >= 0).then_some(picture.quorum.leader),
        "controller_epoch": picture.quorum.leader_epoch,
        "features": features.finalized,
        "nodes": picture.nodes().iter().map(node).collect::<Value>(),
        "partitions": {
            "total": picture.partitions().count(),
            "offline": findings.offline.len(),
            "under_min_isr": findings.under_min_isr.len(),
            "under_replicated": findings.under_replicated.len(),
            "moving": picture.moves.len(),
        },
    })
}
