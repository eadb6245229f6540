//! Closed loops: workers that ask again as soon as they are answered, and a measurement taken in their middle.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};
use crate::process::cpu_seconds;

const LOOK: Duration = Duration::from_millis(2);
/// A driver that uses this much of its cores may be what was measured.
const DRIVER_BUSY_MIN: f64 = 0.9;

/// What the workers have done so far, and whether they are to stop.
#[derive(Default)]
pub(crate) struct Tally {
    requests: AtomicU64,
    bytes: AtomicU64,
    stop: AtomicBool,
}

impl Tally {
    pub(crate) fn add(&self, requests: usize, bytes: usize) {
        self.requests.fetch_add(requests as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// One thread of load. Runs until the tally says stop, and takes in what it has asked for before it ends.
pub(crate) type Worker<'a> = Box<dyn FnOnce(&Tally) -> Result<()> + Send + 'a>;

/// A part of a run; it ends with whichever bound is met first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Phase {
    pub(crate) time: Duration,
    pub(crate) bytes: u64,
}

/// What was counted between the warm-up and the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) seconds: f64,
    pub(crate) requests: f64,
    pub(crate) bytes: f64,
    /// User and system time of the broker's process, or of all those of a cluster.
    pub(crate) broker_cpu: f64,
    pub(crate) is_driver_bound: bool,
}

impl Reading {
    pub(crate) fn cpu_per_gb(&self) -> f64 {
        self.broker_cpu / (self.bytes / 1e9)
    }

    pub(crate) fn mb_per_second(&self) -> f64 {
        self.bytes / 1e6 / self.seconds
    }

    pub(crate) fn requests_per_cpu_second(&self) -> f64 {
        self.requests / self.broker_cpu
    }
}

/// Runs the workers, lets the broker warm up, and then counts.
pub(crate) fn measure(
    pids: &[u32],
    warm_up: Phase,
    counted: Phase,
    workers: Vec<Worker<'_>>,
) -> Result<Reading> {
    let tally = Tally::default();
    let threads = workers.len();
    thread::scope(|scope| {
        let run = |worker| scope.spawn(|| run_to_end(worker, &tally));
        let running: Vec<_> = workers.into_iter().map(run).collect();
        let reading = read_between(pids, warm_up, counted, &tally, threads);
        tally.stop();
        for worker in running {
            worker.join().map_err(|_| Failure::Other("a worker panicked".to_owned()))??;
        }
        reading
    })
}

/// A worker that ends before it was told to ends the run.
fn run_to_end(worker: Worker<'_>, tally: &Tally) -> Result<()> {
    let done = worker(tally);
    tally.stop();
    done
}

fn read_between(
    pids: &[u32],
    warm_up: Phase,
    counted: Phase,
    tally: &Tally,
    threads: usize,
) -> Result<Reading> {
    pass(warm_up, tally);
    let before = Snapshot::take(pids, tally)?;
    pass(counted, tally);
    let after = Snapshot::take(pids, tally)?;
    let seconds = (after.at - before.at).as_secs_f64();
    let driver_cpu = after.driver_cpu - before.driver_cpu;
    let cores = thread::available_parallelism().map_or(1, usize::from).min(threads);
    Ok(Reading {
        seconds,
        requests: after.requests - before.requests,
        bytes: after.bytes - before.bytes,
        broker_cpu: after.broker_cpu - before.broker_cpu,
        is_driver_bound: driver_cpu >= DRIVER_BUSY_MIN * cores as f64 * seconds,
    })
}

fn pass(phase: Phase, tally: &Tally) {
    let (begin, bytes) = (Instant::now(), tally.bytes());
    while begin.elapsed() < phase.time && tally.bytes() - bytes < phase.bytes && !tally.is_stopped() {
        thread::sleep(LOOK);
    }
}

struct Snapshot {
    at: Instant,
    requests: f64,
    bytes: f64,
    broker_cpu: f64,
    driver_cpu: f64,
}

impl Snapshot {
    fn take(pids: &[u32], tally: &Tally) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            requests: tally.requests.load(Ordering::Relaxed) as f64,
            bytes: tally.bytes() as f64,
            broker_cpu: pids.iter().map(|pid| cpu_seconds(*pid)).sum::<Result<f64>>()?,
            driver_cpu: cpu_seconds(std::process::id())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(bytes: u64) -> Phase {
        Phase { time: Duration::from_secs(60), bytes }
    }

    #[test]
    fn the_warm_up_does_not_count() {
        let worker = |tally: &Tally| {
            while !tally.is_stopped() {
                tally.add(1, 10);
                thread::yield_now();
            }
            Ok(())
        };
        let reading = measure(&[std::process::id()], phase(1000), phase(500), vec![Box::new(worker)])
            .expect("a reading");
        assert!(reading.bytes >= 500.0 && reading.requests * 10.0 == reading.bytes, "{reading:?}");
    }

    #[test]
    fn a_worker_that_fails_ends_the_run() {
        let worker = |_: &Tally| Err(Failure::Other("no".to_owned()));
        let error = measure(&[std::process::id()], phase(1), phase(1), vec![Box::new(worker)]);
        assert_eq!(error.expect_err("a failure").to_string(), "no");
    }
}
