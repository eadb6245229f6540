//! Foreign software: fetched from its own registry on first use, into a folder that outlives the run.
//!
//! Nothing of it is part of this repository. What cannot be had on this machine makes the checks that need it skip,
//! with the reason.

use std::cell::{OnceCell, RefCell};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::check::{Fault, Verdict};
use crate::program::Output;

mod crates;
mod go;
mod jars;
mod python;
mod tool_server;

pub(crate) use crates::{Crate, EXECUTABLES};
use jars::Jars;
use tool_server::ToolServer;

/// What has been found or fetched so far, each at most once in a run.
pub(crate) struct Peers {
    folder: PathBuf,
    kcat: OnceCell<Found>,
    python: OnceCell<Found>,
    franz_go: OnceCell<Found>,
    broker_jars: OnceCell<Found>,
    tool_jars: OnceCell<Found>,
    tool_server: RefCell<Option<ToolServer>>,
}

/// Where it is, or why it is not there.
type Found = Result<PathBuf, String>;

impl Peers {
    /// Fetched software goes to `$KLAMM_PEERS`, or to `~/.cache/klamm-peers`.
    pub(crate) fn new() -> Self {
        let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default());
        let folder =
            env::var_os("KLAMM_PEERS").map_or_else(|| home().join(".cache/klamm-peers"), PathBuf::from);
        Self {
            folder,
            kcat: OnceCell::new(),
            python: OnceCell::new(),
            franz_go: OnceCell::new(),
            broker_jars: OnceCell::new(),
            tool_jars: OnceCell::new(),
            tool_server: RefCell::new(None),
        }
    }

    pub(crate) fn kcat(&self) -> Verdict<&Path> {
        found(self.kcat.get_or_init(|| on_path("kcat", "-V").or_else(|_| on_path("kafkacat", "-V"))))
    }

    /// A Python that can import `confluent_kafka`.
    pub(crate) fn python(&self) -> Verdict<&Path> {
        found(self.python.get_or_init(|| python::fetch(&self.folder)))
    }

    /// The folder of franz-go's package `kgo`, its tests built.
    pub(crate) fn franz_go(&self) -> Verdict<&Path> {
        found(self.franz_go.get_or_init(|| go::fetch(&self.folder)))
    }

    /// The folder of a crate, its tests built.
    pub(crate) fn tests_of(&self, of: &Crate) -> Verdict<PathBuf> {
        crates::fetch(&self.folder, of).map_err(Fault::Skipped)
    }

    /// Apache Kafka's broker and its storage tool.
    pub(crate) fn broker_jars(&self) -> Verdict<&Path> {
        found(self.broker_jars.get_or_init(|| jars::fetch(&self.folder, &Jars::BROKER)))
    }

    fn tool_jars(&self) -> Verdict<&Path> {
        found(self.tool_jars.get_or_init(|| jars::fetch(&self.folder, &Jars::TOOLS)))
    }

    /// Runs one of Kafka's tools, in the JVM that runs them all.
    pub(crate) fn run_tool(&self, class: &str, args: &[String], input: &[u8]) -> Verdict<Output> {
        let mut slot = self.tool_server.borrow_mut();
        let mut server = match slot.take() {
            Some(server) => server,
            None => ToolServer::start(self.tool_jars()?)?,
        };
        match server.run(class, args, input)? {
            Some(output) => {
                *slot = Some(server);
                Ok(output)
            }
            None => Err(Fault::failed(format!("{class} to end"), server.last_words())),
        }
    }

    /// A JVM of its own for a tool that ends it, or that is killed.
    pub(crate) fn tool_in_own_jvm(&self, class: &str) -> Verdict<Command> {
        Ok(jars::java(self.tool_jars()?, class))
    }

    /// A class of the broker's jars in a JVM of its own.
    pub(crate) fn broker_jvm(&self, class: &str) -> Verdict<Command> {
        Ok(jars::java(self.broker_jars()?, class))
    }
}

fn found(found: &Found) -> Verdict<&Path> {
    found.as_deref().map_err(|reason| Fault::Skipped(reason.clone()))
}

/// The program's name, if it can be run.
fn on_path(program: &str, harmless: &str) -> Found {
    match Command::new(program).arg(harmless).output() {
        Ok(_) => Ok(PathBuf::from(program)),
        Err(error) => Err(format!("{program} is not installed ({error})")),
    }
}

/// Runs a step of fetching something; what it said becomes the reason if it fails.
fn fetch_step(command: &mut Command, what: &str) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{what}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    Err(format!("{what}: {last}"))
}
