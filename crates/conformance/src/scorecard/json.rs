//! The scorecard for programs.

use std::time::Duration;

use serde_json::{Value, json as value};

use super::{Outcome, Row, Score, Scorecard};
use crate::check::Check;

/// Brokers, and for each check the scores in the same order.
pub(crate) fn json(card: &Scorecard) -> Value {
    value!({
        "brokers": card.brokers,
        "checks": card.rows.iter().map(check).collect::<Vec<_>>(),
    })
}

fn check(row: &Row) -> Value {
    value!({
        "client": row.client,
        "check": row.name,
        "scores": row.scores.iter().map(score).collect::<Vec<_>>(),
    })
}

fn score(score: &Score) -> Value {
    let mut object = value!({
        "outcome": score.outcome.word(),
        "seconds": score.took.as_secs_f64(),
        "figures": score.figures,
        "transcript": score.transcript,
    });
    match &score.outcome {
        Outcome::Pass => {}
        Outcome::Skip(reason) => object["reason"] = value!(reason),
        Outcome::Fail { expected, came } => {
            object["expected"] = value!(expected);
            object["came"] = value!(came);
        }
    }
    object
}

/// What an earlier run wrote of a check, against the same brokers.
pub(super) fn earlier(check: &Check, brokers: &[String], card: &Value) -> Option<Row> {
    if card["brokers"] != value!(brokers) {
        return None;
    }
    let is_it = |row: &&Value| row["client"] == check.client && row["check"] == check.name;
    let row = card["checks"].as_array()?.iter().find(is_it)?;
    let scores = row["scores"].as_array()?.iter().map(read_score).collect::<Option<_>>()?;
    Some(Row { client: check.client, name: check.name, scores })
}

fn read_score(score: &Value) -> Option<Score> {
    let text = |name: &str| score[name].as_str().map(str::to_owned);
    let outcome = match score["outcome"].as_str()? {
        "pass" => Outcome::Pass,
        "skip" => Outcome::Skip(text("reason")?),
        _ => Outcome::Fail { expected: text("expected")?, came: text("came")? },
    };
    let figures = score["figures"].as_array()?.iter().filter_map(|figure| figure.as_str().map(str::to_owned));
    Some(Score {
        outcome,
        took: Duration::try_from_secs_f64(score["seconds"].as_f64()?).ok()?,
        figures: figures.collect(),
        transcript: text("transcript")?.into(),
    })
}
