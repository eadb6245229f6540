//! `klamm-sim`: runs simulations, and shows the history of those that fail.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints what it found")]

use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use klamm_sim::{Outcome, Plant, Scenario, plants, simulate};

/// Simulates a broker with its clients and misfortunes, once for each seed.
#[derive(Parser)]
struct Arguments {
    /// Seeds to run, the last not included.
    #[arg(long, default_value = "0..200", value_parser = parse_range)]
    seeds: Range<u64>,
    /// The one seed to run.
    #[arg(long)]
    seed: Option<u64>,
    /// Print the history with every detail.
    #[arg(long)]
    trace: bool,
    /// Print the history of a run that fails.
    #[arg(long)]
    history: bool,
    /// A bug to plant; the seeds run until one finds it.
    #[arg(long, value_parser = parse_plant)]
    plant: Option<Plant>,
    /// Show the bugs that can be planted.
    #[arg(long)]
    list_plants: bool,
    /// Run each seed twice, each time on a new thread, and compare what happened.
    #[arg(long)]
    twice: bool,
    /// Threads; each runs seeds of its own.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("write it as 0..100")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
    Ok(number(from)?..number(to)?)
}

fn parse_plant(name: &str) -> Result<Plant, String> {
    Plant::named(name).ok_or_else(|| "there is no such bug, see --list-plants".to_owned())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list_plants {
        plants::ALL.iter().for_each(|(_, name, about)| println!("{name:<28}{about}"));
        return ExitCode::SUCCESS;
    }
    let seeds = arguments.seed.map_or(arguments.seeds.clone(), |seed| seed..seed + 1);
    let began = Instant::now();
    let failed = run_all(&arguments, seeds.clone());
    let (ran, seconds) = (seeds.end - seeds.start, began.elapsed().as_secs_f64());
    match (failed, arguments.plant) {
        (Some(seed), Some(_)) => {
            println!("found by seed {seed} after {seconds:.1} s");
            ExitCode::SUCCESS
        }
        (None, Some(_)) => {
            println!("not found by {ran} seeds");
            ExitCode::FAILURE
        }
        (Some(_), None) => ExitCode::FAILURE,
        (None, None) => {
            println!(
                "{ran} seeds, nothing wrong, {seconds:.1} s, {:.0} seeds a minute",
                ran as f64 * 60.0 / seconds
            );
            ExitCode::SUCCESS
        }
    }
}

/// Runs the seeds; returns the first that failed.
fn run_all(arguments: &Arguments, seeds: Range<u64>) -> Option<u64> {
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicU64::new(u64::MAX));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let is_over = arguments.plant.is_some() && failed.load(Ordering::Relaxed) != u64::MAX;
            if seed >= seeds.end || is_over {
                return;
            }
            if !run(arguments, seed) {
                failed.fetch_min(seed, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| (0..arguments.threads.max(1)).for_each(|_| drop(scope.spawn(work))));
    Some(failed.into_inner()).filter(|seed| *seed != u64::MAX)
}

fn run(arguments: &Arguments, seed: u64) -> bool {
    let scenario = Scenario { seed, plant: arguments.plant, has_details: arguments.trace };
    let outcome = simulate(scenario);
    let is_fine = outcome.recorded.violations.is_empty() && (!arguments.twice || repeats(scenario, &outcome));
    if arguments.trace || (arguments.history && !is_fine) {
        outcome.recorded.history.iter().for_each(|line| println!("{line}"));
    }
    if arguments.seed.is_some() || !is_fine {
        report(seed, &outcome);
    }
    is_fine
}

/// Whether the same scenario does the same once more, on a thread that has run nothing before.
fn repeats(scenario: Scenario, outcome: &Outcome) -> bool {
    let again = std::thread::spawn(move || simulate(scenario)).join();
    let Ok(again) = again else { return false };
    let (first, second) = (&outcome.recorded, &again.recorded);
    if first.hash != second.hash {
        println!("seed {}: {} entries, then {}", scenario.seed, first.entries, second.entries);
        let parted = first.history.iter().zip(&second.history).find(|(first, second)| first != second);
        if let Some((first, second)) = parted {
            println!("  first:  {first}\n  second: {second}");
        }
    }
    *outcome == again
}

fn report(seed: u64, outcome: &Outcome) {
    let Outcome { recorded, counts, virtual_ms } = outcome;
    println!(
        "seed {seed}: trace {:016x} of {} entries, {virtual_ms} ms, {counts:?}",
        recorded.hash, recorded.entries
    );
    recorded.violations.iter().take(2).for_each(|violation| println!("  {violation}"));
}
