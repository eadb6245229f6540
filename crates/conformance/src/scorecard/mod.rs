//! What every check came to, for every broker it ran against.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::check::Check;

mod json;
mod markdown;
mod table;

pub(crate) use json::json;
pub(crate) use markdown::compatibility;
pub(crate) use table::{progress, table};

/// One check against one broker.
#[derive(Clone, Debug)]
pub(crate) struct Score {
    pub(crate) outcome: Outcome,
    pub(crate) took: Duration,
    /// What the check reported besides, each a sentence without its full stop.
    pub(crate) figures: Vec<String>,
    /// All it ran and saw.
    pub(crate) transcript: PathBuf,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Pass,
    Fail { expected: String, came: String },
    Skip(String),
}

impl Outcome {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail { .. } => "fail",
            Self::Skip(_) => "skip",
        }
    }
}

/// Rows are checks, columns are brokers.
#[derive(Default)]
pub(crate) struct Scorecard {
    brokers: Vec<String>,
    rows: Vec<Row>,
}

pub(crate) struct Row {
    client: &'static str,
    name: &'static str,
    scores: Vec<Score>,
}

impl Scorecard {
    pub(crate) fn new(checks: &[&Check]) -> Self {
        let row = |check: &&Check| Row { client: check.client, name: check.name, scores: Vec::new() };
        Self { brokers: Vec::new(), rows: checks.iter().map(row).collect() }
    }

    /// A column; `scores` has one entry for each check, in their order.
    pub(crate) fn add(&mut self, broker: String, scores: Vec<Score>) {
        assert_eq!(scores.len(), self.rows.len(), "a score for each check");
        self.brokers.push(broker);
        for (row, score) in self.rows.iter_mut().zip(scores) {
            row.scores.push(score);
        }
    }

    /// The same with what earlier runs wrote as JSON of the checks that are not in this one; the first that has a check counts.
    pub(crate) fn with_rest_from(mut self, all: &[Check], earlier: &[Value]) -> Self {
        let mut rows = Vec::new();
        for check in all {
            let made = self.rows.iter().position(|row| (row.client, row.name) == (check.client, check.name));
            match made {
                Some(at) => rows.push(self.rows.remove(at)),
                None => {
                    rows.extend(earlier.iter().find_map(|card| json::earlier(check, &self.brokers, card)))
                }
            }
        }
        Self { rows, ..self }
    }

    /// Whether nothing failed against the first broker, the one under test.
    pub(crate) fn is_clean(&self) -> bool {
        self.count(0, "fail") == 0
    }

    fn count(&self, broker: usize, word: &str) -> usize {
        self.rows.iter().filter(|row| row.scores[broker].outcome.word() == word).count()
    }

    /// `12 pass, 1 fail, 3 skip`.
    fn totals(&self, broker: usize) -> String {
        let counts = ["pass", "fail", "skip"].map(|word| format!("{} {word}", self.count(broker, word)));
        counts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Needs;

    fn card(outcomes: &[(&str, &str, [Outcome; 2])]) -> Scorecard {
        let leak = |text: &str| &*Box::leak(text.to_owned().into_boxed_str());
        let checks: Vec<Check> = outcomes
            .iter()
            .map(|(client, name, _)| Check::new(leak(client), leak(name), Needs::Broker, |_| Ok(())))
            .collect();
        let mut card = Scorecard::new(&checks.iter().collect::<Vec<_>>());
        for (i, broker) in ["Klamm", "Apache Kafka"].into_iter().enumerate() {
            let score = |outcome: &Outcome| Score {
                outcome: outcome.clone(),
                took: Duration::from_millis(1250),
                figures: vec!["4 of 5".to_owned()],
                transcript: PathBuf::from("t.txt"),
            };
            card.add(broker.to_owned(), outcomes.iter().map(|(_, _, both)| score(&both[i])).collect());
        }
        card
    }

    fn example() -> Scorecard {
        let fail = Outcome::Fail { expected: "offset: 7".to_owned(), came: "8\nand | more".to_owned() };
        card(&[
            ("kcat", "list", [Outcome::Pass, Outcome::Pass]),
            ("kcat", "offsets", [fail, Outcome::Pass]),
            ("tools", "topics", [Outcome::Skip("no java".to_owned()), Outcome::Skip("no java".to_owned())]),
        ])
    }

    #[test]
    fn the_table_shows_brokers_side_by_side() {
        let expected = "\
client  check    Klamm        Apache Kafka
kcat    list     pass  1.2 s  pass  1.2 s
kcat    offsets  fail  1.2 s  pass  1.2 s
tools   topics   skip  1.2 s  skip  1.2 s

Klamm: 1 pass, 1 fail, 1 skip
Apache Kafka: 2 pass, 0 fail, 1 skip
";
        assert_eq!(table(&example()), expected);
        assert!(!example().is_clean());
    }

    #[test]
    fn failures_stand_below_the_table_with_their_reason() {
        let page = compatibility(&example());
        assert!(page.contains("| kcat | offsets | fail | pass |\n"), "{page}");
        assert!(
            page.contains("- **kcat offsets**, Klamm: expected offset: 7; came 8 and | more.\n"),
            "{page}"
        );
        assert!(page.contains("- **kcat list**, Klamm and Apache Kafka: 4 of 5.\n"), "{page}");
        assert!(page.contains("- **tools topics**, Klamm and Apache Kafka: skipped, no java.\n"), "{page}");
    }

    #[test]
    fn what_is_not_made_now_comes_from_an_earlier_run() {
        let earlier = json(&example());
        let again = card(&[("kcat", "offsets", [Outcome::Pass, Outcome::Pass])]);
        let check = |client, name| Check::new(client, name, Needs::Broker, |_| Ok(()));
        let all =
            [check("kcat", "list"), check("kcat", "offsets"), check("kcat", "new"), check("tools", "topics")];
        let whole = again.with_rest_from(&all, std::slice::from_ref(&earlier));
        let words = |row: &Row| row.scores.iter().map(|score| score.outcome.word()).collect::<Vec<_>>();
        let rows: Vec<_> = whole.rows.iter().map(|row| (row.name, words(row))).collect();
        let both = |word| vec![word, word];
        assert_eq!(rows, [("list", both("pass")), ("offsets", both("pass")), ("topics", both("skip"))]);
        let others = Scorecard { brokers: vec!["Klamm".to_owned()], rows: Vec::new() };
        assert_eq!(
            others.with_rest_from(&all, std::slice::from_ref(&earlier)).rows.len(),
            0,
            "other brokers, other columns"
        );
    }

    #[test]
    fn json_has_every_score() {
        let json = json(&example());
        assert_eq!(json["checks"][1]["scores"][0]["came"], "8\nand | more");
        assert_eq!(json["checks"][0]["scores"][0]["figures"][0], "4 of 5");
        assert_eq!(json["checks"][2]["scores"][1]["reason"], "no java");
        assert_eq!(json["checks"][0]["scores"][0]["seconds"], 1.25);
        assert_eq!(json["brokers"][1], "Apache Kafka");
    }
}
