//! Where partitions begin and end: GetOffsetShell and DeleteRecordsCommand.

use super::{check, console_consumer, create, produce};
use crate::check::{Check, Verdict, expect, expect_equal};
use crate::stage::Stage;

pub(super) const CHECKS: &[Check] = &[
    check("offsets-special-times", special_times),
    check("offsets-filters", filters),
    check("delete-records", delete_records),
];

/// All times with a meaning of their own, and a real one.
fn special_times(stage: &Stage<'_>) -> Verdict {
    let topic = stage.own("times");
    create(stage, &topic, 1)?;
    produce(stage, &topic, "0\n1\n2\n")?;
    let last_time = console_consumer(
        stage,
        &format!(
            "--topic {topic} --from-beginning --max-messages 3 --formatter-property print.timestamp=true"
        ),
    )?;
    let times: Vec<i64> = last_time.lines().filter_map(create_time).collect();
    let greatest = times.iter().max().copied().unwrap_or_default();
    let first_of_greatest = times.iter().position(|time| *time == greatest).unwrap_or_default();
    let first_of_greatest = first_of_greatest.to_string();
    let cases = [
        ("-1", "3"),
        ("latest", "3"),
        ("-2", "0"),
        ("earliest", "0"),
        ("max-timestamp", &first_of_greatest),
        ("earliest-local", "0"),
        // No such offset, so no line: nothing is tiered, and nothing is of that time.
        ("latest-tiered", ""),
        ("0", "0"),
        ("4102444800000", ""),
    ];
    for (time, expected) in cases {
        let came = stage.admin("GetOffsetShell", &format!("--topic {topic} --time {time}"))?;
        let line = if expected.is_empty() { String::new() } else { format!("{topic}:0:{expected}") };
        expect_equal(&format!("offset at {time}"), came.trim(), &line)?;
    }
    Ok(())
}

fn create_time(line: &str) -> Option<i64> {
    line.split_once('\t')?.0.strip_prefix("CreateTime:")?.parse().ok()
}

fn filters(stage: &Stage<'_>) -> Verdict {
    let topic = stage.own("filtered");
    create(stage, &topic, 4)?;
    let came = stage.admin("GetOffsetShell", &format!("--topic-partitions {topic}:1-3"))?;
    expect_equal("partitions 1 and 2", came.trim(), &format!("{topic}:1:0\n{topic}:2:0"))?;
    let all = stage.admin("GetOffsetShell", "--exclude-internal-topics")?;
    expect(!all.contains("__consumer_offsets"), "no internal topic", || all.clone())
}

fn delete_records(stage: &Stage<'_>) -> Verdict {
    let topic = stage.own("shortened");
    create(stage, &topic, 2)?;
    // Without keys a batch goes to one partition, so both are asked for more than either may hold but the end.
    produce(stage, &topic, "0\n1\n2\n3\n4\n")?;
    let ends = stage.admin("GetOffsetShell", &format!("--topic {topic}"))?;
    let end = |partition: usize| {
        let line = ends.lines().nth(partition).unwrap_or_default();
        line.rsplit(':').next().and_then(|end| end.parse::<i64>().ok()).unwrap_or_default()
    };
    let filled = if end(0) > 0 { 0 } else { 1 };
    let json = format!(
        r#"{{"version":1,"partitions":[{{"topic":"{topic}","partition":{filled},"offset":2}},{{"topic":"{topic}","partition":{},"offset":-1}}]}}"#,
        1 - filled
    );
    let file = stage.file("delete.json", &json)?;
    let came = stage.admin("DeleteRecordsCommand", &format!("--offset-json-file {}", file.display()))?;
    expect(
        came.contains(&format!("partition: {topic}-{filled}\tlow_watermark: 2")),
        "low watermark 2",
        || came.clone(),
    )?;
    let starts = stage.admin("GetOffsetShell", &format!("--topic {topic} --time earliest"))?;
    expect(starts.contains(&format!("{topic}:{filled}:2")), "the partition to begin at 2", || {
        starts.clone()
    })?;
    let left = end(filled) - 2;
    let came = console_consumer(
        stage,
        &format!("--topic {topic} --partition {filled} --offset earliest --max-messages {left}"),
    )?;
    expect(came.starts_with("2\n"), "the first record left to be 2", || came.clone())
}
