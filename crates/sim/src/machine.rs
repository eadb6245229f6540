//! A machine that a node runs on: a disk that outlives processes, a clock, and a place in the network.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use klamm_broker::environment::Environment;
use klamm_broker::{FormatOptions, InitialControllers, Server};
use klamm_config::load::{Loaded, Options, load};
use klamm_log::disk::Disk;
use klamm_log::disk::simulated::SimulatedDisk;

use crate::clock::WallClock;
use crate::disk::ProcessDisk;
use crate::network::{Host, Net, Party};
use crate::plants::Plants;
use crate::process::{OneThread, Process};
use crate::random::Dice;
use crate::shape::{LOG_DIRS, name};
use crate::trace::Trace;

/// How long a start, or a stop, may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The machine.
pub(crate) struct Machine {
    /// Its number, from 0.
    pub(crate) node: usize,
    /// Its disk.
    pub(crate) disk: SimulatedDisk,
    /// How long its disk may take, in milliseconds.
    pub(crate) disk_delay_ms_max: Arc<AtomicU64>,
    /// The network.
    pub(crate) net: Net,
    /// Its clock.
    pub(crate) clock: WallClock,
    /// Where everything is noted.
    pub(crate) trace: Trace,
    /// The planted bug.
    pub(crate) plants: Plants,
    /// For the node's own random numbers.
    pub(crate) dice: Dice,
    /// Decides which task comes next.
    pub(crate) schedule: Dice,
    /// The node's settings, `name=value`.
    pub(crate) settings: Vec<String>,
    /// Where it listens, if the settings do not say; nor where its data is, then.
    pub(crate) listen: Option<String>,
    /// The running process, or the last one.
    pub(crate) process: Arc<Process>,
}

impl Machine {
    /// Begins a process; returns what comes to the node in it, or why it does not start.
    pub(crate) fn start(&mut self) -> impl Future<Output = Result<Server, String>> + use<> {
        let process = Process::begin(self.schedule.clone());
        self.process = process.clone();
        let (loaded, environment) = (self.loaded(), self.environment());
        async move {
            let loaded = loaded?;
            wait(&process, move || klamm_broker::start(loaded, environment)).await
        }
    }

    /// Formats the data folder for a cluster.
    ///
    /// # Errors
    /// Why that is not possible.
    pub(crate) fn format(&self, controllers: InitialControllers) -> Result<(), String> {
        let options = FormatOptions {
            cluster_id: "simulated-cluster-0001".to_owned(),
            controllers,
            release_version: None,
            features: BTreeMap::new(),
            ignore_formatted: false,
        };
        let formatted = klamm_broker::format(&self.environment(), &self.loaded()?.node, &options);
        formatted.map(drop).map_err(|error| error.to_string())
    }

    /// Stops a node in order; returns what comes to that.
    pub(crate) fn stop(&self, server: Server) -> impl Future<Output = Result<(), String>> + use<> {
        let process = self.process.clone();
        async move { wait(&process, move || server.stop()).await }
    }

    fn loaded(&self) -> Result<Loaded, String> {
        let options = Options {
            file: None,
            set: self.settings.clone(),
            data: self.listen.is_some().then(|| PathBuf::from(LOG_DIRS[0])),
            listen: self.listen.clone(),
        };
        load(&options).map_err(|error| error.to_string())
    }

    /// The world as the current process sees it.
    fn environment(&self) -> Environment {
        let process = self.process.clone();
        let party = Party::Node(self.node);
        let disk_delay_ms_max = self.disk_delay_ms_max.clone();
        Environment {
            network: Arc::new(Host {
                net: self.net.clone(),
                name: name(party),
                party,
                process: Some(process.clone()),
            }),
            disk: Arc::new(self.view()),
            clock: Arc::new(self.clock.clone()),
            random: Arc::new(self.dice.clone()),
            executors: Arc::new(OneThread { process, dice: self.dice.clone(), disk_delay_ms_max }),
        }
    }

    fn view(&self) -> ProcessDisk {
        let (process, plants) = (self.process.clone(), self.plants.clone());
        ProcessDisk { disk: self.disk.clone(), process, trace: self.trace.clone(), plants, node: self.node }
    }

    /// Where a partition's replica is on this machine, if it has one.
    pub(crate) fn replica_dir(&self, folder: &str) -> Option<PathBuf> {
        let dirs = LOG_DIRS.iter().map(|dir| Path::new(dir).join(folder));
        dirs.into_iter().find(|dir| self.disk.metadata(dir).is_ok())
    }

    /// Looks at every partition's folder as the log's own verifier does. The node must be stopped.
    pub(crate) fn verify(&self) {
        LOG_DIRS.iter().for_each(|dir| self.verify_in(Path::new(dir)));
    }

    fn verify_in(&self, dir: &Path) {
        let folders = self.disk.list(dir).unwrap_or_default();
        let is_partition = |name: &str| klamm_log::parse_folder_name(name).is_some();
        for folder in folders.iter().filter(|entry| entry.is_dir && is_partition(&entry.name)) {
            let place = format!("folder {} of node {}", folder.name, self.node);
            match klamm_log::verify(&self.disk, &dir.join(&folder.name)) {
                Ok(findings) => {
                    findings.iter().for_each(|it| self.trace.violation(format_args!("{place}: {it}")))
                }
                Err(error) => self.trace.violation(format_args!("{place}: {error}")),
            }
        }
    }
}

/// Waits for what a process is asked to do, as long as it lives and is not too slow.
async fn wait<T, E, F>(process: &Arc<Process>, task: impl FnOnce() -> F + Send + 'static) -> Result<T, String>
where
    T: Send + 'static,
    E: std::fmt::Display + Send + 'static,
    F: Future<Output = Result<T, E>> + 'static,
{
    tokio::select! {
        biased;
        () = process.dead() => Err("the machine went down".to_owned()),
        done = tokio::time::timeout(PATIENCE, process.run(task)) => match done {
            Ok(Some(result)) => result.map_err(|error| error.to_string()),
            Ok(None) => Err("its task ended without an outcome".to_owned()),
            Err(_) => Err("it takes too long".to_owned()),
        },
    }
}
