//! What the kernel knows of this process, from Linux's `/proc`; elsewhere these metrics are missing.

use std::fs;

use super::exposition::Page;

/// The kernel's unit of processor time in `/proc`, the same on all of Linux's machines that run Klamm.
const TICKS_PER_SECOND: f64 = 100.0;

/// What is shown of a process.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct ProcessSample {
    cpu_seconds: Option<f64>,
    threads: Option<u64>,
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
    open_files: Option<u64>,
    open_files_max: Option<u64>,
}

impl ProcessSample {
    pub(super) fn take() -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        // Listing the descriptors takes one for the time being.
        let open_files =
            fs::read_dir("/proc/self/fd").ok().map(|listed| listed.count().saturating_sub(1) as u64);
        Self { open_files, ..Self::parse(&read("stat"), &read("status"), &read("limits")) }
    }

    fn parse(stat: &str, status: &str, limits: &str) -> Self {
        let bytes = |name| Some(field(status, name)?.strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024);
        let files_max = field(limits, "Max open files").and_then(|limits| limits.split_whitespace().next());
        Self {
            cpu_seconds: cpu_seconds(stat),
            threads: field(status, "Threads:").and_then(|count| count.parse().ok()),
            resident_bytes: bytes("VmRSS:"),
            virtual_bytes: bytes("VmSize:"),
            open_files: None,
            open_files_max: files_max.and_then(|count| count.parse().ok()),
        }
    }

    /// Writes what is known, under the names that Prometheus' own clients use.
    pub(super) fn write(&self, page: &mut Page) {
        if let Some(seconds) = self.cpu_seconds {
            page.counter("process_cpu_seconds_total", "Processor time spent, in seconds.", seconds);
        }
        let gauges = [
            ("process_resident_memory_bytes", "Resident memory in bytes.", self.resident_bytes),
            ("process_virtual_memory_bytes", "Virtual memory in bytes.", self.virtual_bytes),
            ("process_open_fds", "Open file descriptors.", self.open_files),
            ("process_max_fds", "Most file descriptors that may be open.", self.open_files_max),
            ("process_threads", "Threads.", self.threads),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                page.gauge(name, help, value);
            }
        }
    }
}

/// The rest of the line that begins with `name`.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// The time spent in user and kernel mode. The command's name, in parentheses, may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    const USER_TIME_AT: usize = 11;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(USER_TIME_AT);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) as f64 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "4242 (a ) b) S 1 4242 4242 0 -1 4194560 913 0 0 0 250 31 0 0 20 0 4 0 987654 12345 678 184467";
    const STATUS: &str =
        "Name:\tklamm\nVmPeak:\t  9000 kB\nVmSize:\t  8000 kB\nVmRSS:\t    12 kB\nThreads:\t4\n";
    const LIMITS: &str = "Limit                     Soft Limit           Hard Limit           Units\n\
                          Max open files            1024                 524288               files\n";

    #[test]
    fn proc_is_read() {
        let expected = ProcessSample {
            cpu_seconds: Some(2.81),
            threads: Some(4),
            resident_bytes: Some(12 * 1024),
            virtual_bytes: Some(8000 * 1024),
            open_files: None,
            open_files_max: Some(1024),
        };
        assert_eq!(ProcessSample::parse(STAT, STATUS, LIMITS), expected);
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        for (stat, status, limits) in [("", "", ""), ("1 (x", "VmRSS: many kB", "Max open files unlimited x")]
        {
            let sample = ProcessSample::parse(stat, status, limits);
            assert_eq!(sample, ProcessSample::default());
            let mut page = Page::default();
            sample.write(&mut page);
            assert_eq!(page.into_string(), "");
        }
    }
}
