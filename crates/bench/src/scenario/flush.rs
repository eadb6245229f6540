//! Every record on the disk before it is acknowledged: how many producers share one flush.

use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::Goal::AtMost;
use super::{Figures, Metric, Scenario, Stage};
use crate::failure::{Failure, Result};
use crate::load::{Phase, ProduceLoad};
use crate::wire::{BatchShape, PreparedBatch};

const CONNECTIONS: usize = 100;
const VALUE_BYTES: usize = 1 << 10;
const EVENTS: &str = "syscalls:sys_enter_fsync,syscalls:sys_enter_fdatasync";

pub(super) fn scenario() -> Scenario {
    Scenario {
        name: "flush".to_owned(),
        about: format!(
            "flush.messages=1, requests of one 1 KiB record to a partition, {CONNECTIONS} connections, acks=1"
        ),
        floor: None,
        is_quick: false,
        metrics: vec![Metric::new("requests/s"), Metric::new("fsyncs/request").absolute(AtMost(0.05))],
        rounds_max: u32::MAX,
        run: Box::new(run),
    }
}

fn run(stage: &Stage<'_>) -> Result<Figures> {
    let node = stage.node()?;
    let batch = PreparedBatch::new(BatchShape::single(VALUE_BYTES));
    let load = ProduceLoad { depth: 1, ..ProduceLoad::new(batch, CONNECTIONS) };
    stage.with_topic(&node, 1, &[("flush.messages", "1")], |topic| {
        // Flushes are counted over the whole run, hence no warm-up.
        let nothing = Phase { bytes: 0, ..stage.counted() };
        let counter = FlushCounter::start(node.pid());
        let reading = load.measure(&node, topic, nothing, stage.counted())?;
        let flushes = counter.map(FlushCounter::finish).transpose()?.flatten();
        let per_request = flushes.map(|flushes| flushes / reading.requests);
        let values = vec![Some(reading.requests / reading.seconds), per_request];
        Ok(Figures { values, is_driver_bound: reading.is_driver_bound })
    })
}

/// `perf stat` on the broker's process.
struct FlushCounter(Child);

impl FlushCounter {
    /// `None` where there is no `perf`.
    fn start(pid: u32) -> Option<Self> {
        let mut perf = Command::new("perf");
        perf.args(["stat", "-x", ";", "-e", EVENTS, "-p", &pid.to_string()]);
        perf.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().ok().map(Self)
    }

    /// The sum of the counts; `None` where the kernel did not let `perf` count.
    fn finish(self) -> Result<Option<f64>> {
        kill_process(Pid::from_child(&self.0), Signal::INT).map_err(std::io::Error::from)?;
        let output = self.0.wait_with_output().map_err(Failure::doing("perf"))?;
        Ok(sum_of_counts(&String::from_utf8_lossy(&output.stderr)))
    }
}

/// Adds up the first column of `perf stat -x ';'`.
fn sum_of_counts(table: &str) -> Option<f64> {
    let lines = table.lines().filter(|line| line.contains("sys_enter"));
    let counts: Vec<f64> = lines.filter_map(|line| line.split(';').next()?.parse().ok()).collect();
    (!counts.is_empty()).then(|| counts.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_perf() {
        let table = "12;;syscalls:sys_enter_fsync;1;100.00;;\n30;;syscalls:sys_enter_fdatasync;1;100.00;;\n";
        assert_eq!(sum_of_counts(table), Some(42.0));
        assert_eq!(sum_of_counts("<not supported>;;syscalls:sys_enter_fsync;0;100.00;;\n"), None);
    }
}
