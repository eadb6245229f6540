//! All that a check ran and saw, in a file that a failure names.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::program::Output;

/// The file of one check.
pub(crate) struct Transcript {
    path: PathBuf,
    file: RefCell<File>,
}

impl Transcript {
    pub(crate) fn create(path: PathBuf) -> io::Result<Self> {
        let file = RefCell::new(File::create(&path)?);
        Ok(Self { path, file })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A line of the check's own.
    pub(crate) fn note(&self, text: &str) -> io::Result<()> {
        writeln!(self.file.borrow_mut(), "# {text}")
    }

    /// A program with all that came of it.
    pub(crate) fn ran(&self, command: &str, output: &Output) -> io::Result<()> {
        let mut file = self.file.borrow_mut();
        writeln!(file, "$ {command}\n{}", output.stdout)?;
        if !output.stderr.is_empty() {
            writeln!(file, "-- standard error\n{}", output.stderr)?;
        }
        writeln!(file, "-- {:?}\n", output.end)
    }
}
