//! What to tell a person whom the cluster has refused something, or who could not reach it.

use klamm_client::{AdminError, ConnectError, Outcomes, Refusal, RequestError};
use klamm_protocol::ErrorCode;

use crate::failure::Failure;

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Request(error) => error.into(),
            AdminError::Refused { what, refusal } => Failure::new(format!("{what}: {}", explain(&refusal))),
        }
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Connect(ConnectError::Dial { .. } | ConnectError::TimedOut { .. }) => {
                Failure::new(format!(
                    "{error}; is a broker running there? klamm start runs one, --bootstrap-server names another"
                ))
            }
            _ => Failure::new(error.to_string()),
        }
    }
}

/// The broker's words, and what to do where that is known.
pub(crate) fn explain(refusal: &Refusal) -> String {
    match advice(refusal.code) {
        Some(advice) => advice.to_owned(),
        None => refusal.to_string(),
    }
}

/// The same where there is a code and nothing else.
pub(crate) fn explain_code(code: ErrorCode) -> String {
    explain(&Refusal { code, message: None })
}

fn advice(code: ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
            Some("there is no such topic or partition; klamm topic list shows the topics")
        }
        ErrorCode::TOPIC_ALREADY_EXISTS => Some("it exists already; --if-not-exists makes that no error"),
        ErrorCode::GROUP_ID_NOT_FOUND => {
            Some("there is no such group; klamm group list shows those there are")
        }
        ErrorCode::NON_EMPTY_GROUP | ErrorCode::UNKNOWN_MEMBER_ID => Some(
            "the group has members; stop its consumers first (klamm group describe --members shows them)",
        ),
        _ => None,
    }
}

/// What succeeded, and the failure that says what did not: all of it on one line.
pub(crate) fn sort_out<K, T>(
    outcomes: Outcomes<K, T>,
    name: impl Fn(&K) -> String,
) -> (Vec<(K, T)>, Result<(), Failure>) {
    let mut done = Vec::new();
    let mut refused = Vec::new();
    for (item, outcome) in outcomes {
        match outcome {
            Ok(result) => done.push((item, result)),
            Err(refusal) => refused.push(format!("{}: {}", name(&item), explain(&refusal))),
        }
    }
    let result = if refused.is_empty() { Ok(()) } else { Err(Failure::new(refused.join("; "))) };
    (done, result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: ErrorCode, message: &str) -> Refusal {
        Refusal { code, message: (!message.is_empty()).then(|| message.to_owned()) }
    }

    #[test]
    fn what_was_refused_is_on_one_line() {
        let outcomes = vec![
            ("a", Ok(1)),
            ("b", Err(refusal(ErrorCode::INVALID_TOPIC_EXCEPTION, "bad name"))),
            ("c", Err(refusal(ErrorCode::INVALID_REQUEST, ""))),
        ];
        let (done, result) = sort_out(outcomes, |name| format!("topic {name}"));
        assert_eq!(done, [("a", 1)]);
        let message = result.unwrap_err().to_string();
        assert_eq!(message, "topic b: INVALID_TOPIC_EXCEPTION: bad name; topic c: INVALID_REQUEST");
    }

    #[test]
    fn known_refusals_say_what_to_do() {
        let missing = explain(&refusal(ErrorCode::GROUP_ID_NOT_FOUND, "whatever"));
        assert!(missing.contains("klamm group list"), "{missing}");
    }
}
