//! One log directory: its lock, its identity and its health.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;

use klamm_protocol::Uuid;
use parking_lot::Mutex;

use super::{DirsError, is_missing};
use crate::checkpoint::{CleanShutdown, MetaProperties, OffsetCheckpoint};
use crate::disk::{Disk, Lock};
use crate::error::StorageError;

const LOCK_FILE: &str = ".lock";

/// A log directory.
#[derive(Debug)]
pub struct LogDirectory {
    path: PathBuf,
    meta: Mutex<Option<MetaProperties>>,
    error: Mutex<Option<StorageError>>,
    /// What the last stop left; `None` if it was not clean.
    clean_shutdown: Option<CleanShutdown>,
    /// What the last clean stop left, even if one that was not clean came after it.
    last_clean_shutdown: Option<CleanShutdown>,
    lock: Mutex<Option<Box<dyn Lock>>>,
    replica_count: AtomicUsize,
    /// The checkpoint of compaction as it was written last. Held while any of the checkpoints is written.
    pub(super) compacted_to: Mutex<OffsetCheckpoint>,
}

impl LogDirectory {
    pub(super) fn open(disk: &dyn Disk, path: &Path) -> Result<Self, DirsError> {
        let mut directory = Self {
            path: path.to_owned(),
            meta: Mutex::new(None),
            error: Mutex::new(None),
            clean_shutdown: None,
            last_clean_shutdown: None,
            lock: Mutex::new(None),
            replica_count: AtomicUsize::new(0),
            compacted_to: Mutex::default(),
        };
        match directory.try_open(disk) {
            // Told by whoever opens the directories: it is no news where no other is left to go on with.
            Err(DirsError::Storage(error)) if !error.is_damage() => *directory.error.lock() = Some(error),
            other => other?,
        }
        Ok(directory)
    }

    fn try_open(&mut self, disk: &dyn Disk) -> Result<(), DirsError> {
        let path = &self.path;
        if disk.metadata(path).is_err() {
            create_durably(disk, path)?;
        }
        let lock_path = path.join(LOCK_FILE);
        let lock = disk.lock(&lock_path).map_err(|e| match e.kind() {
            std::io::ErrorKind::WouldBlock => DirsError::Locked(path.clone()),
            _ => StorageError::new("lock", &lock_path, e).into(),
        })?;
        self.lock = Mutex::new(Some(lock));
        self.meta = Mutex::new(MetaProperties::read(disk, path)?);
        self.clean_shutdown = CleanShutdown::read(disk, path)?;
        self.last_clean_shutdown = match self.clean_shutdown {
            None => CleanShutdown::read_set_aside(disk, path)?,
            clean => clean,
        };
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its own id; `None` while it is not formatted.
    pub fn id(&self) -> Option<Uuid> {
        self.meta.lock().as_ref()?.directory_id
    }

    /// Whose it is; `None` while it is not formatted.
    pub fn meta(&self) -> Option<MetaProperties> {
        self.meta.lock().clone()
    }

    /// Whether it can be used.
    pub fn is_online(&self) -> bool {
        self.error.lock().is_none()
    }

    /// What took it offline.
    pub fn error(&self) -> Option<StorageError> {
        self.error.lock().clone()
    }

    /// Whether the last stop was clean.
    pub fn was_clean(&self) -> bool {
        self.clean_shutdown.is_some()
    }

    /// The broker's epoch at the last clean stop (KIP-966). A broker that has had a later one since has not stopped cleanly in that.
    pub fn previous_broker_epoch(&self) -> Option<i64> {
        self.last_clean_shutdown?.broker_epoch
    }

    /// A broken disk takes the directory offline for good; a full one or a damaged file does not. True when this error did.
    pub(super) fn note_error(&self, error: &StorageError) -> bool {
        let is_disk = !error.is_full() && !error.is_damage() && !error.is_not_found();
        is_disk && self.take_offline(error)
    }

    /// Takes the directory offline for good. True when it was online so far.
    pub(super) fn take_offline(&self, error: &StorageError) -> bool {
        let mut known = self.error.lock();
        if known.is_some() {
            return false;
        }
        *known = Some(error.clone());
        drop(known);
        self.tell_offline();
        true
    }

    /// Says in the log what took the directory offline, if anything did.
    pub(super) fn tell_offline(&self) {
        if let Some(error) = &*self.error.lock() {
            tracing::error!(directory = %self.path.display(), %error, "log directory is offline");
        }
    }

    pub(super) fn format(&self, disk: &dyn Disk, meta: MetaProperties) -> Result<(), StorageError> {
        meta.write(disk, &self.path)?;
        *self.meta.lock() = Some(meta);
        Ok(())
    }

    /// How many replicas are in it; new ones go where there are few.
    pub(super) fn replica_count(&self) -> &AtomicUsize {
        &self.replica_count
    }

    /// From here on a stop counts as unclean until the next clean one.
    pub(super) fn begin(&self, disk: &dyn Disk) -> Result<(), StorageError> {
        CleanShutdown::set_aside(disk, &self.path)
    }

    pub(super) fn end(&self, disk: &dyn Disk, broker_epoch: i64) -> Result<(), StorageError> {
        CleanShutdown::write(disk, &self.path, broker_epoch)
    }

    pub(super) fn unlock(&self) {
        *self.lock.lock() = None;
    }

    /// The names of the folders in it.
    pub(super) fn folders(&self, disk: &dyn Disk) -> Result<Vec<String>, StorageError> {
        match disk.list(&self.path) {
            Ok(entries) => {
                Ok(entries.into_iter().filter(|entry| entry.is_dir).map(|entry| entry.name).collect())
            }
            Err(e) if is_missing(&e) => Ok(Vec::new()),
            Err(e) => Err(StorageError::new("list", &self.path, e)),
        }
    }
}

fn create_durably(disk: &dyn Disk, path: &Path) -> Result<(), StorageError> {
    disk.create_dir(path).map_err(|e| StorageError::new("create", path, e))?;
    // Folders above that were there already may belong to somebody else, who does not let them be opened.
    path.ancestors().skip(1).for_each(|above| drop(disk.sync_dir(above)));
    Ok(())
}
