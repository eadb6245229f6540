//! The measurements. A scenario is a load, the figures it yields, and what those figures ought to be.

mod cluster;
mod cold_reader;
mod connections;
mod end_to_end;
mod fetch;
mod flush;
mod latency;
mod memory;
mod partitions;
mod produce;
mod recompress;
mod requests;
mod stage;
mod start;
mod warm;

pub(crate) use stage::{Scale, Stage};
pub(crate) use warm::Shared;

use std::fmt;

use crate::failure::Result;
use crate::load::Reading;
use crate::target::Target;

/// A load, and what is read off while it is on.
pub(crate) struct Scenario {
    pub(crate) name: String,
    /// What it does, in a line.
    pub(crate) about: String,
    /// The floor that it has.
    pub(crate) floor: Option<Target>,
    /// Whether it belongs to the quick set.
    pub(crate) is_quick: bool,
    /// The figures, in the order in which a run gives them.
    pub(crate) metrics: Vec<Metric>,
    /// Rounds after which there is nothing new to see: those that take minutes, for figures that hardly vary.
    pub(crate) rounds_max: u32,
    /// One run against one target.
    pub(crate) run: Run,
}

/// What a scenario does in a target's turn.
pub(crate) type Run = Box<dyn Fn(&Stage<'_>) -> Result<Figures>>;

/// A figure: its name with the unit, and what is aimed at.
#[derive(Debug, Clone)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    /// Klamm's figure divided by Kafka's.
    pub(crate) against_kafka: Option<Goal>,
    /// Klamm's figure divided by the floor's.
    pub(crate) against_floor: Option<Goal>,
    /// Klamm's figure itself.
    pub(crate) absolute: Option<Goal>,
}

impl Metric {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, against_kafka: None, against_floor: None, absolute: None }
    }

    pub(crate) fn against_kafka(self, goal: Goal) -> Self {
        Self { against_kafka: Some(goal), ..self }
    }

    pub(crate) fn against_floor(self, goal: Goal) -> Self {
        Self { against_floor: Some(goal), ..self }
    }

    pub(crate) fn absolute(self, goal: Goal) -> Self {
        Self { absolute: Some(goal), ..self }
    }
}

/// What a figure or a ratio ought to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    pub(crate) fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(bound) => write!(f, "≤ {bound}"),
            Self::AtLeast(bound) => write!(f, "≥ {bound}"),
        }
    }
}

/// What one run yielded: a value for each metric, `None` where this target or machine has none.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    pub(crate) values: Vec<Option<f64>>,
    /// The driver used up its cores, so that the figures may be its own.
    pub(crate) is_driver_bound: bool,
}

impl Figures {
    pub(crate) fn new(values: impl IntoIterator<Item = f64>) -> Self {
        Self { values: values.into_iter().map(Some).collect(), is_driver_bound: false }
    }

    pub(crate) fn of(reading: &Reading, values: impl IntoIterator<Item = f64>) -> Self {
        Self { is_driver_bound: reading.is_driver_bound, ..Self::new(values) }
    }
}

/// All scenarios, in the order in which they run.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = produce::scenarios();
    all.extend(requests::scenarios());
    all.extend(fetch::scenarios());
    all.extend([latency::scenario(), end_to_end::scenario(), cold_reader::scenario(), flush::scenario()]);
    all.extend(recompress::scenarios());
    all.extend([start::scenario(), memory::scenario(), connections::scenario(), partitions::scenario()]);
    all.extend(cluster::scenarios());
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn scenarios_differ_in_name_and_all_yield_something() {
        let all = all();
        let names: BTreeSet<&str> = all.iter().map(|scenario| scenario.name.as_str()).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.iter().all(|scenario| !scenario.metrics.is_empty() && !scenario.about.is_empty()));
    }
}
