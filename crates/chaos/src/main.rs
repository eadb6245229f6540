//! `klamm-chaos`: a cluster of real processes under load, and what is done to them.
//!
//! A cycle draws a fault and a node from the seed, lets it last, mends it, and waits until every partition is back in sync.
//! Producers and a consumer work all the while. At the end the histories are checked: nothing acknowledged is lost, nothing
//! is there twice, order holds, the consumer has seen every record. The schedule repeats with the seed; what the
//! processes make of it does not.
//!
//! Nodes reach each other only through proxies of this process, which cut connections by who speaks to whom; clients
//! reach them directly. Nothing here knows whose processes these are: `--node-command` runs another implementation.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints what it has seen")]

mod arguments;
mod check;
mod cluster;
mod cycle;
mod draw;
mod failure;
mod history;
mod load;
mod node;
mod proxy;
mod report;
mod settings;
mod source;
mod sync;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;
use crate::failure::Result;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("klamm-chaos: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything held that has to.
fn run(arguments: &Arguments) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(cycle::run(arguments))
}
