//! From the start of the process to the first acknowledged record.

use std::thread;
use std::time::{Duration, Instant};

use super::Goal::AtMost;
use super::{Figures, Metric, Scenario, Stage};
use crate::failure::{Failure, Result};
use crate::target::Node;
use crate::wire::{Acks, BatchShape, Connection, PreparedBatch, Topic, check_produced, produce_frame};

const LOOK: Duration = Duration::from_micros(500);
const TIME_MAX: Duration = Duration::from_secs(60);

pub(super) fn scenario() -> Scenario {
    Scenario {
        name: "start".to_owned(),
        about: "a broker with a topic is started: until a record is acknowledged".to_owned(),
        floor: None,
        is_quick: true,
        metrics: vec![
            Metric::new("first record ms").against_kafka(AtMost(0.02)).absolute(AtMost(50.0)),
            Metric::new("stop ms"),
        ],
        rounds_max: u32::MAX,
        run: Box::new(run),
    }
}

fn run(stage: &Stage<'_>) -> Result<Figures> {
    let mut node = stage.fresh(&[])?;
    let topic = Topic::create(node.address(), "bench", 1, &[])?;
    let stopping = Instant::now();
    node.stop()?;
    let stopped = stopping.elapsed();
    let request = produce_frame(&topic, &[0], &PreparedBatch::new(BatchShape::single(100)), Acks::Leader)?;

    let begin = Instant::now();
    node.spawn(stage.launcher)?;
    while let Err(failure) = produce_one(&node, &request) {
        node.check_alive()?;
        if begin.elapsed() > TIME_MAX {
            return Err(failure);
        }
        thread::sleep(LOOK);
    }
    let started = begin.elapsed();
    Ok(Figures::new([started, stopped].map(|time| time.as_secs_f64() * 1e3)))
}

fn produce_one(node: &Node, request: &[u8]) -> std::result::Result<(), Failure> {
    let mut connection = Connection::open(node.address())?;
    connection.send(request)?;
    check_produced(connection.receive()?)
}
