//! Rounds: every target in turn, again and again, so that what changes on the machine meanwhile meets them all.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Instant;

use crate::failure::Result;
use crate::results::{Results, Row};
use crate::scenario::{Figures, Scale, Scenario, Shared, Stage};
use crate::target::{Launcher, Target};

/// What to run on, how often and how long.
pub(crate) struct Plan {
    pub(crate) targets: Vec<Target>,
    pub(crate) rounds: u32,
    /// Whether `scale` is that of a look in between.
    pub(crate) is_quick: bool,
    pub(crate) scale: Scale,
}

/// Runs all rounds of all scenarios, and hands on what there is before the first and after each. A target that fails in a scenario has no
/// figures in it; the reason is printed.
pub(crate) fn run(
    scenarios: &[Scenario],
    plan: &Plan,
    launcher: &Launcher,
    keep: impl Fn(&Results) -> Result<()>,
) -> Result<Results> {
    let shared = Shared::default();
    let topics = Cell::new(0);
    let left = scenarios.iter().map(|scenario| scenario.name.clone()).collect();
    let mut results = Results { left, ..Results::default() };
    keep(&results)?;
    let begin = Instant::now();
    for scenario in scenarios {
        let mut runs: BTreeMap<Target, Vec<Figures>> = BTreeMap::new();
        for round in 0..plan.rounds.min(scenario.rounds_max) {
            for target in targets_of(scenario, plan) {
                let is_first = round == 0;
                let stage = Stage {
                    target,
                    scale: &plan.scale,
                    launcher,
                    shared: &shared,
                    topics: &topics,
                    is_first,
                };
                // What the turn before has left to write is not to be written during this one.
                rustix::fs::sync();
                match (scenario.run)(&stage) {
                    Ok(figures) => {
                        print_progress(scenario, target, round, &figures);
                        runs.entry(target).or_default().push(figures);
                    }
                    Err(failure) => {
                        let failure = format!("{} on {target}: {failure}", scenario.name);
                        eprintln!("{failure}");
                        results.failures.push(failure);
                        shared.drop_target(target);
                    }
                }
            }
        }
        results.rows.extend(rows(scenario, &runs));
        results.left.retain(|name| *name != scenario.name);
        eprintln!("{} done after {:.1} minutes", scenario.name, begin.elapsed().as_secs_f64() / 60.0);
        keep(&results)?;
    }
    Ok(results)
}

fn targets_of(scenario: &Scenario, plan: &Plan) -> impl Iterator<Item = Target> {
    let floor = scenario.floor;
    plan.targets.iter().copied().filter(move |target| !target.is_floor() || floor == Some(*target))
}

fn print_progress(scenario: &Scenario, target: Target, round: u32, figures: &Figures) {
    let named = scenario.metrics.iter().zip(&figures.values);
    let figures = named.map(|(metric, value)| match value {
        Some(value) => format!("{} {value:.3}", metric.name),
        None => format!("{} –", metric.name),
    });
    let figures = figures.collect::<Vec<_>>().join(", ");
    eprintln!("{} round {} {target}: {figures}", scenario.name, round + 1);
}

fn rows(scenario: &Scenario, runs: &BTreeMap<Target, Vec<Figures>>) -> Vec<Row> {
    let row = |(at, metric): (usize, &_)| {
        let mut row = Row::new(scenario, metric);
        for (target, figures) in runs {
            let values = figures.iter().filter_map(|figures| figures.values[at]).collect();
            let is_driver_bound = figures.iter().any(|figures| figures.is_driver_bound);
            row.set(*target, values, is_driver_bound);
        }
        row
    };
    scenario.metrics.iter().enumerate().map(row).collect()
}
