//! Message sets of magic 0 and 1, which old logs still hold, and iteration over batches of any magic.
//!
//! A message is an entry of its own, or wraps a compressed message set in its value. The offsets in a wrapped set
//! are absolute in magic 0 and relative in magic 1, where the wrapper has the offset of the last message.

use crate::codec::Inflater;
use crate::stream::Stream;
use crate::{
    Attributes, Batch, BatchError, BatchHeader, Compression, DecompressLimits, Headers, NO_TIMESTAMP, Record,
    RecordError, Records, TimestampType,
};

/// A batch of any magic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnyBatch<'a> {
    /// Magic 2.
    V2(Batch<'a>),
    /// Magic 0 or 1.
    Legacy(LegacyBatch<'a>),
}

impl<'a> AnyBatch<'a> {
    /// The batch at the front of `bytes`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        match bytes.get(BatchHeader::MAGIC_AT) {
            Some(0 | 1) => LegacyBatch::parse(bytes).map(Self::Legacy),
            _ => Batch::parse(bytes).map(Self::V2),
        }
    }

    /// The whole batch.
    pub fn bytes(&self) -> &'a [u8] {
        match self {
            Self::V2(batch) => batch.bytes(),
            Self::Legacy(batch) => batch.bytes,
        }
    }

    /// Offset of the last record.
    pub fn last_offset(&self) -> i64 {
        match self {
            Self::V2(batch) => batch.header().last_offset(),
            Self::Legacy(batch) => batch.offset,
        }
    }

    /// Largest timestamp in milliseconds, −1 in magic 0.
    pub fn max_timestamp(&self) -> i64 {
        match self {
            Self::V2(batch) => batch.header().max_timestamp,
            Self::Legacy(batch) => batch.timestamp,
        }
    }

    /// Compares the stored CRC with that of the bytes.
    pub fn check_crc(&self) -> Result<(), BatchError> {
        match self {
            Self::V2(batch) => batch.check_crc(),
            Self::Legacy(batch) => batch.check_crc(),
        }
    }

    /// The records, each borrowed until the next is read.
    pub fn records(&self, limits: DecompressLimits) -> Result<Records<'a>, RecordError> {
        match self {
            Self::V2(batch) => batch.records(limits),
            Self::Legacy(batch) => batch.records(limits),
        }
    }
}

/// The complete batches in `bytes`, of whichever magic. Ends as [`crate::batches`] does.
pub fn any_batches(bytes: &[u8]) -> AnyBatches<'_> {
    AnyBatches { bytes }
}

/// Iterator of [`any_batches`].
#[derive(Debug, Clone)]
pub struct AnyBatches<'a> {
    bytes: &'a [u8],
}

impl<'a> Iterator for AnyBatches<'a> {
    type Item = Result<AnyBatch<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        match AnyBatch::parse(self.bytes) {
            Ok(batch) => {
                self.bytes = &self.bytes[batch.bytes().len()..];
                Some(Ok(batch))
            }
            Err(BatchError::Truncated { .. }) => None,
            Err(error) => {
                self.bytes = &[];
                Some(Err(error))
            }
        }
    }
}

/// A message of magic 0 or 1: one record, or a wrapper around a compressed message set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegacyBatch<'a> {
    /// Offset of the record, or of the last record of the wrapped set.
    pub offset: i64,
    /// 0 or 1.
    pub magic: i8,
    /// Codec and timestamp type.
    pub attributes: Attributes,
    /// Milliseconds; −1 in magic 0. Of a wrapper: the largest in the set.
    pub timestamp: i64,
    /// The key of a record.
    pub key: Option<&'a [u8]>,
    /// The value of a record, or the compressed set of a wrapper.
    pub value: Option<&'a [u8]>,
    crc: u32,
    bytes: &'a [u8],
}

impl<'a> LegacyBatch<'a> {
    /// The message at the front of `bytes`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let truncated = |needed| BatchError::Truncated { needed, available: bytes.len() };
        let mut fields = bytes;
        let head = Head::read(&mut fields).ok_or(truncated(Head::SIZE))?;
        let minimum = match head.magic {
            0 => 14,
            1 => 22,
            magic => return Err(BatchError::Magic(magic)),
        };
        let invalid = BatchError::Length { length: head.length, minimum };
        if head.length < minimum {
            return Err(invalid);
        }
        let size = BatchHeader::LOG_OVERHEAD + head.length as usize;
        let bytes = bytes.get(..size).ok_or(truncated(size))?;
        Self::read(&head, bytes).ok_or(invalid)
    }

    fn read(head: &Head, bytes: &'a [u8]) -> Option<Self> {
        let mut fields = &bytes[Head::SIZE..];
        let timestamp = if head.magic == 0 { NO_TIMESTAMP } else { i64::from_be_bytes(take(&mut fields)?) };
        Some(Self {
            offset: head.offset,
            magic: head.magic,
            attributes: Attributes(i16::from(head.attributes)),
            timestamp,
            key: take_nullable(&mut fields)?,
            value: take_nullable(&mut fields)?,
            crc: head.crc,
            bytes,
        })
    }

    /// Compares the stored CRC-32 with that of the bytes.
    pub fn check_crc(&self) -> Result<(), BatchError> {
        let mut crc = flate2::Crc::new();
        crc.update(&self.bytes[BatchHeader::MAGIC_AT..]);
        let (stored, computed) = (self.crc, crc.sum());
        if stored == computed { Ok(()) } else { Err(BatchError::Crc { stored, computed }) }
    }

    fn records(&self, limits: DecompressLimits) -> Result<Records<'a>, RecordError> {
        match self.attributes.compression() {
            Some(Compression::None) => Ok(Records::single(self.record(self.offset, None))),
            Some(codec @ (Compression::Gzip | Compression::Snappy | Compression::Lz4)) => {
                Ok(Records::wrapped(WrappedSet::new(self, codec, limits)?))
            }
            _ => {
                let id = self.attributes.compression_id();
                Err(RecordError::Decompress(format!("codec {id} is not one of magic {}", self.magic)))
            }
        }
    }

    fn record(&self, offset: i64, append_time: Option<i64>) -> Record<'a> {
        let timestamp = append_time.filter(|_| self.magic > 0).unwrap_or(self.timestamp);
        Record { offset, timestamp, key: self.key, value: self.value, headers: Headers::default() }
    }
}

/// What both magics begin with. The CRC covers everything from the magic byte on.
struct Head {
    offset: i64,
    length: i32,
    crc: u32,
    magic: i8,
    attributes: u8,
}

impl Head {
    const SIZE: usize = 18;

    fn read(fields: &mut &[u8]) -> Option<Self> {
        Some(Self {
            offset: i64::from_be_bytes(take(fields)?),
            length: i32::from_be_bytes(take(fields)?),
            crc: u32::from_be_bytes(take(fields)?),
            magic: i8::from_be_bytes(take(fields)?),
            attributes: u8::from_be_bytes(take(fields)?),
        })
    }
}

/// The records of a compressed message set.
pub(crate) struct WrappedSet {
    set: Vec<u8>,
    position: usize,
    index: i32,
    /// What the offsets in the set are relative to.
    base_offset: i64,
    append_time: Option<i64>,
}

impl WrappedSet {
    fn new(
        wrapper: &LegacyBatch<'_>,
        codec: Compression,
        limits: DecompressLimits,
    ) -> Result<Self, RecordError> {
        let structure = |what| RecordError::Structure { index: 0, what };
        let value = wrapper.value.ok_or(structure("a compressed message set is null"))?;
        let inflater = Inflater::new(codec, value, wrapper.magic).map_err(RecordError::Decompress)?;
        let set = Stream::over(inflater, limits).into_whole()?;
        let last = messages(&set).last().ok_or(structure("a compressed message set is empty"))??;
        let append_time = wrapper.attributes.timestamp_type() == TimestampType::LogAppendTime;
        Ok(Self {
            base_offset: base_offset(wrapper, last.offset)
                .ok_or(structure("offsets exceed the wrapper's"))?,
            append_time: append_time.then_some(wrapper.timestamp),
            position: 0,
            index: 0,
            set,
        })
    }

    pub(crate) fn next_record(&mut self) -> Result<Option<Record<'_>>, RecordError> {
        let Some(message) = messages(&self.set[self.position..]).next().transpose()? else {
            return Ok(None);
        };
        if message.attributes.compression() != Some(Compression::None) {
            let what = "a message within a compressed set is compressed itself";
            return Err(RecordError::Structure { index: self.index, what });
        }
        self.position += message.bytes.len();
        self.index += 1;
        Ok(Some(message.record(self.base_offset.wrapping_add(message.offset), self.append_time)))
    }
}

/// What the offsets within a wrapper are relative to. A magic 1 wrapper of offset 0 comes from old clients, which did
/// not set it.
fn base_offset(wrapper: &LegacyBatch<'_>, last_inner_offset: i64) -> Option<i64> {
    if wrapper.magic == 0 || wrapper.offset == 0 {
        return Some(0);
    }
    wrapper.offset.checked_sub(last_inner_offset).filter(|&base| base >= 0)
}

fn messages(set: &[u8]) -> impl Iterator<Item = Result<LegacyBatch<'_>, RecordError>> {
    let mut rest = set;
    let mut index = -1;
    std::iter::from_fn(move || {
        index += 1;
        match LegacyBatch::parse(rest) {
            Ok(message) => {
                rest = &rest[message.bytes.len()..];
                Some(Ok(message))
            }
            Err(BatchError::Truncated { .. }) => None,
            Err(_) => {
                rest = &[];
                Some(Err(RecordError::Structure { index, what: "a message of a compressed set is invalid" }))
            }
        }
    })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

fn take_nullable<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let Ok(len) = usize::try_from(i32::from_be_bytes(take(bytes)?)) else { return Some(None) };
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(Some(taken))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Codec;

    fn message(
        offset: i64,
        magic: u8,
        attributes: u8,
        timestamp: i64,
        key: Option<&[u8]>,
        value: &[u8],
    ) -> Vec<u8> {
        let mut covered = vec![magic, attributes];
        if magic == 1 {
            covered.extend(timestamp.to_be_bytes());
        }
        covered.extend(key.map_or(-1, |key| key.len() as i32).to_be_bytes());
        covered.extend(key.unwrap_or_default());
        covered.extend((value.len() as i32).to_be_bytes());
        covered.extend(value);
        let mut crc = flate2::Crc::new();
        crc.update(&covered);
        let mut out = offset.to_be_bytes().to_vec();
        out.extend((covered.len() as i32 + 4).to_be_bytes());
        out.extend(crc.sum().to_be_bytes());
        out.extend(covered);
        out
    }

    fn wrapper(offset: i64, magic: u8, attributes: u8, inner: &[Vec<u8>]) -> Vec<u8> {
        let codec = Codec::new(Compression::from_id(attributes & 7).unwrap());
        let mut value = Vec::new();
        codec.compress(&inner.concat(), &mut value);
        message(offset, magic, attributes, 99, None, &value)
    }

    /// Offset, timestamp and key of a record.
    type Seen = (i64, i64, Option<Vec<u8>>);

    fn read(bytes: &[u8]) -> Result<Vec<Seen>, RecordError> {
        let mut out = Vec::new();
        for batch in any_batches(bytes) {
            let batch = batch.unwrap();
            batch.check_crc().unwrap();
            let mut records = batch.records(DecompressLimits::default())?;
            while let Some(record) = records.next_record()? {
                out.push((record.offset, record.timestamp, record.key.map(<[u8]>::to_vec)));
            }
        }
        Ok(out)
    }

    #[test]
    fn plain_messages_of_both_magics() {
        let mut bytes = message(7, 0, 0, 0, Some(b"k"), b"v");
        bytes.extend(message(8, 1, 0, 42, None, b"w"));
        let partial = message(9, 1, 0, 43, None, b"cut");
        bytes.extend(&partial[..partial.len() - 1]);
        assert_eq!(read(&bytes), Ok(vec![(7, -1, Some(b"k".to_vec())), (8, 42, None)]));
    }

    #[test]
    fn wrapped_sets_with_relative_and_absolute_offsets() {
        for codec in 1..=3 {
            let relative = [message(0, 1, 0, 5, None, b"a"), message(2, 1, 0, 6, None, b"b")];
            assert_eq!(read(&wrapper(12, 1, codec, &relative)), Ok(vec![(10, 5, None), (12, 6, None)]));
            assert_eq!(read(&wrapper(12, 1, codec | 8, &relative)), Ok(vec![(10, 99, None), (12, 99, None)]));
            assert_eq!(read(&wrapper(0, 1, codec, &relative)), Ok(vec![(0, 5, None), (2, 6, None)]));
            let absolute = [message(10, 0, 0, 0, None, b"a"), message(11, 0, 0, 0, None, b"b")];
            assert_eq!(read(&wrapper(11, 0, codec, &absolute)), Ok(vec![(10, -1, None), (11, -1, None)]));
        }
    }

    #[test]
    fn what_kafka_refuses_within_a_wrapper() {
        let nested = [wrapper(0, 1, 1, &[message(0, 1, 0, 5, None, b"a")])];
        assert!(read(&wrapper(3, 1, 1, &nested)).is_err());
        assert!(read(&wrapper(3, 1, 1, &[])).is_err());
        assert!(read(&wrapper(1, 1, 2, &[message(5, 1, 0, 5, None, b"a")])).is_err());
        assert!(read(&message(3, 1, 4, 0, None, b"")).is_err());
    }

    #[test]
    fn every_damage_is_an_error_or_a_view() {
        let good =
            wrapper(12, 1, 2, &[message(0, 1, 0, 5, None, b"a"), message(1, 1, 0, 6, Some(b"k"), b"b")]);
        for at in 0..good.len() {
            assert!(any_batches(&good[..at]).next().is_none_or(|batch| batch.is_err()));
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                let Some(Ok(batch)) = any_batches(&bad).next() else { continue };
                assert!(at < 12 || batch.check_crc().is_err() || batch.bytes() == good);
                if let Ok(mut records) = batch.records(DecompressLimits::default()) {
                    while let Ok(Some(_)) = records.next_record() {}
                }
            }
        }
    }
}
