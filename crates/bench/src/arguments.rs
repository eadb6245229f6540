//! The command line.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::failure::{Failure, Result};
use crate::rounds::Plan;
use crate::scenario::{self, Scale, Scenario};
use crate::target::Target;

const ROUNDS: u32 = 5;
const ROUNDS_QUICK: u32 = 3;

/// Klamm beside Apache Kafka and beside the bare machine
#[derive(Parser, Debug)]
#[command(name = "klamm-bench", args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) floor: Option<Floor>,

    /// What to measure: names, or beginnings of names; all if none is given
    #[arg(value_name = "SCENARIO")]
    names: Vec<String>,

    /// Rounds of each scenario, the targets in turn in each; 5, or 3 with --quick
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,

    /// Seconds of a counted phase; 8, or 2 with --quick. Warm-ups and loads at a fixed rate last in proportion
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..))]
    seconds: Option<u32>,

    /// What Klamm is compared with
    #[arg(long, value_delimiter = ',', value_enum, default_value = "kafka,null,sendfile")]
    against: Vec<Target>,

    /// Do not measure Klamm itself
    #[arg(long)]
    without_klamm: bool,

    /// Short phases and the most telling scenarios, for a look in between
    #[arg(long)]
    quick: bool,

    /// The broker's binary; without it the release build is made and taken
    #[arg(long, value_name = "FILE")]
    pub(crate) klamm: Option<PathBuf>,

    /// Where the brokers' data goes; the system's folder for temporary files if not given
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Write all figures of all rounds to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Write the table to this file, as a page
    #[arg(long, value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,

    /// List the scenarios
    #[arg(long)]
    pub(crate) list: bool,
}

/// The floors, which run in processes of their own.
#[derive(Subcommand, Debug)]
pub(crate) enum Floor {
    /// Frames, checksums, appends
    #[command(hide = true)]
    NullBroker { address: SocketAddr, data: PathBuf },
    /// Canned heads and the contents of a file
    #[command(hide = true)]
    SendfileLoop { address: SocketAddr, file: PathBuf },
}

impl Arguments {
    /// The scenarios that are named; or all, or the quick ones.
    pub(crate) fn scenarios(&self) -> Result<Vec<Scenario>> {
        let named =
            |scenario: &Scenario| self.names.iter().any(|name| scenario.name.starts_with(name.as_str()));
        let all = scenario::all();
        if let Some(unknown) = self.names.iter().find(|name| !all.iter().any(|s| s.name.starts_with(*name))) {
            return Err(Failure::Other(format!("there is no scenario {unknown}; --list names all")));
        }
        let wanted = |scenario: &Scenario| match self.names.is_empty() {
            true => scenario.is_quick || !self.quick,
            false => named(scenario),
        };
        Ok(all.into_iter().filter(wanted).collect())
    }

    pub(crate) fn plan(&self) -> Plan {
        let klamm = (!self.without_klamm).then_some(Target::Klamm);
        let usual = if self.quick { Scale::quick() } else { Scale::full() };
        Plan {
            targets: klamm.into_iter().chain(self.against.iter().copied()).collect(),
            rounds: self.rounds(),
            is_quick: self.quick,
            scale: match self.seconds {
                Some(seconds) => usual.lasting(Duration::from_secs(seconds.into())),
                None => usual,
            },
        }
    }

    fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { ROUNDS_QUICK } else { ROUNDS })
    }

    pub(crate) fn data_folder(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(env::temp_dir)
    }

    /// Whether the broker is to be built.
    pub(crate) fn needs_build(&self) -> bool {
        self.klamm.is_none() && !self.without_klamm
    }
}
