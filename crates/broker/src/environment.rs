//! The seams between the broker and the world: network, disk, clock, randomness and threads.
//!
//! The broker runs unchanged in a simulation, which replaces each of them: one thread, one seed, a clock that jumps.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use klamm_config::Listener;
use klamm_log::disk::Disk;
use klamm_net::Network;
use tokio::sync::oneshot;

/// A task of one thread.
pub type LocalTask = Pin<Box<dyn Future<Output = ()>>>;

/// Makes a task on the thread that will run it.
pub type TaskMaker = Box<dyn FnOnce() -> LocalTask + Send>;

/// Where a task runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// One of the threads that serve connections, counted from 0; the number wraps around.
    Worker(usize),
    /// The thread of the controller, the timers and the housekeeping.
    Control,
}

/// Threads.
pub trait Executors: Send + Sync {
    /// How many threads serve connections.
    fn workers(&self) -> usize;
    /// Runs a task on a thread. A task of an executor that has stopped is dropped.
    fn spawn(&self, place: Place, task: TaskMaker);
    /// Of so many threads that are wanted to open or close logs, how many there may be at once.
    fn disk_threads(&self, wanted: usize) -> usize {
        wanted
    }
    /// Runs work that waits on the disk, away from the threads that run tasks.
    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>);
}

/// Two clocks: one that says what time it is and may be set at any moment, and one for intervals.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970 UTC by the wall clock: for what is written down, and for what is compared with that.
    fn now_ms(&self) -> i64;
    /// Milliseconds on a clock that is never set: for timeouts, sessions and whatever else lasts a while. Where it begins means nothing, but
    /// it is positive, and only this process reads it.
    fn monotonic_ms(&self) -> i64;
}

/// A source of random numbers.
pub trait Random: Send + Sync {
    /// Sixteen random bytes as a number.
    fn next_u128(&self) -> u128;
}

/// Everything that the broker needs of the world.
#[derive(Clone)]
pub struct Environment {
    /// Sockets.
    pub network: Arc<dyn Network>,
    /// Files.
    pub disk: Arc<dyn Disk>,
    /// Time of day, and time that passes.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Threads.
    pub executors: Arc<dyn Executors>,
}

impl Environment {
    /// The host that others dial for a listener that is advertised. One that names no host is found under this machine's name, as in
    /// Kafka, and on the machine itself where that has none.
    pub(crate) fn advertised_host(&self, listener: &Listener) -> String {
        let named = listener.host.clone().or_else(|| self.network.host_name());
        named.unwrap_or_else(|| "localhost".to_owned())
    }

    /// Runs `work` on a helper thread and waits for what it returns.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Stopped<T> {
        let (done, result) = oneshot::channel();
        self.executors.run_blocking(Box::new(move || {
            let _ = done.send(work());
        }));
        result.await.map_err(|_| ExecutorStopped)
    }

    /// Runs an async task on a thread.
    pub fn spawn<F>(&self, place: Place, task: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        self.executors.spawn(place, Box::new(move || Box::pin(task())));
    }
}

/// The result of work given to an executor.
pub type Stopped<T> = Result<T, ExecutorStopped>;

/// The process is ending; the work was not done, or its result is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the broker is stopping")]
pub struct ExecutorStopped;

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        elapsed.as_millis() as i64
    }

    fn monotonic_ms(&self) -> i64 {
        // It begins at the wall clock's time, so that it is as large as one expects of a time.
        static START: OnceLock<(Instant, i64)> = OnceLock::new();
        let (start, start_ms) = START.get_or_init(|| (Instant::now(), self.now_ms().max(1)));
        start_ms + start.elapsed().as_millis() as i64
    }
}

/// The kernel's random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn next_u128(&self) -> u128 {
        let mut bytes = [0; 16];
        let flags = rustix::rand::GetRandomFlags::empty();
        match rustix::rand::getrandom(&mut bytes, flags) {
            Ok(16) => u128::from_ne_bytes(bytes),
            other => unreachable!("the kernel's random source gave {other:?} for 16 bytes"),
        }
    }
}
