//! The machine that the broker runs on: a disk that outlives processes, a clock, and a place in the network.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use klamm_broker::Server;
use klamm_broker::environment::Environment;
use klamm_config::load::{Loaded, Options, load};
use klamm_log::disk::Disk;
use klamm_log::disk::simulated::{Crash, SimulatedDisk};

use crate::clock::WallClock;
use crate::disk::ProcessDisk;
use crate::network::{BROKER, Cut, Host, Net};
use crate::plants::Plants;
use crate::process::{OneThread, Process};
use crate::random::Dice;
use crate::trace::Trace;

/// How long a start, or a stop, may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the broker keeps its data.
pub(crate) const DATA: &str = "/data";

/// The machine.
pub(crate) struct Machine {
    /// Its disk.
    pub(crate) disk: SimulatedDisk,
    /// The network.
    pub(crate) net: Net,
    /// Its clock.
    pub(crate) clock: WallClock,
    /// Where everything is noted.
    pub(crate) trace: Trace,
    /// The planted bug.
    pub(crate) plants: Plants,
    /// For the broker's own random numbers.
    pub(crate) dice: Dice,
    /// Decides which task comes next.
    pub(crate) schedule: Dice,
    /// The broker's settings, `name=value`.
    pub(crate) settings: Vec<String>,
    /// The running process, or the last one.
    pub(crate) process: Arc<Process>,
    /// The broker in it.
    pub(crate) server: Option<Server>,
}

impl Machine {
    /// Starts a broker.
    ///
    /// # Errors
    /// Why it did not start.
    pub(crate) async fn start(&mut self) -> Result<(), String> {
        let process = Process::begin(self.schedule.clone());
        self.process = process.clone();
        let (loaded, environment) = (self.loaded()?, self.environment());
        match wait(&process, move || klamm_broker::start(loaded, environment)).await {
            Ok(server) => self.server = Some(server),
            Err(reason) => {
                self.trace.note(format_args!("the broker does not start: {reason}"));
                process.die();
                self.net.close_listeners();
                self.net.cut(Cut::Reset, 1);
                process.bury().await;
                return Err(reason);
            }
        }
        self.trace.note("the broker runs");
        Ok(())
    }

    /// Kills the broker, and brings the disk to what it is after that.
    pub(crate) async fn crash(&mut self, crash: Crash, cut: Option<Cut>) {
        self.trace.note(match crash {
            Crash::Process => "the process is killed",
            Crash::Power => "the power fails",
        });
        self.process.die();
        self.net.close_listeners();
        if let Some(cut) = cut {
            self.net.cut(cut, 1);
        }
        self.process.bury().await;
        self.server = None;
        self.disk.restart(crash);
    }

    /// Stops the broker in order.
    ///
    /// # Errors
    /// Why that was not possible.
    pub(crate) async fn stop(&mut self) -> Result<(), String> {
        self.trace.note("the broker is stopped");
        let Some(server) = self.server.take() else { return Ok(()) };
        let process = self.process.clone();
        let stopped = wait(&process, move || server.stop()).await;
        self.process.die();
        self.net.close_listeners();
        self.net.cut(Cut::Reset, 1);
        self.process.bury().await;
        self.disk.restart(Crash::Process);
        stopped
    }

    fn loaded(&self) -> Result<Loaded, String> {
        let options = Options {
            file: None,
            set: self.settings.clone(),
            data: Some(PathBuf::from(DATA)),
            listen: Some(BROKER.to_owned()),
        };
        load(&options).map_err(|error| error.to_string())
    }

    fn environment(&self) -> Environment {
        let process = self.process.clone();
        Environment {
            network: Arc::new(Host {
                net: self.net.clone(),
                name: "broker".to_owned(),
                process: Some(process.clone()),
            }),
            disk: Arc::new(self.view()),
            clock: Arc::new(self.clock.clone()),
            random: Arc::new(self.dice.clone()),
            executors: Arc::new(OneThread { process, dice: self.dice.clone() }),
        }
    }

    fn view(&self) -> ProcessDisk {
        let (process, plants) = (self.process.clone(), self.plants.clone());
        ProcessDisk { disk: self.disk.clone(), process, trace: self.trace.clone(), plants }
    }

    /// Looks at every partition's folder as the log's own verifier does. The broker must be stopped.
    pub(crate) fn verify(&self) {
        let folders = self.disk.list(DATA.as_ref()).unwrap_or_default();
        let is_partition = |name: &str| klamm_log::parse_folder_name(name).is_some();
        for folder in folders.iter().filter(|entry| entry.is_dir && is_partition(&entry.name)) {
            match klamm_log::verify(&self.disk, &PathBuf::from(DATA).join(&folder.name)) {
                Ok(findings) => findings.iter().for_each(|finding| {
                    self.trace.violation(format_args!("folder {}: {finding}", folder.name))
                }),
                Err(error) => self.trace.violation(format_args!("folder {}: {error}", folder.name)),
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
