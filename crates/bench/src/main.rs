//! `klamm-bench`: the same load on Klamm, on Apache Kafka and on the bare machine, in turn.
//!
//! Nothing here is part of the product, and nothing depends on it. What holds for every figure:
//! - All targets get the same bytes from the same driver in the same run; rounds are interleaved, and the figure is
//!   the median of its rounds.
//! - CPU is the user and system time of the target's own process, as the kernel accounts it.
//! - Batches are prepared before the clock runs, so that the driver does little; where it was busy nonetheless, the
//!   figure is marked.
//! - Latencies count from the time a request was meant to leave.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints what it measured")]

mod arguments;
mod failure;
mod load;
mod machine;
mod process;
mod results;
mod rounds;
mod scenario;
mod table;
mod target;
mod wire;

use std::fs;
use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Floor};
use crate::failure::{Failure, Result};
use crate::machine::Machine;
use crate::results::Results;
use crate::target::{Launcher, klamm_binary};

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("klamm-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.floor {
        Some(Floor::NullBroker { address, data }) => target::null::serve(*address, data),
        Some(Floor::SendfileLoop { address, file }) => target::sendfile::serve(*address, file),
        None if arguments.list => {
            scenario::all().iter().for_each(|scenario| println!("{:<24}{}", scenario.name, scenario.about));
            Ok(())
        }
        None => compare(arguments),
    }
}

fn compare(arguments: &Arguments) -> Result<()> {
    let scenarios = arguments.scenarios()?;
    process::raise_descriptor_limit()?;
    let launcher = Launcher { klamm: klamm_binary(arguments)?, folder: arguments.data_folder() };
    let machine = Machine::look();
    println!("{machine}\n");
    // A run that is broken off leaves what it has.
    let keep = |results: &Results| write(arguments, &machine, results);
    let results = rounds::run(&scenarios, &arguments.plan(), &launcher, keep)?;
    println!("\n{}", table::markdown(&results));
    Ok(())
}

fn write(arguments: &Arguments, machine: &Machine, results: &Results) -> Result<()> {
    if let Some(path) = &arguments.json {
        fs::write(path, results.to_json(machine).to_string())
            .map_err(Failure::doing(path.display().to_string()))?;
    }
    if let Some(path) = &arguments.write {
        let page = table::page(results, machine, &arguments.plan());
        fs::write(path, page).map_err(Failure::doing(path.display().to_string()))?;
    }
    Ok(())
}
