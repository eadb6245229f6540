//! Thousands of replicated partitions: to hold, and to fail over.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::Goal::AtMost;
use super::{Figures, Metric, Scenario, Stage};
use crate::failure::{Failure, Result};
use crate::process::resident_mib;
use crate::wire::{Connection, Topic, active_controller, partition_states};

const TOPICS: i32 = 10;
const LOOK: Duration = Duration::from_millis(20);
const TIME_MAX: Duration = Duration::from_secs(300);

pub(super) fn scenario() -> Scenario {
    Scenario {
        name: "cluster-partitions".to_owned(),
        about: format!(
            "3,000 (quick: 300) partitions of three replicas in {TOPICS} topics: until all are in sync; the largest node's \
             resident memory; SIGKILL of a node that is not the active controller: until every partition has a leader that \
             answers"
        ),
        floor: None,
        is_quick: false,
        metrics: vec![
            Metric::new("create s"),
            Metric::new("MiB").absolute(AtMost(100.0)),
            Metric::new("failover s").against_kafka(AtMost(0.2)),
        ],
        rounds_max: 1,
        run: Box::new(run),
    }
}

fn run(stage: &Stage<'_>) -> Result<Figures> {
    let mut cluster = stage.fresh_cluster()?;
    cluster.start(stage.launcher)?;
    let nodes = cluster.addresses();
    let begin = Instant::now();
    let partitions = stage.scale.replicated_partitions / TOPICS;
    let create = |n| Topic::create_soon(nodes[0], &format!("bench-{n}"), (partitions, nodes.len()), &[]);
    let topics = (0..TOPICS).map(create).collect::<Result<Vec<_>>>()?;
    topics.iter().try_for_each(|topic| topic.wait_until_replicated(&nodes))?;
    let created = begin.elapsed().as_secs_f64();
    let resident = cluster.pids().into_iter().map(resident_mib).collect::<Result<Vec<_>>>()?;
    let largest = resident.into_iter().fold(0.0, f64::max);

    let active = active_controller(&mut Connection::open(nodes[0])?)?;
    let victim = (0..nodes.len()).find(|node| Some(*node) != active).unwrap_or(0);
    let begin = Instant::now();
    cluster.node_mut(victim).kill()?;
    let others: Vec<SocketAddr> = nodes.iter().copied().filter(|node| *node != nodes[victim]).collect();
    topics.iter().try_for_each(|topic| wait_until_led_by_others(&others, topic, victim, begin + TIME_MAX))?;
    let failed_over = begin.elapsed().as_secs_f64();
    stage.shared.delete_at_the_end(cluster.into_folders()?);
    Ok(Figures::new([created, largest, failed_over]))
}

/// Waits until both other nodes know a leader of every partition that is not the one that died, and these leaders answer.
fn wait_until_led_by_others(
    others: &[SocketAddr],
    topic: &Topic,
    victim: usize,
    deadline: Instant,
) -> Result<()> {
    for node in others {
        let mut connection = Connection::open(*node)?;
        loop {
            let states = partition_states(&mut connection, &topic.name)?;
            let is_led = |leader: Option<usize>| leader.is_some_and(|leader| leader != victim);
            if states.iter().all(|state| is_led(state.leader)) {
                break;
            }
            if Instant::now() > deadline {
                return Err(Failure::Other(format!("{} has partitions without a leader", topic.name)));
            }
            thread::sleep(LOOK);
        }
    }
    topic.wait_until_led(others)
}
