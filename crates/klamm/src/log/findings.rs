//! What `--verify` finds wrong: shown where it is met, counted for the exit code.

use crate::failure::Failure;
use crate::output::Output;

/// Where a dump goes, and how often something in it was wrong.
pub(crate) struct Report {
    pub(crate) output: Output,
    problems: usize,
}

impl Report {
    pub(crate) fn new(output: Output) -> Self {
        Self { output, problems: 0 }
    }

    pub(crate) fn line(&mut self, line: impl AsRef<str>) -> Result<(), Failure> {
        self.output.line(line)
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
