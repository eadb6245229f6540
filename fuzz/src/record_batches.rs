//! Input: a byte of choices, then a partition's records as a producer sends them or a log holds them.
//!
//! Choices: bit 0 repairs length and CRC of the first batch, so that changes reach what lies behind them; bits 1–3 are
//! the codec of the topic, bit 4 its timestamp type.

use klamm_records::{
    Batch, BatchHeader, Codec, Compression, DecompressLimits, ProduceRules, RecordIter, TimestampType,
    any_batches, validate_produce,
};

const LIMITS: DecompressLimits = DecompressLimits { record_bytes_max: 1 << 20, batch_bytes_max: 2 << 20 };

/// Runs one input.
pub fn run(input: &[u8]) {
    let [choices, bytes @ ..] = input else { return };
    let mut bytes = bytes.to_vec();
    if choices & 1 == 1 {
        repair(&mut bytes);
    }
    read(&bytes);
    validate(&bytes, &rules(*choices));
}

fn repair(bytes: &mut [u8]) {
    if bytes.len() < BatchHeader::SIZE {
        return;
    }
    let length = (bytes.len() - BatchHeader::LOG_OVERHEAD) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = BatchHeader::parse(bytes).map(|header| header.compute_crc(&bytes[BatchHeader::SIZE..]));
    bytes[17..21].copy_from_slice(&crc.unwrap_or_default().to_be_bytes());
}

fn rules(choices: u8) -> ProduceRules {
    let append_time = choices >> 4 & 1 == 1;
    ProduceRules {
        max_message_bytes: usize::MAX,
        timestamp_type: if append_time { TimestampType::LogAppendTime } else { TimestampType::CreateTime },
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: i64::MAX,
        compacted: false,
        codec: Compression::from_id(choices >> 1 & 7).map(Codec::new),
        zstd_allowed: true,
        limits: LIMITS,
        now_ms: 1_700_000_000_000,
    }
}

/// Reads everything that can be read.
fn read(bytes: &[u8]) {
    for batch in any_batches(bytes).map_while(Result::ok) {
        let Ok(mut records) = batch.records(LIMITS) else { continue };
        while let Ok(Some(record)) = records.next_record() {
            assert_eq!(record.headers.count(), record.headers.len());
        }
    }
}

/// What is accepted must be readable from then on, and acceptable again.
fn validate(bytes: &[u8], rules: &ProduceRules) {
    let Ok(accepted) = validate_produce(bytes, rules) else { return };
    let count = accepted.header().count;
    let stored = accepted.into_bytes();
    let batch = Batch::parse(&stored).expect("an accepted batch is a batch");
    batch.check_crc().expect("an accepted batch has a right CRC");
    let body = batch.decompress(DecompressLimits::default()).expect("an accepted batch can be decompressed");
    let records = RecordIter::new(batch.header(), &body);
    assert_eq!(records.map(|record| record.expect("accepted records can be read")).count(), count as usize);
    if rules.timestamp_type == TimestampType::CreateTime {
        let again = validate_produce(&stored, &ProduceRules { codec: None, ..*rules });
        assert!(again.is_ok_and(|again| !again.is_rebuilt()));
    }
}
