//! The threads of a real broker: one a core that serves connections, one for control, helpers for the disk.
//!
//! Each worker runs a single-threaded runtime, so what a request touches stays on one core and nothing is handed to
//! another thread on the way from socket to log and back.

use std::io;
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

use crate::environment::{Executors, Place, TaskMaker};
use crate::limits::{BLOCKING_THREAD_IDLE_MS, BLOCKING_THREADS_MAX, STOP_MS_MAX};

/// The threads. They end, and with them all tasks, when [`WorkerThreads::stop`] is called.
pub struct WorkerThreads {
    workers: Vec<UnboundedSender<TaskMaker>>,
    control: UnboundedSender<TaskMaker>,
    blocking: Handle,
    threads: Mutex<Vec<JoinHandle<()>>>,
    stopping: tokio::sync::watch::Sender<bool>,
}

impl WorkerThreads {
    /// Starts `workers` threads for connections (0: one a core) and one for control.
    ///
    /// # Errors
    /// When the system gives no more threads or descriptors.
    pub fn start(workers: usize) -> io::Result<Self> {
        let workers = match workers {
            0 => std::thread::available_parallelism().map_or(1, |cores| cores.get()),
            count => count,
        };
        let (stopping, _) = tokio::sync::watch::channel(false);
        let mut threads = Vec::new();
        let mut start = |name: String| start_thread(name, &stopping, &mut threads);
        let (control, blocking) = start("klamm-control".into())?;
        let workers = (0..workers)
            .map(|index| Ok(start(format!("klamm-worker-{index}"))?.0))
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self { workers, control, blocking, threads: Mutex::new(threads), stopping })
    }

    /// Ends all tasks and waits for the threads.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

impl Executors for WorkerThreads {
    fn workers(&self) -> usize {
        self.workers.len()
    }

    fn spawn(&self, place: Place, task: TaskMaker) {
        let thread = match place {
            Place::Worker(index) => &self.workers[index % self.workers.len()],
            Place::Control => &self.control,
        };
        let _ = thread.send(task);
    }

    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        drop(self.blocking.spawn_blocking(work));
    }
}

fn start_thread(
    name: String,
    stopping: &tokio::sync::watch::Sender<bool>,
    threads: &mut Vec<JoinHandle<()>>,
) -> io::Result<(UnboundedSender<TaskMaker>, Handle)> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_keep_alive(Duration::from_millis(BLOCKING_THREAD_IDLE_MS))
        .thread_name("klamm-disk")
        .build()?;
    let handle = runtime.handle().clone();
    let (sender, mut tasks) = unbounded_channel::<TaskMaker>();
    let mut stopping = stopping.subscribe();
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        let local = LocalSet::new();
        local.block_on(&runtime, async move {
            let serve = async {
                while let Some(task) = tasks.recv().await {
                    tokio::task::spawn_local(task());
                }
            };
            tokio::select! {
                () = serve => {}
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        });
        drop(local);
        runtime.shutdown_timeout(Duration::from_millis(STOP_MS_MAX));
    })?;
    threads.push(thread);
    Ok((sender, handle))
}
