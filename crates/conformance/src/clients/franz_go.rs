//! franz-go: the integration tests that its authors wrote for Kafka.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::check::{Check, Fault, Needs, Verdict, expect};
use crate::nodes::{Cluster, Software, Voters};
use crate::program::Output;
use crate::stage::Stage;

pub(crate) const CHECKS: &[Check] = &[
    Check::new("franz-go", "kgo-tests", Needs::Broker, kgo_tests),
    Check::new("franz-go", "kgo-tests-on-three", Needs::Program, kgo_tests_on_three),
    Check::new("franz-go", "kgo-tests-through-kills", Needs::Program, kgo_tests_through_kills),
];

/// Against Apache Kafka 150 pass; far fewer would mean that they did not run.
const PASSED_MIN: usize = 100;

/// Goes on for ever without transactions. All others skip themselves where a broker does not advertise what they need.
const NEEDS_TRANSACTIONS: &str = "-test.skip=^TestTxnEtl$";

const NODES: usize = 3;
/// Between one SIGKILL and the next, and how long a node is down.
const KILL_INTERVAL: Duration = Duration::from_secs(20);
const DOWN_TIME: Duration = Duration::from_secs(2);

fn kgo_tests(stage: &Stage<'_>) -> Verdict {
    let mut command = tests(stage, stage.bootstrap, 1)?;
    let output = stage.run_to_any_end(&mut command, "")?;
    judge(stage, &output)
}

fn kgo_tests_on_three(stage: &Stage<'_>) -> Verdict {
    let (mut cluster, mut command) = three(stage)?;
    let output = stage.run_to_any_end(&mut command, "")?;
    judge(stage, &output)?;
    cluster.stop_all()
}

/// One node after the other is killed and started again while the tests run.
fn kgo_tests_through_kills(stage: &Stage<'_>) -> Verdict {
    if stage.software == Some(&Software::Kafka) {
        let reason = "a JVM that starts every 20 s leaves two cores no time for the tests";
        return Err(Fault::Skipped(reason.to_owned()));
    }
    let (mut cluster, mut command) = three(stage)?;
    let (mut kills, mut last, mut down) = (0, Instant::now(), None);
    let output = stage.run_beside(&mut command, || {
        if let Some(node) = down.take_if(|_| last.elapsed() >= DOWN_TIME) {
            return cluster.start(node);
        }
        if last.elapsed() < KILL_INTERVAL {
            return Ok(());
        }
        let node = kills % NODES + 1;
        (kills, last, down) = (kills + 1, Instant::now(), Some(node));
        cluster.kill(node)
    })?;
    judge(stage, &output)?;
    stage
        .report(format!("{kills} times a node was killed meanwhile, each down for {} s", DOWN_TIME.as_secs()))
}

/// Three nodes that are broker and controller each, and the tests for them.
fn three<'a>(stage: &'a Stage<'_>) -> Verdict<(Cluster<'a>, Command)> {
    let software = stage.software.ok_or_else(|| Fault::Skipped("it needs nodes of its own".to_owned()))?;
    let members = [(software, "broker,controller"); NODES];
    let settings = [("default.replication.factor", "3"), ("min.insync.replicas", "2")];
    let root = stage.scratch().join("cluster");
    let mut cluster = Cluster::format(&root, stage.peers, &members, &settings, Voters::Static)?;
    cluster.start_all()?;
    let command = tests(stage, &cluster.bootstrap(), NODES)?;
    Ok((cluster, command))
}

fn tests(stage: &Stage<'_>, bootstrap: &str, replicas: usize) -> Verdict<Command> {
    if !stage.is_full {
        return Err(Fault::Skipped("it takes minutes; --full runs it".to_owned()));
    }
    let package = stage.peers.franz_go()?;
    let mut command = Command::new(package.join("kgo.test"));
    command.args(["-test.v", "-test.timeout=14m"]).current_dir(package);
    let versions = format!("--bootstrap-server {bootstrap}");
    if stage.tool("BrokerApiVersionsCommand", &versions)?.contains("EndTxn(26): UNSUPPORTED") {
        stage.note("transactions are not advertised, TestTxnEtl is left out")?;
        command.arg(NEEDS_TRANSACTIONS);
    }
    command.env("KGO_SEEDS", bootstrap).env("KGO_TEST_RF", replicas.to_string());
    command.env("KGO_TEST_RECORDS", "50000");
    Ok(command)
}

fn judge(stage: &Stage<'_>, output: &Output) -> Verdict {
    let names = |word: &str| -> Vec<String> {
        let lines = output.stdout.lines().filter_map(|line| line.strip_prefix(word));
        lines.filter_map(|rest| rest.split_whitespace().next().map(str::to_owned)).collect()
    };
    let [passed, failed, skipped] = ["--- PASS: ", "--- FAIL: ", "--- SKIP: "].map(names);
    stage.note(format!("skipped: {skipped:?}"))?;
    expect(failed.is_empty(), "no test to fail", || format!("{} fail: {}", failed.len(), failed.join(" ")))?;
    expect(passed.len() >= PASSED_MIN, &format!("at least {PASSED_MIN} tests to pass"), || {
        format!("{} pass; {:?}: {}", passed.len(), output.end, output.stderr)
    })?;
    stage.report(format!("{} tests pass, {} skip themselves", passed.len(), skipped.len()))
}
