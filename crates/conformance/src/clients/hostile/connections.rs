//! Ten thousand connections at a time.

use std::time::{Duration, Instant};

use super::messages;
use super::siege::{QUESTION, Siege};
use super::wire::{Answer, Connection};
use crate::check::{Verdict, expect};
use crate::stage::Stage;

const PATIENCE: Duration = Duration::from_secs(20);

/// All are answered when they come and again when all are there; they cost little, and what they cost is given back.
pub(super) fn many_connections(stage: &Stage<'_>) -> Verdict {
    let count = stage.records(1_000, 10_000);
    let siege = Siege::start(stage, &[])?;
    let before = siege.memory.now_kib();
    let start = Instant::now();
    let mut connections = Vec::new();
    for _ in 0..count {
        let mut connection = Connection::open(siege.address(), PATIENCE)?;
        ask(&mut connection)?;
        connections.push(connection);
    }
    let opened = start.elapsed();
    connections.iter_mut().try_for_each(ask)?;
    let each = siege.memory.now_kib().saturating_sub(before) as f64 / count as f64;
    stage.report(format!(
        "{count} connections opened in {:.1} s, {each:.1} KiB of the broker's memory each",
        opened.as_secs_f64()
    ))?;
    drop(connections);
    siege.end()
}

fn ask(connection: &mut Connection) -> Verdict {
    let answer = connection.exchange(QUESTION);
    let is_right = matches!(&answer, Answer::Frame(frame) if messages::answers(QUESTION, frame));
    expect(is_right, "the list of APIs", || format!("{answer:?}"))
}
