//! A disk in memory whose failures follow from a seed.
//!
//! What it does to a careless program:
//! - a power loss forgets each unsynced block and each unsynced name with even odds, and cuts a write in two at a block's edge;
//! - [`SimulatedDisk::crash_after`] stops the machine in the middle of an operation: that one is done in part, all
//!   later ones fail until [`SimulatedDisk::restart`], and handles from before stay dead;
//! - the volume has a size, beyond which writes come out short and then fail with "no space left";
//! - operations fail on request ([`Fault`]), and bytes can be made unreadable or changed in place.
//!
//! Time is only counted ([`SimulatedDisk::take_elapsed_us`]), never spent: the simulation adds it to its clock.
//! The same seed and the same calls give the same bytes. Nothing blocks, so one thread can run a whole broker on it.

mod faults;
mod nodes;

use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Access, Disk, Entry, File, Lock, Metadata, Space};
pub use faults::{Fault, Operation};
use faults::{Faults, Verdict};
use nodes::{NodeId, Nodes};

/// A simulated disk; clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimulatedDisk(Arc<Mutex<Machine>>);

/// How a machine goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process ends; the operating system keeps everything that was written.
    Process,
    /// The power fails; what was not synced may be lost.
    Power,
}

/// The disk's properties.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Decides every fault.
    pub seed: u64,
    /// Bytes that all files together may have.
    pub capacity_bytes: u64,
    /// What is written or lost at once, in bytes.
    pub block_bytes: usize,
    /// What each operation costs in microseconds of counted time.
    pub operation_us: u64,
    /// What a sync costs in microseconds of counted time.
    pub sync_us: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 0, capacity_bytes: 1 << 40, block_bytes: 512, operation_us: 1, sync_us: 1000 }
    }
}

#[derive(Debug)]
struct Machine {
    options: Options,
    nodes: Nodes,
    faults: Faults,
    locks: Vec<PathBuf>,
    /// Counts restarts; handles and locks of an earlier one are dead.
    incarnation: u64,
    down: bool,
    operations_until_crash: Option<u64>,
    elapsed_us: u64,
}

impl SimulatedDisk {
    /// An empty disk.
    pub fn new(options: Options) -> Self {
        Self(Arc::new(Mutex::new(Machine {
            options,
            nodes: Nodes::new(options.block_bytes),
            faults: Faults::new(options.seed),
            locks: Vec::new(),
            incarnation: 0,
            down: false,
            operations_until_crash: None,
            elapsed_us: 0,
        })))
    }

    /// An empty disk with this seed and default properties.
    pub fn seeded(seed: u64) -> Self {
        Self::new(Options { seed, ..Options::default() })
    }

    /// Lets `operations` more operations succeed; the one behind them is done in part and takes the machine down.
    pub fn crash_after(&self, operations: u64) {
        self.0.lock().operations_until_crash = Some(operations);
    }

    /// Whether the machine is down.
    pub fn is_down(&self) -> bool {
        self.0.lock().down
    }

    /// Takes the machine down, if it is not, and up again. All handles and locks are dead.
    pub fn restart(&self, crash: Crash) {
        let mut machine = self.0.lock();
        machine.down = false;
        machine.operations_until_crash = None;
        machine.incarnation += 1;
        machine.locks.clear();
        if crash == Crash::Power {
            let Machine { nodes, faults, .. } = &mut *machine;
            nodes.lose_power(faults.random());
        }
    }

    /// Makes operations fail until it is used up.
    pub fn inject(&self, fault: Fault) {
        self.0.lock().faults.inject(fault);
    }

    /// Withdraws all faults.
    pub fn heal(&self) {
        self.0.lock().faults.heal();
    }

    /// Sets the volume's size, which may be below what is used already.
    pub fn set_capacity(&self, bytes: u64) {
        self.0.lock().options.capacity_bytes = bytes;
    }

    /// Changes a file's bytes behind the program's back.
    pub fn corrupt(&self, path: &Path, position: u64, bytes: &[u8]) -> io::Result<()> {
        let mut machine = self.0.lock();
        let id = machine.nodes.file(path)?;
        machine.nodes.overwrite_durably(id, position, bytes);
        Ok(())
    }

    /// Makes a range of a file unreadable, as a bad sector that shows only when it is read.
    pub fn make_unreadable(&self, path: &Path, range: Range<u64>) {
        self.0.lock().faults.add_unreadable(path.to_owned(), range);
    }

    /// The counted time since the last call, in microseconds.
    pub fn take_elapsed_us(&self) -> u64 {
        std::mem::take(&mut self.0.lock().elapsed_us)
    }

    /// Bytes in all files.
    pub fn used_bytes(&self) -> u64 {
        self.0.lock().nodes.used_bytes()
    }

    fn run<T>(
        &self,
        operation: Operation,
        path: &Path,
        act: impl FnOnce(&mut Machine) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut machine = self.0.lock();
        match machine.admit(operation, path)? {
            Verdict::Whole => act(&mut machine),
            // Names change in one step: in part means either before or after it.
            Verdict::InPart => {
                if machine.faults.random().coin() {
                    let _ = act(&mut machine);
                }
                Err(down())
            }
        }
    }
}

impl Machine {
    /// Whether an operation may run, and whether it is the one that the machine goes down in.
    fn admit(&mut self, operation: Operation, path: &Path) -> io::Result<Verdict> {
        if self.down {
            return Err(down());
        }
        self.elapsed_us += match operation {
            Operation::Sync => self.options.sync_us,
            _ => self.options.operation_us,
        };
        if let Some(left) = &mut self.operations_until_crash {
            if *left == 0 {
                self.down = true;
                return Ok(Verdict::InPart);
            }
            *left -= 1;
        }
        self.faults.check(operation, path)?;
        Ok(Verdict::Whole)
    }
}

fn down() -> io::Error {
    io::Error::other("the simulated machine is down")
}

impl Disk for SimulatedDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let (id, incarnation) = self.run(Operation::Open, path, |machine| {
            let id = match machine.nodes.file(path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound && access == Access::Create => {
                    machine.nodes.create_file(path)?
                }
                other => other?,
            };
            Ok((id, machine.incarnation))
        })?;
        let file = SimulatedFile { disk: self.clone(), id, incarnation, path: path.to_owned(), access };
        Ok(Box::new(file))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.run(Operation::Look, path, |machine| {
            let (is_dir, size) = machine.nodes.look(path)?;
            Ok(Metadata { is_dir, size, modified_ms: 0 })
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.run(Operation::Look, dir, |machine| machine.nodes.list(dir))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.run(Operation::Name, dir, |machine| machine.nodes.create_dirs(dir))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.run(Operation::Name, path, |machine| machine.nodes.remove(path, false))
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.run(Operation::Name, dir, |machine| machine.nodes.remove(dir, true))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(Operation::Name, to, |machine| machine.nodes.rename(from, to))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.run(Operation::Sync, dir, |machine| machine.nodes.sync_dir(dir))
    }

    fn sync_volume(&self, path: &Path) -> io::Result<()> {
        self.run(Operation::Sync, path, |machine| {
            machine.nodes.sync_all();
            Ok(())
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let incarnation = self.run(Operation::Open, path, |machine| {
            if machine.locks.iter().any(|held| held == path) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            if machine.nodes.file(path).is_err() {
                machine.nodes.create_file(path)?;
            }
            machine.locks.push(path.to_owned());
            Ok(machine.incarnation)
        })?;
        Ok(Box::new(SimulatedLock { disk: self.clone(), path: path.to_owned(), incarnation }))
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.run(Operation::Look, path, |machine| {
            let total_bytes = machine.options.capacity_bytes;
            Ok(Space { total_bytes, usable_bytes: total_bytes.saturating_sub(machine.nodes.used_bytes()) })
        })
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    id: NodeId,
    incarnation: u64,
    path: PathBuf,
    access: Access,
}

impl SimulatedFile {
    fn run<T>(
        &self,
        operation: Operation,
        act: impl FnOnce(&mut Machine, Verdict) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut machine = self.disk.0.lock();
        if machine.incarnation != self.incarnation {
            return Err(down());
        }
        let changes = matches!(operation, Operation::Write | Operation::Truncate);
        if changes && self.access == Access::Read {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        let verdict = machine.admit(operation, &self.path)?;
        let result = act(&mut machine, verdict);
        if verdict == Verdict::InPart { Err(down()) } else { result }
    }
}

impl File for SimulatedFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.run(Operation::Read, |machine, _| {
            machine.faults.check_readable(&self.path, position, buffer.len() as u64)?;
            let content = machine.nodes.content(self.id);
            let start = content.len().min(position as usize);
            let read = buffer.len().min(content.len() - start);
            buffer[..read].copy_from_slice(&content[start..start + read]);
            Ok(read)
        })
    }

    fn write_vectored_at(&self, parts: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        self.run(Operation::Write, |machine, verdict| {
            let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
            let grows = (position + bytes.len() as u64).saturating_sub(machine.nodes.size(self.id));
            let room = machine.options.capacity_bytes.saturating_sub(machine.nodes.used_bytes());
            if grows > room {
                bytes.truncate(bytes.len().saturating_sub((grows - room) as usize));
                if bytes.is_empty() {
                    return Err(io::ErrorKind::StorageFull.into());
                }
            }
            if verdict == Verdict::InPart {
                let blocks = bytes.len() / machine.options.block_bytes + 1;
                let kept = machine.faults.random().below(blocks as u64) as usize;
                bytes.truncate(kept * machine.options.block_bytes);
            }
            machine.nodes.write(self.id, position, &bytes);
            Ok(bytes.len())
        })
    }

    fn size(&self) -> io::Result<u64> {
        self.run(Operation::Look, |machine, _| Ok(machine.nodes.size(self.id)))
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.run(Operation::Truncate, |machine, verdict| {
            if verdict == Verdict::Whole || machine.faults.random().coin() {
                machine.nodes.set_size(self.id, size);
            }
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.run(Operation::Sync, |machine, verdict| {
            if verdict == Verdict::Whole {
                machine.nodes.sync_data(self.id);
            }
            Ok(())
        })
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

#[derive(Debug)]
struct SimulatedLock {
    disk: SimulatedDisk,
    path: PathBuf,
    incarnation: u64,
}

impl Lock for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        let mut machine = self.disk.0.lock();
        if machine.incarnation == self.incarnation {
            machine.locks.retain(|held| *held != self.path);
        }
    }
}
