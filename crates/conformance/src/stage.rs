//! What a check works with: the broker under test, foreign software, a scratch folder, a transcript.

use std::cell::RefCell;
use std::fmt::Display;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::check::{Check, Verdict};
use crate::nodes::Software;
use crate::peers::Peers;
use crate::program::{self, Output};
use crate::transcript::Transcript;

/// For one program of a check of the usual size.
const TIME_MAX: Duration = Duration::from_secs(120);
/// For one program of a check of full size.
const TIME_MAX_FULL: Duration = Duration::from_secs(900);

/// The stage of one check.
pub(crate) struct Stage<'a> {
    /// The broker's address; empty for checks that start nodes of their own.
    pub(crate) bootstrap: &'a str,
    /// What nodes of the check's own run; `None` if only an address was given.
    pub(crate) software: Option<&'a Software>,
    pub(crate) peers: &'a Peers,
    /// Whether there is time for large amounts.
    pub(crate) is_full: bool,
    name: String,
    transcript: &'a Transcript,
    scratch: TempDir,
    figures: RefCell<Vec<String>>,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(
        check: &Check,
        bootstrap: &'a str,
        software: Option<&'a Software>,
        peers: &'a Peers,
        is_full: bool,
        transcript: &'a Transcript,
    ) -> io::Result<Self> {
        let name = format!("{}-{}", check.full_name().replace('/', "-"), std::process::id());
        let scratch = tempfile::tempdir()?;
        let figures = RefCell::default();
        Ok(Self { bootstrap, software, peers, is_full, name, transcript, scratch, figures })
    }

    /// A topic or group that no other check and no other run uses.
    pub(crate) fn own(&self, what: &str) -> String {
        format!("{what}-{}", self.name)
    }

    /// A folder that is gone after the check.
    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> Verdict<PathBuf> {
        let path = self.scratch.path().join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// How many records a check moves: few, or with `--full` many.
    pub(crate) fn records(&self, usual: usize, full: usize) -> usize {
        if self.is_full { full } else { usual }
    }

    pub(crate) fn note(&self, text: impl Display) -> Verdict {
        Ok(self.transcript.note(&text.to_string())?)
    }

    /// What a reader of the scorecard should know besides pass or fail, as a sentence without its full stop.
    pub(crate) fn report(&self, figure: impl Display) -> Verdict {
        let figure = figure.to_string();
        self.note(&figure)?;
        self.figures.borrow_mut().push(figure);
        Ok(())
    }

    /// What was reported.
    pub(crate) fn into_figures(self) -> Vec<String> {
        self.figures.into_inner()
    }

    /// Runs a program, which must exit with 0.
    pub(crate) fn run(&self, command: &mut Command, input: &str) -> Verdict<Output> {
        self.run_to_any_end(command, input)?.successful(&format!("{command:?}"))
    }

    /// Runs a program, however it ends.
    pub(crate) fn run_to_any_end(&self, command: &mut Command, input: &str) -> Verdict<Output> {
        let limit = if self.is_full { TIME_MAX_FULL } else { TIME_MAX };
        let output = program::run(command, input.as_bytes(), limit)?;
        self.transcript.ran(&format!("{command:?}"), &output)?;
        Ok(output)
    }

    /// Runs a program, however it ends, and does something beside it again and again.
    pub(crate) fn run_beside(
        &self,
        command: &mut Command,
        beside: impl FnMut() -> Verdict,
    ) -> Verdict<Output> {
        let limit = if self.is_full { TIME_MAX_FULL } else { TIME_MAX };
        let output = program::run_beside(command, limit, beside)?;
        self.transcript.ran(&format!("{command:?}"), &output)?;
        Ok(output)
    }

    /// One of Kafka's tools with its arguments; what it printed. It must exit with 0.
    pub(crate) fn tool(&self, class: &str, args: &str) -> Verdict<String> {
        self.tool_reading(class, args, "")
    }

    pub(crate) fn tool_reading(&self, class: &str, args: &str, input: &str) -> Verdict<String> {
        let output = self.tool_ending_somehow(class, args, input)?;
        Ok(output.successful(&format!("{class} {args}"))?.stdout)
    }

    /// The same for a tool that is expected to refuse.
    pub(crate) fn tool_ending_somehow(&self, class: &str, args: &str, input: &str) -> Verdict<Output> {
        let words: Vec<String> = args.split_whitespace().map(str::to_owned).collect();
        let output = self.peers.run_tool(&full_class(class), &words, input.as_bytes())?;
        self.transcript.ran(&format!("{class} {args}"), &output)?;
        Ok(output)
    }

    /// A tool with `--bootstrap-server` and more arguments.
    pub(crate) fn admin(&self, class: &str, args: &str) -> Verdict<String> {
        self.tool(class, &format!("--bootstrap-server {} {args}", self.bootstrap))
    }
}

/// Kafka's tools are in one package unless said otherwise.
pub(crate) fn full_class(class: &str) -> String {
    if class.starts_with("kafka.") { class.to_owned() } else { format!("org.apache.kafka.tools.{class}") }
}
