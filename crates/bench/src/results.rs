//! What was measured: for each figure and target the values of all rounds.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::machine::Machine;
use crate::scenario::{Metric, Scenario};
use crate::target::Target;

/// All rows, in the order of measurement.
#[derive(Default)]
pub(crate) struct Results {
    pub(crate) rows: Vec<Row>,
    /// What could not be measured, and why.
    pub(crate) failures: Vec<String>,
    /// The scenarios that the run has not come to yet.
    pub(crate) left: Vec<String>,
}

/// One figure of one scenario.
pub(crate) struct Row {
    pub(crate) scenario: String,
    pub(crate) about: String,
    pub(crate) metric: Metric,
    pub(crate) floor: Option<Target>,
    series: BTreeMap<Target, Series>,
}

/// A figure's values, one for each round.
pub(crate) struct Series {
    /// Ascending, never empty.
    values: Vec<f64>,
    pub(crate) is_driver_bound: bool,
}

impl Row {
    pub(crate) fn new(scenario: &Scenario, metric: &Metric) -> Self {
        Self {
            scenario: scenario.name.clone(),
            about: scenario.about.clone(),
            metric: metric.clone(),
            floor: scenario.floor,
            series: BTreeMap::new(),
        }
    }

    /// Notes a target's values; without any there is nothing to note.
    pub(crate) fn set(&mut self, target: Target, mut values: Vec<f64>, is_driver_bound: bool) {
        if !values.is_empty() {
            values.sort_by(f64::total_cmp);
            self.series.insert(target, Series { values, is_driver_bound });
        }
    }

    pub(crate) fn series(&self, target: Target) -> Option<&Series> {
        self.series.get(&target)
    }

    /// Klamm's median divided by that of another target.
    pub(crate) fn ratio(&self, other: Target) -> Option<f64> {
        self.ratio_of(Target::Klamm, other)
    }

    /// A target's median divided by that of another.
    pub(crate) fn ratio_of(&self, target: Target, other: Target) -> Option<f64> {
        Some(self.series(target)?.median() / self.series(other)?.median())
    }

    fn to_json(&self) -> Value {
        let series = self.series.iter().map(|(target, series)| {
            let value = json!({
                "median": series.median(),
                "values": series.values,
                "driver_bound": series.is_driver_bound,
            });
            (target.to_string(), value)
        });
        json!({
            "scenario": self.scenario,
            "metric": self.metric.name,
            "targets": series.collect::<serde_json::Map<_, _>>(),
            "against_kafka": self.ratio(Target::Kafka),
            "against_floor": self.floor.and_then(|floor| self.ratio(floor)),
        })
    }
}

impl Series {
    pub(crate) fn median(&self) -> f64 {
        let middle = self.values.len() / 2;
        match self.values.len() % 2 {
            0 => f64::midpoint(self.values[middle - 1], self.values[middle]),
            _ => self.values[middle],
        }
    }

    /// The smallest and the largest value.
    pub(crate) fn spread(&self) -> (f64, f64) {
        (self.values[0], self.values[self.values.len() - 1])
    }
}

impl Results {
    pub(crate) fn to_json(&self, machine: &Machine) -> Value {
        json!({
            "machine": machine.to_json(),
            "rows": self.rows.iter().map(Row::to_json).collect::<Vec<_>>(),
            "failures": self.failures,
            "left": self.left,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_rounds() {
        let median = |values: &[f64]| Series { values: values.to_vec(), is_driver_bound: false }.median();
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
    }
}
