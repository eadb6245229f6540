//! Errors that every part of the log can meet.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

/// The disk refused something. Says what was tried, on which file, and what the system answered.
#[derive(Clone, Debug, Error)]
#[error("cannot {operation} {}: {source}", path.display())]
pub struct StorageError {
    /// What was tried.
    pub operation: &'static str,
    /// On which file or folder.
    pub path: PathBuf,
    /// The system's answer.
    pub source: Arc<io::Error>,
}

/// The operation of errors that leave unknown what is on the device.
pub(crate) const SYNC: &str = "sync";

impl StorageError {
    pub(crate) fn new(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self { operation, path: path.to_owned(), source: Arc::new(source) }
    }

    /// A file whose content cannot be what the log wrote there.
    pub(crate) fn damaged(operation: &'static str, path: &Path, what: impl Into<String>) -> Self {
        Self::new(operation, path, io::Error::new(io::ErrorKind::InvalidData, what.into()))
    }

    /// Whether the volume had no room for a write: a state that passes, unlike a broken disk. A sync that finds no room is not
    /// meant: by then what was written before may be lost, as after any other failed sync.
    pub fn is_full(&self) -> bool {
        self.operation != SYNC
            && matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// Whether the file's content, not the disk, is at fault.
    pub fn is_damage(&self) -> bool {
        self.source.kind() == io::ErrorKind::InvalidData
    }

    /// Whether a reader gets it that reads while the files are being cut.
    pub(crate) fn may_be_of_a_cut(&self) -> bool {
        self.is_damage() || self.is_not_found() || self.source.kind() == io::ErrorKind::UnexpectedEof
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}
