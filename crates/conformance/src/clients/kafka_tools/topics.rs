//! Topics: TopicCommand.

use super::{check, create, produce};
use crate::check::{Check, Verdict, expect, expect_all, expect_equal, expect_none};
use crate::program::End;
use crate::stage::Stage;

pub(super) const CHECKS: &[Check] = &[
    check("topics-create-describe", create_and_describe),
    check("topics-list", list),
    check("topics-add-partitions", add_partitions),
    check("topics-delete", delete),
    check("topics-refusals", refusals),
];

fn create_and_describe(stage: &Stage<'_>) -> Verdict {
    let topic = stage.own("described");
    let settings = "--config retention.ms=3600000 --config cleanup.policy=compact,delete";
    let said = stage.admin("TopicCommand", &format!("--create --topic {topic} --partitions 3 {settings}"))?;
    expect_all(&said, &[&format!("Created topic {topic}.")])?;
    let came = stage.admin("TopicCommand", &format!("--describe --topic {topic}"))?;
    let head = [&format!("Topic: {topic}\tTopicId: "), "PartitionCount: 3\tReplicationFactor: 1\t"];
    expect_all(&came, &head)?;
    expect_all(&came, &["retention.ms=3600000", "cleanup.policy=compact,delete"])?;
    expect_all(&came, &["Partition: 0\tLeader: 1", "Partition: 2\tLeader: 1\tReplicas: 1\tIsr: 1\tElr: \t"])?;
    for filter in ["--under-replicated-partitions", "--unavailable-partitions", "--under-min-isr-partitions"]
    {
        let came = stage.admin("TopicCommand", &format!("--describe --topic {topic} {filter}"))?;
        expect_equal(filter, came.trim(), "")?;
    }
    let overrides = stage.admin("TopicCommand", "--describe --topics-with-overrides")?;
    expect_all(&overrides, &[&topic])
}

fn list(stage: &Stage<'_>) -> Verdict {
    let topics = [stage.own("a"), stage.own("b")];
    topics.iter().try_for_each(|topic| create(stage, topic, 1))?;
    let came = stage.admin("TopicCommand", "--list")?;
    let has = |topic: &String| came.lines().any(|line| line == topic);
    expect(topics.iter().all(has), "both topics, each on a line", || came.clone())?;
    expect(came.lines().is_sorted(), "topics in order", || came.clone())?;
    let none = stage.admin("TopicCommand", "--list --exclude-internal")?;
    expect_none(&none, &["__consumer_offsets"])
}

fn add_partitions(stage: &Stage<'_>) -> Verdict {
    let topic = stage.own("growing");
    create(stage, &topic, 2)?;
    produce(stage, &topic, "kept\n")?;
    stage.admin("TopicCommand", &format!("--alter --topic {topic} --partitions 5"))?;
    let came = stage.admin("TopicCommand", &format!("--describe --topic {topic}"))?;
    expect_all(&came, &["PartitionCount: 5", "Partition: 4\tLeader: 1"])?;
    let ends = stage.admin("GetOffsetShell", &format!("--topic {topic}"))?;
    let total: i64 = ends.lines().filter_map(|line| line.rsplit(':').next()?.parse::<i64>().ok()).sum();
    expect(ends.lines().count() == 5 && total == 1, "five partitions, one record", || ends.clone())
}

fn delete(stage: &Stage<'_>) -> Verdict {
    let topic = stage.own("deleted");
    create(stage, &topic, 2)?;
    produce(stage, &topic, "gone\n")?;
    stage.admin("TopicCommand", &format!("--delete --topic {topic}"))?;
    expect_none(&stage.admin("TopicCommand", "--list")?, &[&topic])?;
    // A topic of the same name is another one, and empty.
    create(stage, &topic, 1)?;
    // Producing waits for a broker that may learn of the topic after the controller.
    produce(stage, &topic, "new\n")?;
    let ends = stage.admin("GetOffsetShell", &format!("--topic {topic}"))?;
    expect_equal("end of the new topic", ends.trim(), &format!("{topic}:0:1"))
}

/// Each is refused with Kafka's error.
fn refusals(stage: &Stage<'_>) -> Verdict {
    let topic = stage.own("refused");
    create(stage, &topic, 2)?;
    let refusals = [
        (format!("--create --topic {topic}"), "TopicExistsException".to_owned()),
        (
            format!("--create --topic {topic}-b --replication-factor 3"),
            "InvalidReplicationFactorException".to_owned(),
        ),
        (
            format!("--create --topic {topic}-c --replica-assignment 7"),
            "InvalidReplicaAssignmentException".to_owned(),
        ),
        (format!("--alter --topic {topic} --partitions 1"), "InvalidPartitionsException".to_owned()),
        (format!("--delete --topic {topic}-e"), "does not exist".to_owned()),
    ];
    for (args, expected) in refusals {
        let args = format!("--bootstrap-server {} {args}", stage.bootstrap);
        let output = stage.tool_ending_somehow("TopicCommand", &args, "")?;
        expect(output.end == End::Exit(1), &format!("TopicCommand {args} to exit with 1"), || {
            format!("{output:?}")
        })?;
        expect_all(&(output.stdout + &output.stderr), &[&expected])?;
    }
    let again = format!("--create --if-not-exists --topic {topic}");
    stage.admin("TopicCommand", &again).map(drop)
}
