//! The scorecard for programs.

use serde_json::{Value, json as value};

use super::{Outcome, Row, Score, Scorecard};

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
