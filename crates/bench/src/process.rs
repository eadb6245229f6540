//! What the kernel says about a process: time used, memory held; and how many files one may open.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::failure::{Failure, Result};

/// User and system time of the process since its start, in seconds. The kernel counts in ticks, mostly of 10 ms.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = read(&format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold anything; what follows it is numbers.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: Option<u64> = [11, 12].iter().map(|at| fields.get(*at)?.parse::<u64>().ok()).sum();
    let ticks = ticks.ok_or_else(|| Failure::Other(format!("/proc/{pid}/stat: {stat}")))?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Resident memory of the process in MiB, files mapped into it included.
pub(crate) fn resident_mib(pid: u32) -> Result<f64> {
    let status = read(&format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
    Ok(kib.ok_or_else(|| Failure::Other(format!("no VmRSS in /proc/{pid}/status")))? / 1024.0)
}

/// As many descriptors as the system lets this process have; brokers started from here inherit it.
pub(crate) fn raise_descriptor_limit() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).map_err(std::io::Error::from)?)
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).map_err(Failure::doing(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_time_and_memory() {
        let pid = std::process::id();
        let before = cpu_seconds(pid).expect("a time");
        let mut sum = 0_u64;
        while cpu_seconds(pid).expect("a time") < before + 0.02 {
            sum = (0..1_000_000).fold(sum, |sum, n| std::hint::black_box(sum ^ n));
        }
        assert!(resident_mib(pid).expect("a size") > 0.5);
    }
}
