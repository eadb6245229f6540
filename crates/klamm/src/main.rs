//! `klamm`: the broker and its tools in one binary.
//!
//! This file only wires. A subcommand is the file or folder of its name; what it knows of clusters it has from
//! `klamm-client`, of files from `klamm-log`, of settings from `klamm-config`. Whatever turns input into records, records into output
//! or facts into a plan is a pure function with a table of cases beside it.

mod advice;
mod arguments;
mod base64;
mod broker;
mod cli;
mod cluster;
mod completions;
mod config;
mod connection;
mod consume;
mod environment;
mod escapes;
mod failure;
mod format;
mod group;
mod log;
mod logging;
mod output;
mod partition;
mod produce;
mod progress_line;
mod quorum;
mod random_uuid;
mod settings;
mod signals;
mod start;
mod table;
mod time;
mod topic;

use std::future::Future;
use std::io::{self, Write};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::failure::{Context, Failure};
use crate::progress_line::ProgressLine;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// After which a command that only asks and answers says that it still waits.
const DELAY_NOTED: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start(cli.verbose);
    match run(&cli.command, cli.verbose) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(command: &Command, verbose: u8) -> Result<(), Failure> {
    match command {
        Command::Start(command) => command.run(),
        Command::Format(command) => command.run(),
        Command::Topic(command) => block_on(noting_delay(command.run())),
        Command::Produce(command) => block_on(command.run()),
        Command::Consume(command) => block_on(command.run()),
        Command::Group(command) => block_on(noting_delay(command.run())),
        Command::Config(command) => block_on(noting_delay(command.run())),
        Command::Cluster(command) => command.run(verbose),
        Command::Quorum(command) => block_on(noting_delay(command.run())),
        Command::Partition(command) => block_on(command.run()),
        Command::Broker(command) => block_on(command.run()),
        Command::Log(command) => command.run(),
        Command::Settings(command) => command.run(),
        Command::RandomUuid(command) => command.run(),
        Command::Completions(command) => command.run(),
    }
}

/// Client commands run on one thread: they wait more than they compute.
fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context(|| "cannot begin".to_owned())?;
    runtime.block_on(command)
}

/// Tells a person who waits that it is the cluster that takes so long.
async fn noting_delay(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let mut command = pin!(command);
    let mut line = ProgressLine::new(true);
    loop {
        tokio::select! {
            result = &mut command => return result,
            () = tokio::time::sleep(DELAY_NOTED) => line.show(|| "waiting for the cluster; Ctrl-C gives up".to_owned()),
        }
    }
}

/// One line on standard error; a closed one leaves nobody to tell.
fn tell(failure: &Failure) {
    if !matches!(failure, Failure::OutputClosed) {
        let _ = writeln!(io::stderr(), "klamm: {failure}");
    }
}
