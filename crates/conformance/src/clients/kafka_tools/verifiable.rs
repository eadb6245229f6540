//! The clients of Kafka's system tests, which report each event as JSON: VerifiableProducer and VerifiableConsumer.

use serde_json::Value;

use super::{check, create};
use crate::check::{Check, Verdict, expect, expect_equal};
use crate::stage::{Stage, full_class};

pub(super) const CHECKS: &[Check] = &[check("verifiable", verifiable)];

/// Every record acknowledged, then every record consumed by a group and committed.
fn verifiable(stage: &Stage<'_>) -> Verdict {
    let (topic, group) = (stage.own("verified"), stage.own("group"));
    let count = stage.records(5_000, 100_000);
    create(stage, &topic, 3)?;
    let said =
        run(stage, "VerifiableProducer", &format!("--topic {topic} --max-messages {count} --acks -1"))?;
    let sent = events(&said, "producer_send_success").count();
    expect_equal("records acknowledged", sent, count)?;
    let args = format!("--topic {topic} --group-id {group} --max-messages {count} --reset-policy earliest");
    let said = run(stage, "VerifiableConsumer", &args)?;
    let consumed: i64 = events(&said, "records_consumed").filter_map(|event| event["count"].as_i64()).sum();
    expect_equal("records consumed", usize::try_from(consumed).unwrap_or_default(), count)?;
    let is_committed = |event: Value| event["success"].as_bool() == Some(true);
    let mut commits = events(&said, "offsets_committed").map(is_committed).peekable();
    expect(commits.peek().is_some() && commits.all(|done| done), "every commit to succeed", || said.clone())
}

/// These end their JVM by themselves.
fn run(stage: &Stage<'_>, class: &str, args: &str) -> Verdict<String> {
    let mut command = stage.peers.tool_in_own_jvm(&full_class(class))?;
    command.args(["--bootstrap-server", stage.bootstrap]).args(args.split_whitespace());
    Ok(stage.run(&mut command, "")?.stdout)
}

fn events(said: &str, name: &str) -> impl Iterator<Item = Value> {
    let all = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    all.filter(move |event| event["name"] == name)
}
