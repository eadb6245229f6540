//! Where and on what the figures were taken.

use std::fmt;
use std::process::Command;
use std::{fs, thread};

use serde_json::{Value, json};

use crate::target::KAFKA_VERSION;

/// The machine, the time and the state of the sources.
pub(crate) struct Machine {
    cores: usize,
    processor: String,
    memory_gib: u64,
    kernel: String,
    pub(crate) date: String,
    pub(crate) commit: String,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let info = |path: &str, key: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(key)).map(str::to_owned);
            line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned())).unwrap_or_default()
        };
        let memory = info("/proc/meminfo", "MemTotal");
        let kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
        Self {
            cores: thread::available_parallelism().map_or(1, usize::from),
            processor: info("/proc/cpuinfo", "model name"),
            memory_gib: kib >> 20,
            kernel: said("uname", &["-sr"]),
            date: said("date", &["-u", "+%Y-%m-%d"]),
            commit: said("git", &["rev-parse", "--short", "HEAD"]),
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "cores": self.cores,
            "processor": self.processor,
            "memory_gib": self.memory_gib,
            "kernel": self.kernel,
            "date": self.date,
            "commit": self.commit,
            "kafka": KAFKA_VERSION,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, processor, memory_gib, kernel, date, commit } = self;
        write!(f, "{date}, commit {commit}, {cores} cores of {processor}, {memory_gib} GiB, {kernel}, ")?;
        write!(f, "Apache Kafka {KAFKA_VERSION} with a heap of 1 GB")
    }
}

/// The first line of what a program says; empty if it cannot be run.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().map(|output| output.stdout);
    String::from_utf8_lossy(&output.unwrap_or_default()).lines().next().unwrap_or_default().to_owned()
}
