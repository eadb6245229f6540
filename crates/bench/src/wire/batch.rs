//! Batches made before the clock runs.

use klamm_records::{BatchBuilder, Compression, NewRecord};

use std::time::{SystemTime, UNIX_EPOCH};

/// How a batch is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchShape {
    pub(crate) records: usize,
    /// Bytes of a record's value.
    pub(crate) value_bytes: usize,
    pub(crate) compression: Compression,
}

impl BatchShape {
    /// As many records of this size as fill a batch of that size, not compressed.
    pub(crate) fn filling(batch_bytes: usize, value_bytes: usize) -> Self {
        Self { records: batch_bytes / value_bytes, value_bytes, compression: Compression::None }
    }

    /// One record.
    pub(crate) fn single(value_bytes: usize) -> Self {
        Self { records: 1, value_bytes, compression: Compression::None }
    }
}

/// A batch ready to be sent any number of times: its bytes are a producer's, without offsets.
#[derive(Debug, Clone)]
pub(crate) struct PreparedBatch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) records: usize,
    /// Bytes of keys and values before compression.
    pub(crate) payload_bytes: usize,
}

impl PreparedBatch {
    pub(crate) fn new(shape: BatchShape) -> Self {
        Self::keyed(shape, None)
    }

    /// All records have this key.
    pub(crate) fn keyed(shape: BatchShape, key: Option<&[u8]>) -> Self {
        let mut words = Words::new();
        let mut builder = BatchBuilder::new(0).codec(shape.compression);
        let timestamp = now_ms();
        for _ in 0..shape.records {
            let value = words.text(shape.value_bytes);
            builder.append(&NewRecord { timestamp, key, value: Some(&value), headers: &[] });
        }
        let payload_bytes = shape.records * (shape.value_bytes + key.map_or(0, <[u8]>::len));
        Self { bytes: builder.build(), records: shape.records, payload_bytes }
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// Text that compresses about as well as log lines do, the same in every run.
struct Words {
    vocabulary: Vec<[u8; 8]>,
    state: u64,
}

impl Words {
    fn new() -> Self {
        let mut words = Self { vocabulary: Vec::new(), state: 0x9e37_79b9_7f4a_7c15 };
        for _ in 0..1024 {
            let letters = words.next().to_le_bytes().map(|byte| b'a' + byte % 26);
            words.vocabulary.push(letters);
        }
        words
    }

    /// xorshift64.
    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn text(&mut self, len: usize) -> Vec<u8> {
        let mut text = Vec::with_capacity(len + 8);
        while text.len() < len {
            let at = self.next() as usize % self.vocabulary.len();
            let word = self.vocabulary[at];
            text.extend_from_slice(&word[..3 + self.next() as usize % 5]);
            text.push(b' ');
        }
        text.truncate(len);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use klamm_records::Batch;

    #[test]
    fn batches_are_valid_and_alike() {
        let shape = BatchShape::filling(16 << 10, 1 << 10);
        let batch = PreparedBatch::new(shape);
        let parsed = Batch::parse(&batch.bytes).expect("a batch");
        parsed.check_crc().expect("its CRC");
        assert_eq!((parsed.header().count, batch.payload_bytes), (16, 16 << 10));
        let text = |shape| PreparedBatch::new(shape).bytes[BatchShape::single(1).records + 60..].to_vec();
        assert_eq!(text(shape).len(), text(shape).len());
    }

    #[test]
    fn values_compress_like_text() {
        let plain = BatchShape::filling(64 << 10, 1 << 10);
        let packed = BatchShape { compression: Compression::Zstd, ..plain };
        let ratio =
            PreparedBatch::new(plain).bytes.len() as f64 / PreparedBatch::new(packed).bytes.len() as f64;
        assert!((1.5..6.0).contains(&ratio), "{ratio}");
    }
}
