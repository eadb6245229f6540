//! Crates that are clients of Kafka: the integration tests that their authors wrote for it.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use crate::check::{Check, Fault, Needs, Verdict, expect};
use crate::nodes::{NodeFolder, Plan, free_ports};
use crate::peers::{Crate, EXECUTABLES};
use crate::stage::Stage;

pub(crate) const CHECKS: &[Check] = &[
    Check::new("rdkafka", "own-tests", Needs::Program, rdkafka),
    Check::new("rskafka", "own-tests", Needs::Program, rskafka),
];

/// What its tests expect of the only broker.
const RDKAFKA_PORT: u16 = 9092;

/// Records of theirs are of 1970, and would go at the first look for old ones.
const KEPT: (&str, &str) = ("log.retention.ms", "-1");

/// Tests that are left out, with the reason.
type Left<'a> = &'a [(&'a str, &'a str)];

const TRANSACTIONS: (&str, &str) = ("test_transaction", "transactions are not advertised");

const SLOW_CREATION: (&str, &str) = (
    "test_base_producer_timeout",
    "it counts on a topic that is created on first use not being there within 100 ms",
);

fn rdkafka(stage: &Stage<'_>) -> Verdict {
    let software = stage.software.ok_or_else(|| Fault::Skipped("it needs a node of its own".to_owned()))?;
    let executables = executables(stage, &Crate::RDKAFKA)?;
    let in_use = |error| Fault::Skipped(format!("its tests need port {RDKAFKA_PORT}: {error}"));
    TcpListener::bind(("127.0.0.1", RDKAFKA_PORT)).map(drop).map_err(in_use)?;
    let ports = [RDKAFKA_PORT, free_ports()?[1]];
    let plan = Plan {
        node_id: 0,
        roles: "broker,controller",
        ports,
        quorum: &format!("controller.quorum.voters=0@127.0.0.1:{}", ports[1]),
        replication_factor: 1,
        settings: &[("num.partitions", "3"), KEPT],
    };
    let folder = NodeFolder::planned(stage.scratch().join("node"), &plan)?;
    let node = software.start(&folder, stage.peers)?;
    let versions = format!("--bootstrap-server {}", folder.address());
    let no_transactions =
        stage.tool("BrokerApiVersionsCommand", &versions)?.contains("EndTxn(26): UNSUPPORTED");
    let mut left = vec![SLOW_CREATION];
    if no_transactions {
        left.push(TRANSACTIONS);
    }
    run_all(stage, &executables, &left, &[("KAFKA_HOST", folder.address()), ("RUST_LOG", "off")])?;
    node.stop()
}

/// One of its tests is about a topic that nobody creates.
fn rskafka(stage: &Stage<'_>) -> Verdict {
    let software = stage.software.ok_or_else(|| Fault::Skipped("it needs a node of its own".to_owned()))?;
    let executables = executables(stage, &Crate::RSKAFKA)?;
    let settings = [("auto.create.topics.enable", "false"), KEPT];
    let folder = NodeFolder::create(stage.scratch().join("node"), &settings)?;
    let node = software.start(&folder, stage.peers)?;
    let environment =
        [("TEST_INTEGRATION", "1"), ("TEST_BROKER_IMPL", "kafka"), ("KAFKA_CONNECT", folder.address())];
    run_all(stage, &executables, &[], &environment)?;
    node.stop()
}

fn executables(stage: &Stage<'_>, of: &Crate) -> Verdict<Vec<String>> {
    if !stage.is_full {
        return Err(Fault::Skipped("building it takes minutes; --full does".to_owned()));
    }
    let folder = stage.peers.tests_of(of)?;
    let text = fs::read_to_string(folder.join(EXECUTABLES))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// All tests of all executables, one at a time: some count what happens in a second. A test that fails is made once more by itself,
/// since that second may be a busy one.
fn run_all(
    stage: &Stage<'_>,
    executables: &[String],
    left: Left<'_>,
    environment: &[(&str, &str)],
) -> Verdict {
    let skipped: Vec<&str> = left.iter().flat_map(|(name, _)| ["--skip", name]).collect();
    let (mut results, mut again) = (Vec::new(), Vec::new());
    for executable in executables {
        for (name, result) in run_one(stage, executable, &skipped, environment)? {
            let failed = result == "FAILED";
            let alone = if failed {
                run_one(stage, executable, &["--exact", &name], environment)?
            } else {
                Vec::new()
            };
            again.extend(failed.then(|| name.clone()));
            results.push(alone.into_iter().next().unwrap_or((name, result)));
        }
    }
    let named = |word: &str| -> Vec<&str> {
        results.iter().filter(|(_, result)| result == word).map(|(name, _)| name.as_str()).collect()
    };
    let (passed, failed, ignored) = (named("ok"), named("FAILED"), named("ignored"));
    let counts = format!("{} pass, {} fail, {} are ignored", passed.len(), failed.len(), ignored.len());
    stage.report(format!("of its own tests {counts}"))?;
    again.iter().try_for_each(|name| stage.report(format!("`{name}` was made once more by itself")))?;
    left.iter().try_for_each(|(name, reason)| stage.report(format!("`{name}*` is left out: {reason}")))?;
    expect(failed.is_empty(), "no test to fail", || failed.join(" "))?;
    expect(!passed.is_empty(), "tests that pass", || counts)
}

/// The tests of one executable with their results.
fn run_one(
    stage: &Stage<'_>,
    executable: &str,
    args: &[&str],
    environment: &[(&str, &str)],
) -> Verdict<Vec<(String, String)>> {
    let mut command = Command::new(executable);
    command.arg("--test-threads=1").args(args).envs(environment.iter().copied());
    command.current_dir(stage.scratch());
    let output = stage.run_to_any_end(&mut command, "")?;
    let results: Vec<_> = output.stdout.lines().filter_map(result).collect();
    let has_run = !results.is_empty() || output.stdout.contains("running 0 tests");
    expect(has_run, "results of tests", || format!("{executable}: {:?}: {}", output.end, output.stderr))?;
    Ok(results)
}

/// `test NAME ... RESULT`; what a test writes in between stands on lines of its own.
fn result(line: &str) -> Option<(String, String)> {
    let (name, rest) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let word = rest.split([' ', ',']).next()?;
    Some((name.to_owned(), word.to_owned()))
}
