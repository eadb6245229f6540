//! `docs/compatibility.md`: the scorecard for readers.

use std::fmt::Write;

use super::{Outcome, Row, Score, Scorecard};

const HEAD: &str = "\
# Compatibility

Foreign clients and tools, unmodified, against Klamm, and the same against Apache Kafka beside it. Written by
`cargo run --release -p klamm-conformance -- --beside-kafka --full --write-compatibility docs/compatibility.md`; `--list` says what
there is, `--only` with `--rest-from` makes some checks again, and each check is a function in `crates/conformance/src/clients`.
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
    push_section(&mut page, "What did not pass, and why", card, |score| reason(score).into_iter().collect());
    push_section(&mut page, "Figures", card, |score| score.figures.clone());
    page
}

/// A section with a line for each sentence about a check, if there are any.
fn push_section(page: &mut String, title: &str, card: &Scorecard, sentences: impl Fn(&Score) -> Vec<String>) {
    let lines: String = card.rows.iter().map(|row| lines(card, row, &sentences)).collect();
    if !lines.is_empty() {
        let _ = write!(page, "\n## {title}\n\n{lines}");
    }
}

/// A line for each sentence; brokers that share it share the line.
fn lines(card: &Scorecard, row: &Row, sentences: impl Fn(&Score) -> Vec<String>) -> String {
    let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
    for (broker, score) in card.brokers.iter().zip(&row.scores) {
        for sentence in sentences(score) {
            match lines.iter_mut().find(|(known, _)| *known == sentence) {
                Some((_, brokers)) => brokers.push(broker),
                None => lines.push((sentence, vec![broker])),
            }
        }
    }
    let line = |(sentence, brokers): &(String, Vec<&str>)| {
        format!("- **{} {}**, {}: {sentence}.\n", row.client, row.name, brokers.join(" and "))
    };
    lines.iter().map(line).collect()
}

fn reason(score: &Score) -> Option<String> {
    match &score.outcome {
        Outcome::Pass => None,
        Outcome::Skip(reason) => Some(format!("skipped, {}", on_one_line(reason))),
        Outcome::Fail { expected, came } => {
            Some(format!("expected {}; came {}", on_one_line(expected), on_one_line(came)))
        }
    }
}

fn on_one_line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(REASON_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
