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
/// Entries that a search reads in one go.
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
        let (_, found) = self.search(offset, by_offset)?;
        Ok(found.unwrap_or(self.beginning()))
    }

    /// The last entry; the segment's beginning when there is none.
    pub(crate) fn last(&self) -> Result<OffsetPosition, StorageError> {
        let last = self.len()?.checked_sub(1).map(|number| self.entry(number)).transpose()?;
        Ok(last.unwrap_or(self.beginning()))
    }

    /// The first entry whose batch begins at or behind `position`.
    pub(crate) fn first_at_or_behind(&self, position: u64) -> Result<Option<OffsetPosition>, StorageError> {
        let (below, _) = self.search(position as i64 - 1, by_position)?;
        (below < self.len()?).then(|| self.entry(below)).transpose()
    }

    /// The last entry whose batch begins at `position` or before it.
    pub(crate) fn last_at_or_before(&self, position: u64) -> Result<Option<OffsetPosition>, StorageError> {
        Ok(self.search(position as i64, by_position)?.1)
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
        if self.file.size()? == 0 {
            return Ok(true);
        }
        let file = self.file.handle()?;
        let mut entries =
            read_offset_index(&*file, self.base_offset).map_err(|e| self.file.error("read", e))?;
        entries.truncate(self.len()?.min(self.written.load(Ordering::Acquire)) as usize);
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
        let (keep, _) = self.search(offset - 1, by_offset)?;
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

    fn beginning(&self) -> OffsetPosition {
        OffsetPosition { offset: self.base_offset, position: 0 }
    }

    /// How many entries have a key of at most `bound`, and the last of them. Searches near the end need no read, others few.
    fn search(&self, bound: i64, key: Key) -> Result<(u32, Option<OffsetPosition>), StorageError> {
        let len = self.len()?;
        let written = self.written.load(Ordering::Acquire).min(len);
        let mut above = None;
        if written < len {
            let first_waiting = key(&self.entry(written)?);
            if first_waiting <= bound || written == 0 {
                let is_low = |n| Ok::<_, StorageError>(key(&self.entry(written + n)?) <= bound);
                let count = written + partition_point(len - written, is_low)?;
                return Ok((count, count.checked_sub(1).map(|n| self.entry(n)).transpose()?));
            }
            above = Some(first_waiting);
        }
        self.search_file(written, above, bound, key)
    }

    /// The same among the first entries of the file, behind which one with the key `above` follows. Keys grow about evenly, so that a guess
    /// is seldom wrong; every second step halves what is left, for where they do not.
    fn search_file(
        &self,
        count: u32,
        above: Option<i64>,
        bound: i64,
        key: Key,
    ) -> Result<(u32, Option<OffsetPosition>), StorageError> {
        let (mut low, mut high, mut found) = (0, count, None);
        let mut below = key(&self.beginning());
        let mut above = match above {
            Some(above) => above,
            None if count > ENTRIES_READ_AT_ONCE => key(&self.entry(count - 1)?),
            None => i64::MAX,
        };
        let mut halves = false;
        while low < high {
            let part =
                if halves { (1, 2) } else { (bound.saturating_sub(below), above.saturating_sub(below)) };
            let guess = low + share_of(high - low, part);
            let last_from = high.saturating_sub(ENTRIES_READ_AT_ONCE).max(low);
            let from = guess.saturating_sub(ENTRIES_READ_AT_ONCE / 2).clamp(low, last_from);
            let to = (from + ENTRIES_READ_AT_ONCE).min(high);
            let entries = self.read_entries(from, to)?;
            let lows = entries.count_up_to(bound, key);
            if let Some(last) = lows.checked_sub(1) {
                let entry = entries.get(last);
                (low, below, found) = (from + lows, key(&entry), Some(entry));
            }
            if from + lows < to {
                (high, above) = (from + lows, key(&entries.get(lows)));
            }
            halves = !halves;
        }
        Ok((low, found))
    }

    /// Entries that are in the file, no more than are read at once.
    fn read_entries(&self, from: u32, to: u32) -> Result<Entries, StorageError> {
        let mut entries = Entries {
            base_offset: self.base_offset,
            packed: [[0; ENTRY_BYTES]; ENTRIES_READ_AT_ONCE as usize],
            count: to - from,
        };
        let bytes = entries.packed[..entries.count as usize].as_flattened_mut();
        let position = u64::from(from) * ENTRY_BYTES as u64;
        let file = self.file.handle()?;
        disk::read_exact_at(&*file, bytes, position).map_err(|e| self.file.error("read", e))?;
        Ok(entries)
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

/// What a search goes by; it ascends from entry to entry.
type Key = fn(&OffsetPosition) -> i64;

fn by_offset(entry: &OffsetPosition) -> i64 {
    entry.offset
}

fn by_position(entry: &OffsetPosition) -> i64 {
    entry.position as i64
}

/// Where `part` of a whole lies in a range of `len`; its end for more than the whole.
fn share_of(len: u32, (part, whole): (i64, i64)) -> u32 {
    let (part, whole) = (part.max(0) as u128, whole.max(1) as u128);
    (u128::from(len) * part / whole).min(u128::from(len)) as u32
}

/// Some entries as they are in the file.
struct Entries {
    base_offset: i64,
    packed: [[u8; ENTRY_BYTES]; ENTRIES_READ_AT_ONCE as usize],
    count: u32,
}

impl Entries {
    fn get(&self, at: u32) -> OffsetPosition {
        unpack(self.base_offset, u64::from_be_bytes(self.packed[at as usize]))
    }

    fn count_up_to(&self, bound: i64, key: Key) -> u32 {
        let entries = &self.packed[..self.count as usize];
        let is_low =
            |packed: &[u8; ENTRY_BYTES]| key(&unpack(self.base_offset, u64::from_be_bytes(*packed))) <= bound;
        entries.partition_point(is_low) as u32
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;
    use crate::files::{Home, OpenFiles};
    use crate::names::FileKind;

    /// An index of a segment at 100 with these relative offsets, its positions a thousand apart; and the folder it is in.
    fn index(offsets: &[i64]) -> (OffsetIndex, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(Arc::new(RealDisk), OpenFiles::new(10), folder.path().to_owned());
        let index = OffsetIndex::empty(SegmentFile::new(&home, 100, FileKind::OffsetIndex), 100);
        for (number, offset) in offsets.iter().enumerate() {
            index.append(100 + offset, number as u64 * 1000).unwrap();
        }
        (index, folder)
    }

    #[test]
    fn searches_find_what_a_walk_finds_however_offsets_are_spread() {
        let even = |n: i64| n * 3 + 1;
        let late = |n: i64| n * n / 7 + n;
        let gap = |n: i64| if n < 2000 { n + 1 } else { 400_000_000 + n };
        for spread in [even, late, gap] {
            let offsets: Vec<i64> = (1..5000).map(spread).collect();
            let (index, _folder) = index(&offsets);
            for written in [false, true] {
                if written {
                    index.write().unwrap();
                }
                for probe in offsets.iter().step_by(97).flat_map(|offset| offset - 1..=offset + 1) {
                    let count = offsets.iter().take_while(|offset| **offset <= probe).count();
                    let found = index.lookup(100 + probe).unwrap();
                    let expected = match count {
                        0 => OffsetPosition { offset: 100, position: 0 },
                        _ => OffsetPosition {
                            offset: 100 + offsets[count - 1],
                            position: (count as u64 - 1) * 1000,
                        },
                    };
                    assert_eq!(found, expected);
                    let behind = index.first_at_or_behind(found.position + 1).unwrap();
                    let next = if count == 0 { 1 } else { count };
                    assert_eq!(behind.map(|entry| entry.offset - 100), offsets.get(next).copied());
                }
            }
        }
    }
}
