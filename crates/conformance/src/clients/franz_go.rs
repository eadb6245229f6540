//! franz-go: the integration tests that its authors wrote for Kafka.

use std::process::Command;

use crate::check::{Check, Fault, Needs, Verdict, expect};
use crate::stage::Stage;

pub(crate) const CHECKS: &[Check] = &[Check::new("franz-go", "kgo-tests", Needs::Broker, kgo_tests)];

/// Against Apache Kafka 150 pass; far fewer would mean that they did not run.
const PASSED_MIN: usize = 100;

/// Goes on for ever without transactions. All others skip themselves where a broker does not advertise what they need.
const NEEDS_TRANSACTIONS: &str = "-test.skip=^TestTxnEtl$";

fn kgo_tests(stage: &Stage<'_>) -> Verdict {
    if !stage.is_full {
        return Err(Fault::Skipped("it takes minutes; --full runs it".to_owned()));
    }
    let package = stage.peers.franz_go()?;
    let mut command = Command::new(package.join("kgo.test"));
    command.args(["-test.v", "-test.timeout=14m"]).current_dir(package);
    if stage.admin("BrokerApiVersionsCommand", "")?.contains("EndTxn(26): UNSUPPORTED") {
        stage.note("transactions are not advertised, TestTxnEtl is left out")?;
        command.arg(NEEDS_TRANSACTIONS);
    }
    command.env("KGO_SEEDS", stage.bootstrap).env("KGO_TEST_RF", "1").env("KGO_TEST_RECORDS", "50000");
    let output = stage.run_to_any_end(&mut command, "")?;
    let names = |word: &str| -> Vec<String> {
        let lines = output.stdout.lines().filter_map(|line| line.strip_prefix(word));
        lines.filter_map(|rest| rest.split_whitespace().next().map(str::to_owned)).collect()
    };
    let [passed, failed, skipped] = ["--- PASS: ", "--- FAIL: ", "--- SKIP: "].map(names);
    stage.note(format!(
        "{} pass, {} fail, {} skip: {skipped:?}",
        passed.len(),
        failed.len(),
        skipped.len()
    ))?;
    expect(failed.is_empty(), "no test to fail", || format!("{} fail: {}", failed.len(), failed.join(" ")))?;
    expect(passed.len() >= PASSED_MIN, &format!("at least {PASSED_MIN} tests to pass"), || {
        format!("{} pass; {:?}: {}", passed.len(), output.end, output.stderr)
    })
}
