//! Building batches: record by record, straight into the buffer that becomes the batch.

use std::borrow::Cow;

use crate::record::Headers;
use crate::varint::{varint_size, varlong_size, write_varint, write_varlong};
use crate::{AcceptedBatch, BatchHeader, Codec, Compression, Header, NO_TIMESTAMP, Record, TimestampType};

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

/// Collects records into one batch. Deltas are relative to the first record's timestamp and to the base offset.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    header: BatchHeader,
    buffer: Vec<u8>,
    codec: Codec,
    /// Time of a LogAppendTime batch.
    append_time: Option<i64>,
    /// Last offset that the batch covers even if its last record has a smaller one.
    last_offset: Option<i64>,
}

impl BatchBuilder {
    /// A batch that begins at `base_offset`: 0 for a producer.
    pub fn new(base_offset: i64) -> Self {
        Self::with_header(BatchHeader { base_offset, last_offset_delta: -1, ..BatchHeader::default() })
    }

    /// A batch that takes the place of another, for compaction: same offsets, producer, epoch, flags and codec,
    /// and whichever of its records are appended. Without any it becomes an empty batch.
    pub fn rewriting(header: &BatchHeader) -> Self {
        let append_time = header.attributes.timestamp_type() == TimestampType::LogAppendTime;
        let attributes = header.attributes.with_delete_horizon(false);
        let codec = attributes.compression().unwrap_or_default();
        let empty = BatchHeader {
            attributes,
            last_offset_delta: -1,
            base_timestamp: NO_TIMESTAMP,
            count: 0,
            ..*header
        };
        Self {
            append_time: append_time.then_some(header.max_timestamp),
            last_offset: Some(header.last_offset()),
            ..Self::with_header(empty)
        }
        .codec(codec)
    }

    fn with_header(header: BatchHeader) -> Self {
        Self {
            header,
            buffer: vec![0; BatchHeader::SIZE],
            codec: Codec::new(Compression::None),
            append_time: None,
            last_offset: None,
        }
    }

    /// Compresses the body with this codec.
    #[must_use]
    pub fn codec(mut self, codec: impl Into<Codec>) -> Self {
        self.codec = codec.into();
        self.header.attributes = self.header.attributes.with_compression(self.codec.compression());
        self
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

    /// Sets when the batch's tombstones and markers may go, in milliseconds (KIP-534). To be called before the first
    /// record: timestamps become relative to it.
    #[must_use]
    pub fn delete_horizon_ms(mut self, horizon_ms: i64) -> Self {
        debug_assert!(self.is_empty(), "records already refer to the base timestamp");
        self.header.attributes = self.header.attributes.with_delete_horizon(true);
        self.header.base_timestamp = horizon_ms;
        self
    }

    /// Appends a record at the next offset.
    pub fn append(&mut self, record: &NewRecord<'_>) {
        self.push(self.header.next_offset(), &Fields::from(record));
    }

    /// Appends a record at an offset behind that of the last record, leaving a gap if it is not the next one.
    pub fn append_at(&mut self, offset: i64, record: &NewRecord<'_>) {
        self.push(offset, &Fields::from(record));
    }

    /// Appends a record of another batch at the offset it has there.
    pub fn retain(&mut self, record: &Record<'_>) {
        self.push(record.offset, &Fields::from(record));
    }

    /// Appends a record of another batch at the next offset.
    pub(crate) fn renumber(&mut self, record: &Record<'_>) {
        self.push(self.header.next_offset(), &Fields::from(record));
    }

    fn push(&mut self, offset: i64, fields: &Fields<'_>) {
        if self.is_empty() {
            self.header.max_timestamp = NO_TIMESTAMP;
            self.header.base_timestamp = self.base_timestamp(fields);
        }
        debug_assert!(offset >= self.header.next_offset(), "offsets ascend");
        let offset_delta = (offset - self.header.base_offset) as i32;
        fields.write(&mut self.buffer, offset_delta, self.header.base_timestamp);
        self.header.max_timestamp = self.header.max_timestamp.max(fields.timestamp);
        self.header.last_offset_delta = offset_delta;
        self.header.count += 1;
    }

    /// What timestamps are relative to if `fields` is the next record.
    fn base_timestamp(&self, fields: &Fields<'_>) -> i64 {
        if self.is_empty() && !self.header.attributes.has_delete_horizon() {
            fields.timestamp
        } else {
            self.header.base_timestamp
        }
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
        let fields = Fields::from(record);
        let body = fields.size(self.header.last_offset_delta + 1, self.base_timestamp(&fields));
        self.buffer.len() + varint_size(body as i32) + body
    }

    /// The batch, ready to be stamped and appended to a log.
    pub fn finish(mut self) -> AcceptedBatch<'static> {
        if self.is_empty() {
            self.header.attributes =
                self.header.attributes.with_compression(Compression::None).with_delete_horizon(false);
            self.header.base_timestamp = NO_TIMESTAMP;
            self.header.last_offset_delta = 0;
        } else {
            self.compress();
        }
        if let Some(last_offset) = self.last_offset {
            self.header.last_offset_delta = (last_offset - self.header.base_offset) as i32;
        }
        self.seal()
    }

    /// The batch of the records of another one, whose uncompressed `body` is taken as it is: their offsets have no gaps,
    /// and their timestamps are relative to that of the first.
    pub(crate) fn finish_encoded(
        mut self,
        body: &[u8],
        source: &BatchHeader,
        max_timestamp: i64,
    ) -> AcceptedBatch<'static> {
        debug_assert!(self.is_empty(), "the records of one batch");
        self.header.base_timestamp = source.base_timestamp;
        self.header.max_timestamp = max_timestamp;
        self.header.last_offset_delta = source.count - 1;
        self.header.count = source.count;
        self.codec.compress(body, &mut self.buffer);
        self.seal()
    }

    /// Fills in what follows from the rest.
    fn seal(mut self) -> AcceptedBatch<'static> {
        self.header.max_timestamp = self.append_time.unwrap_or(self.header.max_timestamp);
        self.header.length = (self.buffer.len() - BatchHeader::LOG_OVERHEAD) as i32;
        self.header.crc = self.header.compute_crc(&self.buffer[BatchHeader::SIZE..]);
        AcceptedBatch::new(self.header, Cow::Owned(self.buffer))
    }

    fn compress(&mut self) {
        if self.codec.compression() != Compression::None {
            let mut compressed = Vec::with_capacity(BatchHeader::SIZE + self.buffer.len() / 2);
            compressed.resize(BatchHeader::SIZE, 0);
            self.codec.compress(&self.buffer[BatchHeader::SIZE..], &mut compressed);
            self.buffer = compressed;
        }
    }

    /// The batch's bytes.
    pub fn build(self) -> Vec<u8> {
        self.finish().into_bytes()
    }
}

/// A record as it is written, from wherever it comes.
struct Fields<'a> {
    timestamp: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: HeaderFields<'a>,
}

enum HeaderFields<'a> {
    List(&'a [Header<'a>]),
    Encoded(Headers<'a>),
}

impl<'a> From<&NewRecord<'a>> for Fields<'a> {
    fn from(record: &NewRecord<'a>) -> Self {
        let &NewRecord { timestamp, key, value, headers } = record;
        Self { timestamp, key, value, headers: HeaderFields::List(headers) }
    }
}

impl<'a> From<&Record<'a>> for Fields<'a> {
    fn from(record: &Record<'a>) -> Self {
        let &Record { timestamp, key, value, headers, .. } = record;
        Self { timestamp, key, value, headers: HeaderFields::Encoded(headers) }
    }
}

impl Fields<'_> {
    /// Appends the record with its length prefix.
    fn write(&self, out: &mut Vec<u8>, offset_delta: i32, base_timestamp: i64) {
        let size = self.size(offset_delta, base_timestamp);
        out.reserve(size + 5);
        write_varint(out, size as i32);
        out.push(0);
        write_varlong(out, self.timestamp.wrapping_sub(base_timestamp));
        write_varint(out, offset_delta);
        write_bytes(out, self.key);
        write_bytes(out, self.value);
        self.headers.write(out);
    }

    /// Size without the length prefix.
    fn size(&self, offset_delta: i32, base_timestamp: i64) -> usize {
        1 + varlong_size(self.timestamp.wrapping_sub(base_timestamp))
            + varint_size(offset_delta)
            + bytes_size(self.key)
            + bytes_size(self.value)
            + self.headers.size()
    }
}

impl HeaderFields<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::List(headers) => {
                write_varint(out, headers.len() as i32);
                for header in *headers {
                    write_bytes(out, Some(header.key));
                    write_bytes(out, header.value);
                }
            }
            Self::Encoded(headers) => {
                write_varint(out, headers.len() as i32);
                out.extend_from_slice(headers.encoded());
            }
        }
    }

    fn size(&self) -> usize {
        let size_of = |header: &Header<'_>| bytes_size(Some(header.key)) + bytes_size(header.value);
        let (len, size) = match self {
            Self::List(headers) => (headers.len(), headers.iter().map(size_of).sum()),
            Self::Encoded(headers) => (headers.len(), headers.encoded().len()),
        };
        varint_size(len as i32) + size
    }
}

fn write_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    write_varint(out, bytes.map_or(-1, |bytes| bytes.len() as i32));
    out.extend_from_slice(bytes.unwrap_or_default());
}

fn bytes_size(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint_size(bytes.len() as i32) + bytes.len())
}
