//! Produce in bulk: records of 1 KB in batches of several sizes.

use super::Goal::AtMost;
use super::{Figures, Metric, Scenario, Stage};
use crate::failure::Result;
use crate::load::ProduceLoad;
use crate::target::Target;
use crate::wire::{Acks, BatchShape, PreparedBatch};

const VALUE_BYTES: usize = 1 << 10;
const CONNECTIONS: usize = 4;

/// What the variants differ in.
#[derive(Clone, Copy)]
struct Variant {
    name: &'static str,
    batch_bytes: usize,
    partitions: i32,
    partitions_per_request: usize,
    acks: Acks,
    is_quick: bool,
    cpu_against_kafka: f64,
}

const VARIANTS: [Variant; 6] = [
    Variant { name: "produce-256k-1p", partitions: 1, ..LARGE },
    Variant { name: "produce-256k-16p", ..LARGE },
    Variant { name: "produce-16k-1p", partitions: 1, ..SMALL },
    Variant { name: "produce-16k-16p", ..SMALL },
    Variant { name: "produce-16k-grouped", partitions_per_request: 16, is_quick: false, ..SMALL },
    Variant { name: "produce-16k-all", acks: Acks::All, is_quick: false, ..SMALL },
];
const LARGE: Variant = Variant {
    name: "",
    batch_bytes: 256 << 10,
    partitions: 16,
    partitions_per_request: 1,
    acks: Acks::Leader,
    is_quick: true,
    cpu_against_kafka: 0.2,
};
const SMALL: Variant = Variant { batch_bytes: 16 << 10, cpu_against_kafka: 0.12, ..LARGE };

pub(super) fn scenarios() -> Vec<Scenario> {
    VARIANTS.into_iter().map(scenario).collect()
}

fn scenario(variant: Variant) -> Scenario {
    let Variant { name, batch_bytes, partitions, partitions_per_request, acks, .. } = variant;
    Scenario {
        name: name.to_owned(),
        about: format!(
            "{} KiB batches of 1 KiB records, {partitions_per_request} in a request, to {partitions} partitions over \
             {CONNECTIONS} connections, 5 requests in flight, acks={}",
            batch_bytes >> 10,
            if acks == Acks::All { "all" } else { "1" }
        ),
        floor: Some(Target::Null),
        is_quick: variant.is_quick,
        metrics: vec![
            Metric::new("CPU s/GB")
                .against_kafka(AtMost(variant.cpu_against_kafka))
                .against_floor(AtMost(1.5)),
            Metric::new("MB/s"),
        ],
        rounds_max: u32::MAX,
        run: Box::new(move |stage| run(stage, variant)),
    }
}

fn run(stage: &Stage<'_>, variant: Variant) -> Result<Figures> {
    let node = stage.node()?;
    let batch = PreparedBatch::new(BatchShape::filling(variant.batch_bytes, VALUE_BYTES));
    let load = ProduceLoad {
        partitions_per_request: variant.partitions_per_request,
        acks: variant.acks,
        ..ProduceLoad::new(batch, CONNECTIONS)
    };
    stage.with_topic(&node, variant.partitions, &[], |topic| {
        let reading = load.measure(&node, topic, stage.warm_up(), stage.counted())?;
        Ok(Figures::of(&reading, [reading.cpu_per_gb(), reading.mb_per_second()]))
    })
}
