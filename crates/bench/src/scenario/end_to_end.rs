//! From a producer to a consumer who waits at the end of the partition.

use std::thread;

use super::{Figures, Metric, Scenario, Stage};
use crate::failure::{Failure, Result};
use crate::load::{Latencies, OpenLoop, Timetable, follow};
use crate::target::Node;
use crate::wire::{Acks, BatchShape, PreparedBatch, Topic, produce_frame};

const PER_SECOND: u32 = 1_000;
const VALUE_BYTES: usize = 1 << 10;

pub(super) fn scenario() -> Scenario {
    Scenario {
        name: "end-to-end".to_owned(),
        about: format!(
            "{PER_SECOND} records/s of 1 KiB, from when each was due to its arrival at a consumer"
        ),
        floor: None,
        is_quick: true,
        metrics: vec![Metric::new("p50 ms"), Metric::new("p99 ms"), Metric::new("p99.9 ms")],
        rounds_max: u32::MAX,
        run: Box::new(run),
    }
}

fn run(stage: &Stage<'_>) -> Result<Figures> {
    let node = stage.node()?;
    stage.with_topic(&node, 1, &[], |topic| {
        let timetable = Timetable::new(PER_SECOND, stage.warm_up().time, stage.scale.open_loop);
        let latencies = produce_and_follow(&node, topic, timetable)?;
        Ok(Figures::new([50.0, 99.0, 99.9].map(|percent| latencies.percentile_ms(percent))))
    })
}

/// Produces to a new topic by the timetable, and times how long each record takes to its consumer.
pub(super) fn produce_and_follow(node: &Node, topic: &Topic, timetable: Timetable) -> Result<Latencies> {
    let batch = PreparedBatch::new(BatchShape::single(VALUE_BYTES));
    let address = node.address();
    let load = OpenLoop::spread(address, vec![produce_frame(topic, &[0], &batch, Acks::Leader)?], 1);
    thread::scope(|scope| {
        let producer = scope.spawn(move || load.run(timetable));
        let latencies = follow(address, topic, timetable);
        producer.join().map_err(|_| Failure::Other("the producer panicked".to_owned()))??;
        latencies
    })
}
