//! The scorecard for a terminal.

use std::fmt::Write;

use super::{Outcome, Row, Score, Scorecard};
use crate::check::Check;

/// A line for a check that is done, with all one needs to know if it failed.
pub(crate) fn progress(broker: &str, check: &Check, score: &Score) -> String {
    let seconds = score.took.as_secs_f64();
    let mut text = format!("{} {:40} {seconds:6.1} s  {broker}\n", score.outcome.word(), check.full_name());
    score.figures.iter().for_each(|figure| push_indented(&mut text, "", figure));
    match &score.outcome {
        Outcome::Pass => {}
        Outcome::Skip(reason) => push_indented(&mut text, "because", reason),
        Outcome::Fail { expected, came } => {
            push_indented(&mut text, "expected", expected);
            push_indented(&mut text, "came", came);
            push_indented(&mut text, "all of it", &score.transcript.display().to_string());
        }
    }
    text
}

/// More than this of one text nobody reads on a terminal; the transcript has it whole.
const LINES_MAX: usize = 12;

fn push_indented(text: &mut String, label: &str, body: &str) {
    for (i, line) in body.lines().take(LINES_MAX).enumerate() {
        let label = if i == 0 { label } else { "" };
        text.push_str(&format!("     {label:>9}  {line}\n"));
    }
}

/// All of it, brokers side by side, and the totals.
pub(crate) fn table(card: &Scorecard) -> String {
    let mut lines = vec![vec!["client".to_owned(), "check".to_owned()]];
    lines[0].extend(card.brokers.iter().cloned());
    lines.extend(card.rows.iter().map(cells));
    let mut text = aligned(&lines);
    text.push('\n');
    for (i, broker) in card.brokers.iter().enumerate() {
        let _ = writeln!(text, "{broker}: {}", card.totals(i));
    }
    text
}

fn cells(row: &Row) -> Vec<String> {
    let score = |score: &Score| format!("{} {:4.1} s", score.outcome.word(), score.took.as_secs_f64());
    let names = [row.client.to_owned(), row.name.to_owned()];
    names.into_iter().chain(row.scores.iter().map(score)).collect()
}

fn aligned(lines: &[Vec<String>]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    let line = |cells: &Vec<String>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    lines.iter().map(line).collect()
}
