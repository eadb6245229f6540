//! SIGKILL under load: a process that dies loses nothing that it acknowledged, since the page cache survives it.

use super::numbered::{Numbered, Producer};
use crate::check::{Check, Fault, Needs, Verdict};
use crate::nodes::{self, NodeFolder, Software};
use crate::stage::Stage;

pub(crate) const CHECKS: &[Check] = &[
    Check::new("sigkill", "acks-1", Needs::Program, |stage| kills(stage, false)),
    Check::new("sigkill", "idempotent", Needs::Program, |stage| kills(stage, true)),
];

/// How often, usually and in a full run. Kafka needs half a minute for each.
fn kill_count(stage: &Stage<'_>, software: &Software) -> usize {
    match software {
        Software::Klamm(_) => stage.records(5, 20),
        Software::Kafka => stage.records(1, 5),
    }
}

fn kills(stage: &Stage<'_>, is_idempotent: bool) -> Verdict {
    let software = stage.software.ok_or_else(|| Fault::Skipped("it kills nodes of its own".to_owned()))?;
    let folder = NodeFolder::create(stage.scratch().join("node"), &[])?;
    let mut node = software.start(&folder, stage.peers)?;
    let topic = stage.own("numbered");
    let what = Numbered { bootstrap: folder.address(), topic, is_idempotent, replication_factor: 1, rate: 0 };
    let producer = Producer::start(stage, what)?;
    let count = kill_count(stage, software);
    for kill in 0..count {
        // Never at the same point of a batch, a segment or a checkpoint.
        producer.wait_for(2_000 + kill * 12_370 % 20_000).map_err(|fault| explain(fault, &folder))?;
        node.kill()?;
        node = software.start(&folder, stage.peers)?;
    }
    producer.wait_for(1).map_err(|fault| explain(fault, &folder))?;
    let records = producer.finish()?;
    stage.report(format!("{count} times, {records} records acknowledged, none lost"))?;
    node.stop()
}

/// Adds the broker's words.
fn explain(fault: Fault, folder: &NodeFolder) -> Fault {
    let Fault::Failed { expected, came } = fault else { return fault };
    Fault::failed(expected, format!("{came}\nbroker: {}", nodes::tail(&folder.log())))
}
