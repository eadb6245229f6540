//! Walking over the batches of a log file: headers only, or whole batches with their checksums verified.
//!
//! Files of old clusters may hold message sets of magic 0 and 1. They are walked as batches of one entry whose
//! first offset is not known: their offset field is that of the last message.

use klamm_records::{AnyBatch, BatchHeader};
use thiserror::Error;

use crate::bounds::{BATCH_BYTES_MAX, SCAN_BYTES};
use crate::disk::{self, File};

/// What the log needs to know of a batch: where it is in the log, and its header if it is of the current format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchEntry {
    /// Where it begins in the file.
    pub position: u64,
    /// All of its bytes.
    pub size: u64,
    /// Offset of its first record; for magic 0 and 1 the same as the last.
    pub base_offset: i64,
    /// Offset of its last record.
    pub last_offset: i64,
    /// Largest timestamp, −1 for magic 0.
    pub max_timestamp: i64,
    /// The header; `None` for magic 0 and 1.
    pub header: Option<BatchHeader>,
}

impl BatchEntry {
    /// Where it ends in the file.
    pub fn end(&self) -> u64 {
        self.position + self.size
    }

    /// The offset behind it.
    pub fn next_offset(&self) -> i64 {
        self.last_offset + 1
    }

    fn parse(position: u64, bytes: &[u8]) -> Result<Self, String> {
        let magic = *bytes.get(BatchHeader::MAGIC_AT).ok_or("the file ends within a batch")? as i8;
        if magic == BatchHeader::MAGIC {
            let header = BatchHeader::parse(bytes).map_err(|e| e.to_string())?;
            Self::from_header(position, header)
        } else {
            Self::parse_old(position, magic, bytes)
        }
    }

    /// The entry of a batch at `position`; an error when its offsets or size are impossible.
    pub(crate) fn from_header(position: u64, header: BatchHeader) -> Result<Self, String> {
        let (base_offset, last_offset) = (header.base_offset, header.last_offset());
        if base_offset < 0 || last_offset < base_offset {
            return Err(format!("a batch from offset {base_offset} to {last_offset} is impossible"));
        }
        Ok(Self {
            position,
            size: header.size() as u64,
            base_offset,
            last_offset,
            max_timestamp: header.max_timestamp,
            header: Some(header),
        })
    }

    fn parse_old(position: u64, magic: i8, bytes: &[u8]) -> Result<Self, String> {
        let smallest = match magic {
            0 => 14,
            1 => 22,
            other => return Err(format!("magic {other} is no known format")),
        };
        let number =
            |at: usize| bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map(i64::from_be_bytes);
        let offset = number(0).ok_or("the file ends within a message")?;
        let length = bytes.get(8..12).and_then(|b| b.try_into().ok()).map_or(0, i32::from_be_bytes);
        let max_timestamp =
            if magic == 0 { -1 } else { number(18).ok_or("the file ends within a message")? };
        if offset < 0 || length < smallest {
            return Err(format!("a message at offset {offset} of length {length} is impossible"));
        }
        Ok(Self {
            position,
            size: BatchHeader::LOG_OVERHEAD as u64 + length as u64,
            base_offset: offset,
            last_offset: offset,
            max_timestamp,
            header: None,
        })
    }
}

/// Why a walk could not go on.
#[derive(Debug, Error)]
pub enum ScanError {
    /// The file could not be read.
    #[error("cannot read at byte {position}: {source}")]
    Read {
        /// Where.
        position: u64,
        /// The system's answer.
        source: std::io::Error,
    },
    /// What is there is no batch, or one that is damaged.
    #[error("no valid batch at byte {position}: {what}")]
    Malformed {
        /// Where the batch begins.
        position: u64,
        /// What is wrong with it.
        what: String,
    },
}

/// Walks headers from a position to an end, reading a few kilobytes at a time and skipping bodies.
pub struct Headers<'a> {
    file: &'a dyn File,
    position: u64,
    end: u64,
    buffer: [u8; SCAN_BYTES],
    buffered_at: u64,
    buffered: usize,
}

impl<'a> Headers<'a> {
    /// A walk over the batches from `position`, where one begins, up to `end`.
    pub fn new(file: &'a dyn File, position: u64, end: u64) -> Self {
        Self { file, position, end, buffer: [0; SCAN_BYTES], buffered_at: 0, buffered: 0 }
    }

    /// The next batch; `None` at the end.
    pub fn next_batch(&mut self) -> Result<Option<BatchEntry>, ScanError> {
        let left = self.end.saturating_sub(self.position);
        if left == 0 {
            return Ok(None);
        }
        let position = self.position;
        let wanted = left.min(BatchHeader::SIZE as u64) as usize;
        let bytes = self.peek(wanted).map_err(|source| ScanError::Read { position, source })?;
        let entry =
            BatchEntry::parse(position, bytes).map_err(|what| ScanError::Malformed { position, what })?;
        if entry.size > left {
            let what = format!("the batch has {} bytes, but only {left} are there", entry.size);
            return Err(ScanError::Malformed { position, what });
        }
        self.position = entry.end();
        Ok(Some(entry))
    }

    fn peek(&mut self, wanted: usize) -> std::io::Result<&[u8]> {
        let inside = self
            .position
            .checked_sub(self.buffered_at)
            .filter(|at| at + wanted as u64 <= self.buffered as u64);
        let at = match inside {
            Some(at) => at as usize,
            None => {
                let room = (self.end - self.position).min(SCAN_BYTES as u64) as usize;
                self.buffered = disk::read_up_to_at(self.file, &mut self.buffer[..room], self.position)?;
                self.buffered_at = self.position;
                0
            }
        };
        Ok(&self.buffer[at..self.buffered.min(at + wanted)])
    }
}

/// Walks whole batches and verifies each; what it returns is intact.
pub struct Batches<'a> {
    file: &'a dyn File,
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    buffered_at: u64,
}

impl<'a> Batches<'a> {
    /// A walk over the batches from `position`, where one begins, up to `end`.
    pub fn new(file: &'a dyn File, position: u64, end: u64) -> Self {
        Self { file, position, end, buffer: Vec::new(), buffered_at: position }
    }

    /// The next batch and its bytes; `None` at the end.
    pub fn next_batch(&mut self) -> Result<Option<(BatchEntry, &[u8])>, ScanError> {
        let (position, left) = (self.position, self.end.saturating_sub(self.position));
        if left == 0 {
            return Ok(None);
        }
        let malformed = |what| ScanError::Malformed { position, what };
        let read = |source| ScanError::Read { position, source };
        let head = left.min(BatchHeader::SIZE as u64);
        self.fill(head).map_err(read)?;
        let entry = BatchEntry::parse(position, self.bytes(head)).map_err(malformed)?;
        if entry.size > left || entry.size > BATCH_BYTES_MAX {
            let what = format!("the batch has {} bytes, but only {left} are there", entry.size);
            return Err(malformed(what));
        }
        self.fill(entry.size).map_err(read)?;
        self.position = entry.end();
        let at = (position - self.buffered_at) as usize;
        let bytes = &self.buffer[at..at + entry.size as usize];
        AnyBatch::parse(bytes).and_then(|batch| batch.check_crc()).map_err(|e| malformed(e.to_string()))?;
        Ok(Some((entry, bytes)))
    }

    fn bytes(&self, length: u64) -> &[u8] {
        let at = (self.position - self.buffered_at) as usize;
        &self.buffer[at..at + length as usize]
    }

    /// Has `length` bytes from the position in the buffer, reading ahead where it reads at all.
    fn fill(&mut self, length: u64) -> std::io::Result<()> {
        let at = (self.position - self.buffered_at) as usize;
        if at + length as usize <= self.buffer.len() {
            return Ok(());
        }
        self.buffer.drain(..at);
        self.buffered_at = self.position;
        let kept = self.buffer.len();
        let size = length.max(crate::bounds::RECOVERY_READ_BYTES).min(self.end - self.position);
        self.buffer.resize(size as usize, 0);
        let result = disk::read_exact_at(self.file, &mut self.buffer[kept..], self.position + kept as u64);
        if result.is_err() {
            self.buffer.truncate(kept);
        }
        result
    }
}
