//! `klamm group describe`.

use std::collections::BTreeMap;

use clap::Args;
use klamm_client::{
    Admin, GroupDescription, GroupMember, GroupOffset, IsolationLevel, OffsetSpec, TopicPartition,
};
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::Table;

const EXAMPLES: &str = "\
Examples:
  klamm group describe billing               offsets and lag of every partition
  klamm group describe billing --members     who is in it, and has which partitions
  klamm group describe --json                all groups";

/// Show a group's offsets and lag, or its members
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Describe {
    /// Names of groups; all where none is given
    #[arg(value_name = "GROUP")]
    groups: Vec<String>,

    /// Show the members instead of the offsets
    #[arg(short, long)]
    members: bool,

    /// Print JSON: offsets and members
    #[arg(long, conflicts_with = "members")]
    json: bool,

    #[command(flatten)]
    connection: Connection,
}

/// A group with its committed offsets, each with the end of its partition.
struct Described {
    group: GroupDescription,
    offsets: Vec<(TopicPartition, GroupOffset, Option<i64>)>,
}

impl Describe {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let admin = self.connection.admin()?;
        let mut described = Vec::new();
        for name in self.names(&admin).await? {
            described.push(describe(&admin, &name).await?);
        }
        let mut output = Output::stdout();
        if self.json {
            output.json(&described.iter().map(as_json).collect())?;
        } else {
            described.iter().try_for_each(|group| self.print(&mut output, group))?;
        }
        output.flush()
    }

    async fn names(&self, admin: &Admin) -> Result<Vec<String>, Failure> {
        if !self.groups.is_empty() {
            return Ok(self.groups.clone());
        }
        Ok(admin.list_groups(&[], &[]).await?.into_iter().map(|group| group.id).collect())
    }

    fn print(&self, output: &mut Output, described: &Described) -> Result<(), Failure> {
        let group = &described.group;
        let assignor =
            if group.assignor.is_empty() { String::new() } else { format!("  {}", group.assignor) };
        output.line(format!(
            "{}  {}  {} members{assignor}  coordinator {}",
            group.id,
            group.state,
            group.members.len(),
            group.coordinator
        ))?;
        let table = if self.members { members_table(group) } else { offsets_table(described) };
        output.line(table.render())
    }
}

async fn describe(admin: &Admin, name: &str) -> Result<Described, Failure> {
    let group = admin.describe_group(name).await?;
    let committed = admin.list_group_offsets(name, None).await?;
    let specs = committed.keys().map(|partition| (partition.clone(), OffsetSpec::Latest)).collect();
    let ends: BTreeMap<_, _> = admin
        .list_offsets(&specs, IsolationLevel::ReadUncommitted)
        .await?
        .into_iter()
        .filter_map(|(partition, end)| Some((partition, end.ok()?.offset?)))
        .collect();
    let with_end = |(partition, offset)| {
        let end = ends.get(&partition).copied();
        (partition, offset, end)
    };
    Ok(Described { group, offsets: committed.into_iter().map(with_end).collect() })
}

fn offsets_table(described: &Described) -> Table {
    let mut table =
        Table::new(&["TOPIC", ">PARTITION", ">OFFSET", ">END", ">LAG", "MEMBER", "CLIENT", "HOST"]);
    for (partition, offset, end) in &described.offsets {
        let member = described.group.members.iter().find(|member| member.assignment.contains(partition));
        let of_member =
            |field: fn(&GroupMember) -> &String| member.map_or("-", |member| field(member)).to_owned();
        table.row([
            partition.topic.to_string(),
            partition.partition.to_string(),
            offset.offset.to_string(),
            end.map_or_else(|| "-".to_owned(), |end| end.to_string()),
            lag(offset, *end).map_or_else(|| "-".to_owned(), |lag| lag.to_string()),
            of_member(|member| &member.id),
            of_member(|member| &member.client_id),
            of_member(|member| &member.client_host),
        ]);
    }
    table
}

fn members_table(group: &GroupDescription) -> Table {
    let mut table = Table::new(&["MEMBER", "INSTANCE", "CLIENT", "HOST", "PARTITIONS"]);
    for member in &group.members {
        let partitions: Vec<String> = member.assignment.iter().map(ToString::to_string).collect();
        table.row([
            member.id.clone(),
            member.instance_id.clone().unwrap_or_else(|| "-".to_owned()),
            member.client_id.clone(),
            member.client_host.clone(),
            if partitions.is_empty() { "-".to_owned() } else { partitions.join(" ") },
        ]);
    }
    table
}

/// Records behind the end; none where the end is not known.
fn lag(offset: &GroupOffset, end: Option<i64>) -> Option<i64> {
    end.map(|end| (end - offset.offset).max(0))
}

fn as_json(described: &Described) -> Value {
    let group = &described.group;
    let offset = |(partition, offset, end): &(TopicPartition, GroupOffset, Option<i64>)| {
        json!({
            "topic": *partition.topic,
            "partition": partition.partition,
            "offset": offset.offset,
            "end": end,
            "lag": lag(offset, *end),
        })
    };
    let member = |member: &GroupMember| {
        json!({
            "member": member.id,
            "instance": member.instance_id,
            "client": member.client_id,
            "host": member.client_host,
            "topics": member.subscribed_topics,
            "partitions": member.assignment.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    };
    json!({
        "group": group.id,
        "state": group.state,
        "protocol": group.protocol_type,
        "assignor": group.assignor,
        "coordinator": group.coordinator,
        "offsets": described.offsets.iter().map(offset).collect::<Value>(),
        "members": group.members.iter().map(member).collect::<Value>(),
    })
}
