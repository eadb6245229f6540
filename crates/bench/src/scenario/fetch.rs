//! Fetches of data that is in the page cache: large, small, and of many partitions at once.

use std::fs::File;
use std::io::{BufWriter, Write};

use super::Goal::AtMost;
use super::{Figures, Metric, Scenario, Stage};
use crate::failure::{Failure, Result};
use crate::load::{FetchLoad, Phase, Reading, fill};
use crate::target::{Node, Target};
use crate::wire::{BatchShape, PreparedBatch, Topic};

const VALUE_BYTES: usize = 1 << 10;
const BATCH_BYTES: usize = 16 << 10;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![hot(), small(), wide()]
}

/// Megabytes at a time: what a byte costs.
fn hot() -> Scenario {
    let load = FetchLoad { connections: 4, partitions_per_request: 1, bytes_max: 1 << 20 };
    let cpu = Metric::new("CPU s/GB").against_kafka(AtMost(0.75)).against_floor(AtMost(1.15));
    Scenario {
        name: "fetch-hot".to_owned(),
        about: "1 MiB at a time from the page cache, 4 connections with a partition each".to_owned(),
        floor: Some(Target::Sendfile),
        is_quick: true,
        metrics: vec![cpu, Metric::new("MB/s")],
        rounds_max: u32::MAX,
        run: Box::new(move |stage| {
            let reading = run(stage, &load, BATCH_BYTES)?;
            Ok(Figures::of(&reading, [reading.cpu_per_gb(), reading.mb_per_second()]))
        }),
    }
}

/// A batch at a time: what a fetch costs.
fn small() -> Scenario {
    let load = FetchLoad { connections: 4, partitions_per_request: 1, bytes_max: 4 << 10 };
    Scenario {
        name: "fetch-small".to_owned(),
        about: "4 KiB at a time from the page cache, 4 connections with a partition each".to_owned(),
        floor: Some(Target::Sendfile),
        is_quick: true,
        metrics: vec![Metric::new("requests/CPU s"), Metric::new("requests/s")],
        rounds_max: u32::MAX,
        run: Box::new(move |stage| requests(&run(stage, &load, 2 << 10)?)),
    }
}

/// Many partitions in one request: what a partition costs.
fn wide() -> Scenario {
    let load = FetchLoad { connections: 2, partitions_per_request: 100, bytes_max: 8 << 10 };
    Scenario {
        name: "fetch-wide".to_owned(),
        about: "8 KiB of each of 100 partitions at a time from the page cache, 2 connections".to_owned(),
        floor: None,
        is_quick: false,
        metrics: vec![Metric::new("requests/CPU s"), Metric::new("requests/s")],
        rounds_max: u32::MAX,
        run: Box::new(move |stage| requests(&run(stage, &load, 2 << 10)?)),
    }
}

fn requests(reading: &Reading) -> Result<Figures> {
    Ok(Figures::of(reading, [reading.requests_per_cpu_second(), reading.requests / reading.seconds]))
}

fn run(stage: &Stage<'_>, load: &FetchLoad, batch_bytes: usize) -> Result<Reading> {
    let node = stage.node()?;
    let batch = PreparedBatch::new(BatchShape::filling(batch_bytes, VALUE_BYTES));
    stage.with_topic(&node, load.partitions(), &[], |topic| {
        let batches = store(stage, &node, topic, &batch)?;
        // Reading leaves nothing on the disk, so that only time ends it.
        let counted = Phase { bytes: u64::MAX, ..stage.counted() };
        load.measure(&node, topic, (&batch, batches), stage.warm_up(), counted)
    })
}

/// Stores batches: in a broker by producing them, for the floor in its file. Gives their number in a partition.
fn store(stage: &Stage<'_>, node: &Node, topic: &Topic, batch: &PreparedBatch) -> Result<usize> {
    if stage.target != Target::Sendfile {
        return fill(node, topic, batch, stage.scale.fetched_topic_bytes);
    }
    let batches = stage.scale.fetched_topic_bytes as usize / batch.bytes.len();
    let file = File::create(node.records_file()).map_err(Failure::doing("a file of records"))?;
    let mut file = BufWriter::new(file);
    (0..batches).try_for_each(|_| file.write_all(&batch.bytes))?;
    file.flush()?;
    Ok(batches)
}
