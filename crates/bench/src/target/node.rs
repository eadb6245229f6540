//! A process under test and the folder it lives in.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Launcher, Target, kafka, klamm, null, sendfile};
use crate::failure::{Failure, Result};

const START_TIME_MAX: Duration = Duration::from_secs(300);
const STOP_TIME_MAX: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(1);

/// A node: its folder, and its process while it runs. Dropping it ends the process and deletes the folder.
pub(crate) struct Node {
    target: Target,
    folder: TempDir,
    address: SocketAddr,
    process: Option<Child>,
}

/// Where the nodes of a cluster listen, on free ports.
pub(super) struct Places(Vec<Place>);

struct Place {
    broker: SocketAddr,
    controller: SocketAddr,
}

impl Places {
    pub(super) fn free(nodes: usize) -> Result<Self> {
        let any = (Ipv4Addr::LOCALHOST, 0);
        // All are held until the last is found, so that no two are the same.
        let held = (0..2 * nodes).map(|_| TcpListener::bind(any)).collect::<std::io::Result<Vec<_>>>()?;
        let addresses = held.iter().map(TcpListener::local_addr).collect::<std::io::Result<Vec<_>>>()?;
        let place = |pair: &[SocketAddr]| Place { broker: pair[0], controller: pair[1] };
        Ok(Self(addresses.chunks_exact(2).map(place).collect()))
    }

    fn voters(&self) -> String {
        let voter = |(index, place): (usize, &Place)| format!("{}@{}", index + 1, place.controller);
        self.0.iter().enumerate().map(voter).collect::<Vec<_>>().join(",")
    }
}

impl Node {
    /// A folder with settings for one of the nodes of a cluster, each of which is broker and controller.
    pub(super) fn create(
        launcher: &Launcher,
        target: Target,
        (places, index): (&Places, usize),
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let folder = TempDir::with_prefix_in("klamm-bench-", &launcher.folder);
        let folder = folder.map_err(Failure::doing("a folder"))?;
        let node = Self { target, folder, address: places.0[index].broker, process: None };
        fs::create_dir_all(node.data()).map_err(Failure::doing("a folder"))?;
        let text = properties(places, index, &node.data(), settings);
        fs::write(node.settings(), text).map_err(Failure::doing("the settings"))?;
        match target {
            Target::Kafka => kafka::format(&node.settings())?,
            // A node alone formats its folder when it starts.
            Target::Klamm if places.0.len() > 1 => klamm::format(&launcher.klamm, &node.settings())?,
            Target::Klamm | Target::Null | Target::Sendfile => {}
        }
        Ok(node)
    }

    /// Runs the process until it accepts connections.
    pub(crate) fn start(&mut self, launcher: &Launcher) -> Result<()> {
        self.spawn(launcher)?;
        self.wait_until_it_accepts()
    }

    /// Waits until the process accepts connections.
    pub(crate) fn wait_until_it_accepts(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIME_MAX;
        while TcpStream::connect(self.address).is_err() {
            self.check_alive()?;
            if Instant::now() > deadline {
                return Err(Failure::Other(format!("{} did not start; {}", self.target, self.last_words())));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Runs the process without waiting for it.
    pub(crate) fn spawn(&mut self, launcher: &Launcher) -> Result<()> {
        let mut command = match self.target {
            Target::Klamm => klamm::command(&launcher.klamm, &self.settings()),
            Target::Kafka => kafka::command(&self.settings())?,
            Target::Null => null::command(self.address, &self.data())?,
            Target::Sendfile => sendfile::command(self.address, &self.records_file())?,
        };
        let log =
            File::options().create(true).append(true).open(self.log()).map_err(Failure::doing("a log"))?;
        let errors = log.try_clone()?;
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        self.process = Some(command.spawn().map_err(Failure::doing(format!("starting {}", self.target)))?);
        Ok(())
    }

    /// Fails if the process has ended.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        let status = self.process.as_mut().map(Child::try_wait).transpose()?.flatten();
        match status {
            None => Ok(()),
            Some(status) => {
                Err(Failure::Other(format!("{} ended: {status}; {}", self.target, self.last_words())))
            }
        }
    }

    /// Asks the process to end, and waits until it has.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.end(Signal::TERM)
    }

    /// Ends the process as a crash would.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.end(Signal::KILL)
    }

    /// Ends the process as a crash would and gives the folder away, for the caller to say when its files are deleted.
    pub(crate) fn into_folder(mut self) -> Result<TempDir> {
        self.kill()?;
        let empty = TempDir::with_prefix("klamm-bench-").map_err(Failure::doing("a folder"))?;
        Ok(std::mem::replace(&mut self.folder, empty))
    }

    /// Keeps the process from running, as a machine that swaps would.
    pub(crate) fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets a paused process go on.
    pub(crate) fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.process.as_ref().map(Pid::from_child);
        pid.map_or(Ok(()), |pid| Ok(kill_process(pid, signal).map_err(std::io::Error::from)?))
    }

    fn end(&mut self, signal: Signal) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let deadline = Instant::now() + STOP_TIME_MAX;
        kill_process(Pid::from_child(&process), signal).map_err(std::io::Error::from)?;
        while process.try_wait()?.is_none() {
            if Instant::now() > deadline {
                process.kill()?;
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    pub(crate) fn target(&self) -> Target {
        self.target
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process's number; 0 while it does not run.
    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().map_or(0, Child::id)
    }

    /// The folder of the partitions.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What the `sendfile` floor sends.
    pub(crate) fn records_file(&self) -> PathBuf {
        self.data().join("records")
    }

    fn settings(&self) -> PathBuf {
        self.folder.path().join("server.properties")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn last_words(&self) -> String {
        let said = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = said.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // It may have ended by itself; there is nobody left to tell.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The same settings for Klamm and Kafka. Retention is looked at and files are deleted often enough for a measurement
/// to see it.
fn properties(places: &Places, index: usize, data: &Path, settings: &[(&str, &str)]) -> String {
    let Place { broker: address, controller } = places.0[index];
    let usual = format!(
        "process.roles=broker,controller\n\
         node.id={}\n\
         controller.quorum.voters={}\n\
         listeners=PLAINTEXT://{address},CONTROLLER://{controller}\n\
         advertised.listeners=PLAINTEXT://{address}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         log.dirs={}\n\
         offsets.topic.replication.factor={}\n\
         log.retention.check.interval.ms=1000\n\
         log.segment.delete.delay.ms=1000\n",
        index + 1,
        places.voters(),
        data.display(),
        places.0.len(),
    );
    let more = settings.iter().map(|(name, value)| format!("{name}={value}\n"));
    more.fold(usual, |text, line| text + &line)
}
