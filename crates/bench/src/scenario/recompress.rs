//! Topics whose codec is not the producer's, so that the broker compresses anew.

use klamm_records::Compression;

use super::Goal::AtMost;
use super::{Figures, Metric, Scenario, Stage};
use crate::failure::Result;
use crate::load::ProduceLoad;
use crate::wire::{BatchShape, PreparedBatch};

const BATCH_BYTES: usize = 64 << 10;
const VALUE_BYTES: usize = 1 << 10;
const CONNECTIONS: usize = 4;
const PARTITIONS: i32 = 4;

pub(super) fn scenarios() -> Vec<Scenario> {
    let topics = [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    topics.into_iter().map(scenario).collect()
}

fn scenario(topic: Compression) -> Scenario {
    let producer = if topic == Compression::Lz4 { Compression::Snappy } else { Compression::Lz4 };
    Scenario {
        name: format!("recompress-{}", topic.name()),
        about: format!(
            "64 KiB of 1 KiB records in batches of {}, to topics with compression.type={}; per GB of records",
            producer.name(),
            topic.name()
        ),
        floor: None,
        is_quick: false,
        metrics: vec![Metric::new("CPU s/GB").against_kafka(AtMost(0.5)), Metric::new("MB/s")],
        rounds_max: u32::MAX,
        run: Box::new(move |stage| run(stage, producer, topic)),
    }
}

fn run(stage: &Stage<'_>, producer: Compression, topic: Compression) -> Result<Figures> {
    let node = stage.node()?;
    let shape = BatchShape { compression: producer, ..BatchShape::filling(BATCH_BYTES, VALUE_BYTES) };
    let load = ProduceLoad::new(PreparedBatch::new(shape), CONNECTIONS);
    stage.with_topic(&node, PARTITIONS, &[("compression.type", topic.name())], |topic| {
        let reading = load.measure(&node, topic, stage.warm_up(), stage.counted())?;
        Ok(Figures::of(&reading, [reading.cpu_per_gb(), reading.mb_per_second()]))
    })
}
