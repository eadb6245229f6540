//! The offset index: where in the log file to begin to look for an offset.
//!
//! One writer (under the append lock) and any number of readers without a lock. The last entries, not yet in the file, are
//! in a ring: entry `n` is at `n` modulo its length, and is overwritten only after the file has it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::{count_entries, partition_point, read_all_entries, read_entry};
use crate::bounds::INDEX_ENTRIES_PENDING_MAX;
use crate::disk::{self, File};
use crate::error::StorageError;
use crate::files::SegmentFile;

const ENTRY_BYTES: usize = 8;
/// Entries that a search reads in one go at its end.
const ENTRIES_READ_AT_ONCE: u32 = 256;
/// The entries in the file were not counted yet.
const UNKNOWN: u32 = u32::MAX;

/// An offset and where in the log file its batch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetPosition {
    /// Last offset of the batch.
    pub offset: i64,
    /// Where the batch begins in the log file.
    pub position: u64,
}

#[derive(Debug)]
pub(crate) struct OffsetIndex {
    file: Arc<SegmentFile>,
    base_offset: i64,
    /// Entries in the file.
    written: AtomicU32,
    /// All entries.
    entries: AtomicU32,
    ring: OnceLock<Box<[AtomicU64; INDEX_ENTRIES_PENDING_MAX]>>,
}

impl OffsetIndex {
    /// An index without entries and file.
    pub(crate) fn empty(file: Arc<SegmentFile>, base_offset: i64) -> Self {
        Self::with_count(file, base_offset, 0)
    }

    /// The index in an existing file, which is looked at when needed.
    pub(crate) fn existing(file: Arc<SegmentFile>, base_offset: i64) -> Self {
        Self::with_count(file, base_offset, UNKNOWN)
    }

    fn with_count(file: Arc<SegmentFile>, base_offset: i64, count: u32) -> Self {
        let (written, entries) = (AtomicU32::new(count), AtomicU32::new(count));
        Self { file, base_offset, written, entries, ring: OnceLock::new() }
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> Result<u32, StorageError> {
        match self.entries.load(Ordering::Acquire) {
            UNKNOWN => self.count(),
            known => Ok(known),
        }
    }

    /// The last entry at or before `offset`; the segment's beginning when there is none.
    pub(crate) fn lookup(&self, offset: i64) -> Result<OffsetPosition, StorageError> {
        self.last_where(|entry| entry.offset <= offset)
    }

    /// The last entry; the segment's beginning when there is none.
    pub(crate) fn last(&self) -> Result<OffsetPosition, StorageError> {
        self.last_where(|_| true)
    }

    /// The first entry whose batch begins at or behind `position`.
    pub(crate) fn first_at_or_behind(&self, position: u64) -> Result<Option<OffsetPosition>, StorageError> {
        let below = self.count_where(|entry| entry.position < position)?;
        (below < self.len()?).then(|| self.entry(below)).transpose()
    }

    /// Adds an entry, after writing those that wait if they are many.
    pub(crate) fn append(&self, offset: i64, position: u64) -> Result<(), StorageError> {
        let count = self.len()?;
        if (count - self.written.load(Ordering::Acquire)) as usize == INDEX_ENTRIES_PENDING_MAX {
            self.write()?;
        }
        let ring =
            self.ring.get_or_init(|| Box::new([const { AtomicU64::new(0) }; INDEX_ENTRIES_PENDING_MAX]));
        let packed = ((offset - self.base_offset) as u64) << 32 | position;
        // Whoever sees this value also sees that the one before is in the file.
        ring[count as usize % INDEX_ENTRIES_PENDING_MAX].store(packed, Ordering::Release);
        self.entries.store(count + 1, Ordering::Release);
        Ok(())
    }

    /// Whether the entries in the file ascend, as they were written. A power loss may leave holes among the last ones.
    pub(crate) fn is_ascending(&self) -> Result<bool, StorageError> {
        let entries = self.read_entries(0, self.len()?.min(self.written.load(Ordering::Acquire)))?;
        Ok(entries
            .windows(2)
            .all(|pair| pair[0].offset < pair[1].offset && pair[0].position < pair[1].position))
    }

    /// Writes the entries that wait in memory.
    pub(crate) fn write(&self) -> Result<(), StorageError> {
        let (written, count) = (self.written.load(Ordering::Acquire), self.entries.load(Ordering::Acquire));
        let Some(ring) = self.ring.get().filter(|_| count != UNKNOWN && written < count) else {
            return Ok(());
        };
        let slot = |n: u32| ring[n as usize % INDEX_ENTRIES_PENDING_MAX].load(Ordering::Acquire);
        let bytes: Vec<u8> = (written..count).flat_map(|n| slot(n).to_be_bytes()).collect();
        let position = u64::from(written) * ENTRY_BYTES as u64;
        let file = self.file.handle_or_create()?;
        disk::write_all_at(&*file, &mut [io_slice(&bytes)], position)
            .map_err(|e| self.file.error("write", e))?;
        self.file.note_change();
        self.written.store(count, Ordering::Release);
        Ok(())
    }

    /// Forgets entries from `offset` on; the file is cut to what remains, also of zeros behind its entries.
    /// Readers must not use this index at the same time.
    pub(crate) fn truncate_to(&self, offset: i64) -> Result<(), StorageError> {
        self.write()?;
        let keep = self.count_where(|entry| entry.offset < offset)?;
        self.entries.store(keep, Ordering::Release);
        self.written.store(keep, Ordering::Release);
        if self.file.size()? > u64::from(keep) * ENTRY_BYTES as u64 {
            self.file.set_size(u64::from(keep) * ENTRY_BYTES as u64)?;
        }
        Ok(())
    }

    /// Forgets everything, whatever the file holds.
    pub(crate) fn clear(&self) -> Result<(), StorageError> {
        if self.file.size()? > 0 {
            self.file.set_size(0)?;
        }
        self.entries.store(0, Ordering::Release);
        self.written.store(0, Ordering::Release);
        Ok(())
    }

    /// Writes what waits, makes the file if there is none, and cuts zeros behind its entries.
    pub(crate) fn finish(&self) -> Result<(), StorageError> {
        self.write()?;
        let length = u64::from(self.len()?) * ENTRY_BYTES as u64;
        let file = self.file.handle_or_create()?;
        if file.size().map_err(|e| self.file.error("look at", e))? > length {
            self.file.set_size(length)?;
        }
        Ok(())
    }

    pub(crate) fn file(&self) -> &Arc<SegmentFile> {
        &self.file
    }

    fn count(&self) -> Result<u32, StorageError> {
        let count = match self.file.handle() {
            Ok(file) => count_entries::<ENTRY_BYTES>(&*file).map_err(|e| self.file.error("read", e))?,
            Err(e) if e.is_not_found() => 0,
            Err(e) => return Err(e),
        };
        // Another thread may have counted and the writer appended meanwhile: its numbers stand.
        let _ = self.written.compare_exchange(UNKNOWN, count, Ordering::AcqRel, Ordering::Acquire);
        match self.entries.compare_exchange(UNKNOWN, count, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(count),
            Err(newer) => Ok(newer),
        }
    }

    fn last_where(&self, is_low: impl Fn(OffsetPosition) -> bool) -> Result<OffsetPosition, StorageError> {
        match self.count_where(is_low)? {
            0 => Ok(OffsetPosition { offset: self.base_offset, position: 0 }),
            count => self.entry(count - 1),
        }
    }

    /// How many of the first entries fulfil `is_low`. Searches near the end need no read, others few.
    fn count_where(&self, is_low: impl Fn(OffsetPosition) -> bool) -> Result<u32, StorageError> {
        let len = self.len()?;
        let written = self.written.load(Ordering::Acquire).min(len);
        if written < len && (written == 0 || is_low(self.entry(written)?)) {
            let behind = partition_point(len - written, |n| Ok(is_low(self.entry(written + n)?)))?;
            return Ok(written + behind);
        }
        let (mut low, mut high) = (0, written);
        while high - low > ENTRIES_READ_AT_ONCE {
            let middle = low + (high - low) / 2;
            if is_low(self.entry(middle)?) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let entries = self.read_entries(low, high)?;
        Ok(low + entries.partition_point(|entry| is_low(*entry)) as u32)
    }

    /// Entries that are in the file.
    fn read_entries(&self, from: u32, to: u32) -> Result<Vec<OffsetPosition>, StorageError> {
        if from == to {
            return Ok(Vec::new());
        }
        let mut bytes = vec![0; (to - from) as usize * ENTRY_BYTES];
        let position = u64::from(from) * ENTRY_BYTES as u64;
        let file = self.file.handle()?;
        disk::read_exact_at(&*file, &mut bytes, position).map_err(|e| self.file.error("read", e))?;
        let (entries, _) = bytes.as_chunks::<ENTRY_BYTES>();
        Ok(entries.iter().map(|entry| unpack(self.base_offset, u64::from_be_bytes(*entry))).collect())
    }

    fn entry(&self, number: u32) -> Result<OffsetPosition, StorageError> {
        if number >= self.written.load(Ordering::Acquire)
            && let Some(ring) = self.ring.get()
        {
            let packed = ring[number as usize % INDEX_ENTRIES_PENDING_MAX].load(Ordering::Acquire);
            // Still not in the file: then the slot was not used again either.
            if number >= self.written.load(Ordering::Acquire) {
                return Ok(unpack(self.base_offset, packed));
            }
        }
        let file = self.file.handle()?;
        let bytes =
            read_entry::<ENTRY_BYTES>(&*file, u64::from(number)).map_err(|e| self.file.error("read", e))?;
        Ok(unpack(self.base_offset, u64::from_be_bytes(bytes)))
    }
}

fn unpack(base_offset: i64, packed: u64) -> OffsetPosition {
    OffsetPosition { offset: base_offset + (packed >> 32) as i64, position: packed & 0xffff_ffff }
}

fn io_slice(bytes: &[u8]) -> std::io::IoSlice<'_> {
    std::io::IoSlice::new(bytes)
}

/// All entries of an offset index file of the segment at `base_offset`, without zeros behind the last.
pub fn read_offset_index(file: &dyn File, base_offset: i64) -> std::io::Result<Vec<OffsetPosition>> {
    let entries = read_all_entries::<ENTRY_BYTES>(file)?;
    Ok(entries.into_iter().map(|entry| unpack(base_offset, u64::from_be_bytes(entry))).collect())
}
