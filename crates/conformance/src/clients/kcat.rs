//! kcat: librdkafka of years ago, and the tool that people reach for first.

use std::process::Command;

use crate::check::{Check, Needs, Verdict, expect, expect_all, expect_equal};
use crate::stage::Stage;

const KCAT: &str = "kcat";

pub(crate) const CHECKS: &[Check] = &[
    Check::new(KCAT, "metadata", Needs::Broker, metadata),
    Check::new(KCAT, "keys-and-headers", Needs::Broker, keys_and_headers),
    Check::new(KCAT, "codecs", Needs::Broker, codecs),
    Check::new(KCAT, "nulls", Needs::Broker, nulls),
    Check::new(KCAT, "offsets", Needs::Broker, offsets),
    Check::new(KCAT, "offset-by-timestamp", Needs::Broker, offset_by_timestamp),
    Check::new(KCAT, "balanced-group", Needs::Broker, balanced_group),
    Check::new(KCAT, "idempotent-producer", Needs::Broker, idempotent_producer),
];

/// What kcat printed; arguments are separated by spaces.
fn kcat(stage: &Stage<'_>, args: &str, input: &str) -> Verdict<String> {
    kcat_with(stage, args, &[], input)
}

/// The same with arguments that hold spaces.
fn kcat_with(stage: &Stage<'_>, args: &str, more: &[&str], input: &str) -> Verdict<String> {
    let mut command = Command::new(stage.peers.kcat()?);
    command.args(["-q", "-b", stage.bootstrap]).args(args.split_whitespace()).args(more);
    Ok(stage.run(&mut command, input)?.stdout)
}

/// `-L` shows the broker and a topic that came to be by being produced to.
fn metadata(stage: &Stage<'_>) -> Verdict {
    let topic = stage.own("listed");
    kcat(stage, &format!("-P -t {topic}"), "one\n")?;
    let all = kcat(stage, "-L", "")?;
    let address = format!("at {}", stage.bootstrap);
    expect_all(
        &all,
        &["1 brokers:", &address, "(controller)", &format!("topic \"{topic}\" with 1 partitions:")],
    )?;
    let one = kcat(stage, &format!("-L -J -t {topic}"), "")?;
    expect_all(&one, &[&format!("\"topic\":\"{topic}\""), "\"partition\":0", "\"isrs\":[{\"id\":"])
}

fn keys_and_headers(stage: &Stage<'_>) -> Verdict {
    let topic = stage.own("keyed");
    kcat(stage, &format!("-P -t {topic} -K : -H color=red -H size=9"), "a:1\nb:2\nc:3:4\n")?;
    let came = kcat_with(
        stage,
        &format!("-C -t {topic} -o beginning -e -f"),
        &["%t %p %o %k=%s [%h] %K %S\\n"],
        "",
    )?;
    let line = |offset, key, value: &str| {
        format!("{topic} 0 {offset} {key}={value} [color=red,size=9] 1 {}\n", value.len())
    };
    expect_equal("records", came, line(0, "a", "1") + &line(1, "b", "2") + &line(2, "c", "3:4"))
}

fn codecs(stage: &Stage<'_>) -> Verdict {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = stage.own(codec);
        let input: String =
            (0..2_000).map(|i| format!("record {i} of a batch that is worth compressing\n")).collect();
        kcat(stage, &format!("-P -t {topic} -z {codec} -X linger.ms=50"), &input)?;
        let came = kcat(stage, &format!("-C -t {topic} -o beginning -e"), "")?;
        expect(came == input, &format!("the {codec} records as produced"), || came.clone())?;
    }
    Ok(())
}

/// Null values, null keys and empty ones are four different things; `-Z` shows both as NULL, their sizes tell them apart.
fn nulls(stage: &Stage<'_>) -> Verdict {
    let topic = stage.own("nulls");
    kcat(stage, &format!("-P -t {topic} -K :"), "key:\n:value\n")?;
    kcat(stage, &format!("-P -t {topic} -K : -Z"), "key:\n")?;
    kcat(stage, &format!("-P -t {topic}"), "value\n")?;
    let args = format!("-C -t {topic} -o beginning -e -Z -f");
    let came = kcat_with(stage, &args, &["%k|%s|%K|%S\\n"], "")?;
    let expected = "key|NULL|3|0\nNULL|value|0|5\nkey|NULL|3|-1\nNULL|value|-1|5\n";
    expect_equal("key, value and their sizes", came.as_str(), expected)
}

fn offsets(stage: &Stage<'_>) -> Verdict {
    let topic = stage.own("offsets");
    let input: String = (0..100).map(|i| format!("{i}\n")).collect();
    kcat(stage, &format!("-P -t {topic} -p 0"), &input)?;
    for (from, count, expected) in [
        ("beginning", "-c 2", "0\n1\n"),
        ("42", "-c 1", "42\n"),
        ("-3", "-e", "97\n98\n99\n"),
        ("end", "-e", ""),
    ] {
        let came = kcat(stage, &format!("-C -t {topic} -p 0 -o {from} {count}"), "")?;
        expect_equal(&format!("records from {from}"), came.as_str(), expected)?;
    }
    Ok(())
}

/// Offsets looked up by the time of records, and consuming from a time on.
fn offset_by_timestamp(stage: &Stage<'_>) -> Verdict {
    let topic = stage.own("times");
    kcat(stage, &format!("-P -t {topic} -p 0"), "first\n")?;
    let first = kcat_with(stage, &format!("-C -t {topic} -o beginning -e -f"), &["%T"], "")?;
    let after = first.trim().parse::<i64>().map_or(0, |time| time + 1);
    kcat(stage, &format!("-P -t {topic} -p 0"), "second\nthird\n")?;
    for (time, offset) in [(after - 1, "0"), (after, "1"), (after + 3_600_000, "-1")] {
        let came = kcat(stage, &format!("-Q -t {topic}:0:{time}"), "")?;
        expect_equal(&format!("offset at {time}"), came.trim(), &format!("{topic} [0] offset {offset}"))?;
    }
    let came = kcat(stage, &format!("-C -t {topic} -p 0 -o s@{after} -e"), "")?;
    expect_equal("records from the second's time on", came.as_str(), "second\nthird\n")
}

/// `-G` joins a group, commits, and a second member goes on where the first stopped.
fn balanced_group(stage: &Stage<'_>) -> Verdict {
    let (topic, group) = (stage.own("balanced"), stage.own("group"));
    kcat(stage, &format!("-P -t {topic}"), "1\n2\n3\n")?;
    let consume = format!("-G {group} -X auto.offset.reset=earliest -e {topic}");
    expect_equal("records", kcat(stage, &consume, "")?.as_str(), "1\n2\n3\n")?;
    kcat(stage, &format!("-P -t {topic}"), "4\n")?;
    expect_equal("records after the committed offset", kcat(stage, &consume, "")?.as_str(), "4\n")
}

fn idempotent_producer(stage: &Stage<'_>) -> Verdict {
    let topic = stage.own("idempotent");
    let input: String = (0..5_000).map(|i| format!("{i}\n")).collect();
    let settings = "-X enable.idempotence=true -X batch.num.messages=100 -X linger.ms=0";
    kcat(stage, &format!("-P -t {topic} {settings}"), &input)?;
    let came = kcat(stage, &format!("-C -t {topic} -o beginning -e"), "")?;
    expect(came == input, "5000 records in order, each once", || came.clone())
}
