//! From three processes to a replicated record.

use std::thread;
use std::time::{Duration, Instant};

use super::Goal::AtMost;
use super::{Figures, Metric, Scenario, Stage};
use crate::failure::Result;
use crate::load::Probe;
use crate::target::Cluster;
use crate::wire::{Connection, Topic};

const LOOK: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(1);
const TIME_MAX: Duration = Duration::from_secs(120);

pub(super) fn scenario() -> Scenario {
    Scenario {
        name: "cluster-start".to_owned(),
        about: "three nodes with formatted folders are started: until a record to a new topic of three replicas is \
                acknowledged, acks=all"
            .to_owned(),
        floor: None,
        is_quick: false,
        metrics: vec![Metric::new("first record ms").absolute(AtMost(1_000.0))],
        rounds_max: u32::MAX,
        run: Box::new(run),
    }
}

fn run(stage: &Stage<'_>) -> Result<Figures> {
    let mut cluster = stage.fresh_cluster()?;
    let nodes = cluster.addresses();
    let begin = Instant::now();
    cluster.spawn(stage.launcher)?;
    let topic = create_as_soon_as_possible(&mut cluster, begin + TIME_MAX)?;
    let acknowledged = Probe::start(&nodes, &topic, 0)?.first_after(begin, TIME_MAX)?;
    Ok(Figures::new([(acknowledged - begin).as_secs_f64() * 1e3]))
}

fn create_as_soon_as_possible(cluster: &mut Cluster, deadline: Instant) -> Result<Topic> {
    let nodes = cluster.addresses();
    let mut attempts = 0;
    loop {
        attempts += 1;
        // An answer that does not come in time may be a topic that comes later, so that each attempt has its own.
        let name = format!("bench-{attempts}");
        let asked = Connection::open_with_patience(nodes[0], PATIENCE)
            .and_then(|mut connection| Topic::try_create(&mut connection, &name, (1, nodes.len()), &[]));
        match asked {
            Ok(id) => return Ok(Topic { name, id, partitions: 1 }),
            Err(failure) if Instant::now() > deadline => return Err(failure),
            Err(_) => cluster.check_alive()?,
        }
        thread::sleep(LOOK);
    }
}
