//! Clusters of Klamm's and Apache Kafka's nodes: whoever leads, the others follow, and Kafka's tools find nothing to complain about.

use std::thread;
use std::time::{Duration, Instant};

use crate::check::{Check, Fault, Needs, Verdict};
use crate::nodes::Software;
use crate::program::End;
use crate::stage::Stage;

mod broker;
mod controller;
mod dynamic;
mod health;
mod logs;
mod quorum;

pub(crate) const CHECKS: &[Check] = &[
    check("broker-among-kafkas", broker::among_kafkas),
    check("controller-among-kafkas", controller::among_kafkas),
    check("dynamic-voters", dynamic::voters),
];

const fn check(name: &'static str, run: fn(&Stage<'_>) -> Verdict) -> Check {
    Check::new("mixed", name, Needs::Program, run)
}

/// For a cluster to come to rest, with JVMs on a busy machine.
const REST_TIME_MAX: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(200);

/// The software under test, for a run in which there is time for several JVMs.
fn software<'a>(stage: &Stage<'a>) -> Verdict<&'a Software> {
    let software = stage.software.ok_or_else(|| Fault::Skipped("it starts nodes of its own".to_owned()))?;
    if !stage.is_full {
        return Err(Fault::Skipped("it starts several JVMs; --full does".to_owned()));
    }
    Ok(software)
}

/// Waits until it holds; until then `look` says what is there instead.
pub(super) fn wait_until(what: &str, mut look: impl FnMut() -> Verdict<Result<(), String>>) -> Verdict {
    let deadline = Instant::now() + REST_TIME_MAX;
    loop {
        match look()? {
            Ok(()) => return Ok(()),
            Err(came) if Instant::now() > deadline => {
                return Err(Fault::failed(format!("{what} within {} s", REST_TIME_MAX.as_secs()), came));
            }
            Err(_) => thread::sleep(LOOK),
        }
    }
}

/// What a tool printed, and if it failed what it said of that: for looking again.
pub(super) fn look(stage: &Stage<'_>, class: &str, args: &str) -> Verdict<String> {
    let output = stage.tool_ending_somehow(class, args, "")?;
    Ok(if output.end == End::Exit(0) { output.stdout } else { output.stdout + &output.stderr })
}

/// The value in a line of `Name:   value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
