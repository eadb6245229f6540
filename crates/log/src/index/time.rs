//! The time index: the largest timestamp seen so far and the offset it is at.
//!
//! Timestamps ascend; an entry says that no batch up to its offset has a larger timestamp.

use std::io::{self, IoSlice};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{count_entries, partition_point, read_all_entries, read_entry};
use crate::bounds::INDEX_ENTRIES_PENDING_MAX;
use crate::disk::{self, File};
use crate::error::StorageError;
use crate::files::SegmentFile;

const ENTRY_BYTES: usize = 12;

/// A timestamp in milliseconds and the last offset of the batch that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    /// The timestamp, −1 for none.
    pub timestamp: i64,
    /// The offset.
    pub offset: i64,
}

#[derive(Debug)]
pub(crate) struct TimeIndex {
    file: Arc<SegmentFile>,
    base_offset: i64,
    /// Taken by the appender when it adds an entry, and by searches for a timestamp; a read by offset does not need it.
    state: Mutex<Option<Loaded>>,
}

#[derive(Debug, Default)]
struct Loaded {
    /// Entries in the file.
    written: u32,
    /// Entries behind those.
    pending: Vec<TimestampOffset>,
    last: Option<TimestampOffset>,
}

impl TimeIndex {
    /// An index without entries and file.
    pub(crate) fn empty(file: Arc<SegmentFile>, base_offset: i64) -> Self {
        Self { file, base_offset, state: Mutex::new(Some(Loaded::default())) }
    }

    /// The index in an existing file, which is looked at when needed.
    pub(crate) fn existing(file: Arc<SegmentFile>, base_offset: i64) -> Self {
        Self { file, base_offset, state: Mutex::new(None) }
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> Result<u32, StorageError> {
        self.with(|loaded| Ok(loaded.len()))
    }

    /// The last entry; timestamp −1 at the segment's beginning when there is none.
    pub(crate) fn last(&self) -> Result<TimestampOffset, StorageError> {
        let none = TimestampOffset { timestamp: -1, offset: self.base_offset };
        self.with(|loaded| Ok(loaded.last.unwrap_or(none)))
    }

    /// The last entry whose timestamp is at most `timestamp`.
    pub(crate) fn lookup(&self, timestamp: i64) -> Result<Option<TimestampOffset>, StorageError> {
        self.with(|loaded| {
            let low = partition_point(loaded.len(), |n| Ok(self.entry(loaded, n)?.timestamp <= timestamp))?;
            low.checked_sub(1).map(|n| self.entry(loaded, n)).transpose()
        })
    }

    /// Whether the entries in the file ascend, as they were written. A power loss may leave holes among the last ones.
    pub(crate) fn is_ascending(&self) -> Result<bool, StorageError> {
        if self.file.size()? == 0 {
            return Ok(true);
        }
        let file = self.file.handle()?;
        let entries = read_time_index(&*file, self.base_offset).map_err(|e| self.file.error("read", e))?;
        Ok(entries
            .windows(2)
            .all(|pair| pair[0].timestamp < pair[1].timestamp && pair[0].offset <= pair[1].offset))
    }

    /// Adds an entry if its timestamp is larger than the last one's.
    pub(crate) fn append(&self, entry: TimestampOffset) -> Result<(), StorageError> {
        self.with(|loaded| {
            let last = loaded.last.unwrap_or(TimestampOffset { timestamp: -1, offset: self.base_offset });
            if entry.timestamp <= last.timestamp || entry.offset < last.offset {
                return Ok(());
            }
            if loaded.pending.len() == INDEX_ENTRIES_PENDING_MAX {
                self.write_pending(loaded)?;
            }
            loaded.pending.push(entry);
            loaded.last = Some(entry);
            Ok(())
        })
    }

    /// Forgets entries of `offset` and later; the file is cut to what remains, also of zeros behind its entries.
    pub(crate) fn truncate_to(&self, offset: i64) -> Result<(), StorageError> {
        self.with(|loaded| {
            self.write_pending(loaded)?;
            let keep = partition_point(loaded.len(), |n| Ok(self.entry(loaded, n)?.offset < offset))?;
            loaded.last = keep.checked_sub(1).map(|n| self.entry(loaded, n)).transpose()?;
            loaded.written = keep;
            if self.file.size()? > u64::from(keep) * ENTRY_BYTES as u64 {
                self.file.set_size(u64::from(keep) * ENTRY_BYTES as u64)?;
            }
            Ok(())
        })
    }

    /// Forgets everything, whatever the file holds.
    pub(crate) fn clear(&self) -> Result<(), StorageError> {
        let mut state = self.state.lock();
        if self.file.size()? > 0 {
            self.file.set_size(0)?;
        }
        *state = Some(Loaded::default());
        Ok(())
    }

    /// Writes what waits, makes the file if there is none, and cuts zeros behind its entries.
    pub(crate) fn finish(&self) -> Result<(), StorageError> {
        self.with(|loaded| {
            self.write_pending(loaded)?;
            let length = u64::from(loaded.written) * ENTRY_BYTES as u64;
            let file = self.file.handle_or_create()?;
            if file.size().map_err(|e| self.file.error("look at", e))? > length {
                self.file.set_size(length)?;
            }
            Ok(())
        })
    }

    pub(crate) fn file(&self) -> &Arc<SegmentFile> {
        &self.file
    }

    fn with<T>(&self, act: impl FnOnce(&mut Loaded) -> Result<T, StorageError>) -> Result<T, StorageError> {
        let mut state = self.state.lock();
        if let Some(loaded) = &mut *state {
            return act(loaded);
        }
        act(state.insert(self.load()?))
    }

    fn load(&self) -> Result<Loaded, StorageError> {
        let written = match self.file.handle() {
            Ok(file) => count_entries::<ENTRY_BYTES>(&*file).map_err(|e| self.file.error("read", e))?,
            Err(e) if e.is_not_found() => 0,
            Err(e) => return Err(e),
        };
        let mut loaded = Loaded { written, ..Loaded::default() };
        loaded.last = written.checked_sub(1).map(|n| self.entry(&loaded, n)).transpose()?;
        Ok(loaded)
    }

    fn entry(&self, loaded: &Loaded, number: u32) -> Result<TimestampOffset, StorageError> {
        if let Some(pending) = number.checked_sub(loaded.written) {
            return Ok(loaded.pending[pending as usize]);
        }
        let file = self.file.handle()?;
        let bytes = read_entry(&*file, u64::from(number)).map_err(|e| self.file.error("read", e))?;
        Ok(unpack(self.base_offset, bytes))
    }

    fn write_pending(&self, loaded: &mut Loaded) -> Result<(), StorageError> {
        if loaded.pending.is_empty() {
            return Ok(());
        }
        let bytes: Vec<u8> = loaded.pending.iter().flat_map(|entry| pack(self.base_offset, *entry)).collect();
        let position = u64::from(loaded.written) * ENTRY_BYTES as u64;
        let file = self.file.handle_or_create()?;
        disk::write_all_at(&*file, &mut [IoSlice::new(&bytes)], position)
            .map_err(|e| self.file.error("write", e))?;
        self.file.note_change();
        loaded.written += loaded.pending.len() as u32;
        loaded.pending.clear();
        Ok(())
    }
}

impl Loaded {
    fn len(&self) -> u32 {
        self.written + self.pending.len() as u32
    }
}

fn pack(base_offset: i64, entry: TimestampOffset) -> [u8; ENTRY_BYTES] {
    let mut bytes = [0; ENTRY_BYTES];
    bytes[..8].copy_from_slice(&entry.timestamp.to_be_bytes());
    bytes[8..].copy_from_slice(&((entry.offset - base_offset) as u32).to_be_bytes());
    bytes
}

fn unpack(base_offset: i64, bytes: [u8; ENTRY_BYTES]) -> TimestampOffset {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
    TimestampOffset {
        timestamp: i64::from_be_bytes([a, b, c, d, e, f, g, h]),
        offset: base_offset + i64::from(u32::from_be_bytes([i, j, k, l])),
    }
}

/// All entries of a time index file of the segment at `base_offset`, without zeros behind the last.
pub fn read_time_index(file: &dyn File, base_offset: i64) -> io::Result<Vec<TimestampOffset>> {
    let entries = read_all_entries::<ENTRY_BYTES>(file)?;
    Ok(entries.into_iter().map(|entry| unpack(base_offset, entry)).collect())
}
