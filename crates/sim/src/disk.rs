//! The disk as one process sees it: the simulated disk, traced, and gone when the process is.
//!
//! The simulated disk outlives processes. What must die with one is this view of it: an operation of a dead process fails and changes
//! nothing, and when the machine goes down in the middle of an operation, the process dies with it.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use klamm_log::disk::simulated::SimulatedDisk;
use klamm_log::disk::{Access, Disk, Entry, File, Lock, Metadata, Space};

use crate::plants::Plants;
use crate::process::Process;
use crate::trace::Trace;

/// A process's view of the disk.
#[derive(Clone)]
pub(crate) struct ProcessDisk {
    /// The disk.
    pub(crate) disk: SimulatedDisk,
    /// Whose view it is.
    pub(crate) process: Arc<Process>,
    /// Where operations are noted.
    pub(crate) trace: Trace,
    /// Bugs in the view.
    pub(crate) plants: Plants,
    /// Whose machine it is.
    pub(crate) node: usize,
}

impl std::fmt::Debug for ProcessDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProcessDisk")
    }
}

impl ProcessDisk {
    fn run<T>(&self, what: &str, path: &Path, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if self.process.is_dead() {
            return Err(io::Error::other("the process is dead"));
        }
        let result = act();
        match &result {
            Ok(_) => self.trace.detail(format_args!("disk {} {what} {}", self.node, path.display())),
            Err(error) => {
                self.trace.detail(format_args!("disk {} {what} {}: {error}", self.node, path.display()))
            }
        }
        if self.disk.is_down() {
            self.process.die();
        }
        result
    }
}

impl Disk for ProcessDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let file = self.run("open", path, || self.disk.open(path, access))?;
        Ok(Box::new(ProcessFile { file, view: self.clone(), path: path.to_owned() }))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.run("look at", path, || self.disk.metadata(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.run("list", dir, || self.disk.list(dir))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.run("make folder", dir, || self.disk.create_dir(dir))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.run("remove", path, || self.disk.remove(path))
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.run("remove folder", dir, || self.disk.remove_dir(dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run("rename to", to, || {
            if self.plants.swallows_rename(to) { Ok(()) } else { self.disk.rename(from, to) }
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.run("sync folder", dir, || {
            if self.plants.swallows_folder_sync() { Ok(()) } else { self.disk.sync_dir(dir) }
        })
    }

    fn sync_volume(&self, path: &Path) -> io::Result<()> {
        self.run("sync volume", path, || self.disk.sync_volume(path))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.run("lock", path, || self.disk.lock(path))
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.run("ask for room", path, || self.disk.space(path))
    }
}

#[derive(Debug)]
struct ProcessFile {
    file: Box<dyn File>,
    view: ProcessDisk,
    path: PathBuf,
}

impl File for ProcessFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let read = self.view.run("read", &self.path, || self.file.read_at(buffer, position))?;
        self.view.plants.after_read(&self.path, &mut buffer[..read]);
        Ok(read)
    }

    fn write_vectored_at(&self, parts: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let what = format!("write {length} at {position} of");
        self.view.run(&what, &self.path, || {
            if self.view.plants.swallows_write(&self.path) {
                return Ok(length);
            }
            self.file.write_vectored_at(parts, position)
        })
    }

    fn size(&self) -> io::Result<u64> {
        self.view.run("measure", &self.path, || self.file.size())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.view.run(&format!("cut to {size}"), &self.path, || {
            if self.view.plants.swallows_truncation(&self.path) { Ok(()) } else { self.file.set_size(size) }
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.view.run("sync", &self.path, || {
            if self.view.plants.swallows_sync(&self.path) { Ok(()) } else { self.file.sync_data() }
        })
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
