//! Generated batches survive every codec, and bytes that nobody generated harm nobody.

use klamm_records::{
    Batch, BatchBuilder, BatchHeader, Codec, Compression, DecompressLimits, Header, NewRecord, ProduceRules,
    RecordIter, TimestampType, any_batches, validate_produce,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// A record that owns its bytes.
#[derive(Debug, Clone, PartialEq)]
struct Owned {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn bytes(len_max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..len_max),
        (any::<u8>(), 0..len_max * 40).prop_map(|(byte, len)| vec![byte; len])
    ]
}

fn record() -> impl Strategy<Value = Owned> {
    let headers = vec((vec(any::<u8>(), 0..10), proptest::option::of(vec(any::<u8>(), 0..20))), 0..4);
    let fields = (any::<i64>(), proptest::option::of(bytes(20)), proptest::option::of(bytes(3000)), headers);
    fields.prop_map(|(timestamp, key, value, headers)| Owned { timestamp, key, value, headers })
}

fn codec() -> impl Strategy<Value = Compression> {
    proptest::sample::select(Compression::ALL.to_vec())
}

fn build(records: &[Owned], codec: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new(0).codec(codec);
    for record in records {
        let headers: Vec<Header<'_>> =
            record.headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }).collect();
        builder.append(&NewRecord {
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
        });
    }
    builder.build()
}

fn read(bytes: &[u8]) -> Vec<Owned> {
    let batch = Batch::parse(bytes).unwrap();
    let mut records = batch.records(DecompressLimits::default()).unwrap();
    let mut out = Vec::new();
    while let Some(record) = records.next_record().unwrap() {
        assert_eq!(record.offset, out.len() as i64);
        out.push(Owned {
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record
                .headers
                .map(|header| (header.key.to_vec(), header.value.map(<[u8]>::to_vec)))
                .collect(),
        });
    }
    out
}

fn rules() -> ProduceRules {
    ProduceRules {
        max_message_bytes: usize::MAX,
        timestamp_type: TimestampType::LogAppendTime,
        timestamp_before_max_ms: 0,
        timestamp_after_max_ms: 0,
        compacted: false,
        codec: None,
        zstd_allowed: true,
        limits: DecompressLimits { record_bytes_max: 1 << 20, batch_bytes_max: 8 << 20 },
        now_ms: 5,
    }
}

/// Reads whatever can be read in every way there is.
fn exercise(bytes: &[u8]) {
    for batch in any_batches(bytes) {
        let Ok(batch) = batch else { break };
        let _ = batch.check_crc();
        if let Ok(mut records) = batch.records(rules().limits) {
            while let Ok(Some(record)) = records.next_record() {
                assert_eq!(record.headers.count(), record.headers.len());
            }
        }
    }
    let _ = validate_produce(bytes, &rules());
    let _ =
        validate_produce(bytes, &ProduceRules { codec: Some(Codec::new(Compression::Snappy)), ..rules() });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn batches_hold_what_was_appended(records in vec(record(), 1..12), codec in codec()) {
        let bytes = build(&records, codec);
        let batch = Batch::parse(&bytes).unwrap();
        prop_assert_eq!(batch.check_crc(), Ok(()));
        prop_assert_eq!(batch.header().count as usize, records.len());
        prop_assert_eq!(read(&bytes), records);
    }

    #[test]
    fn validation_keeps_the_records(records in vec(record(), 1..12), source in codec(), target in codec()) {
        let bytes = build(&records, source);
        let rules = ProduceRules {
            codec: Some(Codec::new(target)),
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: i64::MAX,
            limits: DecompressLimits::default(),
            ..rules()
        };
        let in_range = |record: &Owned| record.timestamp > -1 << 62;
        prop_assume!(records.iter().all(in_range));
        let accepted = validate_produce(&bytes, &rules).unwrap();
        prop_assert_eq!(accepted.is_rebuilt(), source != target);
        let stored = accepted.into_bytes();
        prop_assert_eq!(Batch::parse(&stored).unwrap().check_crc(), Ok(()));
        prop_assert_eq!(read(&stored), records);
    }

    #[test]
    fn damaged_bodies_with_a_right_crc_harm_nobody(
        records in vec(record(), 1..6),
        codec in codec(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = build(&records, codec);
        let header = BatchHeader::parse(&bytes).unwrap();
        let at = BatchHeader::SIZE + at.index(bytes.len() - BatchHeader::SIZE);
        bytes[at] = byte;
        let crc = header.compute_crc(&bytes[BatchHeader::SIZE..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        exercise(&bytes);
        if validate_produce(&bytes, &ProduceRules { limits: DecompressLimits::default(), ..rules() }).is_ok() {
            let body = Batch::parse(&bytes).unwrap().decompress(DecompressLimits::default()).unwrap();
            prop_assert!(RecordIter::new(&header, &body).all(|record| record.is_ok()));
        }
    }

    #[test]
    fn noise_harms_nobody(mut bytes in vec(any::<u8>(), 0..300), magic in 0..4u8, codec in 0..8u8) {
        exercise(&bytes);
        if bytes.len() > 61 {
            let length = bytes.len() as i32 - 12;
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            (bytes[16], bytes[22]) = (magic, codec);
            bytes[57..61].copy_from_slice(&3i32.to_be_bytes());
            exercise(&bytes);
        }
    }
}
