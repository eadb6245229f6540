//! `klamm-sim`: runs simulations, and shows the history of those that fail.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints what it found")]

use std::collections::BTreeSet;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use klamm_sim::{Outcome, Plant, Scenario, Shape, Without, plants, shrunk, simulate};

/// Simulates a cluster with its clients and misfortunes, once for each seed.
#[derive(Parser)]
struct Arguments {
    /// Seeds to run, the last not included.
    #[arg(long, default_value = "0..200", value_parser = parse_range)]
    seeds: Range<u64>,
    /// The one seed to run.
    #[arg(long)]
    seed: Option<u64>,
    /// Which nodes there are.
    #[arg(long, value_enum, default_value = "one")]
    nodes: Shape,
    /// Print the history with every detail.
    #[arg(long)]
    trace: bool,
    /// Seconds to look for a shorter run that fails as well.
    #[arg(long, default_value_t = 20)]
    shrink_seconds: u64,
    /// Steps of the schedule to leave out, by number.
    #[arg(long, value_delimiter = ',')]
    without_steps: Vec<usize>,
    /// Clients to leave out, by number.
    #[arg(long, value_delimiter = ',')]
    without_clients: Vec<usize>,
    /// A bug to plant; the seeds run until one finds it.
    #[arg(long, value_parser = parse_plant)]
    plant: Option<Plant>,
    /// Plant one bug after the other; each must be found by one of the seeds.
    #[arg(long)]
    plants: bool,
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
    let is_fine = if arguments.list_plants {
        plants::ALL.iter().for_each(|(_, name, about)| println!("{name:<28}{about}"));
        true
    } else if arguments.plants {
        let is_cluster = arguments.nodes != Shape::One;
        let fitting = plants::ALL.iter().filter(|(plant, ..)| plant.needs_cluster() == is_cluster);
        let found = fitting.map(|(plant, name, _)| find(&arguments, *plant, name));
        // All are looked for, also behind one that is not found.
        found.collect::<Vec<bool>>().into_iter().all(|is_found| is_found)
    } else if let Some(plant) = arguments.plant {
        find(&arguments, plant, "it")
    } else {
        run_clean(&arguments)
    };
    if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Arguments {
    fn seeds(&self) -> Range<u64> {
        self.seed.map_or(self.seeds.clone(), |seed| seed..seed + 1)
    }

    fn scenario(&self, seed: u64, plant: Option<Plant>) -> Scenario {
        let number_set = |numbers: &[usize]| numbers.iter().copied().collect::<BTreeSet<_>>();
        let without =
            Without { steps: number_set(&self.without_steps), clients: number_set(&self.without_clients) };
        Scenario { seed, shape: self.nodes, plant, without, has_details: self.trace }
    }
}

/// Looks for a planted bug with one seed after the other.
fn find(arguments: &Arguments, plant: Plant, name: &str) -> bool {
    let began = Instant::now();
    let failed = run_all(arguments, true, |seed| {
        let outcome = simulate(&arguments.scenario(seed, Some(plant)));
        outcome.recorded.violations.is_empty()
    });
    let seconds = began.elapsed().as_secs_f64();
    match failed {
        Some(seed) => println!("{name:<28}found by seed {seed} after {seconds:.1} s"),
        None => println!("{name:<28}NOT FOUND by {:?}, {seconds:.1} s", arguments.seeds()),
    }
    failed.is_some()
}

fn run_clean(arguments: &Arguments) -> bool {
    let began = Instant::now();
    let failed = run_all(arguments, false, |seed| run(arguments, seed));
    let seeds = arguments.seeds();
    let (ran, seconds) = (seeds.end - seeds.start, began.elapsed().as_secs_f64());
    match failed {
        Some(seed) => println!("{ran} seeds, {seconds:.1} s; seed {seed} fails"),
        None => {
            let pace = ran as f64 * 60.0 / seconds;
            println!("{ran} seeds, nothing wrong, {seconds:.1} s, {pace:.0} seeds a minute");
        }
    }
    failed.is_none()
}

/// Runs the seeds; returns the first for which `run` says no, and stops with it if `is_over_then`.
fn run_all(arguments: &Arguments, is_over_then: bool, run: impl Fn(u64) -> bool + Sync) -> Option<u64> {
    let seeds = arguments.seeds();
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicU64::new(u64::MAX));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let is_over = is_over_then && failed.load(Ordering::Relaxed) != u64::MAX;
            if seed >= seeds.end || is_over {
                return;
            }
            if !run(seed) {
                failed.fetch_min(seed, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| (0..arguments.threads.max(1)).for_each(|_| drop(scope.spawn(work))));
    Some(failed.into_inner()).filter(|seed| *seed != u64::MAX)
}

fn run(arguments: &Arguments, seed: u64) -> bool {
    let scenario = arguments.scenario(seed, None);
    let outcome = simulate(&scenario);
    let is_fine = outcome.recorded.violations.is_empty();
    if arguments.trace {
        outcome.recorded.history.iter().for_each(|line| println!("{line}"));
    }
    if arguments.seed.is_some() || !is_fine {
        report(seed, &outcome);
    }
    if !is_fine {
        explain(&scenario, Duration::from_secs(arguments.shrink_seconds));
    }
    is_fine && (!arguments.twice || repeats(&scenario, &outcome))
}

fn report(seed: u64, outcome: &Outcome) {
    let Outcome { recorded, counts, virtual_ms, .. } = outcome;
    println!(
        "seed {seed}: trace {:016x} of {} entries, {virtual_ms} ms, {counts:?}",
        recorded.hash, recorded.entries
    );
    recorded.violations.iter().take(2).for_each(|violation| println!("  {violation}"));
}

/// Prints the shortest failing run that is found, with its history, as one piece.
fn explain(scenario: &Scenario, patience: Duration) {
    if patience.is_zero() {
        return;
    }
    let (shortest, outcome) = shrunk(scenario, patience);
    let Without { steps, clients } = &shortest.without;
    let list =
        |numbers: &BTreeSet<usize>| numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let mut text =
        format!("  shortest: --nodes {:?} --seed {}", shortest.shape, shortest.seed).to_lowercase();
    if !steps.is_empty() {
        text += &format!(" --without-steps {}", list(steps));
    }
    if !clients.is_empty() {
        text += &format!(" --without-clients {}", list(clients));
    }
    for (number, step) in &outcome.schedule {
        text += &format!("\n    step {number} at {step}");
    }
    for line in &outcome.recorded.history {
        text += &format!("\n    {line}");
    }
    println!("{text}");
}

/// Whether the same scenario does the same once more, on a thread that has run nothing before.
fn repeats(scenario: &Scenario, outcome: &Outcome) -> bool {
    let again = std::thread::scope(|scope| scope.spawn(|| simulate(scenario)).join());
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
