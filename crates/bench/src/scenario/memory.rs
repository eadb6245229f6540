//! Resident memory of a broker at rest, and after much has passed through it.

use std::thread;
use std::time::Duration;

use super::Goal::AtMost;
use super::{Figures, Metric, Scenario, Stage};
use crate::failure::Result;
use crate::load::{Phase, ProduceLoad};
use crate::process::resident_mib;
use crate::wire::{BatchShape, PreparedBatch, Topic};

const REST: Duration = Duration::from_secs(2);
const TIME_MAX: Duration = Duration::from_secs(600);

pub(super) fn scenario() -> Scenario {
    Scenario {
        name: "memory".to_owned(),
        about: "resident memory after the start, and after 10 GB (quick: 1 GB) in 64 KiB batches to 16 partitions"
            .to_owned(),
        floor: None,
        is_quick: true,
        metrics: vec![
            Metric::new("idle MiB").absolute(AtMost(15.0)),
            Metric::new("after MiB").absolute(AtMost(50.0)),
        ],
        rounds_max: 1,
        run: Box::new(run),
    }
}

fn run(stage: &Stage<'_>) -> Result<Figures> {
    // Segments are to go as they fill up, or the disk would fill up instead.
    let node = stage.fresh(&[("log.segment.bytes", "67108864"), ("log.retention.bytes", "67108864")])?;
    let topic = Topic::create(node.address(), "bench", 16, &[])?;
    thread::sleep(REST);
    let idle = resident_mib(node.pid())?;
    let load = ProduceLoad::new(PreparedBatch::new(BatchShape::filling(64 << 10, 1 << 10)), 4);
    let all = Phase { time: TIME_MAX, bytes: stage.scale.memory_bytes };
    load.measure(&node, &topic, Phase { bytes: 0, ..all }, all)?;
    Ok(Figures::new([idle, resident_mib(node.pid())?]))
}
