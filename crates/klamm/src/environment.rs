//! The real world for a node of this process: sockets, files, clock, chance and threads.

use std::sync::Arc;

use klamm_broker::WorkerThreads;
use klamm_broker::environment::{Environment, SystemClock, SystemRandom};
use klamm_log::disk::RealDisk;
use klamm_net::TcpNetwork;

use crate::failure::{Context, Failure};

/// Threads are to be stopped by who asked for them; 0 is one for each core.
pub(crate) fn start(worker_threads: usize) -> Result<(Environment, Arc<WorkerThreads>), Failure> {
    let threads = WorkerThreads::start(worker_threads).context(|| "cannot start the threads".to_owned())?;
    let threads = Arc::new(threads);
    let environment = Environment {
        network: Arc::new(TcpNetwork),
        disk: Arc::new(RealDisk),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        executors: threads.clone(),
    };
    Ok((environment, threads))
}
