//! Produce in bulk to all nodes of a cluster.

use super::Goal::AtMost;
use super::{Figures, Metric, Scenario, Stage};
use crate::failure::Result;
use crate::load::ProduceLoad;
use crate::wire::{Acks, BatchShape, PreparedBatch};

const VALUE_BYTES: usize = 1 << 10;
const PARTITIONS: i32 = 12;
/// Connections to each node.
const CONNECTIONS: usize = 2;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![scenario("cluster-produce-256k", 256 << 10), scenario("cluster-produce-16k", 16 << 10)]
}

fn scenario(name: &'static str, batch_bytes: usize) -> Scenario {
    Scenario {
        name: name.to_owned(),
        about: format!(
            "{} KiB batches of 1 KiB records to {PARTITIONS} partitions of three replicas, {CONNECTIONS} connections to \
             each of three nodes, 5 requests in flight, acks=all; CPU of all nodes",
            batch_bytes >> 10
        ),
        floor: None,
        is_quick: false,
        metrics: vec![Metric::new("CPU s/GB").against_kafka(AtMost(0.2)), Metric::new("MB/s")],
        rounds_max: u32::MAX,
        run: Box::new(move |stage| run(stage, batch_bytes)),
    }
}

fn run(stage: &Stage<'_>, batch_bytes: usize) -> Result<Figures> {
    let cluster = stage.cluster()?;
    let batch = PreparedBatch::new(BatchShape::filling(batch_bytes, VALUE_BYTES));
    let load = ProduceLoad { acks: Acks::All, ..ProduceLoad::new(batch, CONNECTIONS) };
    stage.with_replicated_topic(&mut cluster.borrow_mut(), PARTITIONS, |cluster, topic| {
        let leaders = topic.leaders(cluster.nodes()[0].address())?;
        let reading = load.measure_cluster(cluster, (topic, &leaders), stage.warm_up(), stage.counted())?;
        topic.check_in_sync(cluster.nodes()[0].address(), cluster.nodes().len())?;
        Ok(Figures::of(&reading, [reading.cpu_per_gb(), reading.mb_per_second()]))
    })
}
