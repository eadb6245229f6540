//! What a consumer gets: one record batch at a time, with its records as views.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use klamm_records::{Batch, BatchError, BatchHeader, DecompressLimits, Record, RecordError, RecordIter};

use crate::TopicPartition;

/// The records of one batch. The batch is kept as it came; records borrow from it.
#[derive(Clone)]
pub struct Records {
    partition: TopicPartition,
    body: Body,
    header: BatchHeader,
    /// Records before this are not wanted: a fetch returns whole batches.
    from_offset: i64,
}

#[derive(Clone)]
enum Body {
    /// As it stands in the response's frame.
    Received(Arc<Vec<u8>>, Range<usize>),
    Decompressed(Arc<Vec<u8>>),
}

/// Why a batch cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CorruptBatch {
    /// It is not what its header says.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Its body cannot be decompressed, or holds something else than records.
    #[error(transparent)]
    Records(#[from] RecordError),
}

impl Records {
    /// The batch at `range` of a response's frame.
    pub(super) fn read(
        partition: TopicPartition,
        frame: &Arc<Vec<u8>>,
        range: Range<usize>,
        from_offset: i64,
    ) -> Result<Self, CorruptBatch> {
        let batch = Batch::parse(&frame[range.clone()])?;
        let body = match batch.decompress(DecompressLimits::default())? {
            Cow::Borrowed(_) => Body::Received(
                Arc::clone(frame),
                range.start + BatchHeader::SIZE..range.start + batch.bytes().len(),
            ),
            Cow::Owned(body) => Body::Decompressed(Arc::new(body)),
        };
        Ok(Self { partition, body, header: *batch.header(), from_offset })
    }

    /// The partition.
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The records, in order.
    pub fn iter(&self) -> Iter<'_> {
        Iter { records: RecordIter::new(&self.header, self.body()), from_offset: self.from_offset }
    }

    /// The offset behind the last record.
    pub fn next_offset(&self) -> i64 {
        self.header.next_offset()
    }

    /// The batch's header: timestamps, producer, codec.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Size of the batch in bytes as it was received.
    pub fn size(&self) -> usize {
        self.header.size()
    }

    fn body(&self) -> &[u8] {
        match &self.body {
            Body::Received(frame, range) => &frame[range.clone()],
            Body::Decompressed(body) => body,
        }
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("partition", &self.partition)
            .field("offsets", &(self.header.base_offset..self.header.next_offset()))
            .field("count", &self.header.count)
            .finish()
    }
}

impl<'r> IntoIterator for &'r Records {
    type Item = Result<Record<'r>, RecordError>;
    type IntoIter = Iter<'r>;

    fn into_iter(self) -> Iter<'r> {
        self.iter()
    }
}

/// Iterator over [`Records`]. A malformed record ends it with an error.
#[derive(Debug, Clone)]
pub struct Iter<'r> {
    records: RecordIter<'r>,
    from_offset: i64,
}

impl<'r> Iterator for Iter<'r> {
    type Item = Result<Record<'r>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.records.next()? {
                Ok(record) if record.offset < self.from_offset => {}
                item => return Some(item),
            }
        }
    }
}
