//! Checking a partition's folder without changing it: is every file what the log file says it must be?

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;

use crate::bounds::SNAPSHOT_BYTES_MAX;
use crate::disk::{self, Access, Disk, File};
use crate::dump::{self, read_offset_index, read_snapshot, read_time_index, read_transaction_index};
use crate::epochs::EpochStart;
use crate::error::StorageError;
use crate::names::{FileKind, parse_file_name};
use crate::scan::{BatchEntry, Batches, ScanError};

/// Something in a folder that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file's name.
    pub file: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.what)
    }
}

/// Reads everything in a partition's folder: batches and their checksums, the order of offsets and epochs, and whether indexes,
/// snapshots and the epoch checkpoint agree with the batches. An error means that something could not be read at all.
pub fn verify(disk: &dyn Disk, dir: &Path) -> Result<Vec<Finding>, StorageError> {
    let mut verifier = Verifier { disk, dir, findings: Vec::new(), batches: BTreeMap::new() };
    let entries = disk.list(dir).map_err(|e| StorageError::new("list", dir, e))?;
    let files: Vec<(String, i64, FileKind)> = entries
        .into_iter()
        .filter_map(|entry| match parse_file_name(&entry.name)? {
            (offset, kind, "") => Some((entry.name.clone(), offset, kind)),
            _ => None,
        })
        .collect();
    for (name, base, _) in files.iter().filter(|(_, _, kind)| *kind == FileKind::Log) {
        verifier.check_log(name, *base)?;
    }
    verifier.check_order();
    for (name, base, kind) in &files {
        match kind {
            FileKind::Log => {}
            FileKind::OffsetIndex => verifier.check_offset_index(name, *base)?,
            FileKind::TimeIndex => verifier.check_time_index(name, *base)?,
            FileKind::TransactionIndex => verifier.check_transaction_index(name, *base)?,
            FileKind::Snapshot => verifier.check_snapshot(name)?,
        }
    }
    verifier.check_epochs()?;
    Ok(verifier.findings)
}

struct Verifier<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    findings: Vec<Finding>,
    /// The batches of each segment.
    batches: BTreeMap<i64, Vec<BatchEntry>>,
}

impl Verifier<'_> {
    fn find(&mut self, file: &str, what: impl Into<String>) {
        self.findings.push(Finding { file: file.to_owned(), what: what.into() });
    }

    fn open(&self, name: &str) -> Result<Box<dyn File>, StorageError> {
        let path = self.dir.join(name);
        self.disk.open(&path, Access::Read).map_err(|e| StorageError::new("open", &path, e))
    }

    /// What reading a file gave; damage is a finding, not an error.
    fn content<T>(&mut self, name: &str, read: io::Result<T>) -> Result<Option<T>, StorageError> {
        match read {
            Ok(content) => Ok(Some(content)),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                self.find(name, e.to_string());
                Ok(None)
            }
            Err(e) => Err(StorageError::new("read", &self.dir.join(name), e)),
        }
    }

    fn check_log(&mut self, name: &str, base: i64) -> Result<(), StorageError> {
        let file = self.open(name)?;
        let size = file.size().map_err(|e| StorageError::new("look at", &self.dir.join(name), e))?;
        let mut walk = Batches::new(&*file, 0, size);
        let mut batches: Vec<BatchEntry> = Vec::new();
        loop {
            match walk.next_batch() {
                Ok(Some((batch, _))) => batches.push(batch),
                Ok(None) => break,
                Err(e @ ScanError::Malformed { .. }) => {
                    self.find(name, e.to_string());
                    break;
                }
                Err(ScanError::Read { source, .. }) => {
                    return Err(StorageError::new("read", &self.dir.join(name), source));
                }
            }
        }
        let mut next_offset = base;
        for batch in &batches {
            if batch.base_offset < next_offset {
                let what = format!(
                    "byte {}: offset {} behind {}",
                    batch.position,
                    batch.base_offset,
                    next_offset - 1
                );
                self.find(name, what);
            }
            next_offset = batch.next_offset();
        }
        self.batches.insert(base, batches);
        Ok(())
    }

    /// Segments do not overlap, and leader epochs do not go back.
    fn check_order(&mut self) {
        let (mut next_offset, mut latest_epoch) = (0, -1);
        let mut findings = Vec::new();
        for (base, batches) in &self.batches {
            let file = crate::names::file_name(*base, FileKind::Log);
            if *base < next_offset {
                let what = format!("the segment before holds offset {}", next_offset - 1);
                findings.push(Finding { file: file.clone(), what });
            }
            for batch in batches {
                let epoch = batch.header.map_or(-1, |header| header.partition_leader_epoch);
                if epoch < latest_epoch {
                    let what = format!("byte {}: leader epoch {epoch} behind {latest_epoch}", batch.position);
                    findings.push(Finding { file: file.clone(), what });
                }
                latest_epoch = latest_epoch.max(epoch);
                next_offset = batch.next_offset();
            }
        }
        self.findings.append(&mut findings);
    }

    fn check_offset_index(&mut self, name: &str, base: i64) -> Result<(), StorageError> {
        let file = self.open(name)?;
        let Some(entries) = self.content(name, read_offset_index(&*file, base))? else { return Ok(()) };
        if entries
            .windows(2)
            .any(|pair| pair[0].offset >= pair[1].offset || pair[0].position >= pair[1].position)
        {
            self.find(name, "entries do not ascend");
        }
        let batches = self.batches.get(&base).cloned().unwrap_or_default();
        for entry in entries {
            let at = batches.binary_search_by_key(&entry.position, |batch| batch.position);
            if !at.is_ok_and(|at| {
                batches[at].base_offset <= entry.offset && entry.offset >= batches[at].last_offset
            }) {
                let what = format!("offset {} is not at byte {}", entry.offset, entry.position);
                self.find(name, what);
            }
        }
        Ok(())
    }

    fn check_time_index(&mut self, name: &str, base: i64) -> Result<(), StorageError> {
        let file = self.open(name)?;
        let Some(entries) = self.content(name, read_time_index(&*file, base))? else { return Ok(()) };
        if entries
            .windows(2)
            .any(|pair| pair[0].offset > pair[1].offset || pair[0].timestamp >= pair[1].timestamp)
        {
            self.find(name, "entries do not ascend");
        }
        let batches = self.batches.get(&base).cloned().unwrap_or_default();
        for entry in entries {
            let seen = batches.iter().take_while(|batch| batch.base_offset <= entry.offset);
            let largest = seen.map(|batch| batch.max_timestamp).max().unwrap_or(-1);
            if largest != entry.timestamp {
                let (timestamp, offset) = (entry.timestamp, entry.offset);
                self.find(
                    name,
                    format!("the largest timestamp up to {offset} is {largest}, not {timestamp}"),
                );
            }
        }
        Ok(())
    }

    fn check_transaction_index(&mut self, name: &str, base: i64) -> Result<(), StorageError> {
        let file = self.open(name)?;
        let Some(entries) = self.content(name, read_transaction_index(&*file))? else { return Ok(()) };
        if entries.windows(2).any(|pair| pair[0].last_offset >= pair[1].last_offset) {
            self.find(name, "entries do not ascend");
        }
        let batches = self.batches.get(&base).cloned().unwrap_or_default();
        for entry in entries {
            let is_marker = |batch: &&BatchEntry| {
                let header = batch.header.filter(|header| header.attributes.is_control());
                batch.last_offset == entry.last_offset
                    && header.is_some_and(|h| h.producer_id == entry.producer_id)
            };
            if batches.iter().find(is_marker).is_none() {
                let what = format!("no marker of producer {} at {}", entry.producer_id, entry.last_offset);
                self.find(name, what);
            }
        }
        Ok(())
    }

    fn check_snapshot(&mut self, name: &str) -> Result<(), StorageError> {
        let bytes = disk::read_file(self.disk, &self.dir.join(name), SNAPSHOT_BYTES_MAX);
        let Some(bytes) = self.content(name, bytes)? else { return Ok(()) };
        if let Err(what) = read_snapshot(&bytes) {
            self.find(name, what);
        }
        Ok(())
    }

    fn check_epochs(&mut self) -> Result<(), StorageError> {
        let name = dump::LEADER_EPOCH_CHECKPOINT;
        let epochs = match dump::read_epochs(self.disk, &self.dir.join(name)) {
            Err(e) if e.is_damage() => {
                self.find(name, e.to_string());
                return Ok(());
            }
            other => other?.unwrap_or_default(),
        };
        if epochs
            .windows(2)
            .any(|pair| pair[0].epoch >= pair[1].epoch || pair[0].start_offset > pair[1].start_offset)
        {
            self.find(name, "epochs do not ascend");
        }
        let of = |offset: i64| epochs.iter().rfind(|entry: &&EpochStart| entry.start_offset <= offset);
        let all = self.batches.values().flatten();
        let wrong = all.filter_map(|batch| {
            let epoch = batch.header?.partition_leader_epoch;
            let known = of(batch.base_offset)?;
            // The checkpoint may lack the newest epochs after an unclean stop, until recovery found them.
            (epoch >= 0 && known.epoch != epoch && epochs.last().is_some_and(|last| epoch <= last.epoch))
                .then(|| format!("offset {} is of epoch {epoch}, not {}", batch.base_offset, known.epoch))
        });
        let wrong: Vec<String> = wrong.collect();
        wrong.into_iter().for_each(|what| self.find(name, what));
        Ok(())
    }
}
