//! SIGKILL under load: a process that dies loses nothing that it acknowledged, since the page cache survives it.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use super::python;
use crate::check::{Check, Fault, Needs, Verdict};
use crate::nodes::{self, NodeFolder, Software};
use crate::program::{self, Background, End};
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

/// For a restarted broker to acknowledge enough again.
const PROGRESS_TIME_MAX: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(5);

/// Numbered records all the while; after the last restart every acknowledged one is at its offset, in order, and with an
/// idempotent producer none is there twice.
fn kills(stage: &Stage<'_>, is_idempotent: bool) -> Verdict {
    let software = stage.software.ok_or_else(|| Fault::Skipped("it kills nodes of its own".to_owned()))?;
    let folder = NodeFolder::create(stage.scratch().join("node"), &[])?;
    let acknowledged = stage.scratch().join("acknowledged");
    let (topic, is_idempotent) = (stage.own("numbered"), is_idempotent.to_string());
    let path = acknowledged.to_string_lossy();
    let args = [folder.address(), &topic, &is_idempotent, &path];
    let mut node = software.start(&folder, stage.peers)?;
    let mut producer = python::script(stage, "produce.py", include_str!("produce.py"), &args)?;
    let said = fs::File::create(stage.scratch().join("said"))?;
    let mut producer =
        Background::new(producer.stdin(Stdio::piped()).stdout(said.try_clone()?).stderr(said))?;
    for kill in 0..kill_count(stage, software) {
        // Never at the same point of a batch, a segment or a checkpoint.
        wait_for_lines(&acknowledged, 2_000 + kill * 12_370 % 20_000)
            .map_err(|fault| explain(fault, stage, &folder))?;
        node.kill()?;
        node = software.start(&folder, stage.peers)?;
    }
    wait_for_lines(&acknowledged, 1)?;
    drop(producer.child.stdin.take());
    let end = program::wait(&mut producer.child, PROGRESS_TIME_MAX)?;
    if end != End::Exit(0) {
        let said = fs::read_to_string(stage.scratch().join("said"))?;
        return Err(Fault::failed("the producer to end well", format!("{end:?}: {said}")));
    }
    python::run(stage, "verify.py", include_str!("verify.py"), &args)?;
    node.stop()
}

/// Waits for this many more records to be acknowledged.
fn wait_for_lines(path: &Path, more: usize) -> Verdict {
    let lines = || fs::read_to_string(path).unwrap_or_default().lines().count();
    let (start, deadline) = (lines(), Instant::now() + PROGRESS_TIME_MAX);
    while lines() < start + more {
        if Instant::now() > deadline {
            let expected = format!("{more} records acknowledged within {} s", PROGRESS_TIME_MAX.as_secs());
            return Err(Fault::failed(expected, format!("{}", lines() - start)));
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

/// Adds the words of producer and broker.
fn explain(fault: Fault, stage: &Stage<'_>, folder: &NodeFolder) -> Fault {
    let Fault::Failed { expected, came } = fault else { return fault };
    let said = nodes::tail(&stage.scratch().join("said"));
    Fault::failed(expected, format!("{came}\nproducer: {said}\nbroker: {}", nodes::tail(&folder.log())))
}
