//! A broker under test, and a run of all checks against it.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Instant;

use tempfile::TempDir;

use crate::check::{Check, Fault, Needs, Verdict};
use crate::nodes::{Node, NodeFolder, Software};
use crate::peers::Peers;
use crate::scorecard::{Outcome, Score, progress};
use crate::stage::Stage;
use crate::transcript::Transcript;

/// What is tested.
pub(crate) enum Subject {
    /// Somebody else's process, known by its address.
    Address(String),
    /// Nodes that the run starts itself.
    Software(Software),
}

/// How a run goes about it.
pub(crate) struct Run<'a> {
    pub(crate) peers: &'a Peers,
    pub(crate) is_full: bool,
    /// The folder for transcripts.
    pub(crate) transcripts: &'a Path,
}

/// The node that serves all checks that need only an address.
struct Shared {
    address: String,
    /// Kept for its end: the node is killed and its folder removed after the last check.
    _node: Option<(Node, TempDir)>,
}

impl Subject {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Address(address) => address.clone(),
            Self::Software(software) => software.name().to_owned(),
        }
    }

    /// Runs the checks in order, `say`ing how each went.
    pub(crate) fn run(
        &self,
        checks: &[&Check],
        run: &Run<'_>,
        say: &dyn Fn(&str) -> io::Result<()>,
    ) -> io::Result<Vec<Score>> {
        let folder = run.transcripts.join(self.name().to_lowercase().replace([' ', ':'], "-"));
        fs::create_dir_all(&folder)?;
        let mut shared = None;
        let mut scores = Vec::new();
        for check in checks {
            let transcript = Transcript::create(folder.join(check.full_name().replace('/', "-") + ".txt"))?;
            let start = Instant::now();
            let mut figures = Vec::new();
            let outcome = outcome(self.verdict(check, run, &transcript, &mut shared, &mut figures));
            let transcript = transcript.path().to_owned();
            let score = Score { outcome, took: start.elapsed(), figures, transcript };
            say(&progress(&self.name(), check, &score))?;
            scores.push(score);
        }
        Ok(scores)
    }

    fn verdict(
        &self,
        check: &Check,
        run: &Run<'_>,
        transcript: &Transcript,
        shared: &mut Option<Shared>,
        figures: &mut Vec<String>,
    ) -> Verdict {
        let software = match self {
            Self::Address(_) => None,
            Self::Software(software) => Some(software),
        };
        let bootstrap = match check.needs {
            Needs::Broker => {
                if shared.is_none() {
                    *shared = Some(self.start(run.peers)?);
                }
                shared.as_ref().map_or("", |shared| &shared.address)
            }
            Needs::Program if software.is_none() => {
                return Err(Fault::Skipped("it starts and kills nodes of its own".to_owned()));
            }
            Needs::Program => "",
        };
        let stage = Stage::new(check, bootstrap, software, run.peers, run.is_full, transcript)?;
        let verdict = (check.run)(&stage);
        *figures = stage.into_figures();
        verdict
    }

    fn start(&self, peers: &Peers) -> Verdict<Shared> {
        match self {
            Self::Address(address) => Ok(Shared { address: address.clone(), _node: None }),
            Self::Software(software) => {
                let root = tempfile::tempdir()?;
                let folder = NodeFolder::create(root.path().join("node"), &[])?;
                let node = software.start(&folder, peers)?;
                Ok(Shared { address: folder.address().to_owned(), _node: Some((node, root)) })
            }
        }
    }
}

fn outcome(verdict: Verdict) -> Outcome {
    match verdict {
        Ok(()) => Outcome::Pass,
        Err(Fault::Failed { expected, came }) => Outcome::Fail { expected, came },
        Err(Fault::Skipped(reason)) => Outcome::Skip(reason),
    }
}
