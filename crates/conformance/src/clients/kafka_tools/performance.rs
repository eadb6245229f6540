//! Load: ProducerPerformance, ConsumerPerformance and EndToEndLatency.

use super::{check, create};
use crate::check::{Check, Verdict, expect_all, expect_equal};
use crate::stage::Stage;

pub(super) const CHECKS: &[Check] =
    &[check("performance", performance), check("end-to-end-latency", latency)];

fn performance(stage: &Stage<'_>) -> Verdict {
    let topic = stage.own("loaded");
    let count = stage.records(50_000, 1_000_000);
    create(stage, &topic, 4)?;
    let load = format!("--topic {topic} --num-records {count} --record-size 200 --throughput -1");
    let said =
        stage.tool("ProducerPerformance", &format!("{load} --bootstrap-server {}", stage.bootstrap))?;
    expect_all(&said, &[&format!("{count} records sent, "), "99.9th."])?;
    let ends = stage.admin("GetOffsetShell", &format!("--topic {topic}"))?;
    let total: usize = ends.lines().filter_map(|line| line.rsplit(':').next()?.parse::<usize>().ok()).sum();
    expect_equal("records in the topic", total, count)?;
    let said = stage.admin("ConsumerPerformance", &format!("--topic {topic} --num-records {count}"))?;
    let line = said.lines().nth(1).unwrap_or_default();
    let consumed = line.split(", ").nth(4).unwrap_or_default();
    expect_equal("records consumed", consumed, &count.to_string())
}

fn latency(stage: &Stage<'_>) -> Verdict {
    let topic = stage.own("timed");
    create(stage, &topic, 1)?;
    let args = format!("--topic {topic} --num-records 1000 --producer-acks 1 --record-size 100");
    let said = stage.admin("EndToEndLatency", &args)?;
    expect_all(&said, &["Avg latency: ", "Percentiles: 50th = "])
}
