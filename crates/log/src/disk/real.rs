//! The real disk: one system call a method.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use rustix::fs::{Advice, FlockOperation};
use rustix::io::ReadWriteFlags;

use super::{Access, Disk, Entry, File, Lock, Metadata, Space};

/// Distance between the pages that are looked at to tell whether a range is cached. The kernel forgets what was not used for long, which is
/// the beginning of a range or its end, much rather than a piece within.
const CACHE_PROBE_BYTES: usize = 512 * 1024;

/// Below this the kernel takes longer over a list of parts than it takes to copy them together.
const GATHERED_BYTES_MAX: usize = 512;

/// The machine's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(access != Access::Read).create(access == Access::Create);
        Ok(Box::new(RealFile(options.open(path)?)))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let found = fs::metadata(path)?;
        let modified = found.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Metadata { is_dir: found.is_dir(), size: found.len(), modified_ms: modified.as_millis() as i64 })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // No file of Kafka's has a name outside of UTF-8.
            if let Ok(name) = entry.file_name().into_string() {
                let kind = entry.file_type()?;
                let is_dir = kind.is_dir() || kind.is_symlink() && entry.path().is_dir();
                entries.push(Entry { name, is_dir });
            }
        }
        entries.sort_unstable();
        Ok(entries)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    fn sync_volume(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::syncfs(fs::File::open(path)?)?)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        // The first kind is seen within this process, the second is the one that a running Kafka takes.
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Box::new(RealLock(file))),
            Err(rustix::io::Errno::ACCESS) => Err(io::ErrorKind::WouldBlock.into()),
            Err(e) => Err(e.into()),
        }
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let volume = rustix::fs::statvfs(path)?;
        let block = volume.f_frsize;
        Ok(Space { total_bytes: volume.f_blocks * block, usable_bytes: volume.f_bavail * block })
    }
}

#[derive(Debug)]
struct RealFile(fs::File);

impl File for RealFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buffer, position)
    }

    fn write_vectored_at(&self, parts: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        let mut gathered = [0; GATHERED_BYTES_MAX];
        match gather(parts, &mut gathered) {
            Some(bytes) => self.0.write_at(bytes, position),
            None => Ok(rustix::io::pwritev(&self.0, parts, position)?),
        }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn is_cached(&self, position: u64, length: usize) -> bool {
        let last = length.saturating_sub(1);
        let mut looked_at = (0..last).step_by(CACHE_PROBE_BYTES).chain([last]);
        looked_at.all(|offset| self.is_page_cached(position + offset as u64))
    }

    fn prefetch(&self, position: u64, length: usize) {
        // Only a hint: whoever reads waits for what was not begun.
        let _ = rustix::fs::fadvise(&self.0, position, NonZeroU64::new(length as u64), Advice::WillNeed);
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}

impl RealFile {
    /// A read of one byte that does not wait. Where the kernel cannot tell, the page counts as cached: waiting is then left to the reader.
    fn is_page_cached(&self, position: u64) -> bool {
        let mut byte = [0];
        let mut parts = [IoSliceMut::new(&mut byte)];
        let read = rustix::io::preadv2(&self.0, &mut parts, position, ReadWriteFlags::NOWAIT);
        read != Err(rustix::io::Errno::AGAIN)
    }
}

/// The parts behind one another, where they are small.
fn gather<'b>(parts: &[IoSlice<'_>], buffer: &'b mut [u8; GATHERED_BYTES_MAX]) -> Option<&'b [u8]> {
    let mut filled = 0;
    for part in parts {
        buffer.get_mut(filled..filled + part.len())?.copy_from_slice(part);
        filled += part.len();
    }
    Some(&buffer[..filled])
}

/// Closing the file releases both locks.
#[derive(Debug)]
struct RealLock(#[allow(dead_code, reason = "held for its descriptor")] fs::File);

impl Lock for RealLock {}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use super::*;

    #[test]
    fn what_was_just_written_or_read_is_cached() {
        let folder = tempfile::tempdir().unwrap();
        let file = RealDisk.open(&folder.path().join("file"), Access::Create).unwrap();
        let bytes = vec![7; 1_000_000];
        crate::disk::write_all_at(&*file, &mut [IoSlice::new(&bytes)], 0).unwrap();
        assert!(file.is_cached(0, bytes.len()));
        assert!(file.is_cached(999_999, 1));
        file.sync_data().unwrap();
        rustix::fs::fadvise(file.descriptor().unwrap(), 0, None, Advice::DontNeed).unwrap();
        file.prefetch(0, bytes.len());
        let mut read = vec![0; bytes.len()];
        crate::disk::read_exact_at(&*file, &mut read, 0).unwrap();
        assert!(file.is_cached(0, bytes.len()), "whether the kernel forgot it or not, it was read again");
    }
}
