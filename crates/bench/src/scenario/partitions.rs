//! Thousands of partitions: to create, to hold, to start with after a clean stop and after a crash.

use std::time::Instant;

use super::Goal::AtMost;
use super::{Figures, Metric, Scenario, Stage};
use crate::failure::Result;
use crate::process::resident_mib;
use crate::target::Node;
use crate::wire::Topic;

const TOPICS: i32 = 10;

pub(super) fn scenario() -> Scenario {
    Scenario {
        name: "partitions".to_owned(),
        about: format!(
            "10,000 (quick: 1,000) partitions in {TOPICS} topics, until every one of them can be used"
        ),
        floor: None,
        is_quick: false,
        metrics: vec![
            Metric::new("create s").against_kafka(AtMost(0.1)),
            Metric::new("MiB").absolute(AtMost(120.0)),
            Metric::new("restart s").against_kafka(AtMost(0.1)),
            Metric::new("restart after SIGKILL s").against_kafka(AtMost(0.1)),
        ],
        rounds_max: 1,
        run: Box::new(run),
    }
}

fn run(stage: &Stage<'_>) -> Result<Figures> {
    let mut node = stage.fresh(&[])?;
    let begin = Instant::now();
    let create =
        |n| Topic::create(node.address(), &format!("bench-{n}"), stage.scale.partitions / TOPICS, &[]);
    let topics = (0..TOPICS).map(create).collect::<Result<Vec<_>>>()?;
    let created = begin.elapsed().as_secs_f64();
    let resident = resident_mib(node.pid())?;
    node.stop()?;
    let restarted = start(&mut node, stage, &topics)?;
    node.kill()?;
    let recovered = start(&mut node, stage, &topics)?;
    stage.shared.delete_at_the_end([node.into_folder()?]);
    Ok(Figures::new([created, resident, restarted, recovered]))
}

/// Seconds from the start of the process until all partitions answer.
fn start(node: &mut Node, stage: &Stage<'_>, topics: &[Topic]) -> Result<f64> {
    let begin = Instant::now();
    node.start(stage.launcher)?;
    topics.iter().try_for_each(|topic| topic.wait_until_ready(node.address()))?;
    Ok(begin.elapsed().as_secs_f64())
}
