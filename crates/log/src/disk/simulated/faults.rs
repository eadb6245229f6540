//! What goes wrong on a simulated disk, and the random numbers that decide it.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Opening, making or locking a file.
    Open,
    /// Reading bytes.
    Read,
    /// Writing bytes.
    Write,
    /// Changing a file's length.
    Truncate,
    /// Syncing a file or a folder.
    Sync,
    /// Making, removing or renaming something.
    Name,
    /// Listing a folder, asking for a length or for the room left.
    Look,
}

/// Operations that are to fail.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Which kind.
    pub operation: Operation,
    /// On which paths: those that contain this.
    pub path_contains: String,
    /// How many of them succeed before.
    pub after: u64,
    /// How many of them fail then; `u64::MAX` for all.
    pub times: u64,
    /// What they fail with.
    pub error: io::ErrorKind,
}

impl Fault {
    /// All operations of this kind on paths that contain `path_contains` fail with `error`, from now on.
    pub fn always(operation: Operation, path_contains: &str, error: io::ErrorKind) -> Self {
        Self { operation, path_contains: path_contains.to_owned(), after: 0, times: u64::MAX, error }
    }

    /// The next such operation fails.
    pub fn once(operation: Operation, path_contains: &str, error: io::ErrorKind) -> Self {
        Self { times: 1, ..Self::always(operation, path_contains, error) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Do it.
    Whole,
    /// The machine goes down during it.
    InPart,
}

#[derive(Debug)]
pub(super) struct Faults {
    random: Random,
    faults: Vec<Fault>,
    unreadable: Vec<(PathBuf, Range<u64>)>,
}

impl Faults {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Random(seed), faults: Vec::new(), unreadable: Vec::new() }
    }

    pub(super) fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    pub(super) fn inject(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    pub(super) fn add_unreadable(&mut self, path: PathBuf, range: Range<u64>) {
        self.unreadable.push((path, range));
    }

    pub(super) fn heal(&mut self) {
        self.faults.clear();
        self.unreadable.clear();
    }

    pub(super) fn check(&mut self, operation: Operation, path: &Path) -> io::Result<()> {
        for fault in &mut self.faults {
            if fault.operation != operation || !path.to_string_lossy().contains(&fault.path_contains) {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
            } else if fault.times > 0 {
                fault.times -= u64::from(fault.times != u64::MAX);
                return Err(fault.error.into());
            }
        }
        Ok(())
    }

    pub(super) fn check_readable(&self, path: &Path, position: u64, length: u64) -> io::Result<()> {
        let bad = |(bad_path, range): &(PathBuf, Range<u64>)| {
            bad_path == path && range.start < position + length && position < range.end
        };
        if self.unreadable.iter().any(bad) {
            return Err(io::Error::other("unreadable sector"));
        }
        Ok(())
    }
}

/// SplitMix64: small, seeded, good enough to pick faults.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(super) fn coin(&mut self) -> bool {
        self.next() & 1 == 0
    }
}
