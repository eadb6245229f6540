//! One record of a v2 batch, its headers, and iteration over a body that lies in memory uncompressed.

use std::borrow::Cow;

use thiserror::Error;

use crate::varint::Cursor;
use crate::{BatchHeader, TimestampType};

/// Why the body of a batch is not the records its header promises.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// A record's structure does not fit into its size.
    #[error("record {index} has an invalid structure: {what}")]
    Structure {
        /// Position of the record in its batch, from 0.
        index: i32,
        /// What was found.
        what: &'static str,
    },
    /// The record count is negative.
    #[error("invalid record count {0}")]
    Count(i32),
    /// Bytes follow the last record.
    #[error("bytes remain after the last of {0} records")]
    Remaining(i32),
    /// A record of a compressed batch is larger than `max.decompressed.message.bytes`.
    #[error("record {index} has {size} bytes decompressed, more than the maximum of {max}")]
    TooLarge {
        /// Position of the record in its batch, from 0.
        index: i32,
        /// Its size as declared.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// A compressed body exceeds the limit for a whole batch.
    #[error("the batch has more than {max} bytes decompressed")]
    BatchTooLarge {
        /// The limit.
        max: usize,
    },
    /// A compressed body ends before its last record does.
    #[error("the decompressed bytes end before the last record")]
    Ended,
    /// The codec's own format is broken, or its number is not assigned.
    #[error("cannot decompress the batch: {0}")]
    Decompress(String),
}

/// One record, borrowed from its batch or from the buffer that the batch was decompressed into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The record's offset.
    pub offset: i64,
    /// Milliseconds; under LogAppendTime the batch's, the same for all records.
    pub timestamp: i64,
    /// The key; an empty key is not the same as none.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone on compacted topics.
    pub value: Option<&'a [u8]>,
    /// The headers, in the order the producer gave them.
    pub headers: Headers<'a>,
}

impl<'a> Record<'a> {
    /// Reads a record's body, `bytes` being exactly the size that its length prefix says.
    #[inline]
    pub(crate) fn parse(bytes: &'a [u8], origin: &Origin) -> Result<Self, &'static str> {
        let mut cursor = Cursor::new(bytes);
        let prelude = Prelude::parse(&mut cursor).ok_or("its deltas do not fit")?;
        let key = cursor.nullable_bytes().ok_or("its key does not fit")?;
        let value = cursor.nullable_bytes().ok_or("its value does not fit")?;
        let headers = Headers::parse(&mut cursor)?;
        Ok(Self {
            offset: origin.base_offset.wrapping_add(i64::from(prelude.offset_delta)),
            timestamp: origin.timestamp(prelude.timestamp_delta),
            key,
            value,
            headers,
        })
    }
}

/// What stands in front of a record's key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prelude {
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
}

impl Prelude {
    /// Skips the attributes, of which Kafka uses none, and reads the deltas.
    #[inline]
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Option<Self> {
        cursor.byte()?;
        Some(Self { timestamp_delta: cursor.varlong()?, offset_delta: cursor.varint()? })
    }
}

/// What the deltas of a batch's records are relative to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) base_offset: i64,
    base_timestamp: i64,
    append_time: Option<i64>,
}

impl Origin {
    pub(crate) fn of(header: &BatchHeader) -> Self {
        let append_time = header.attributes.timestamp_type() == TimestampType::LogAppendTime;
        Self {
            base_offset: header.base_offset,
            base_timestamp: header.base_timestamp,
            append_time: append_time.then_some(header.max_timestamp),
        }
    }

    #[inline]
    pub(crate) fn timestamp(&self, delta: i64) -> i64 {
        self.append_time.unwrap_or_else(|| self.base_timestamp.wrapping_add(delta))
    }
}

/// A header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name's bytes: UTF-8 from well-behaved producers, but nobody checks. Names may repeat.
    pub key: &'a [u8],
    /// The value; an empty value is not the same as none.
    pub value: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// The name as text, with U+FFFD for what is not UTF-8.
    pub fn key_str(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.key)
    }

    fn parse(cursor: &mut Cursor<'a>) -> Option<Self> {
        let key = cursor.nullable_bytes()??;
        Some(Self { key, value: cursor.nullable_bytes()? })
    }
}

/// The headers of a record: checked when the record was read, decoded when iterated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    remaining: usize,
    bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Number of headers not yet iterated.
    pub fn len(&self) -> usize {
        self.remaining
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.remaining == 0
    }

    /// The headers' bytes, without their count.
    pub(crate) fn encoded(&self) -> &'a [u8] {
        self.bytes
    }

    /// The last header of this name, as Kafka's `lastHeader` finds it.
    pub fn last(&self, key: &str) -> Option<Header<'a>> {
        self.filter(|header| header.key == key.as_bytes()).last()
    }

    #[inline]
    fn parse(cursor: &mut Cursor<'a>) -> Result<Self, &'static str> {
        let count = cursor.varint().ok_or("its header count does not fit")?;
        let remaining = usize::try_from(count).map_err(|_| "its header count is negative")?;
        let bytes = cursor.bytes;
        for _ in 0..remaining {
            Header::parse(cursor).ok_or("a header does not fit")?;
        }
        if cursor.bytes.is_empty() { Ok(Self { remaining, bytes }) } else { Err("bytes remain at its end") }
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.remaining = self.remaining.checked_sub(1)?;
        let mut cursor = Cursor::new(self.bytes);
        let header = Header::parse(&mut cursor)?;
        self.bytes = cursor.bytes;
        Some(header)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// The records of a body that lies in memory uncompressed. Ends after the first error.
#[derive(Debug, Clone)]
pub struct RecordIter<'a> {
    cursor: Cursor<'a>,
    origin: Origin,
    count: i32,
    index: i32,
}

impl<'a> RecordIter<'a> {
    /// The records in `body`, which is what the batch of this `header` holds, uncompressed.
    pub fn new(header: &BatchHeader, body: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(body), origin: Origin::of(header), count: header.count, index: 0 }
    }

    #[inline]
    fn read(&mut self) -> Result<Record<'a>, &'static str> {
        let length = self.cursor.varint().ok_or("its length does not fit")?;
        let length = usize::try_from(length).map_err(|_| "its length is negative")?;
        let bytes = self.cursor.take(length).ok_or("it is longer than the batch")?;
        Record::parse(bytes, &self.origin)
    }

    /// Ends the iteration with an error.
    #[cold]
    fn fail(&mut self, error: RecordError) -> Option<Result<Record<'a>, RecordError>> {
        (self.count, self.index) = (0, 0);
        Some(Err(error))
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<Record<'a>, RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.index >= self.count {
            return if self.count < 0 { self.fail(RecordError::Count(self.count)) } else { None };
        }
        let record = match self.read() {
            Ok(record) => record,
            Err(what) => return self.fail(RecordError::Structure { index: self.index, what }),
        };
        self.index += 1;
        if self.index == self.count && !self.cursor.bytes.is_empty() {
            return self.fail(RecordError::Remaining(self.count));
        }
        Some(Ok(record))
    }
}
