//! Settings: ConfigCommand.

use std::time::{Duration, Instant};

use super::{check, create};
use crate::check::{Check, Verdict, expect, expect_all, expect_none};
use crate::program::End;
use crate::stage::Stage;

/// For a broker to take up a setting of its own.
const EFFECT_TIME_MAX: Duration = Duration::from_secs(10);

pub(super) const CHECKS: &[Check] = &[
    check("configs-topic", topic),
    check("configs-topic-all", topic_all),
    check("configs-broker", broker),
    check("configs-cluster-default", cluster_default),
    check("configs-refusals", refusals),
];

fn config(stage: &Stage<'_>, args: &str) -> Verdict<String> {
    stage.tool("kafka.admin.ConfigCommand", &format!("--bootstrap-server {} {args}", stage.bootstrap))
}

fn topic(stage: &Stage<'_>) -> Verdict {
    let topic = stage.own("set");
    create(stage, &topic, 1)?;
    let entity = format!("--entity-type topics --entity-name {topic}");
    let said = config(
        stage,
        &format!("{entity} --alter --add-config retention.ms=60000,cleanup.policy=[compact,delete]"),
    )?;
    expect_all(&said, &[&format!("Completed updating config for topic {topic}.")])?;
    let came = config(stage, &format!("{entity} --describe"))?;
    expect_all(
        &came,
        &[
            "retention.ms=60000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=60000}",
            "cleanup.policy=compact,delete sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:cleanup.policy=compact,delete, DEFAULT_CONFIG:log.cleanup.policy=delete}",
        ],
    )?;
    config(stage, &format!("{entity} --alter --delete-config retention.ms"))?;
    let came = config(stage, &format!("{entity} --describe"))?;
    expect_none(&came, &["retention.ms="])?;
    expect_all(&came, &["cleanup.policy=compact,delete"])
}

fn topic_all(stage: &Stage<'_>) -> Verdict {
    let topic = stage.own("all");
    create(stage, &topic, 1)?;
    let came = config(stage, &format!("--entity-type topics --entity-name {topic} --describe --all"))?;
    expect_all(
        &came,
        &[
            &format!("All configs for topic {topic} are:"),
            "segment.bytes=1073741824 sensitive=false synonyms={DEFAULT_CONFIG:log.segment.bytes=1073741824}",
            "max.message.bytes=1048588 sensitive=false synonyms={DEFAULT_CONFIG:message.max.bytes=1048588}",
            "compression.type=producer ",
            "min.insync.replicas=1 ",
            "message.timestamp.type=CreateTime ",
            "retention.ms=604800000 ",
        ],
    )
}

fn broker(stage: &Stage<'_>) -> Verdict {
    let entity = "--entity-type brokers --entity-name 1";
    config(stage, &format!("{entity} --alter --add-config log.cleaner.threads=2"))?;
    let expected = [
        "Dynamic configs for broker 1 are:",
        "log.cleaner.threads=2 ",
        "DYNAMIC_BROKER_CONFIG:log.cleaner.threads=2, DEFAULT_CONFIG:log.cleaner.threads=1",
    ];
    let deadline = Instant::now() + EFFECT_TIME_MAX;
    loop {
        // Kafka's broker may show what is written before it has taken it up.
        match expect_all(&config(stage, &format!("{entity} --describe"))?, &expected) {
            Ok(()) => break,
            Err(fault) if Instant::now() > deadline => return Err(fault),
            Err(_) => {}
        }
    }
    let all = config(stage, &format!("{entity} --describe --all"))?;
    expect_all(
        &all,
        &["STATIC_BROKER_CONFIG:node.id=1", "num.network.threads=3 ", "log.cleaner.threads=2 "],
    )?;
    config(stage, &format!("{entity} --alter --delete-config log.cleaner.threads"))?;
    expect_none(&config(stage, &format!("{entity} --describe"))?, &["log.cleaner.threads"])
}

/// A default for all brokers shows as such, and reaches topics without a setting of their own.
fn cluster_default(stage: &Stage<'_>) -> Verdict {
    let topic = stage.own("defaulted");
    create(stage, &topic, 1)?;
    let entity = "--entity-type brokers --entity-default";
    let said = config(stage, &format!("{entity} --alter --add-config log.retention.ms=7200000"))?;
    expect_all(&said, &["Completed updating default config for brokers in the cluster."])?;
    let result = (|| {
        let came = config(stage, &format!("{entity} --describe"))?;
        expect_all(&came, &["Default configs for brokers in the cluster are:", "log.retention.ms=7200000 "])?;
        let all = config(stage, &format!("--entity-type topics --entity-name {topic} --describe --all"))?;
        expect_all(&all, &["retention.ms=7200000 ", "DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=7200000"])
    })();
    config(stage, &format!("{entity} --alter --delete-config log.retention.ms"))?;
    result
}

fn refusals(stage: &Stage<'_>) -> Verdict {
    let topic = stage.own("refused");
    create(stage, &topic, 1)?;
    let refusals = [
        format!("--entity-type topics --entity-name {topic} --alter --add-config retention.ms=soon"),
        format!("--entity-type topics --entity-name {topic} --alter --add-config no.such.setting=1"),
        format!("--entity-type topics --entity-name {topic}-absent --alter --add-config retention.ms=1"),
        "--entity-type brokers --entity-name 1 --alter --add-config node.id=7".to_owned(),
    ];
    for args in refusals {
        let args = format!("--bootstrap-server {} {args}", stage.bootstrap);
        let output = stage.tool_ending_somehow("kafka.admin.ConfigCommand", &args, "")?;
        expect(output.end != End::Exit(0), &format!("ConfigCommand {args} to be refused"), || {
            format!("{output:?}")
        })?;
    }
    Ok(())
}
