//! A batch on its way into a log.

use std::borrow::Cow;

use crate::{BatchHeader, TimestampType, crc_shift};

/// A batch that may be appended, once its base offset and leader epoch are stamped into it. The header is held
/// apart, so that stamping and writing (`pwritev` of header and body) copy no records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedBatch<'a> {
    header: BatchHeader,
    /// The whole batch; what stands in the header's place is not looked at.
    bytes: Cow<'a, [u8]>,
}

impl<'a> AcceptedBatch<'a> {
    pub(crate) fn new(header: BatchHeader, bytes: Cow<'a, [u8]>) -> Self {
        debug_assert_eq!(header.size(), bytes.len());
        Self { header, bytes }
    }

    /// The header as it will be written.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The records as they will be written.
    pub fn body(&self) -> &[u8] {
        &self.bytes[BatchHeader::SIZE..]
    }

    /// Size of the batch in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the records were rewritten, and not taken over as they came.
    pub fn is_rebuilt(&self) -> bool {
        matches!(self.bytes, Cow::Owned(_))
    }

    /// Gives the batch its place in the log. The CRC does not cover these fields.
    pub fn stamp(&mut self, base_offset: i64, partition_leader_epoch: i32) {
        self.header.base_offset = base_offset;
        self.header.partition_leader_epoch = partition_leader_epoch;
    }

    /// The whole batch, copied unless its buffer is its own.
    pub fn into_bytes(self) -> Vec<u8> {
        let mut bytes = self.bytes.into_owned();
        bytes[..BatchHeader::SIZE].copy_from_slice(&self.header.write());
        bytes
    }

    /// Sets timestamp type and maximum timestamp, and brings the CRC up to date without reading the records.
    pub(crate) fn set_max_timestamp(&mut self, timestamp_type: TimestampType, max_timestamp: i64) {
        let before = self.header.compute_crc(&[]);
        self.header.attributes = self.header.attributes.with_timestamp_type(timestamp_type);
        self.header.max_timestamp = max_timestamp;
        let after = self.header.compute_crc(&[]);
        self.header.crc ^= crc_shift::shifted(before ^ after, self.body().len());
    }
}

#[cfg(test)]
mod tests {
    use crate::{BatchBuilder, NewRecord, TimestampType};

    #[test]
    fn the_crc_follows_the_maximum_timestamp() {
        for len in [0, 1, 100, 70_000] {
            let value = vec![len as u8; len];
            let mut builder = BatchBuilder::new(0);
            builder.append(&NewRecord { timestamp: 5, value: Some(&value), ..NewRecord::default() });
            let mut batch = builder.finish();
            batch.set_max_timestamp(TimestampType::LogAppendTime, 1_700_000_000_000);
            assert_eq!(batch.header().crc, batch.header().compute_crc(batch.body()));
            assert_eq!(batch.header().attributes.0, 8);
        }
    }
}
