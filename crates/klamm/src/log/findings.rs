//! What `--verify` finds wrong: shown where it is met, counted for the exit code.

use std::io::{self, IsTerminal};
use std::path::Path;

use crate::failure::Failure;
use crate::output::Output;
use crate::progress_line::ProgressLine;

/// Where a dump goes, and how often something in it was wrong.
pub(crate) struct Report {
    pub(crate) output: Output,
    problems: usize,
    progress: ProgressLine,
}

impl Report {
    pub(crate) fn new(output: Output) -> Self {
        Self { output, problems: 0, progress: ProgressLine::new(!io::stdout().is_terminal()) }
    }

    pub(crate) fn line(&mut self, line: impl AsRef<str>) -> Result<(), Failure> {
        self.output.line(line)
    }

    /// Begins with a file.
    pub(crate) fn file(&mut self, path: &Path) -> Result<(), Failure> {
        self.progress.show(|| path.display().to_string());
        self.line(path.display().to_string())
    }

    /// Something that should not be so.
    pub(crate) fn problem(&mut self, what: impl AsRef<str>) -> Result<(), Failure> {
        self.problems += 1;
        self.output.line(format!("  WRONG: {}", what.as_ref()))
    }

    /// Ends the dump: an error where anything was wrong.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.output.flush()?;
        match self.problems {
            0 => Ok(()),
            1 => Err(Failure::new("1 thing is wrong in these files; see the line that begins with WRONG")),
            count => Err(Failure::new(format!(
                "{count} things are wrong in these files; see the lines that begin with WRONG"
            ))),
        }
    }
}
