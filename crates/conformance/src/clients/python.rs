//! Scripts over confluent-kafka: they compare for themselves, and say what they expected and what came.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::check::{Fault, Verdict};
use crate::stage::Stage;

const EXPECTATIONS: &str = include_str!("expectations.py");

/// A Python that is about to run the script, written beside the module that all scripts share.
pub(super) fn script(stage: &Stage<'_>, name: &str, source: &str, args: &[&str]) -> Verdict<Command> {
    fs::write(stage.scratch().join("expectations.py"), EXPECTATIONS)?;
    let path = stage.file(name, source)?;
    let mut command = Command::new(stage.peers.python()?);
    command.args(["-u", "-X", "faulthandler"]).arg(path).args(args);
    Ok(command)
}

/// Runs it to its end; what it printed. A failed expectation is the check's.
pub(super) fn run(stage: &Stage<'_>, name: &str, source: &str, args: &[&str]) -> Verdict<String> {
    let output = stage.run_to_any_end(&mut script(stage, name, source, args)?, "")?;
    let last = output.stdout.lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok());
    match last.as_ref().and_then(|last| Some((last["expected"].as_str()?, last["came"].as_str()?))) {
        Some((expected, came)) => Err(Fault::failed(expected, came)),
        None => Ok(output.successful(name)?.stdout),
    }
}
