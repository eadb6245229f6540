//! A partition's folder and its open files, of which the process keeps a bounded number.
//!
//! A file is opened on first use. When more than the limit are open, the ones longest unused are closed (second chance: a
//! file that was used since it was last looked at goes to the back of the queue once). Who holds a [`FileHandle`] keeps
//! its descriptor alive, so closing never disturbs a reader or writer. Getting the handle of an open file takes no lock.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;

use crate::disk::{Access, Disk, File};
use crate::error::{SYNC, StorageError};
use crate::names::{CLEANED_SUFFIX, DELETED_SUFFIX, FileKind, SWAP_SUFFIX, file_name};

/// The open files of all partitions of a process.
#[derive(Debug)]
pub struct OpenFiles {
    limit: usize,
    queue: Mutex<VecDeque<Weak<SegmentFile>>>,
}

impl OpenFiles {
    /// Keeps about `limit` files open.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit: limit.max(1), queue: Mutex::default() })
    }

    /// How many files are open, without those that only a reader still holds.
    pub fn count(&self) -> usize {
        self.queue.lock().iter().filter_map(Weak::upgrade).filter(|file| file.is_open()).count()
    }

    fn admit(&self, file: &Arc<SegmentFile>) {
        let mut queue = self.queue.lock();
        queue.push_back(Arc::downgrade(file));
        while queue.len() > self.limit {
            let Some(oldest) = queue.pop_front() else { break };
            let Some(oldest) = oldest.upgrade() else { continue };
            if oldest.used.swap(false, Ordering::Relaxed) && oldest.is_open() {
                queue.push_back(Arc::downgrade(&oldest));
            } else {
                oldest.open.store(None);
            }
        }
    }
}

/// A file that is kept open while this lives.
#[derive(Clone, Debug)]
pub struct FileHandle(Arc<Box<dyn File>>);

impl Deref for FileHandle {
    type Target = dyn File;

    fn deref(&self) -> &Self::Target {
        &**self.0
    }
}

/// Where a partition's files are. The folder may be renamed while they are open.
#[derive(Debug)]
pub(crate) struct Home {
    disk: Arc<dyn Disk>,
    files: Arc<OpenFiles>,
    path: ArcSwap<PathBuf>,
    /// Whether names in the folder changed since it was last synced.
    names_unsynced: AtomicBool,
    /// Whether the folder's own name is not known to be durable.
    folder_unsynced: AtomicBool,
}

impl Home {
    pub(crate) fn new(disk: Arc<dyn Disk>, files: Arc<OpenFiles>, path: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            disk,
            files,
            path: ArcSwap::from_pointee(path),
            names_unsynced: AtomicBool::new(false),
            folder_unsynced: AtomicBool::new(false),
        })
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::clone(&self.path.load())
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.load().join(name)
    }

    /// Runs something on the disk and names it in the error.
    pub(crate) fn on<T>(
        &self,
        operation: &'static str,
        path: &Path,
        act: impl FnOnce(&dyn Disk) -> std::io::Result<T>,
    ) -> Result<T, StorageError> {
        act(self.disk()).map_err(|e| StorageError::new(operation, path, e))
    }

    /// Notes that a name in the folder changed, so that the next flush syncs the folder.
    pub(crate) fn name_changed(&self) {
        self.names_unsynced.store(true, Ordering::Release);
    }

    /// Notes that the folder is new or renamed, so that the next flush syncs the folder above.
    pub(crate) fn folder_changed(&self) {
        self.folder_unsynced.store(true, Ordering::Release);
        self.name_changed();
    }

    /// Makes changed names durable; nothing to do mostly.
    pub(crate) fn sync_names(&self) -> Result<(), StorageError> {
        let path = self.path.load();
        self.sync_if(&self.names_unsynced, &path)?;
        match path.parent() {
            Some(parent) => self.sync_if(&self.folder_unsynced, parent),
            None => Ok(()),
        }
    }

    fn sync_if(&self, unsynced: &AtomicBool, dir: &Path) -> Result<(), StorageError> {
        if !unsynced.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let synced = self.on(SYNC, dir, |disk| disk.sync_dir(dir));
        if synced.is_err() {
            unsynced.store(true, Ordering::Release);
        }
        synced
    }

    pub(crate) fn rename(&self, to: &Path) -> Result<(), StorageError> {
        let from = self.path();
        self.on("rename", &from, |disk| disk.rename(&from, to))?;
        self.path.store(Arc::new(to.to_owned()));
        self.folder_changed();
        Ok(())
    }

    pub(crate) fn remove_file(&self, name: &str) -> Result<(), StorageError> {
        let path = self.join(name);
        match self.on("remove", &path, |disk| disk.remove(&path)) {
            Err(e) if e.is_not_found() => Ok(()),
            other => other,
        }
    }
}

/// What a segment's file is at the moment, told by the suffix of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    /// Part of the log.
    InUse,
    /// Being written by compaction.
    Cleaned,
    /// Written whole by compaction, about to replace what it was made from.
    Swap,
    /// Waiting for its removal.
    Deleted,
}

impl Stage {
    const ALL: [Self; 4] = [Self::InUse, Self::Cleaned, Self::Swap, Self::Deleted];

    fn suffix(self) -> &'static str {
        match self {
            Self::InUse => "",
            Self::Cleaned => CLEANED_SUFFIX,
            Self::Swap => SWAP_SUFFIX,
            Self::Deleted => DELETED_SUFFIX,
        }
    }
}

/// A segment's file, opened when needed.
pub(crate) struct SegmentFile {
    home: Arc<Home>,
    base_offset: i64,
    kind: FileKind,
    stage: AtomicU8,
    used: AtomicBool,
    /// Whether the content changed since it was last synced, as far as is known.
    is_unsynced: AtomicBool,
    open: ArcSwapOption<Box<dyn File>>,
}

impl SegmentFile {
    pub(crate) fn new(home: &Arc<Home>, base_offset: i64, kind: FileKind) -> Arc<Self> {
        Self::at_stage(home, base_offset, kind, Stage::InUse)
    }

    pub(crate) fn at_stage(home: &Arc<Home>, base_offset: i64, kind: FileKind, stage: Stage) -> Arc<Self> {
        Arc::new(Self {
            home: Arc::clone(home),
            base_offset,
            kind,
            stage: AtomicU8::new(stage as u8),
            used: AtomicBool::new(false),
            is_unsynced: AtomicBool::new(true),
            open: ArcSwapOption::const_empty(),
        })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.home.join(&(file_name(self.base_offset, self.kind) + self.stage().suffix()))
    }

    fn stage(&self) -> Stage {
        Stage::ALL[usize::from(self.stage.load(Ordering::Acquire))]
    }

    /// The file, which exists.
    pub(crate) fn handle(self: &Arc<Self>) -> Result<FileHandle, StorageError> {
        self.handle_with(Access::Write)
    }

    /// The file, made when missing.
    pub(crate) fn handle_or_create(self: &Arc<Self>) -> Result<FileHandle, StorageError> {
        self.handle_with(Access::Create)
    }

    fn handle_with(self: &Arc<Self>, access: Access) -> Result<FileHandle, StorageError> {
        if let Some(open) = self.open.load_full() {
            if !self.used.load(Ordering::Relaxed) {
                self.used.store(true, Ordering::Relaxed);
            }
            return Ok(FileHandle(open));
        }
        let opened = self.open(access)?;
        if access == Access::Create {
            self.home.name_changed();
        }
        let opened = Arc::new(opened);
        self.open.store(Some(Arc::clone(&opened)));
        self.home.files.admit(self);
        Ok(FileHandle(opened))
    }

    /// Opens the file, also if it gets another name meanwhile.
    fn open(&self, access: Access) -> Result<Box<dyn File>, StorageError> {
        let mut path = self.path();
        loop {
            let opened = self.home.on("open", &path, |disk| disk.open(&path, access));
            let current = self.path();
            match opened {
                Err(error) if error.is_not_found() && current != path => path = current,
                opened => return opened,
            }
        }
    }

    /// The file's length; 0 when it does not exist.
    pub(crate) fn size(&self) -> Result<u64, StorageError> {
        let path = self.path();
        match self.home.on("look at", &path, |disk| disk.metadata(&path)) {
            Ok(metadata) => Ok(metadata.size),
            Err(e) if e.is_not_found() => Ok(0),
            Err(e) => Err(e),
        }
    }

    pub(crate) fn set_size(self: &Arc<Self>, size: u64) -> Result<(), StorageError> {
        let result = self.handle()?.set_size(size).map_err(|e| self.error("truncate", e));
        self.note_change();
        result
    }

    /// The content was changed: called after the write, before anybody is told of it.
    pub(crate) fn note_change(&self) {
        self.is_unsynced.store(true, Ordering::Release);
    }

    /// Makes the content durable, if the file exists and was changed.
    pub(crate) fn sync(self: &Arc<Self>) -> Result<(), StorageError> {
        if !self.is_unsynced.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let result = match self.handle() {
            Ok(file) => file.sync_data().map_err(|e| self.error(SYNC, e)),
            Err(e) if e.is_not_found() => Ok(()),
            Err(e) => Err(e),
        };
        result.inspect_err(|_| self.note_change())
    }

    /// Renames the file. One that was never made is no error.
    pub(crate) fn change_stage(&self, stage: Stage) -> Result<(), StorageError> {
        let from = self.path();
        if self.stage.swap(stage as u8, Ordering::AcqRel) == stage as u8 {
            return Ok(());
        }
        let to = self.path();
        self.home.name_changed();
        match self.home.on("rename", &from, |disk| disk.rename(&from, &to)) {
            Err(e) if e.is_not_found() => Ok(()),
            other => other,
        }
    }

    pub(crate) fn remove(&self) -> Result<(), StorageError> {
        self.close();
        let path = self.path();
        self.home.name_changed();
        match self.home.on("remove", &path, |disk| disk.remove(&path)) {
            Err(e) if e.is_not_found() => Ok(()),
            other => other,
        }
    }

    pub(crate) fn close(&self) {
        self.open.store(None);
    }

    pub(crate) fn error(&self, operation: &'static str, source: std::io::Error) -> StorageError {
        StorageError::new(operation, &self.path(), source)
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.stage() == Stage::Deleted
    }

    fn is_open(&self) -> bool {
        self.open.load().is_some()
    }
}

impl fmt::Debug for SegmentFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SegmentFile").field(&self.path()).finish()
    }
}
