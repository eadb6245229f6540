//! What happened in a run: a hash over everything, a readable history, and the violations.
//!
//! The hash covers every disk operation and every delivery of bytes, so two runs with the same hash did the same. The history has what
//! a person wants to read; the details go into it only when asked for.

use std::fmt::Display;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The trace of a run. Clones are the same trace.
#[derive(Clone)]
pub(crate) struct Trace(Arc<Mutex<State>>);

struct State {
    start: Instant,
    hash: DefaultHasher,
    entries: u64,
    history: Vec<String>,
    has_details: bool,
    violations: Vec<String>,
}

/// What is left of a trace when the run is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Over all entries, details included.
    pub hash: u64,
    /// How many entries there were.
    pub entries: u64,
    /// The readable lines.
    pub history: Vec<String>,
    /// What must not happen and did.
    pub violations: Vec<String>,
}

impl Trace {
    /// An empty trace that begins now. `has_details` keeps the details too.
    pub(crate) fn new(has_details: bool) -> Self {
        let (hash, history, violations) = (DefaultHasher::new(), Vec::new(), Vec::new());
        let start = Instant::now();
        Self(Arc::new(Mutex::new(State { start, hash, entries: 0, history, has_details, violations })))
    }

    /// Something worth reading.
    pub(crate) fn note(&self, what: impl Display) {
        self.0.lock().add(&what.to_string(), true);
    }

    /// A detail.
    pub(crate) fn detail(&self, what: impl Display) {
        let mut state = self.0.lock();
        let keep = state.has_details;
        state.add(&what.to_string(), keep);
    }

    /// A detail with bytes, of which the history has only their number and hash.
    pub(crate) fn bytes(&self, what: impl Display, bytes: &[u8]) {
        let mut hash = DefaultHasher::new();
        bytes.hash(&mut hash);
        self.detail(format_args!("{what} {} bytes {:016x}", bytes.len(), hash.finish()));
    }

    /// Something that must not happen.
    pub(crate) fn violation(&self, what: impl Display) {
        let mut state = self.0.lock();
        let what = what.to_string();
        state.add(&format!("VIOLATION: {what}"), true);
        state.violations.push(what);
    }

    /// Whether anything happened that must not.
    pub(crate) fn is_violated(&self) -> bool {
        !self.0.lock().violations.is_empty()
    }

    /// Virtual milliseconds since the run began.
    pub(crate) fn now_ms(&self) -> u64 {
        self.0.lock().start.elapsed().as_millis() as u64
    }

    /// The trace as it is now.
    pub(crate) fn recorded(&self) -> Recorded {
        let state = self.0.lock();
        Recorded {
            hash: state.hash.finish(),
            entries: state.entries,
            history: state.history.clone(),
            violations: state.violations.clone(),
        }
    }
}

impl State {
    fn add(&mut self, what: &str, keep: bool) {
        let at_ms = self.start.elapsed().as_millis() as u64;
        (at_ms, what).hash(&mut self.hash);
        self.entries += 1;
        if keep {
            self.history.push(format!("{at_ms:>7} {what}"));
        }
    }
}
