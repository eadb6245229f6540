//! Latency of replicated produce requests at a fixed rate.

use super::Goal::AtMost;
use super::{Figures, Metric, Scenario, Stage};
use crate::failure::Result;
use crate::load::{Lane, OpenLoop, Timetable};
use crate::target::Cluster;
use crate::wire::{Acks, BatchShape, PreparedBatch, Topic, produce_frame};

const PER_SECOND: u32 = 2_000;
const CONNECTIONS: usize = 100;
const PARTITIONS: i32 = 12;
const VALUE_BYTES: usize = 1 << 10;

pub(super) fn scenario() -> Scenario {
    Scenario {
        name: "cluster-latency".to_owned(),
        about: format!(
            "{PER_SECOND} requests/s of a 1 KiB record over {CONNECTIONS} connections to {PARTITIONS} partitions of three \
             replicas on three nodes, acks=all, timed from when each was due"
        ),
        floor: None,
        is_quick: false,
        metrics: vec![
            Metric::new("p50 ms"),
            Metric::new("p99 ms").against_kafka(AtMost(0.3)),
            Metric::new("p99.9 ms").against_kafka(AtMost(0.3)),
        ],
        rounds_max: u32::MAX,
        run: Box::new(run),
    }
}

fn run(stage: &Stage<'_>) -> Result<Figures> {
    let cluster = stage.cluster()?;
    stage.with_replicated_topic(&mut cluster.borrow_mut(), PARTITIONS, |cluster, topic| {
        let load = OpenLoop { lanes: lanes(cluster, topic)? };
        let timetable = Timetable::new(PER_SECOND, stage.warm_up().time, stage.scale.open_loop);
        let latencies = load.run(timetable)?;
        topic.check_in_sync(cluster.nodes()[0].address(), cluster.nodes().len())?;
        Ok(Figures::new([50.0, 99.0, 99.9].map(|percent| latencies.percentile_ms(percent))))
    })
}

/// Connections to the leaders of the partitions in turn.
fn lanes(cluster: &Cluster, topic: &Topic) -> Result<Vec<Lane>> {
    let leaders = topic.leaders(cluster.nodes()[0].address())?;
    let batch = PreparedBatch::new(BatchShape::single(VALUE_BYTES));
    let lane = |connection: usize| {
        let partition = connection % leaders.len();
        let address = cluster.nodes()[leaders[partition]].address();
        let frames = vec![produce_frame(topic, &[partition as i32], &batch, Acks::All)?];
        Ok(Lane { address, frames })
    };
    (0..CONNECTIONS).map(lane).collect()
}
