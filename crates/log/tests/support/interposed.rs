//! A simulated disk on which something else happens in the middle of a sync: what another thread would do just then.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use klamm_log::disk::simulated::SimulatedDisk;
use klamm_log::disk::{Access, Disk, Entry, File, Lock, Metadata, Space};
use parking_lot::Mutex;

#[derive(Clone)]
pub(crate) struct InterposedDisk {
    disk: SimulatedDisk,
    during_sync: Arc<Mutex<Option<DuringSync>>>,
}

struct DuringSync {
    path_contains: &'static str,
    act: Box<dyn FnOnce() + Send>,
}

impl InterposedDisk {
    pub(crate) fn new(disk: &SimulatedDisk) -> Self {
        Self { disk: disk.clone(), during_sync: Arc::default() }
    }

    /// Has `act` called once, in the next sync of a folder whose path contains this. The folder may have another name by its end.
    pub(crate) fn during_sync_of(&self, path_contains: &'static str, act: impl FnOnce() + Send + 'static) {
        *self.during_sync.lock() = Some(DuringSync { path_contains, act: Box::new(act) });
    }

    /// Whether that sync has come.
    pub(crate) fn is_done(&self) -> bool {
        self.during_sync.lock().is_none()
    }
}

impl fmt::Debug for InterposedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(f)
    }
}

impl Disk for InterposedDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        self.disk.open(path, access)
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
        self.disk.remove(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.remove_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let is_meant = |during: &mut DuringSync| dir.to_string_lossy().contains(during.path_contains);
        let during = self.during_sync.lock().take_if(is_meant);
        self.disk.sync_dir(dir)?;
        if let Some(during) = during {
            (during.act)();
        }
        Ok(())
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
