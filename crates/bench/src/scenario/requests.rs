//! Produce requests of one small record: what a request costs.

use super::Goal::AtLeast;
use super::{Figures, Metric, Scenario, Stage};
use crate::failure::Result;
use crate::load::ProduceLoad;
use crate::target::Target;
use crate::wire::{BatchShape, PreparedBatch};

const VALUE_BYTES: usize = 100;
const PARTITIONS: i32 = 16;
const PIPELINED_DEPTH: usize = 5;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("requests-4", 4, 1),
        scenario("requests-16", 16, 1),
        scenario("requests-4-pipelined", 4, PIPELINED_DEPTH),
        scenario("requests-16-pipelined", 16, PIPELINED_DEPTH),
    ]
}

fn scenario(name: &'static str, connections: usize, depth: usize) -> Scenario {
    let against_kafka = if depth > 1 { 6.0 } else { 3.0 };
    Scenario {
        name: name.to_owned(),
        about: format!(
            "requests of one {VALUE_BYTES}-byte record to {PARTITIONS} partitions, {connections} connections, \
             {depth} in flight on each, acks=1"
        ),
        floor: Some(Target::Null),
        is_quick: connections == 4,
        metrics: vec![
            Metric::new("requests/CPU s").against_kafka(AtLeast(against_kafka)).against_floor(AtLeast(0.6)),
            Metric::new("requests/s"),
        ],
        rounds_max: u32::MAX,
        run: Box::new(move |stage| run(stage, connections, depth)),
    }
}

fn run(stage: &Stage<'_>, connections: usize, depth: usize) -> Result<Figures> {
    let node = stage.node()?;
    let batch = PreparedBatch::new(BatchShape::single(VALUE_BYTES));
    let load = ProduceLoad { depth, ..ProduceLoad::new(batch, connections) };
    stage.with_topic(&node, PARTITIONS, &[], |topic| {
        let reading = load.measure(&node, topic, stage.warm_up(), stage.counted())?;
        let per_second = reading.requests / reading.seconds;
        Ok(Figures::of(&reading, [reading.requests_per_cpu_second(), per_second]))
    })
}
