//! A directory goes offline when its disk fails, and whoever serves its replicas is told.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::{LogDirectory, LogDirs};
use crate::error::StorageError;
use crate::log::Log;

/// Who is told.
#[derive(Default)]
pub(super) struct FailureListener(OnceLock<Box<dyn Fn() + Send + Sync>>);

impl fmt::Debug for FailureListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FailureListener({})", if self.0.get().is_some() { "set" } else { "none" })
    }
}

impl LogDirs {
    /// Has `tell` called whenever a directory goes offline, on the thread that met the error and with locks held: it must only pass the
    /// word on. The first call counts.
    pub fn tell_failures(&self, tell: impl Fn() + Send + Sync + 'static) {
        let _ = self.failure_listener.0.set(Box::new(tell));
    }

    /// The directory that an error came from goes offline, unless its disk is only full or a file's content at fault.
    pub fn note_error(&self, error: &StorageError) {
        let directory = self.directories.iter().find(|directory| error.path.starts_with(directory.path()));
        if let Some(directory) = directory {
            self.note(directory, error);
        }
    }

    /// Whether a path is in a directory that is offline.
    pub fn is_offline(&self, path: &Path) -> bool {
        let mut directories = self.directories.iter();
        directories.any(|directory| !directory.is_online() && path.starts_with(directory.path()))
    }

    pub(super) fn on<T>(
        &self,
        directory: &Arc<LogDirectory>,
        result: Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        result.inspect_err(|error| self.note(directory, error))
    }

    pub(super) fn note(&self, directory: &LogDirectory, error: &StorageError) {
        if directory.note_error(error) {
            self.tell_listener();
        }
    }

    /// A log cannot be brought to where it has to be: it takes no more changes, and its directory goes offline, whatever the error was. A
    /// full disk too: a replica that quietly stands still would be missed by nobody.
    pub fn give_up(&self, log: &Log, error: &StorageError) {
        log.fail();
        let dir = log.dir();
        let directory = self.directories.iter().find(|directory| dir.starts_with(directory.path()));
        if directory.is_some_and(|directory| directory.take_offline(error)) {
            self.tell_listener();
        }
    }

    fn tell_listener(&self) {
        if let Some(tell) = self.failure_listener.0.get() {
            tell();
        }
    }
}
