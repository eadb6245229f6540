//! Input: a byte of choices, then the body of a compressed batch, or what is to be compressed.
//!
//! Choices: bits 0–2 are the codec; bit 3 makes the rest a record's value that is compressed first, and must come back.

use klamm_records::{
    Attributes, Batch, BatchBuilder, BatchHeader, Codec, Compression, DecompressLimits, NewRecord,
};

const LIMITS: DecompressLimits = DecompressLimits { record_bytes_max: 1 << 20, batch_bytes_max: 2 << 20 };

/// Runs one input.
pub fn run(input: &[u8]) {
    let [choices, bytes @ ..] = input else { return };
    let Some(compression) = Compression::from_id(choices & 7) else { return };
    if choices >> 3 & 1 == 1 {
        there_and_back(compression, bytes);
    } else {
        inflate(compression, bytes);
    }
}

/// Whole and record by record; neither may pass the limits.
fn inflate(compression: Compression, body: &[u8]) {
    let header = BatchHeader {
        length: BatchHeader::LENGTH_MIN + body.len() as i32,
        attributes: Attributes::default().with_compression(compression),
        count: i32::MAX,
        last_offset_delta: i32::MAX - 1,
        ..BatchHeader::default()
    };
    let bytes = [&header.write(), body].concat();
    let Ok(batch) = Batch::parse(&bytes) else { return };
    if let Ok(inflated) = batch.decompress(LIMITS) {
        assert!(inflated.len() <= LIMITS.batch_bytes_max);
    }
    let Ok(mut records) = batch.records(LIMITS) else { return };
    while let Ok(Some(_)) = records.next_record() {}
}

fn there_and_back(compression: Compression, value: &[u8]) {
    let mut builder = BatchBuilder::new(0).codec(Codec::new(compression));
    builder.append(&NewRecord { timestamp: 0, key: None, value: Some(value), headers: &[] });
    let bytes = builder.build();
    let batch = Batch::parse(&bytes).expect("a batch");
    let mut records = batch.records(LIMITS).expect("a codec that is known");
    let record = records.next_record().expect("what was compressed can be decompressed").expect("one record");
    assert_eq!(record.value, Some(value));
}
