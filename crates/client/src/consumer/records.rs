//! What a consumer gets: one record batch at a time, with its records as views.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use klamm_records::{
    AnyBatch, BatchBuilder, BatchError, BatchHeader, DecompressLimits, NewRecord, Record, RecordError,
    RecordIter,
};

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
    /// Its offsets, which no CRC covers, are not those of a batch that may stand here.
    #[error("it has the offsets {base_offset} to {last_offset} where {due} or later ones were due")]
    Offsets {
        /// The first offset.
        base_offset: i64,
        /// The last offset.
        last_offset: i64,
        /// The least offset that could stand here.
        due: i64,
    },
}

impl Records {
    /// The batch at `range` of a response's frame.
    pub(super) fn read(
        partition: TopicPartition,
        frame: &Arc<Vec<u8>>,
        range: Range<usize>,
        from_offset: i64,
    ) -> Result<Self, CorruptBatch> {
        let batch = match AnyBatch::parse(&frame[range.clone()])? {
            AnyBatch::V2(batch) => batch,
            AnyBatch::Legacy(_) => {
                let rewritten = Arc::new(rewrite(&AnyBatch::parse(&frame[range])?)?);
                let whole = 0..rewritten.len();
                return Self::read(partition, &rewritten, whole, from_offset);
            }
        };
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

/// Messages of the formats before v2, which old logs still hold, as a batch of v2.
fn rewrite(batch: &AnyBatch<'_>) -> Result<Vec<u8>, CorruptBatch> {
    let mut records = batch.records(DecompressLimits::default())?;
    let mut builder: Option<BatchBuilder> = None;
    while let Some(record) = records.next_record()? {
        let (timestamp, key, value) = (record.timestamp, record.key, record.value);
        let builder = builder.get_or_insert_with(|| BatchBuilder::new(record.offset));
        builder.append_at(record.offset, &NewRecord { timestamp, key, value, headers: &[] });
    }
    Ok(builder.unwrap_or_else(|| BatchBuilder::new(batch.last_offset())).build())
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

#[cfg(test)]
mod tests {
    use klamm_records::Compression;

    use super::*;

    fn read(bytes: Vec<u8>, from_offset: i64) -> Vec<(i64, i64, Vec<u8>)> {
        let frame = Arc::new([b"header".to_vec(), bytes].concat());
        let range = 6..frame.len();
        let records =
            Records::read(TopicPartition::new("t", 0), &frame, range, from_offset).expect("readable");
        let records = records.iter().map(|record| record.expect("a record"));
        records.map(|r| (r.offset, r.timestamp, r.value.unwrap_or_default().to_vec())).collect()
    }

    #[test]
    fn records_are_the_same_under_every_codec() {
        for codec in
            [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
        {
            let mut builder = BatchBuilder::new(10).codec(codec);
            for value in [&b"a"[..], b"b", b"c"] {
                builder.append(&NewRecord { timestamp: 7, value: Some(value), ..NewRecord::default() });
            }
            let expected = [(11, 7, b"b".to_vec()), (12, 7, b"c".to_vec())];
            assert_eq!(read(builder.build(), 11), expected, "{codec}");
        }
    }

    #[test]
    fn messages_of_old_formats_are_records_too() {
        // Offset 9, size, CRC, magic 1, no codec, timestamp 5, no key, the value "v".
        let body = [&[0; 4][..], &[1, 0], &5_i64.to_be_bytes(), &[0xff; 4], &[0, 0, 0, 1], b"v"].concat();
        let message = [&9_i64.to_be_bytes()[..], &(body.len() as i32).to_be_bytes(), &body].concat();
        assert_eq!(read(message, 0), [(9, 5, b"v".to_vec())]);
    }

    #[test]
    fn what_is_no_batch_is_an_error() {
        let frame = Arc::new(vec![0; 100]);
        assert!(Records::read(TopicPartition::new("t", 0), &frame, 0..100, 0).is_err());
    }
}
