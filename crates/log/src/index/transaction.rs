//! The transaction index: the aborted transactions whose markers are in the segment, in the markers' order.

use std::io::{self, IoSlice};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::bounds::INDEX_READ_BYTES;
use crate::disk::{self, File};
use crate::error::StorageError;
use crate::files::SegmentFile;

const ENTRY_BYTES: usize = 34;
const VERSION: i16 = 0;

/// An aborted transaction of a producer in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// The producer.
    pub producer_id: i64,
    /// Offset of its first record.
    pub first_offset: i64,
    /// Offset of the abort marker.
    pub last_offset: i64,
    /// The last stable offset right after the marker: no transaction below it was open then.
    pub last_stable_offset: i64,
}

impl AbortedTransaction {
    fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..2].copy_from_slice(&VERSION.to_be_bytes());
        let numbers = [self.producer_id, self.first_offset, self.last_offset, self.last_stable_offset];
        for (place, number) in bytes[2..].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first_chunk::<2>()?;
        let number = |n: usize| rest.get(n * 8..n * 8 + 8)?.try_into().ok().map(i64::from_be_bytes);
        let entry = Self {
            producer_id: number(0)?,
            first_offset: number(1)?,
            last_offset: number(2)?,
            last_stable_offset: number(3)?,
        };
        (i16::from_be_bytes(*version) == VERSION && entry.first_offset <= entry.last_offset).then_some(entry)
    }
}

#[derive(Debug)]
pub(crate) struct TransactionIndex {
    file: Arc<SegmentFile>,
    /// Bytes of entries, once they were looked at. Entries are few: they are read when asked for.
    length: Mutex<Option<u64>>,
}

impl TransactionIndex {
    /// An index without entries and file.
    pub(crate) fn empty(file: Arc<SegmentFile>) -> Self {
        Self { file, length: Mutex::new(Some(0)) }
    }

    /// The index in a file that may exist.
    pub(crate) fn existing(file: Arc<SegmentFile>) -> Self {
        Self { file, length: Mutex::new(None) }
    }

    pub(crate) fn append(&self, entry: AbortedTransaction) -> Result<(), StorageError> {
        let mut length = self.length.lock();
        let position = self.known(&mut length)?;
        let file = self.file.handle_or_create()?;
        disk::write_all_at(&*file, &mut [IoSlice::new(&entry.to_bytes())], position)
            .map_err(|e| self.file.error("write", e))?;
        self.file.note_change();
        *length = Some(position + ENTRY_BYTES as u64);
        Ok(())
    }

    /// All entries.
    pub(crate) fn entries(&self) -> Result<Vec<AbortedTransaction>, StorageError> {
        let length = self.known(&mut self.length.lock())?;
        if length == 0 {
            return Ok(Vec::new());
        }
        let file = self.file.handle()?;
        read_entries(&*file, length).map_err(|e| self.file.error("read", e))
    }

    /// Forgets transactions whose markers are at `offset` or later.
    pub(crate) fn truncate_to(&self, offset: i64) -> Result<(), StorageError> {
        let kept = self.entries()?.iter().take_while(|entry| entry.last_offset < offset).count();
        let mut length = self.length.lock();
        let kept = kept as u64 * ENTRY_BYTES as u64;
        if self.file.size()? > kept {
            self.file.set_size(kept)?;
        }
        *length = Some(kept);
        Ok(())
    }

    /// Forgets everything, whatever the file holds.
    pub(crate) fn clear(&self) -> Result<(), StorageError> {
        let mut length = self.length.lock();
        if self.file.size()? > 0 {
            self.file.set_size(0)?;
        }
        *length = Some(0);
        Ok(())
    }

    pub(crate) fn file(&self) -> &Arc<SegmentFile> {
        &self.file
    }

    fn known(&self, length: &mut Option<u64>) -> Result<u64, StorageError> {
        if let Some(known) = *length {
            return Ok(known);
        }
        let size = self.file.size()?;
        let whole = size - size % ENTRY_BYTES as u64;
        *length = Some(whole);
        Ok(whole)
    }
}

/// All entries of a transaction index file. An entry cut short at the end is left out; one that cannot be is an error.
pub fn read_transaction_index(file: &dyn File) -> io::Result<Vec<AbortedTransaction>> {
    read_entries(file, file.size()?)
}

fn read_entries(file: &dyn File, length: u64) -> io::Result<Vec<AbortedTransaction>> {
    let mut bytes = vec![0; length.min(INDEX_READ_BYTES) as usize];
    let read = disk::read_up_to_at(file, &mut bytes, 0)?;
    let entry = |(n, bytes)| {
        let damaged =
            || io::Error::new(io::ErrorKind::InvalidData, format!("entry {n} is no aborted transaction"));
        AbortedTransaction::from_bytes(bytes).ok_or_else(damaged)
    };
    bytes[..read].chunks_exact(ENTRY_BYTES).enumerate().map(entry).collect()
}
