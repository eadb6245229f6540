//! Records of a batch of any codec, decompressed piece by piece.

use std::borrow::Cow;
use std::cell::Cell;
use std::mem;

use crate::codec::Inflater;
use crate::legacy::WrappedSet;
use crate::record::{Origin, Prelude};
use crate::varint::Cursor;
use crate::{Batch, BatchHeader, Compression, Record, RecordError, RecordIter};

/// How much decompression may bring forth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecompressLimits {
    /// Largest record of a compressed batch in bytes: `max.decompressed.message.bytes` (Kafka 4.4).
    pub record_bytes_max: usize,
    /// Largest body of a compressed batch in bytes. Kafka has no such limit; this one bounds the time that a
    /// small hostile batch can cost, and the memory where a whole body is needed at once.
    pub batch_bytes_max: usize,
}

impl Default for DecompressLimits {
    /// Kafka's default for a record, which is no limit, and 1 GiB for a batch.
    fn default() -> Self {
        Self { record_bytes_max: i32::MAX as usize - 8, batch_bytes_max: 1 << 30 }
    }
}

impl<'a> Batch<'a> {
    /// The records, each borrowed until the next is read. Memory follows the largest record.
    pub fn records(&self, limits: DecompressLimits) -> Result<Records<'a>, RecordError> {
        let inner = match compression(self.header())? {
            Compression::None => Inner::Stored(RecordIter::new(self.header(), self.body())),
            _ => Inner::Compressed(Box::new(Scan::new(self, limits)?)),
        };
        Ok(Records { inner })
    }

    /// The whole body uncompressed, to be iterated with [`RecordIter`]: for readers that keep many records at a time.
    pub fn decompress(&self, limits: DecompressLimits) -> Result<Cow<'a, [u8]>, RecordError> {
        match compression(self.header())? {
            Compression::None => Ok(Cow::Borrowed(self.body())),
            codec => Stream::new(codec, self.body(), limits)?.into_whole().map(Cow::Owned),
        }
    }
}

pub(crate) fn compression(header: &BatchHeader) -> Result<Compression, RecordError> {
    let unknown = || RecordError::Decompress(format!("unknown codec {}", header.attributes.compression_id()));
    header.attributes.compression().ok_or_else(unknown)
}

/// The records of one batch, read one after the other with [`Records::next_record`].
pub struct Records<'a> {
    inner: Inner<'a>,
}

enum Inner<'a> {
    Stored(RecordIter<'a>),
    Compressed(Box<Scan<'a>>),
    Single(Option<Record<'a>>),
    Wrapped(WrappedSet),
}

impl<'a> Records<'a> {
    /// The record of a message of an old format.
    pub(crate) fn single(record: Record<'a>) -> Self {
        Self { inner: Inner::Single(Some(record)) }
    }

    /// The records of a compressed message set.
    pub(crate) fn wrapped(set: WrappedSet) -> Self {
        Self { inner: Inner::Wrapped(set) }
    }

    /// The next record, or none behind the last. After an error nothing more is to be had.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, RecordError> {
        match &mut self.inner {
            Inner::Stored(records) => records.next().transpose(),
            Inner::Compressed(scan) => scan.next_record(),
            Inner::Single(record) => Ok(record.take()),
            Inner::Wrapped(set) => set.next_record(),
        }
    }
}

/// What validation asks of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) has_key: bool,
}

impl Summary {
    pub(crate) fn of(record: &Record<'_>) -> Self {
        Self { offset: record.offset, timestamp: record.timestamp, has_key: record.key.is_some() }
    }
}

thread_local! {
    /// The buffer of the thread's last scan, for the next one.
    static IDLE_BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A buffer that grew beyond this is not kept.
const IDLE_BUFFER_BYTES_MAX: usize = 1024 * 1024;

/// Walks the records of a compressed batch.
pub(crate) struct Scan<'a> {
    stream: Stream<'a>,
    origin: Origin,
    count: i32,
    index: i32,
}

/// Records up to this size are looked at in one piece, larger ones in passing.
const PIECE_BYTES: usize = 64 * 1024;

impl<'a> Scan<'a> {
    pub(crate) fn new(batch: &Batch<'a>, limits: DecompressLimits) -> Result<Self, RecordError> {
        let header = batch.header();
        if header.count < 0 {
            return Err(RecordError::Count(header.count));
        }
        let mut stream = Stream::new(compression(header)?, batch.body(), limits)?;
        stream.buffer = IDLE_BUFFER.take();
        Ok(Self { stream, origin: Origin::of(header), count: header.count, index: 0 })
    }

    /// The same, but all that is decompressed stays in memory for [`Scan::kept`].
    pub(crate) fn keeping(batch: &Batch<'a>, limits: DecompressLimits) -> Result<Self, RecordError> {
        let mut scan = Self::new(batch, limits)?;
        scan.stream.keeps = true;
        Ok(scan)
    }

    /// The records read so far, uncompressed; the whole body once all are read.
    pub(crate) fn kept(&self) -> &[u8] {
        debug_assert!(self.stream.keeps, "only a scan made to keep them has them");
        &self.stream.buffer[..self.stream.position]
    }

    /// The next record, whole.
    pub(crate) fn next_record(&mut self) -> Result<Option<Record<'_>>, RecordError> {
        let Some(size) = self.begin()? else { return Ok(None) };
        self.stream.require(size)?;
        let index = self.index;
        self.end(size)?;
        let end = self.stream.position;
        let bytes = &self.stream.buffer[end - size..end];
        match Record::parse(bytes, &self.origin) {
            Ok(record) => Ok(Some(record)),
            Err(what) => Err(RecordError::Structure { index, what }),
        }
    }

    /// The next record, without keeping it in memory. Its structure is checked all the same.
    pub(crate) fn next_summary(&mut self) -> Result<Option<Summary>, RecordError> {
        let Some(size) = self.begin()? else { return Ok(None) };
        if size > PIECE_BYTES && self.stream.available().len() < size {
            return self.skim(size).map(Some);
        }
        self.stream.require(size)?;
        let record = Record::parse(&self.stream.available()[..size], &self.origin);
        let summary = record.as_ref().map(Summary::of).map_err(|what| self.structure(what))?;
        self.end(size)?;
        Ok(Some(summary))
    }

    /// Reads a record's length, unless all records were read.
    fn begin(&mut self) -> Result<Option<usize>, RecordError> {
        if self.index == self.count {
            return Ok(None);
        }
        let length = self.stream.field(usize::MAX, |cursor| cursor.varint())?;
        let length = length.ok_or_else(|| self.structure("its length does not fit"))?;
        let size = usize::try_from(length.value).map_err(|_| self.structure("its length is negative"))?;
        let max = self.stream.limits.record_bytes_max;
        if size > max {
            return Err(RecordError::TooLarge { index: self.index, size, max });
        }
        Ok(Some(size))
    }

    /// Consumes the rest of a record, `size` bytes that are available; they stay in the buffer until the next is read.
    fn end(&mut self, size: usize) -> Result<(), RecordError> {
        self.index += 1;
        if self.index == self.count {
            self.stream.require_or_end(size + 1)?;
            if self.stream.available().len() > size {
                return Err(RecordError::Remaining(self.count));
            }
        }
        self.stream.consume(size);
        Ok(())
    }

    fn skim(&mut self, size: usize) -> Result<Summary, RecordError> {
        let mut left = size;
        let prelude = self.skim_field(&mut left, Prelude::parse)?;
        let has_key = self.skim_bytes(&mut left)?;
        self.skim_bytes(&mut left)?;
        let headers = self.skim_field(&mut left, |cursor| cursor.varint())?;
        if headers < 0 {
            return Err(self.structure("its header count is negative"));
        }
        for _ in 0..headers {
            if !self.skim_bytes(&mut left)? {
                return Err(self.structure("a header does not fit"));
            }
            self.skim_bytes(&mut left)?;
        }
        if left != 0 {
            return Err(self.structure("bytes remain at its end"));
        }
        self.end(0)?;
        Ok(Summary {
            offset: self.origin.base_offset.wrapping_add(i64::from(prelude.offset_delta)),
            timestamp: self.origin.timestamp(prelude.timestamp_delta),
            has_key,
        })
    }

    fn skim_field<T>(
        &mut self,
        left: &mut usize,
        read: impl FnOnce(&mut Cursor<'_>) -> Option<T>,
    ) -> Result<T, RecordError> {
        let field = self.stream.field(*left, read)?;
        let field = field.ok_or_else(|| self.structure("a field does not fit"))?;
        *left -= field.size;
        Ok(field.value)
    }

    /// Passes over nullable bytes and says whether they are there.
    fn skim_bytes(&mut self, left: &mut usize) -> Result<bool, RecordError> {
        let Ok(size) = usize::try_from(self.skim_field(left, |cursor| cursor.varint())?) else {
            return Ok(false);
        };
        *left = left.checked_sub(size).ok_or_else(|| self.structure("a field does not fit"))?;
        self.stream.skip(size)?;
        Ok(true)
    }

    fn structure(&self, what: &'static str) -> RecordError {
        RecordError::Structure { index: self.index, what }
    }
}

impl Drop for Scan<'_> {
    fn drop(&mut self) {
        let mut buffer = mem::take(&mut self.stream.buffer);
        if buffer.capacity() <= IDLE_BUFFER_BYTES_MAX {
            buffer.clear();
            IDLE_BUFFER.set(buffer);
        }
    }
}

/// A field read from a stream and the bytes it took.
struct Field<T> {
    value: T,
    size: usize,
}

/// The longest run of fields that is read at once: attributes, timestamp delta, offset delta.
const FIELD_BYTES_MAX: usize = 16;

/// Decompressed bytes, of which those from `position` on are still to be read.
pub(crate) struct Stream<'a> {
    inflater: Inflater<'a>,
    limits: DecompressLimits,
    buffer: Vec<u8>,
    position: usize,
    inflated: usize,
    finished: bool,
    /// Whether what was read stays in the buffer.
    keeps: bool,
}

impl<'a> Stream<'a> {
    fn new(compression: Compression, body: &'a [u8], limits: DecompressLimits) -> Result<Self, RecordError> {
        let inflater =
            Inflater::new(compression, body, BatchHeader::MAGIC).map_err(RecordError::Decompress)?;
        Ok(Self::over(inflater, limits))
    }

    pub(crate) fn over(inflater: Inflater<'a>, limits: DecompressLimits) -> Self {
        let buffer = Vec::new();
        Self { inflater, limits, buffer, position: 0, inflated: 0, finished: false, keeps: false }
    }

    /// Everything, in one piece.
    pub(crate) fn into_whole(mut self) -> Result<Vec<u8>, RecordError> {
        while self.fill()? {}
        Ok(self.buffer)
    }

    fn available(&self) -> &[u8] {
        &self.buffer[self.position..]
    }

    fn consume(&mut self, len: usize) {
        self.position += len;
    }

    /// Decompresses the next piece. What was consumed makes room first, once that costs little.
    fn fill(&mut self) -> Result<bool, RecordError> {
        if !self.keeps && self.position >= self.buffer.len() / 2 {
            self.buffer.drain(..self.position);
            self.position = 0;
        }
        let before = self.buffer.len();
        let more = self.inflater.fill(&mut self.buffer).map_err(RecordError::Decompress)?;
        self.inflated += self.buffer.len() - before;
        if self.inflated > self.limits.batch_bytes_max {
            return Err(RecordError::BatchTooLarge { max: self.limits.batch_bytes_max });
        }
        self.finished = !more;
        Ok(more)
    }

    /// Decompresses until `len` bytes are available or the end is reached.
    fn require_or_end(&mut self, len: usize) -> Result<(), RecordError> {
        while self.available().len() < len && !self.finished {
            self.fill()?;
        }
        Ok(())
    }

    fn require(&mut self, len: usize) -> Result<(), RecordError> {
        self.require_or_end(len)?;
        if self.available().len() < len { Err(RecordError::Ended) } else { Ok(()) }
    }

    fn skip(&mut self, mut len: usize) -> Result<(), RecordError> {
        while len > self.available().len() {
            len -= self.available().len();
            self.position = self.buffer.len();
            self.require(1)?;
        }
        self.consume(len);
        Ok(())
    }

    /// Reads a short field that takes at most `len_max` bytes; none if it does not fit.
    fn field<T>(
        &mut self,
        len_max: usize,
        read: impl FnOnce(&mut Cursor<'_>) -> Option<T>,
    ) -> Result<Option<Field<T>>, RecordError> {
        self.require_or_end(FIELD_BYTES_MAX)?;
        let available = self.available();
        let before = available.len().min(len_max);
        let mut cursor = Cursor::new(&available[..before]);
        let Some(value) = read(&mut cursor) else { return Ok(None) };
        let size = before - cursor.bytes.len();
        self.consume(size);
        Ok(Some(Field { value, size }))
    }
}
