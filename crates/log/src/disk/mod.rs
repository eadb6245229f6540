//! The disk seam: everything the log asks of a file system, as two small object-safe traits.
//!
//! Two sides exist: [`RealDisk`], thin over system calls, and [`simulated::SimulatedDisk`], a deterministic machine whose
//! crashes, torn writes, full disks and I/O errors follow from a seed. The log never names `std::fs` elsewhere.
//!
//! Invariants the log relies on:
//! - reads and writes carry their position, so a handle has no cursor and may be shared by threads;
//! - a write may be short; [`write_all_at`] continues it;
//! - data is durable after [`File::sync_data`], a name (created, renamed, removed) after [`Disk::sync_dir`] of its folder.

mod real;
pub mod simulated;

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::Path;

pub use real::RealDisk;

/// A file system.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens a file. With [`Access::Create`] a missing file is made (its folder must exist).
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>>;

    /// What is at `path`; [`io::ErrorKind::NotFound`] when nothing is.
    fn metadata(&self, path: &Path) -> io::Result<Metadata>;

    /// The entries of a folder, sorted by name.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;

    /// Makes a folder and those above it that are missing; no error when it is there.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty folder.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;

    /// Renames a file or folder, replacing a file that has the new name, in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes the folder's names durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes everything on the volume that holds `path` durable, which beats syncing very many files one by one.
    fn sync_volume(&self, path: &Path) -> io::Result<()>;

    /// Takes an exclusive lock on `path`, making the file if need be; [`io::ErrorKind::WouldBlock`] when another
    /// process or another part of this one holds it. The lock is released when the value is dropped.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;

    /// The size and the room of the volume that holds `path`.
    fn space(&self, path: &Path) -> io::Result<Space>;
}

/// An open file, shareable between threads.
pub trait File: Send + Sync + fmt::Debug {
    /// Reads at `position` up to the length of `buffer`; 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;

    /// Writes the parts one behind the other at `position`; may write fewer bytes than given.
    fn write_vectored_at(&self, parts: &[IoSlice<'_>], position: u64) -> io::Result<usize>;

    /// The file's length in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Cuts the file, or extends it with zeros.
    fn set_size(&self, size: u64) -> io::Result<()>;

    /// Makes the file's content and length durable.
    fn sync_data(&self) -> io::Result<()>;

    /// Whether the range can be read without waiting for the device, as far as a look at some of its pages tells. Asking brings nothing
    /// into memory.
    fn is_cached(&self, _position: u64, _length: usize) -> bool {
        true
    }

    /// Has the device begin to read the range into memory, as far as it takes hints, without waiting for it.
    fn prefetch(&self, _position: u64, _length: usize) {}

    /// The descriptor, for `sendfile`; none on a simulated disk.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;
}

/// A held lock; dropping it releases it.
pub trait Lock: Send + Sync + fmt::Debug {}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// For reading; it must exist.
    Read,
    /// For reading and writing; it must exist.
    Write,
    /// For reading and writing; made when missing.
    Create,
}

/// What is known of a path without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Whether it is a folder.
    pub is_dir: bool,
    /// Length in bytes of a file.
    pub size: u64,
    /// Last change, milliseconds since 1970.
    pub modified_ms: i64,
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name without the folder.
    pub name: String,
    /// Whether it is a folder itself.
    pub is_dir: bool,
}

/// Size and room of a volume, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total_bytes: u64,
    /// What this process may still write.
    pub usable_bytes: u64,
}

/// Reads exactly `buffer.len()` bytes at `position`; [`io::ErrorKind::UnexpectedEof`] when the file is shorter.
pub fn read_exact_at(file: &dyn File, buffer: &mut [u8], position: u64) -> io::Result<()> {
    if read_up_to_at(file, buffer, position)? < buffer.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// Reads at `position` until `buffer` is full or the file ends; returns the bytes read.
pub fn read_up_to_at(file: &dyn File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], position + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// Writes all parts at `position`, continuing short writes. On an error the file may hold a part of them.
pub fn write_all_at(file: &dyn File, mut parts: &mut [IoSlice<'_>], mut position: u64) -> io::Result<()> {
    // A call takes no more than this many parts (IOV_MAX on Linux is 1024).
    const PARTS_MAX: usize = 1024;
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        let count = parts.len().min(PARTS_MAX);
        match file.write_vectored_at(&parts[..count], position) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                position += n as u64;
                IoSlice::advance_slices(&mut parts, n);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// The whole content of a file of at most `size_max` bytes.
pub fn read_file(disk: &dyn Disk, path: &Path, size_max: u64) -> io::Result<Vec<u8>> {
    let file = disk.open(path, Access::Read)?;
    let size = file.size()?;
    if size > size_max {
        let message = format!("the file has {size} bytes, more than the {size_max} it may have");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let mut content = vec![0; size as usize];
    let read = read_up_to_at(&*file, &mut content, 0)?;
    content.truncate(read);
    Ok(content)
}

/// Replaces a file's content in one step: a temporary file beside it is written, then renamed over it.
/// With `sync`, content and name are durable on return.
pub fn replace_file(disk: &dyn Disk, path: &Path, content: &[u8], sync: bool) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let file = disk.open(&temporary, Access::Create)?;
    // Only what an attempt before has left: a file that was cut to nothing is written to the device by ext4 as soon as it is closed.
    if file.size()? > 0 {
        file.set_size(0)?;
    }
    write_all_at(&*file, &mut [IoSlice::new(content)], 0)?;
    if sync {
        file.sync_data()?;
    }
    disk.rename(&temporary, path)?;
    match path.parent() {
        Some(dir) if sync => disk.sync_dir(dir),
        _ => Ok(()),
    }
}
