//! One data folder, two brokers: what one has written the other serves, goes on with, and hands back.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::python;
use crate::check::{Check, Fault, Needs, Verdict, expect};
use crate::nodes::{self, Node, NodeFolder, Software};
use crate::stage::Stage;

mod difference;
mod dump_log;

use difference::first_difference;

pub(crate) const CHECKS: &[Check] = &[
    check("kafkas-folder-and-back", |stage| there_and_back(stage, &Software::Kafka, own(stage)?, End::Stop)),
    check("own-folder-and-back", |stage| there_and_back(stage, own(stage)?, &Software::Kafka, End::Stop)),
    check("kafkas-folder-after-sigkill", |stage| {
        there_and_back(stage, &Software::Kafka, own(stage)?, End::Kill)
    }),
    check("own-folder-after-sigkill", |stage| {
        there_and_back(stage, own(stage)?, &Software::Kafka, End::Kill)
    }),
    check("formatted-by-storage-tool", formatted),
    check("dump-log-segments", dump_log::dump_log_segments),
];

const CHECKPOINT_OFTEN: &[(&str, &str)] = &[
    ("log.initial.task.delay.ms", "100"),
    ("log.flush.offset.checkpoint.interval.ms", "200"),
    ("log.flush.start.offset.checkpoint.interval.ms", "200"),
];
const CHECKPOINT_TIME_MAX: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

const fn check(name: &'static str, run: fn(&Stage<'_>) -> Verdict) -> Check {
    Check::new("folders", name, Needs::Program, run)
}

/// How the first broker leaves the folder.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Stop,
    Kill,
}

/// The broker under test; Apache Kafka when the checks themselves are.
fn own<'a>(stage: &Stage<'a>) -> Verdict<&'a Software> {
    stage.software.ok_or_else(|| Fault::Skipped("it starts nodes of its own".to_owned()))
}

/// `first` writes, `second` shows the same and adds to it, `first` shows that again.
fn there_and_back(stage: &Stage<'_>, first: &Software, second: &Software, end: End) -> Verdict {
    let folder = NodeFolder::create(stage.scratch().join("node"), CHECKPOINT_OFTEN)?;
    let written = serve(stage, first, &folder, end, |stage, bootstrap| {
        write(stage, bootstrap)?;
        dump(stage, bootstrap)
    })?;
    let (seen, added) = serve(stage, second, &folder, end, |stage, bootstrap| {
        let seen = dump(stage, bootstrap)?;
        append(stage, bootstrap)?;
        Ok((seen, dump(stage, bootstrap)?))
    })?;
    expect_same(&format!("{} to show what {} wrote", second.name(), first.name()), &written, &seen)?;
    let back = serve(stage, first, &folder, End::Stop, dump)?;
    expect_same(&format!("{} to show what {} added", first.name(), second.name()), &added, &back)?;
    stage.report(contents(&back))
}

/// How much was compared.
fn contents(dump: &Value) -> String {
    let topics: Vec<_> = dump["topics"].as_object().into_iter().flat_map(|topics| topics.values()).collect();
    let lists = |topic: &Value| topic["records"].as_array().cloned().unwrap_or_default();
    let records: usize =
        topics.iter().flat_map(|topic| lists(topic)).map(|list| list.as_array().map_or(0, Vec::len)).sum();
    let groups = dump["groups"].as_object().map_or(0, serde_json::Map::len);
    format!(
        "{} topics with ids, bounds, settings and offsets by time, {records} records of all codecs, and the offsets of \
         {groups} groups are the same",
        topics.len()
    )
}

/// A folder that Kafka only formatted is the broker's from its first record on, with Kafka's cluster id.
fn formatted(stage: &Stage<'_>) -> Verdict {
    let folder = NodeFolder::create(stage.scratch().join("node"), &[])?;
    nodes::format(&folder, stage.peers, &[])?;
    let written = serve(stage, own(stage)?, &folder, End::Stop, |stage, bootstrap| {
        write(stage, bootstrap)?;
        dump(stage, bootstrap)
    })?;
    expect(written["cluster"] == nodes::CLUSTER_ID, nodes::CLUSTER_ID, || written["cluster"].to_string())?;
    let again = serve(stage, own(stage)?, &folder, End::Stop, dump)?;
    expect_same("the same after a restart", &written, &again)
}

/// Runs a node there for as long as `work` takes.
fn serve<T>(
    stage: &Stage<'_>,
    software: &Software,
    folder: &NodeFolder,
    end: End,
    work: impl FnOnce(&Stage<'_>, &str) -> Verdict<T>,
) -> Verdict<T> {
    stage.note(format!("{} on the folder", software.name()))?;
    let node: Node = software.start(folder, stage.peers)?;
    let result = work(stage, folder.address());
    match end {
        End::Stop => node.stop()?,
        End::Kill => {
            wait_for_checkpoint(folder)?;
            node.kill()?;
        }
    }
    stage.note(format!("its log:\n{}", nodes::tail(&folder.log())))?;
    result
}

/// Where a log starts after DeleteRecords is written down now and then only; by either broker.
fn wait_for_checkpoint(folder: &NodeFolder) -> Verdict {
    let file = folder.data().join("log-start-offset-checkpoint");
    let deadline = Instant::now() + CHECKPOINT_TIME_MAX;
    while !fs::read_to_string(&file).is_ok_and(|text| text.contains("shortened 0 40")) {
        if Instant::now() > deadline {
            let came = fs::read_to_string(&file).unwrap_or_else(|error| error.to_string());
            return Err(Fault::failed("log-start-offset-checkpoint with shortened 0 40", came));
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

fn write(stage: &Stage<'_>, bootstrap: &str) -> Verdict {
    python::run(stage, "write.py", include_str!("write.py"), &[bootstrap]).map(drop)
}

fn append(stage: &Stage<'_>, bootstrap: &str) -> Verdict {
    python::run(stage, "append.py", include_str!("append.py"), &[bootstrap]).map(drop)
}

fn dump(stage: &Stage<'_>, bootstrap: &str) -> Verdict<Value> {
    let printed = python::run(stage, "dump.py", include_str!("dump.py"), &[bootstrap])?;
    serde_json::from_str(printed.trim())
        .map_err(|error| Fault::failed("JSON from dump.py", error.to_string()))
}

fn expect_same(what: &str, expected: &Value, came: &Value) -> Verdict {
    match first_difference(expected, came) {
        None => Ok(()),
        Some(difference) => {
            let expected = format!("{what}: {} = {}", difference.path, difference.expected);
            Err(Fault::failed(expected, difference.came))
        }
    }
}
