//! Building batches: record by record, straight into the buffer that becomes the batch.

use crate::varint::{varint_size, varlong_size, write_varint, write_varlong};
use crate::{BatchHeader, Header, TimestampType};

/// A record to be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NewRecord<'a> {
    /// Milliseconds.
    pub timestamp: i64,
    /// The key, if any.
    pub key: Option<&'a [u8]>,
    /// The value, if any.
    pub value: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: &'a [Header<'a>],
}

/// Collects records into one batch. Deltas are relative to the first record's timestamp and to `base_offset`.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    header: BatchHeader,
    buffer: Vec<u8>,
    append_time: Option<i64>,
}

impl BatchBuilder {
    /// A batch that begins at `base_offset`: 0 for a producer.
    pub fn new(base_offset: i64) -> Self {
        Self {
            header: BatchHeader { base_offset, last_offset_delta: -1, ..BatchHeader::default() },
            buffer: vec![0; BatchHeader::SIZE],
            append_time: None,
        }
    }

    /// The idempotent or transactional producer and the sequence number of the first record.
    #[must_use]
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> Self {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = base_sequence;
        self
    }

    /// Marks the batch as part of a transaction.
    #[must_use]
    pub fn transactional(mut self, transactional: bool) -> Self {
        self.header.attributes = self.header.attributes.with_transactional(transactional);
        self
    }

    /// Marks the records as control records.
    #[must_use]
    pub fn control(mut self, control: bool) -> Self {
        self.header.attributes = self.header.attributes.with_control(control);
        self
    }

    /// The epoch of the leader that appends the batch.
    #[must_use]
    pub fn partition_leader_epoch(mut self, epoch: i32) -> Self {
        self.header.partition_leader_epoch = epoch;
        self
    }

    /// Makes it a LogAppendTime batch of this time in milliseconds.
    #[must_use]
    pub fn log_append_time(mut self, now_ms: i64) -> Self {
        self.header.attributes = self.header.attributes.with_timestamp_type(TimestampType::LogAppendTime);
        self.append_time = Some(now_ms);
        self
    }

    /// Appends a record at the next offset.
    pub fn append(&mut self, record: &NewRecord<'_>) {
        self.append_at(self.header.next_offset(), record);
    }

    /// Appends a record at an offset behind that of the last record, leaving a gap if it is not the next one.
    pub fn append_at(&mut self, offset: i64, record: &NewRecord<'_>) {
        let offset_delta = (offset - self.header.base_offset) as i32;
        if self.header.count == 0 {
            self.header.base_timestamp = record.timestamp;
            self.header.max_timestamp = record.timestamp;
        }
        let timestamp_delta = record.timestamp.wrapping_sub(self.header.base_timestamp);
        write_record(&mut self.buffer, offset_delta, timestamp_delta, record);
        self.header.max_timestamp = self.header.max_timestamp.max(record.timestamp);
        self.header.last_offset_delta = offset_delta;
        self.header.count += 1;
    }

    /// Number of records so far.
    pub fn count(&self) -> i32 {
        self.header.count
    }

    /// Whether no record was appended yet.
    pub fn is_empty(&self) -> bool {
        self.header.count == 0
    }

    /// Size of the batch so far in bytes, before compression.
    pub fn size(&self) -> usize {
        self.buffer.len()
    }

    /// Size of the batch in bytes, before compression, if `record` were appended.
    pub fn size_with(&self, record: &NewRecord<'_>) -> usize {
        let base = if self.is_empty() { record.timestamp } else { self.header.base_timestamp };
        let body =
            record_size(self.header.last_offset_delta + 1, record.timestamp.wrapping_sub(base), record);
        self.buffer.len() + varint_size(body as i32) + body
    }

    /// The batch's bytes.
    pub fn build(mut self) -> Vec<u8> {
        self.header.max_timestamp = self.append_time.unwrap_or(self.header.max_timestamp);
        self.header.length = (self.buffer.len() - BatchHeader::LOG_OVERHEAD) as i32;
        self.header.crc = self.header.compute_crc(&self.buffer[BatchHeader::SIZE..]);
        self.buffer[..BatchHeader::SIZE].copy_from_slice(&self.header.write());
        self.buffer
    }
}

/// Appends a record with its length prefix.
pub(crate) fn write_record(
    out: &mut Vec<u8>,
    offset_delta: i32,
    timestamp_delta: i64,
    record: &NewRecord<'_>,
) {
    let size = record_size(offset_delta, timestamp_delta, record);
    out.reserve(size + 5);
    write_varint(out, size as i32);
    out.push(0);
    write_varlong(out, timestamp_delta);
    write_varint(out, offset_delta);
    write_bytes(out, record.key);
    write_bytes(out, record.value);
    write_varint(out, record.headers.len() as i32);
    for header in record.headers {
        write_bytes(out, Some(header.key));
        write_bytes(out, header.value);
    }
}

fn record_size(offset_delta: i32, timestamp_delta: i64, record: &NewRecord<'_>) -> usize {
    let headers: usize =
        record.headers.iter().map(|header| bytes_size(Some(header.key)) + bytes_size(header.value)).sum();
    1 + varlong_size(timestamp_delta)
        + varint_size(offset_delta)
        + bytes_size(record.key)
        + bytes_size(record.value)
        + varint_size(record.headers.len() as i32)
        + headers
}

fn write_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    write_varint(out, bytes.map_or(-1, |bytes| bytes.len() as i32));
    out.extend_from_slice(bytes.unwrap_or_default());
}

fn bytes_size(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint_size(bytes.len() as i32) + bytes.len())
}
