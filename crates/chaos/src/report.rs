//! What a run prints: a line for each cycle, and what is wrong at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::check::Violation;
use crate::draw::{Draw, Kind};

/// Violations shown one by one; more of them say nothing new.
const SHOWN_MAX: usize = 20;

/// A cycle as it went.
pub(crate) struct Row {
    pub(crate) cycle: u32,
    pub(crate) draw: Draw,
    /// The active controller when the fault began; `None` if nobody said.
    pub(crate) controller: Option<i32>,
    /// From the mend until all was in sync; `None` if it was not in time.
    pub(crate) in_sync_after: Option<Duration>,
    pub(crate) longest_gap: Duration,
    pub(crate) acknowledged: u64,
}

pub(crate) fn print_header() {
    println!(
        "{:>5}  {:<10} {:>4}  {:>10}  {:>8}  {:>10}  {:>11}  {:>12}",
        "CYCLE", "FAULT", "NODE", "CONTROLLER", "LASTED", "IN SYNC", "LONGEST GAP", "ACKNOWLEDGED"
    );
}

pub(crate) fn print_row(row: &Row) {
    let node = match row.draw.kind {
        Kind::KillAll => "all".to_owned(),
        Kind::Part => format!("{}-{}", row.draw.node, row.draw.other),
        _ => row.draw.node.to_string(),
    };
    let in_sync = row.in_sync_after.map_or_else(|| "never".to_owned(), seconds);
    println!(
        "{:>5}  {:<10} {:>4}  {:>10}  {:>8}  {:>10}  {:>11}  {:>12}",
        row.cycle,
        row.draw.kind.to_string(),
        node,
        row.controller.map_or_else(|| "-".to_owned(), |id| id.to_string()),
        seconds(row.draw.lasts),
        in_sync,
        seconds(row.longest_gap),
        row.acknowledged
    );
}

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

/// By kind of fault: how often, and the worst of it.
pub(crate) fn print_summary(rows: &[Row]) {
    let mut kinds: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        kinds.entry(row.draw.kind.to_string()).or_default().push(row);
    }
    println!("\n{:<10} {:>5}  {:>13}  {:>11}", "FAULT", "TIMES", "SLOWEST SYNC", "LONGEST GAP");
    for (kind, rows) in kinds {
        let sync = rows.iter().filter_map(|row| row.in_sync_after).max().unwrap_or_default();
        let gap = rows.iter().map(|row| row.longest_gap).max().unwrap_or_default();
        println!("{kind:<10} {:>5}  {:>13}  {:>11}", rows.len(), seconds(sync), seconds(gap));
    }
}

pub(crate) fn print_violations(violations: &[Violation], complaints: &[String]) {
    for complaint in complaints {
        println!("{complaint}");
    }
    for violation in violations.iter().take(SHOWN_MAX) {
        println!("{violation}");
    }
    if violations.len() > SHOWN_MAX {
        println!("and {} more", violations.len() - SHOWN_MAX);
    }
}
