//! Records in and out: ConsoleProducer and ConsoleConsumer.

use super::{check, console_consumer, console_producer, create, produce};
use crate::check::{Check, Verdict, expect, expect_equal};
use crate::stage::Stage;

pub(super) const CHECKS: &[Check] = &[
    check("console-records", records),
    check("console-codecs", codecs),
    check("console-acks", acks),
    check("console-offset", offset),
    check("console-group", group),
    check("console-committed", committed),
];

/// Keys, headers, null values and their order.
fn records(stage: &Stage<'_>) -> Verdict {
    let topic = stage.own("records");
    create(stage, &topic, 1)?;
    let reader = "--reader-property parse.key=true --reader-property key.separator=: \
                  --reader-property parse.headers=true --reader-property headers.delimiter=; \
                  --reader-property null.marker=NIL";
    console_producer(stage, &format!("--topic {topic} {reader}"), "h1:v1,h2:v2;k1:a\nh1:;k2:NIL\n")?;
    let print = ["partition", "offset", "headers", "key", "value"];
    let print: Vec<_> = print.iter().map(|part| format!("--formatter-property print.{part}=true")).collect();
    let came = console_consumer(
        stage,
        &format!("--topic {topic} --from-beginning --max-messages 2 {}", print.join(" ")),
    )?;
    let expected = "Partition:0\tOffset:0\th1:v1,h2:v2\tk1\ta\nPartition:0\tOffset:1\th1:\tk2\tnull\n";
    expect_equal("records", came.as_str(), expected)
}

fn codecs(stage: &Stage<'_>) -> Verdict {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = stage.own(codec);
        create(stage, &topic, 1)?;
        let lines: String = (0..500).map(|i| format!("record {i} of a batch worth compressing\n")).collect();
        console_producer(stage, &format!("--topic {topic} --compression-codec {codec}"), &lines)?;
        let came = console_consumer(stage, &format!("--topic {topic} --from-beginning --max-messages 500"))?;
        expect(came == lines, &format!("the {codec} records as produced"), || came.clone())?;
    }
    Ok(())
}

/// `acks` of 0, 1 and all, the last idempotent.
fn acks(stage: &Stage<'_>) -> Verdict {
    for acks in ["0", "1", "all"] {
        let topic = stage.own(&format!("acks{acks}"));
        create(stage, &topic, 1)?;
        console_producer(
            stage,
            &format!("--topic {topic} --request-required-acks {acks} --sync"),
            "1\n2\n3\n",
        )?;
        let came = console_consumer(stage, &format!("--topic {topic} --from-beginning --max-messages 3"))?;
        expect_equal(&format!("records with acks={acks}"), came.as_str(), "1\n2\n3\n")?;
    }
    Ok(())
}

fn offset(stage: &Stage<'_>) -> Verdict {
    let topic = stage.own("offset");
    create(stage, &topic, 1)?;
    produce(stage, &topic, "0\n1\n2\n3\n")?;
    let came =
        console_consumer(stage, &format!("--topic {topic} --partition 0 --offset 2 --max-messages 2"))?;
    expect_equal("records from offset 2", came.as_str(), "2\n3\n")
}

/// A group goes on where its last member stopped.
fn group(stage: &Stage<'_>) -> Verdict {
    let (topic, group) = (stage.own("grouped"), stage.own("group"));
    create(stage, &topic, 1)?;
    produce(stage, &topic, "0\n1\n2\n3\n")?;
    let args = format!("--topic {topic} --group {group} --from-beginning --max-messages 2");
    expect_equal("the first two", console_consumer(stage, &args)?.as_str(), "0\n1\n")?;
    expect_equal("the next two", console_consumer(stage, &args)?.as_str(), "2\n3\n")
}

/// The records of `__consumer_offsets`, decoded by Kafka's own formatter.
fn committed(stage: &Stage<'_>) -> Verdict {
    let (topic, group) = (stage.own("committed"), stage.own("group"));
    create(stage, &topic, 1)?;
    produce(stage, &topic, "0\n1\n")?;
    console_consumer(stage, &format!("--topic {topic} --group {group} --from-beginning --max-messages 2"))?;
    let formatter = "--formatter org.apache.kafka.tools.consumer.OffsetsMessageFormatter";
    let args = format!("--topic __consumer_offsets --from-beginning --timeout-ms 3000 {formatter}");
    let came = stage.admin("consumer.ConsoleConsumer", &args)?;
    let expected = format!("\"group\":\"{group}\",\"topic\":\"{topic}\",\"partition\":0");
    let line = came.lines().rfind(|line| line.contains(&expected)).unwrap_or_default();
    expect(line.contains("\"offset\":2"), &format!("a commit of offset 2 with {expected}"), || came.clone())
}
