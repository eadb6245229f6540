//! Latency of produce requests at a fixed rate, while retention deletes segments.

use std::time::Duration;

use super::Goal::AtMost;
use super::{Figures, Metric, Scenario, Stage};
use crate::failure::Result;
use crate::load::{OpenLoop, Timetable};
use crate::target::Target;
use crate::wire::{Acks, BatchShape, PreparedBatch, Topic, produce_frame};

const PER_SECOND: u32 = 5_000;
const CONNECTIONS: usize = 100;
const PARTITIONS: i32 = 16;
const KEYS: u64 = 1_000;
const VALUE_BYTES: usize = 1 << 10;
/// Segments of the smallest size, none of which is to stay once it is full.
const CONFIGS: [(&str, &str); 2] = [("segment.bytes", "1048576"), ("retention.bytes", "1048576")];

pub(super) fn scenario() -> Scenario {
    Scenario {
        name: "latency".to_owned(),
        about: format!(
            "{PER_SECOND} requests/s of a keyed 1 KiB record over {CONNECTIONS} connections to {PARTITIONS} partitions \
             with retention active, acks=1, timed from when each was due"
        ),
        floor: Some(Target::Null),
        is_quick: true,
        metrics: vec![
            Metric::new("p50 ms"),
            Metric::new("p99 ms"),
            Metric::new("p99.9 ms").against_kafka(AtMost(0.45)).against_floor(AtMost(1.3)),
        ],
        rounds_max: u32::MAX,
        run: Box::new(run),
    }
}

fn run(stage: &Stage<'_>) -> Result<Figures> {
    let node = stage.node()?;
    stage.with_topic(&node, PARTITIONS, &CONFIGS, |topic| {
        let load = OpenLoop::spread(node.address(), frames(topic)?, CONNECTIONS);
        let warm_up = stage.warm_up().time.max(Duration::from_secs(4));
        let latencies = load.run(Timetable::new(PER_SECOND, warm_up, stage.scale.open_loop))?;
        Ok(Figures::new([50.0, 99.0, 99.9].map(|percent| latencies.percentile_ms(percent))))
    })
}

/// A request for every key, in an order in which the partitions follow one another without a pattern.
fn frames(topic: &Topic) -> Result<Vec<Vec<u8>>> {
    let frame = |key: u64| {
        let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let partition = (hash % PARTITIONS as u64) as i32;
        let batch = PreparedBatch::keyed(BatchShape::single(VALUE_BYTES), Some(&hash.to_be_bytes()));
        produce_frame(topic, &[partition], &batch, Acks::Leader)
    };
    (0..KEYS).map(frame).collect()
}
