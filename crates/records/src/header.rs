//! The fixed 61 bytes at the front of every v2 batch.

use thiserror::Error;

use crate::{
    Attributes, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, NO_TIMESTAMP,
};

/// Why bytes are not a v2 batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BatchError {
    /// The length field cannot be true for a batch of its magic.
    #[error("batch length {length} is below the minimum of {minimum}")]
    Length {
        /// What the length field says.
        length: i32,
        /// The smallest length that a batch of this magic can have.
        minimum: i32,
    },
    /// The bytes end before the batch does.
    #[error("batch needs {needed} bytes, but only {available} are here")]
    Truncated {
        /// Size of the batch, or of its header while that is incomplete.
        needed: usize,
        /// Bytes that are here.
        available: usize,
    },
    /// The magic byte names a format that is not expected here.
    #[error("unexpected batch magic {0}")]
    Magic(i8),
    /// The stored checksum is not that of the bytes.
    #[error("batch is corrupt: stored CRC {stored:08x}, computed {computed:08x}")]
    Crc {
        /// The checksum in the header.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
}

/// The header of a batch, field by field, without the magic byte, which is always [`BatchHeader::MAGIC`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record that the batch was made with; the log stamps it.
    pub base_offset: i64,
    /// Bytes behind this field: the batch's size without its first twelve bytes.
    pub length: i32,
    /// Epoch of the leader that appended the batch; the log stamps it.
    pub partition_leader_epoch: i32,
    /// CRC-32C of everything from the attributes to the end of the body.
    pub crc: u32,
    /// Codec, timestamp type and flags.
    pub attributes: Attributes,
    /// Distance from the base offset to the last offset; survives compaction.
    pub last_offset_delta: i32,
    /// What the records' timestamps are relative to, in milliseconds; the delete horizon when its bit is set.
    pub base_timestamp: i64,
    /// Largest timestamp of the records, in milliseconds; under LogAppendTime the timestamp of them all.
    pub max_timestamp: i64,
    /// Idempotent or transactional producer, or [`NO_PRODUCER_ID`].
    pub producer_id: i64,
    /// The producer's epoch, or [`NO_PRODUCER_EPOCH`].
    pub producer_epoch: i16,
    /// Sequence number of the first record, or [`NO_SEQUENCE`].
    pub base_sequence: i32,
    /// Number of records in the body.
    pub count: i32,
}

impl Default for BatchHeader {
    /// The header of an empty batch without producer, epoch and timestamps; its CRC is not computed.
    fn default() -> Self {
        Self {
            base_offset: 0,
            length: Self::LENGTH_MIN,
            partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
            crc: 0,
            attributes: Attributes::default(),
            last_offset_delta: 0,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            base_sequence: NO_SEQUENCE,
            count: 0,
        }
    }
}

impl BatchHeader {
    /// Bytes of a header.
    pub const SIZE: usize = 61;
    /// The format that this header belongs to.
    pub const MAGIC: i8 = 2;
    /// Where the magic byte is, in this and every older format.
    pub const MAGIC_AT: usize = 16;
    /// Bytes in front of those that the length field counts: base offset and length.
    pub const LOG_OVERHEAD: usize = 12;
    /// Where the bytes begin that the CRC covers.
    pub const ATTRIBUTES_AT: usize = 21;
    /// The length of a batch without records.
    pub const LENGTH_MIN: i32 = (Self::SIZE - Self::LOG_OVERHEAD) as i32;

    /// Reads the header at the front of `bytes`, which need not hold the body. The CRC is not checked.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        if let Some(&magic) = bytes.get(Self::MAGIC_AT)
            && magic as i8 != Self::MAGIC
        {
            return Err(BatchError::Magic(magic as i8));
        }
        let Some(bytes) = bytes.first_chunk::<{ Self::SIZE }>() else {
            return Err(BatchError::Truncated { needed: Self::SIZE, available: bytes.len() });
        };
        let header = Self::read(bytes);
        if header.length < Self::LENGTH_MIN {
            return Err(BatchError::Length { length: header.length, minimum: Self::LENGTH_MIN });
        }
        Ok(header)
    }

    fn read(bytes: &[u8; Self::SIZE]) -> Self {
        Self {
            base_offset: i64::from_be_bytes(field(bytes, 0)),
            length: i32::from_be_bytes(field(bytes, 8)),
            partition_leader_epoch: i32::from_be_bytes(field(bytes, 12)),
            crc: u32::from_be_bytes(field(bytes, 17)),
            attributes: Attributes(i16::from_be_bytes(field(bytes, 21))),
            last_offset_delta: i32::from_be_bytes(field(bytes, 23)),
            base_timestamp: i64::from_be_bytes(field(bytes, 27)),
            max_timestamp: i64::from_be_bytes(field(bytes, 35)),
            producer_id: i64::from_be_bytes(field(bytes, 43)),
            producer_epoch: i16::from_be_bytes(field(bytes, 51)),
            base_sequence: i32::from_be_bytes(field(bytes, 53)),
            count: i32::from_be_bytes(field(bytes, 57)),
        }
    }

    /// The header's bytes, with the CRC as it stands in `self`.
    pub fn write(&self) -> [u8; Self::SIZE] {
        let mut out = [0; Self::SIZE];
        out[0..8].copy_from_slice(&self.base_offset.to_be_bytes());
        out[8..12].copy_from_slice(&self.length.to_be_bytes());
        out[12..16].copy_from_slice(&self.partition_leader_epoch.to_be_bytes());
        out[16] = Self::MAGIC as u8;
        out[17..21].copy_from_slice(&self.crc.to_be_bytes());
        out[21..23].copy_from_slice(&self.attributes.0.to_be_bytes());
        out[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        out[27..35].copy_from_slice(&self.base_timestamp.to_be_bytes());
        out[35..43].copy_from_slice(&self.max_timestamp.to_be_bytes());
        out[43..51].copy_from_slice(&self.producer_id.to_be_bytes());
        out[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        out[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        out[57..61].copy_from_slice(&self.count.to_be_bytes());
        out
    }

    /// The CRC-32C of a batch of this header and `body`.
    pub fn compute_crc(&self, body: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.write()[Self::ATTRIBUTES_AT..]), body)
    }

    /// Size of the whole batch in bytes.
    pub fn size(&self) -> usize {
        Self::LOG_OVERHEAD + self.length.max(0) as usize
    }

    /// Offset of the last record that the batch was made with.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.wrapping_add(i64::from(self.last_offset_delta))
    }

    /// The offset behind the batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().wrapping_add(1)
    }

    /// Sequence number of the last record, or [`NO_SEQUENCE`].
    pub fn last_sequence(&self) -> i32 {
        match self.base_sequence {
            NO_SEQUENCE => NO_SEQUENCE,
            base => increment_sequence(base, self.last_offset_delta),
        }
    }

    /// Whether an idempotent or transactional producer wrote the batch.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id > NO_PRODUCER_ID
    }

    /// When tombstones and markers of this batch may go, in milliseconds (KIP-534).
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        self.attributes.has_delete_horizon().then_some(self.base_timestamp)
    }
}

/// The sequence number `increment` behind `sequence`: after `i32::MAX` comes 0.
pub fn increment_sequence(sequence: i32, increment: i32) -> i32 {
    (i64::from(sequence) + i64::from(increment)).rem_euclid(1 << 31) as i32
}

fn field<const N: usize>(bytes: &[u8; BatchHeader::SIZE], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(increment_sequence(i32::MAX, 1), 0);
        assert_eq!(increment_sequence(i32::MAX - 1, 3), 1);
        assert_eq!(increment_sequence(5, 0), 5);
    }

    #[test]
    fn a_header_is_written_as_it_was_read() {
        let header = BatchHeader {
            base_offset: 1 << 40,
            length: 100,
            partition_leader_epoch: 7,
            crc: 0xdead_beef,
            attributes: Attributes(0x34),
            last_offset_delta: 9,
            base_timestamp: 11,
            max_timestamp: 12,
            producer_id: 13,
            producer_epoch: 14,
            base_sequence: 15,
            count: 10,
        };
        assert_eq!(BatchHeader::parse(&header.write()), Ok(header));
        assert_eq!(header.size(), 112);
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let good = BatchHeader::default().write();
        let mut old = good;
        old[16] = 1;
        assert_eq!(BatchHeader::parse(&old), Err(BatchError::Magic(1)));
        assert_eq!(BatchHeader::parse(&good[..60]), Err(BatchError::Truncated { needed: 61, available: 60 }));
        let short = BatchHeader { length: 48, ..BatchHeader::default() };
        assert_eq!(BatchHeader::parse(&short.write()), Err(BatchError::Length { length: 48, minimum: 49 }));
    }
}
