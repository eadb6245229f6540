//! A complete v2 batch as a view, and iteration over the batches of a buffer.

use crate::{BatchError, BatchHeader};

/// One complete v2 batch. Its header is parsed, its CRC and its records are not checked unless asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch<'a> {
    header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> Batch<'a> {
    /// The batch at the front of `bytes`; what follows it is left alone.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(bytes)?;
        let truncated = BatchError::Truncated { needed: header.size(), available: bytes.len() };
        let bytes = bytes.get(..header.size()).ok_or(truncated)?;
        Ok(Self { header, bytes })
    }

    /// The header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch, header included.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The body as it is stored: compressed, if the attributes say so.
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[BatchHeader::SIZE..]
    }

    /// Compares the stored CRC with that of the bytes.
    pub fn check_crc(&self) -> Result<(), BatchError> {
        let computed = crc32c::crc32c(&self.bytes[BatchHeader::ATTRIBUTES_AT..]);
        let stored = self.header.crc;
        if stored == computed { Ok(()) } else { Err(BatchError::Crc { stored, computed }) }
    }
}

/// The complete v2 batches in `bytes`, in order. A partial batch at the end, as fetches return them, ends the
/// iteration; anything else that is no v2 batch is an error, and ends it too.
pub fn batches(bytes: &[u8]) -> Batches<'_> {
    Batches { bytes }
}

/// Iterator of [`batches`].
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    bytes: &'a [u8],
}

impl<'a> Batches<'a> {
    /// What has not been iterated: after the last batch, the bytes of the partial one.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<Batch<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        match Batch::parse(self.bytes) {
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
