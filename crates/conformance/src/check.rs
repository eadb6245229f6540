//! A check: one thing that a foreign client or tool must find right, and what came of trying it.

use std::fmt::Debug;
use std::io;

use crate::stage::Stage;

/// One row of the scorecard.
#[derive(Clone, Copy)]
pub(crate) struct Check {
    /// Whose software it is.
    pub(crate) client: &'static str,
    /// What it is made to do.
    pub(crate) name: &'static str,
    pub(crate) needs: Needs,
    pub(crate) run: fn(&Stage<'_>) -> Verdict,
}

impl Check {
    pub(crate) const fn new(
        client: &'static str,
        name: &'static str,
        needs: Needs,
        run: fn(&Stage<'_>) -> Verdict,
    ) -> Self {
        Self { client, name, needs, run }
    }

    /// `client/name`, as the command line selects it.
    pub(crate) fn full_name(&self) -> String {
        format!("{}/{}", self.client, self.name)
    }
}

/// What a check works on.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Needs {
    /// Any broker that runs already; other checks use it too.
    Broker,
    /// The broker's program, to start, stop and kill nodes of its own.
    Program,
}

/// Why a check did not pass.
#[derive(Debug)]
pub(crate) enum Fault {
    Failed {
        expected: String,
        came: String,
    },
    /// This machine or this run lacks what the check needs.
    Skipped(String),
}

pub(crate) type Verdict<T = ()> = Result<T, Fault>;

impl Fault {
    pub(crate) fn failed(expected: impl Into<String>, came: impl Into<String>) -> Self {
        Self::Failed { expected: expected.into(), came: came.into() }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::failed("the check's own files and processes to work", error.to_string())
    }
}

/// Passes if both are equal; `what` says what they are.
pub(crate) fn expect_equal<T: Debug + PartialEq>(what: &str, came: T, expected: T) -> Verdict {
    if came == expected {
        return Ok(());
    }
    Err(Fault::failed(format!("{what}: {expected:?}"), format!("{came:?}")))
}

/// Passes if the text holds all of these.
pub(crate) fn expect_all(text: &str, expected: &[&str]) -> Verdict {
    match expected.iter().find(|part| !text.contains(**part)) {
        None => Ok(()),
        Some(missing) => Err(Fault::failed(format!("output with {missing:?}"), text)),
    }
}

/// Passes if the text holds none of these.
pub(crate) fn expect_none(text: &str, unwanted: &[&str]) -> Verdict {
    match unwanted.iter().find(|part| text.contains(**part)) {
        None => Ok(()),
        Some(found) => Err(Fault::failed(format!("output without {found:?}"), text)),
    }
}

/// Passes if the condition holds; `came` is asked only if not.
pub(crate) fn expect(holds: bool, expected: &str, came: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(Fault::failed(expected, came())) }
}

/// The lines of a table whose whitespace-separated columns are wanted, not its layout.
pub(crate) fn rows(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split_whitespace().collect()).collect()
}
