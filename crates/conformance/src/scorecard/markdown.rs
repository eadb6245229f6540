//! `docs/compatibility.md`: the scorecard for readers.

use std::fmt::Write;

use super::{Outcome, Row, Scorecard};

const HEAD: &str = "\
# Compatibility

Foreign clients and tools, unmodified, against Klamm, and the same run against Apache Kafka beside it. Written by
`cargo run --release -p klamm-conformance -- --beside-kafka --write-compatibility docs/compatibility.md`; `--list` says what
there is, and each check is a function in `crates/conformance/src/clients`.
";

/// Longer texts are for the transcript.
const REASON_MAX: usize = 300;

/// The page.
pub(crate) fn compatibility(card: &Scorecard) -> String {
    let mut page = format!("{HEAD}\n| Client | Check |");
    card.brokers.iter().for_each(|broker| page.push_str(&format!(" {broker} |")));
    page.push_str("\n|---|---|");
    card.brokers.iter().for_each(|_| page.push_str("---|"));
    page.push('\n');
    for row in &card.rows {
        let words: Vec<_> = row.scores.iter().map(|score| score.outcome.word()).collect();
        let _ = writeln!(page, "| {} | {} | {} |", row.client, row.name, words.join(" | "));
    }
    page.push('\n');
    for (i, broker) in card.brokers.iter().enumerate() {
        let _ = writeln!(
            page,
            "{broker}: {}.{}",
            card.totals(i),
            if i + 1 < card.brokers.len() { "  " } else { "" }
        );
    }
    let reasons: String = card.rows.iter().map(|row| reasons(card, row)).collect();
    if !reasons.is_empty() {
        let _ = write!(page, "\n## What did not pass, and why\n\n{reasons}");
    }
    page
}

/// A line for each reason; brokers that share it share the line.
fn reasons(card: &Scorecard, row: &Row) -> String {
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    for (broker, score) in card.brokers.iter().zip(&row.scores) {
        let reason = match &score.outcome {
            Outcome::Pass => continue,
            Outcome::Skip(reason) => format!("skipped, {}", on_one_line(reason)),
            Outcome::Fail { expected, came } => {
                format!("expected {}; came {}", on_one_line(expected), on_one_line(came))
            }
        };
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, brokers)) => brokers.push(broker),
            None => reasons.push((reason, vec![broker])),
        }
    }
    let line = |(reason, brokers): &(String, Vec<&str>)| {
        format!("- **{} {}**, {}: {reason}.\n", row.client, row.name, brokers.join(" and "))
    };
    reasons.iter().map(line).collect()
}

fn on_one_line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(REASON_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
