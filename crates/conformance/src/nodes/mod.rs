//! Nodes that a run starts itself: Klamm, or Apache Kafka for comparison. Both take the same `server.properties`.

use std::fs::{self, File};
use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::check::{Fault, Verdict};
use crate::peers::Peers;
use crate::program::{self, End};

mod cluster;
mod folder;

pub(crate) use cluster::{Cluster, Voters};
pub(crate) use folder::{NodeFolder, Plan, free_ports};

/// A JVM on a busy machine takes its time.
const START_TIME_MAX: Duration = Duration::from_secs(180);
const STOP_TIME_MAX: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(2);

/// Whose broker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Software {
    /// The binary.
    Klamm(PathBuf),
    Kafka,
}

impl Software {
    /// As the scorecard calls it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Klamm(_) => "Klamm",
            Self::Kafka => "Apache Kafka",
        }
    }

    /// Runs a node there until it accepts connections. Kafka's storage is formatted first where it is not.
    pub(crate) fn start(&self, folder: &NodeFolder, peers: &Peers) -> Verdict<Node> {
        let mut node = self.launch(folder, peers)?;
        node.wait_until_ready(folder)?;
        Ok(node)
    }

    /// The same without waiting.
    fn launch(&self, folder: &NodeFolder, peers: &Peers) -> Verdict<Node> {
        let mut command = match self {
            Self::Klamm(binary) => {
                let mut command = Command::new(binary);
                command.arg("start").arg("--config").arg(folder.settings());
                command
            }
            Self::Kafka => {
                if !folder.data().join("meta.properties").exists() {
                    format(folder, peers, &[])?;
                }
                let mut command = peers.broker_jvm("kafka.Kafka")?;
                command.arg(folder.settings());
                command
            }
        };
        let log = File::options().create(true).append(true).open(folder.log())?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Node { child: command.spawn()? })
    }
}

/// Formats the folder with Kafka's own tool, and these options.
pub(crate) fn format(folder: &NodeFolder, peers: &Peers, options: &[&str]) -> Verdict {
    let mut command = peers.broker_jvm("kafka.tools.StorageTool")?;
    command.args(["format", "-t", CLUSTER_ID, "-c"]).arg(folder.settings()).args(options);
    let output = program::run(&mut command, b"", START_TIME_MAX)?;
    match output.end {
        End::Exit(0) => Ok(()),
        _ => Err(Fault::failed("StorageTool to format the folder", format!("{output:?}"))),
    }
}

/// Formats the folder with its software's own tool; the options are the same.
fn format_with(software: &Software, folder: &NodeFolder, peers: &Peers, options: &[&str]) -> Verdict {
    let Software::Klamm(binary) = software else { return format(folder, peers, options) };
    let mut command = Command::new(binary);
    command.args(["format", "--cluster-id", CLUSTER_ID, "--config"]).arg(folder.settings()).args(options);
    let output = program::run(&mut command, b"", START_TIME_MAX)?;
    output.successful("klamm format").map(drop)
}

/// The id that folders are formatted with.
pub(crate) const CLUSTER_ID: &str = "a2xhbW0tY29uZm9ybWl0eQ";

/// A running process; killed when dropped.
pub(crate) struct Node {
    child: Child,
}

impl Node {
    fn wait_until_ready(&mut self, folder: &NodeFolder) -> Verdict {
        let deadline = Instant::now() + START_TIME_MAX;
        while TcpStream::connect(folder.address()).is_err() {
            if let Some(status) = self.child.try_wait()? {
                return Err(Fault::failed("the node to run", format!("{status}; {}", tail(&folder.log()))));
            }
            if Instant::now() > deadline {
                return Err(Fault::failed("the node to accept connections", tail(&folder.log())));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM, and its end waited for.
    pub(crate) fn stop(mut self) -> Verdict {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("a process without an id"))?;
        kill_process(pid, Signal::TERM).map_err(io::Error::from)?;
        match program::wait(&mut self.child, STOP_TIME_MAX)? {
            End::TimedOut(_) => Err(Fault::failed("the node to stop after SIGTERM", "it ran on")),
            _ => Ok(()),
        }
    }

    /// SIGKILL, and its end waited for.
    pub(crate) fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a log that say most: the first that tells of an error, with what follows it, and the last.
pub(crate) fn tail(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let last = lines.len().saturating_sub(LINES_SHOWN);
    let is_error =
        |line: &&str| ["ERROR", "FATAL", "Exception", "panicked"].iter().any(|word| line.contains(word));
    match lines[..last].iter().position(is_error) {
        None => lines[last..].join("\n"),
        Some(first) => {
            let shown = [&lines[first..last.min(first + LINES_SHOWN)], &["…"], &lines[last..]];
            shown.concat().join("\n")
        }
    }
}

/// So many lines of a log are shown in one piece.
const LINES_SHOWN: usize = 10;
