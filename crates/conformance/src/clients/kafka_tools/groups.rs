//! Groups: ConsumerGroupCommand and GroupsCommand.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use super::{check, console_consumer, create, produce};
use crate::check::{Check, Fault, Verdict, expect, expect_all, expect_equal, expect_none, rows};
use crate::program::{Background, End};
use crate::stage::{Stage, full_class};

pub(super) const CHECKS: &[Check] = &[
    check("groups-list", list),
    check("groups-describe-offsets", describe_offsets),
    check("groups-describe-members", describe_members),
    check("groups-reset-offsets", reset_offsets),
    check("groups-delete-offsets", delete_offsets),
    check("groups-delete", delete),
];

const JOIN_TIME_MAX: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(200);

fn groups(stage: &Stage<'_>, args: &str) -> Verdict<String> {
    stage.admin("consumer.group.ConsumerGroupCommand", args)
}

/// A topic with one partition and four records, of which the group has consumed three.
fn consumed_group(stage: &Stage<'_>) -> Verdict<(String, String)> {
    let (topic, group) = (stage.own("topic"), stage.own("group"));
    create(stage, &topic, 1)?;
    produce(stage, &topic, "0\n1\n2\n3\n")?;
    console_consumer(stage, &format!("--topic {topic} --group {group} --from-beginning --max-messages 3"))?;
    Ok((topic, group))
}

/// The columns of the row that describes this topic.
fn offsets_row<'a>(text: &'a str, topic: &str) -> Verdict<Vec<&'a str>> {
    let row = rows(text).into_iter().find(|row| row.get(1) == Some(&topic));
    row.ok_or_else(|| Fault::failed(format!("a row for topic {topic}"), text))
}

fn list(stage: &Stage<'_>) -> Verdict {
    let (_, group) = consumed_group(stage)?;
    let came = groups(stage, "--list")?;
    expect(came.lines().any(|line| line.trim() == group), &format!("{group} on a line"), || came.clone())?;
    let came = groups(stage, "--list --state")?;
    expect(rows(&came).contains(&vec![&group, "Empty"]), &format!("{group} Empty"), || came.clone())?;
    let came = groups(stage, "--list --type")?;
    expect(rows(&came).contains(&vec![&group, "Classic"]), &format!("{group} Classic"), || came.clone())?;
    let came = stage.admin("GroupsCommand", "--list")?;
    expect(
        rows(&came).contains(&vec![&group, "Classic", "consumer"]),
        &format!("{group} Classic consumer"),
        || came.clone(),
    )
}

fn describe_offsets(stage: &Stage<'_>) -> Verdict {
    let (topic, group) = consumed_group(stage)?;
    let came = groups(stage, &format!("--describe --group {group}"))?;
    let row = offsets_row(&came, &topic)?;
    expect_equal(
        "group, topic, partition, offset, end, lag",
        row[..6].to_vec(),
        vec![&group, &topic, "0", "3", "4", "1"],
    )?;
    let came = groups(stage, &format!("--describe --group {group} --state"))?;
    expect_all(&came, &[&group, "Empty"])
}

fn describe_members(stage: &Stage<'_>) -> Verdict {
    let (topic, group) = (stage.own("topic"), stage.own("group"));
    create(stage, &topic, 2)?;
    let mut command = stage.peers.tool_in_own_jvm(&full_class("consumer.ConsoleConsumer"))?;
    command.args(["--bootstrap-server", stage.bootstrap, "--topic", &topic, "--group", &group]);
    let _member = Background::new(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))?;
    let state = wait_until_stable(stage, &group)?;
    expect_all(&state, &["range", "Stable", stage.bootstrap])?;
    let came = groups(stage, &format!("--describe --group {group} --members --verbose"))?;
    expect_all(&came, &["console-consumer", "/127.0.0.1", &format!("{topic}:0,1")])?;
    let came = groups(stage, &format!("--describe --group {group}"))?;
    let row = offsets_row(&came, &topic)?;
    expect(row.get(6).is_some_and(|id| id.starts_with("console-consumer")), "the partition's owner", || {
        came.clone()
    })?;
    let args = format!("--bootstrap-server {} --delete --group {group}", stage.bootstrap);
    let output = stage.tool_ending_somehow("consumer.group.ConsumerGroupCommand", &args, "")?;
    let said = output.stdout + &output.stderr;
    expect_all(&said, &["GroupNotEmptyException"])
}

fn wait_until_stable(stage: &Stage<'_>, group: &str) -> Verdict<String> {
    let deadline = Instant::now() + JOIN_TIME_MAX;
    loop {
        let args = format!("--bootstrap-server {} --describe --state --group {group}", stage.bootstrap);
        let state = stage.tool_ending_somehow("consumer.group.ConsumerGroupCommand", &args, "")?;
        if state.end == End::Exit(0) && state.stdout.contains("Stable") {
            return Ok(state.stdout);
        }
        if Instant::now() > deadline {
            return Err(Fault::failed("the group to be Stable", state.stdout + &state.stderr));
        }
        thread::sleep(LOOK);
    }
}

/// Every way to say where to.
fn reset_offsets(stage: &Stage<'_>) -> Verdict {
    let (topic, group) = consumed_group(stage)?;
    let file = stage.file("offsets.csv", &format!("{topic},0,2\n"))?;
    let from_file = format!("--from-file {}", file.display());
    let cases = [
        ("--to-earliest", "0"),
        ("--to-latest", "4"),
        ("--to-offset 1", "1"),
        ("--shift-by 2", "3"),
        ("--to-current", "3"),
        ("--to-datetime 2020-01-01T00:00:00.000", "0"),
        ("--by-duration P1D", "0"),
        (&from_file, "2"),
    ];
    for (place, expected) in cases {
        let topics =
            if place.starts_with("--from-file") { String::new() } else { format!("--topic {topic}") };
        let reset = format!("--reset-offsets --group {group} {topics} {place}");
        let came = groups(stage, &format!("{reset} --execute"))?;
        let row = offsets_row(&came, &topic)?;
        expect_equal(&format!("new offset {place}"), row[3], expected)?;
        let came = groups(stage, &format!("--describe --group {group}"))?;
        expect_equal(&format!("offset after {place}"), offsets_row(&came, &topic)?[3], expected)?;
    }
    let rest = console_consumer(stage, &format!("--topic {topic} --group {group} --max-messages 2"))?;
    expect_equal("records from offset 2", rest.as_str(), "2\n3\n")
}

fn delete_offsets(stage: &Stage<'_>) -> Verdict {
    let (topic, group) = consumed_group(stage)?;
    let came = groups(stage, &format!("--delete-offsets --group {group} --topic {topic}"))?;
    expect_all(&came, &["Request succeeded for deleting offsets", "Successful"])?;
    let came = groups(stage, &format!("--describe --group {group}"))?;
    expect(offsets_row(&came, &topic).is_err(), "no offset for the topic", || came.clone())
}

fn delete(stage: &Stage<'_>) -> Verdict {
    let (_, group) = consumed_group(stage)?;
    let came = groups(stage, &format!("--delete --group {group}"))?;
    expect_all(&came, &[&format!("Deletion of requested consumer groups ('{group}') was successful.")])?;
    expect_none(&groups(stage, "--list")?, &[&group])
}
