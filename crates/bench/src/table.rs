//! The table: for each figure the medians and spreads, the ratios, and whether they are what is aimed at.

use crate::machine::Machine;
use crate::results::{Results, Row, Series};
use crate::rounds::Plan;
use crate::scenario::Goal;
use crate::target::Target;

const HEAD: [&str; 7] = ["", "", "Klamm", "Apache Kafka", "floor", "to Kafka", "to the floor"];

/// The rows as a Markdown table that can be read as plain text too.
pub(crate) fn markdown(results: &Results) -> String {
    let mut lines = vec![HEAD.map(str::to_owned)];
    let mut previous = "";
    for row in &results.rows {
        lines.push(cells(row, row.scenario != previous));
        previous = &row.scenario;
    }
    aligned(&lines)
}

/// The page of `docs/performance.md`.
pub(crate) fn page(results: &Results, machine: &Machine, plan: &Plan) -> String {
    let seconds = plan.scale.counted.as_secs();
    let quick = if plan.is_quick { " --quick" } else { "" };
    let mut page = format!(
        "# Performance\n\n\
         Made by `cargo run --release -p klamm-bench --{quick} --rounds {rounds} --seconds {seconds} --write \
         docs/performance.md`: {machine}.\n\n\
         Medians of {rounds} interleaved rounds of {seconds} s, with the smallest and largest value in parentheses. CPU is \
         the broker's own user and system time. Latencies count from when a request was due to leave. The floor is a broker \
         that does nothing but read frames, check CRCs and append to files, for fetches a loop of `sendfile`. Ratios are \
         Klamm's figure divided by the other; in parentheses what is aimed at. `*`: the driver used up its cores.\n\n{table}\n",
        rounds = plan.rounds,
        table = markdown(results)
    );
    let mut previous = "";
    for row in results.rows.iter() {
        if row.scenario != previous {
            page.push_str(&format!("- `{}`: {}\n", row.scenario, row.about));
        }
        previous = &row.scenario;
    }
    page + &section("Missed", results.rows.iter().flat_map(misses))
        + &section("Not measured", results.failures.iter().cloned().chain(results.left.iter().map(left)))
}

fn left(scenario: &String) -> String {
    format!("`{scenario}`: the run was broken off before it")
}

/// A list under a heading; nothing where there is nothing to list.
fn section(heading: &str, lines: impl IntoIterator<Item = String>) -> String {
    let lines: String = lines.into_iter().map(|line| format!("- {line}\n")).collect();
    if lines.is_empty() { lines } else { format!("\n## {heading}\n\n{lines}") }
}

/// What a figure should be and is not. Where the floor itself misses what is aimed at, that is the reason.
fn misses(row: &Row) -> Vec<String> {
    let Row { scenario, metric, .. } = row;
    let miss = |value: Option<f64>, goal: Option<Goal>, of: &str| {
        let (value, goal) = (value?, goal?);
        let missed = format!("`{scenario}`, {}: {}{of}, aimed at {goal}", metric.name, figure(value));
        (!goal.is_met(value)).then_some(missed)
    };
    let floor = row.floor.and_then(|floor| Some((floor, row.ratio_of(floor, Target::Kafka)?)));
    let reason = match (floor, metric.against_kafka) {
        (Some((floor, ratio)), Some(goal)) if !goal.is_met(ratio) => {
            format!("; the floor ({floor}) is itself at {}", figure(ratio))
        }
        _ => String::new(),
    };
    let of_floor = row.floor.map(|floor| format!(" of the floor ({floor})")).unwrap_or_default();
    let against_kafka = miss(row.ratio(Target::Kafka), metric.against_kafka, " of Kafka's");
    [
        against_kafka.map(|missed| missed + &reason),
        miss(row.floor.and_then(|floor| row.ratio(floor)), metric.against_floor, &of_floor),
        miss(row.series(Target::Klamm).map(Series::median), metric.absolute, ""),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn cells(row: &Row, is_first: bool) -> [String; 7] {
    let figure = |target| row.series(target).map(series_cell).unwrap_or_default();
    let floor = row.floor.map(figure).unwrap_or_default();
    let klamm = row.series(Target::Klamm).map(Series::median);
    let judged = match (klamm, row.metric.absolute) {
        (Some(value), Some(goal)) => format!(" {}", verdict(value, goal)),
        _ => String::new(),
    };
    [
        if is_first { row.scenario.clone() } else { String::new() },
        row.metric.name.to_owned(),
        figure(Target::Klamm) + &judged,
        figure(Target::Kafka),
        floor,
        ratio_cell(row.ratio(Target::Kafka), row.metric.against_kafka),
        ratio_cell(row.floor.and_then(|floor| row.ratio(floor)), row.metric.against_floor),
    ]
}

fn series_cell(series: &Series) -> String {
    let mark = if series.is_driver_bound { "*" } else { "" };
    match series.spread() {
        (low, high) if low == high => format!("{}{mark}", figure(low)),
        (low, high) => format!("{}{mark} ({}–{})", figure(series.median()), figure(low), figure(high)),
    }
}

fn ratio_cell(ratio: Option<f64>, goal: Option<Goal>) -> String {
    match (ratio, goal) {
        (Some(ratio), Some(goal)) => format!("{} {}", figure(ratio), verdict(ratio, goal)),
        (Some(ratio), None) => figure(ratio),
        (None, _) => String::new(),
    }
}

fn verdict(value: f64, goal: Goal) -> String {
    format!("({}{goal})", if goal.is_met(value) { "" } else { "not " })
}

/// About three significant digits; thousands set apart.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size < 0.1 => format!("{value:.4}"),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => thousands(value.round() as i64),
    }
}

fn thousands(value: i64) -> String {
    match value {
        0..1000 => value.to_string(),
        _ => format!("{},{:03}", thousands(value / 1000), value % 1000),
    }
}

/// Lines of a table, each column as wide as its widest cell.
fn aligned(lines: &[[String; 7]]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..7).map(width).collect();
    let mut table = String::new();
    for (number, line) in lines.iter().enumerate() {
        let padded = line.iter().zip(&widths).map(|(cell, width)| format!(" {cell:<width$} |"));
        table.push_str(&format!("|{}\n", padded.collect::<String>()));
        if number == 0 {
            let rule = widths.iter().map(|width| format!("{}|", "-".repeat(width + 2)));
            table.push_str(&format!("|{}\n", rule.collect::<String>()));
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Metric, Scenario};

    #[test]
    fn figures_are_short() {
        let cases = [
            (0.0, "0.0000"),
            (0.0123, "0.0123"),
            (0.5, "0.50"),
            (9.876, "9.88"),
            (42.0, "42.0"),
            (1234567.8, "1,234,568"),
        ];
        for (value, expected) in cases {
            assert_eq!(figure(value), expected);
        }
    }

    #[test]
    fn goals_are_judged() {
        assert_eq!(ratio_cell(Some(0.15), Some(Goal::AtMost(0.2))), "0.15 (≤ 0.2)");
        assert_eq!(ratio_cell(Some(0.25), Some(Goal::AtMost(0.2))), "0.25 (not ≤ 0.2)");
        assert_eq!(ratio_cell(Some(7.0), Some(Goal::AtLeast(6.0))), "7.00 (≥ 6)");
        assert_eq!(ratio_cell(None, Some(Goal::AtLeast(6.0))), "");
    }

    #[test]
    fn what_is_missed_is_listed_with_the_floor_where_that_is_the_reason() {
        let metric = Metric::new("CPU").against_kafka(Goal::AtMost(0.2)).against_floor(Goal::AtMost(1.5));
        let scenario = Scenario {
            name: "produce".to_owned(),
            about: String::new(),
            floor: Some(Target::Null),
            is_quick: true,
            metrics: vec![metric.clone()],
            rounds_max: u32::MAX,
            run: Box::new(|_| unreachable!("nothing runs here")),
        };
        let mut row = Row::new(&scenario, &metric);
        row.set(Target::Klamm, vec![0.5], false);
        row.set(Target::Kafka, vec![1.0], false);
        row.set(Target::Null, vec![0.4], false);
        let missed =
            "`produce`, CPU: 0.50 of Kafka's, aimed at ≤ 0.2; the floor (null broker) is itself at 0.40";
        assert_eq!(misses(&row), [missed]);
        row.set(Target::Klamm, vec![0.1], false);
        assert_eq!(misses(&row), [""; 0]);
    }
}
