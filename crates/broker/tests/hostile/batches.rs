//! Batches made from real ones by changing them: refused, or readable by whoever consumes them.

use klamm_protocol::ErrorCode;
use klamm_records::{DecompressLimits, batches};

use crate::running::{Client, Random, Running, golden_batches, seal};

/// The header's fields behind the CRC, and those in front that it does not cover.
const FIELDS: [(usize, usize); 13] = [
    (0, 8),
    (8, 12),
    (12, 16),
    (16, 17),
    (17, 21),
    (21, 23),
    (23, 27),
    (27, 35),
    (35, 43),
    (43, 51),
    (51, 53),
    (53, 57),
    (57, 61),
];

/// What a broker answers to a batch that it does not take.
const REFUSALS: [ErrorCode; 9] = [
    ErrorCode::CORRUPT_MESSAGE,
    ErrorCode::INVALID_RECORD,
    ErrorCode::INVALID_TIMESTAMP,
    ErrorCode::INVALID_TXN_STATE,
    ErrorCode::MESSAGE_TOO_LARGE,
    ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
    ErrorCode::INVALID_PRODUCER_EPOCH,
    ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT,
    ErrorCode::UNKNOWN_SERVER_ERROR,
];

/// Sends a batch; how many records it has, if they were taken.
fn send(client: &mut Client, batch: &[u8], what: &str) -> Option<i64> {
    match client.produce("t", batch) {
        (ErrorCode::NONE, offset) => Some(check_readable(client, offset, what)),
        (error_code, _) => {
            assert!(REFUSALS.contains(&error_code), "{what}: {error_code}");
            None
        }
    }
}

/// What was acknowledged at `offset` is there, intact, and its records can be read; how many there are.
fn check_readable(client: &mut Client, offset: i64, what: &str) -> i64 {
    let (error_code, bytes) = client.fetch("t", offset);
    assert_eq!(error_code, ErrorCode::NONE, "{what}");
    let batch = batches(&bytes).next().unwrap().unwrap();
    batch.check_crc().unwrap();
    assert_eq!(batch.header().base_offset, offset, "{what}");
    let mut records = batch.records(DecompressLimits::default()).unwrap();
    let mut expected = offset;
    while let Some(record) = records.next_record().unwrap_or_else(|error| panic!("{what}: {error}")) {
        assert_eq!(record.offset, expected, "{what}");
        expected += 1;
    }
    assert_eq!(expected, batch.header().next_offset(), "{what}");
    expected - offset
}

#[test]
fn a_changed_header_is_refused_or_harmless() {
    let running = Running::start(&[]);
    let mut client = running.client();
    for (name, batch) in golden_batches() {
        assert!(send(&mut client, &batch, &name).is_some(), "{name} as it is");
        for (start, end) in FIELDS {
            for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                for sealed in [false, true] {
                    let mut changed = batch.clone();
                    changed[start..end].fill(0);
                    changed[end - 1] = value;
                    if value >= 0x7f {
                        changed[start..end].fill(value);
                    }
                    let is_unsealed = start > 17 && !sealed && changed != batch;
                    if sealed && start != 17 {
                        seal(&mut changed);
                    }
                    let what = format!("{name}: bytes {start}..{end} are {value:#x}, sealed: {sealed}");
                    let taken = send(&mut client, &changed, &what);
                    assert!(!(is_unsealed && taken.is_some()), "{what} was taken");
                }
            }
        }
    }
    running.serves_others();
}

#[test]
fn a_changed_body_is_refused_or_readable() {
    let running = Running::start(&[]);
    let mut client = running.client();
    let mut random = Random(7);
    for (name, batch) in golden_batches() {
        for round in 0..300 {
            let mut changed = batch.clone();
            for _ in 0..=random.below(3) {
                let at = 61 + random.below(batch.len() - 61);
                changed[at] = random.next() as u8;
            }
            let is_same = changed == batch;
            let what = format!("{name}, round {round}");
            let taken = send(&mut client, &changed, &what);
            assert_eq!(taken.is_some(), is_same, "{what}: a wrong CRC");
            seal(&mut changed);
            send(&mut client, &changed, &what);
        }
    }
    running.serves_others();
}

#[test]
fn what_is_not_one_whole_batch_is_refused() {
    let running = Running::start(&[]);
    let mut client = running.client();
    for (name, batch) in golden_batches() {
        for length in 0..batch.len() {
            let what = format!("{name} as {length} bytes");
            assert_eq!(send(&mut client, &batch[..length], &what), None, "{what}");
        }
        let twice = batch.repeat(2);
        assert_eq!(send(&mut client, &twice, "two batches"), None);
        // A part of another one is left out, as Kafka does.
        let whole = send(&mut client, &batch, &name);
        for more in [1, 11, 12, 60, 61] {
            let longer = &twice[..batch.len() + more];
            assert_eq!(send(&mut client, longer, &name), whole, "{name} and {more} bytes of another");
        }
    }
    running.serves_others();
}

#[test]
fn a_batch_that_would_decompress_without_end_is_bounded() {
    let running = Running::start(&["max.decompressed.message.bytes=1000000"]);
    let mut client = running.client();
    let before = crate::running::resident_bytes();
    for bomb in bombs() {
        assert_eq!(send(&mut client, &bomb, "a bomb"), None);
    }
    let grown = crate::running::resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes");
    running.serves_others();
}

/// Small batches whose one record announces, and decompresses to, hundreds of megabytes.
fn bombs() -> Vec<Vec<u8>> {
    use klamm_records::{BatchBuilder, Compression, NewRecord};
    let codecs = [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    let value = vec![0; 20 << 20];
    let bombs = codecs.into_iter().map(|compression| {
        let mut builder = BatchBuilder::new(0).codec(compression);
        builder.append(&NewRecord { value: Some(&value), ..NewRecord::default() });
        builder.build()
    });
    bombs.filter(|bomb| bomb.len() < 1 << 20).collect()
}
