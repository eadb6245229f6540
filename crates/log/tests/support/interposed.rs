//! A simulated disk on which something else happens in the middle of an operation: what another thread would do just then.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use klamm_log::disk::simulated::SimulatedDisk;
use klamm_log::disk::{Access, Disk, Entry, File, Lock, Metadata, Space};
use parking_lot::Mutex;

#[derive(Clone)]
pub(crate) struct InterposedDisk {
    disk: SimulatedDisk,
    expected: Arc<Mutex<Option<Expected>>>,
}

struct Expected {
    moment: Moment,
    path_contains: &'static str,
    act: Box<dyn FnOnce() + Send>,
}

/// In the middle of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The folder may have another name by its end.
    FolderSync,
    FileRead,
    FileSync,
    Removal,
}

impl InterposedDisk {
    pub(crate) fn new(disk: &SimulatedDisk) -> Self {
        Self { disk: disk.clone(), expected: Arc::default() }
    }

    /// Has `act` called once, when the next such operation on a path that contains this has succeeded.
    pub(crate) fn during(
        &self,
        moment: Moment,
        path_contains: &'static str,
        act: impl FnOnce() + Send + 'static,
    ) {
        *self.expected.lock() = Some(Expected { moment, path_contains, act: Box::new(act) });
    }

    /// Whether that moment has come.
    pub(crate) fn is_done(&self) -> bool {
        self.expected.lock().is_none()
    }

    fn take(&self, moment: Moment, path: &Path) -> Option<Expected> {
        let is_meant = |expected: &mut Expected| {
            expected.moment == moment && path.to_string_lossy().contains(expected.path_contains)
        };
        self.expected.lock().take_if(is_meant)
    }

    fn around<T>(
        &self,
        moment: Moment,
        path: &Path,
        operation: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let expected = self.take(moment, path);
        let result = operation();
        match expected {
            Some(expected) if result.is_ok() => (expected.act)(),
            Some(expected) => *self.expected.lock() = Some(expected),
            None => {}
        }
        result
    }
}

#[derive(Debug)]
struct InterposedFile {
    file: Box<dyn File>,
    path: PathBuf,
    disk: InterposedDisk,
}

impl File for InterposedFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.disk.around(Moment::FileRead, &self.path, || self.file.read_at(buffer, position))
    }

    fn write_vectored_at(&self, parts: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        self.file.write_vectored_at(parts, position)
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.file.set_size(size)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.around(Moment::FileSync, &self.path, || self.file.sync_data())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.file.descriptor()
    }
}

impl fmt::Debug for InterposedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(f)
    }
}

impl Disk for InterposedDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let file = self.disk.open(path, access)?;
        Ok(Box::new(InterposedFile { file, path: path.to_owned(), disk: self.clone() }))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.disk.metadata(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.around(Moment::Removal, path, || self.disk.remove(path))
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.remove_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.around(Moment::FolderSync, dir, || self.disk.sync_dir(dir))
    }

    fn sync_volume(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_volume(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.disk.lock(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.disk.space(path)
    }
}
