//! What a leader accepts from producers, what it refuses, and what it changes.

use klamm_records::{
    AcceptedBatch, Attributes, Batch, BatchBuilder, BatchError, BatchHeader, Codec, Compression,
    DecompressLimits, Header, NewRecord, ProduceError, ProduceRules, RecordError, RecordIter, RefusalReason,
    RefusedRecord, TimestampType, validate_produce,
};

const NOW_MS: i64 = 1_700_000_000_000;

fn rules() -> ProduceRules {
    ProduceRules {
        max_message_bytes: 1_048_588,
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: 3_600_000,
        compacted: false,
        codec: None,
        zstd_allowed: true,
        limits: DecompressLimits::default(),
        now_ms: NOW_MS,
    }
}

fn record(timestamp: i64, key: Option<&'static [u8]>, value: &'static [u8]) -> NewRecord<'static> {
    NewRecord { timestamp, key, value: Some(value), headers: &[Header { key: b"h", value: None }] }
}

fn three(codec: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new(0).codec(codec).producer(9, 1, 40).transactional(true);
    builder.append(&record(NOW_MS, Some(b"a"), b"one"));
    builder.append(&record(NOW_MS + 5, Some(b"b"), b"two"));
    builder.append(&record(NOW_MS - 5, None, b"three"));
    builder.build()
}

/// Changes header fields and brings the CRC in order.
fn with_header(bytes: &[u8], change: impl FnOnce(&mut BatchHeader)) -> Vec<u8> {
    let mut header = BatchHeader::parse(bytes).unwrap();
    change(&mut header);
    with_body(&header, &bytes[BatchHeader::SIZE..])
}

fn with_body(header: &BatchHeader, body: &[u8]) -> Vec<u8> {
    let mut header = BatchHeader { length: (BatchHeader::SIZE - 12 + body.len()) as i32, ..*header };
    header.crc = header.compute_crc(body);
    [&header.write()[..], body].concat()
}

fn refusal(bytes: &[u8], rules: &ProduceRules) -> ProduceError {
    validate_produce(bytes, rules).unwrap_err()
}

/// Offset, timestamp, key and value of every record.
type Seen = Vec<(i64, i64, Option<Vec<u8>>, Option<Vec<u8>>)>;

fn seen(bytes: &[u8]) -> Seen {
    let batch = Batch::parse(bytes).unwrap();
    batch.check_crc().unwrap();
    let body = batch.decompress(DecompressLimits::default()).unwrap();
    RecordIter::new(batch.header(), &body)
        .map(|record| {
            let record = record.unwrap();
            let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
            (record.offset, record.timestamp, owned(record.key), owned(record.value))
        })
        .collect()
}

#[test]
fn an_acceptable_batch_is_taken_over_and_only_stamped() {
    for codec in Compression::ALL {
        let bytes = three(codec);
        let mut accepted = validate_produce(&bytes, &rules()).unwrap();
        assert!(!accepted.is_rebuilt());
        assert_eq!(accepted.body().as_ptr(), bytes[BatchHeader::SIZE..].as_ptr(), "{codec}");
        accepted.stamp(1000, 7);
        let stamped = accepted.into_bytes();
        assert_eq!(stamped[12 + 4..], bytes[12 + 4..], "{codec}");
        let header = *Batch::parse(&stamped).unwrap().header();
        assert_eq!((header.base_offset, header.partition_leader_epoch), (1000, 7));
        assert_eq!(Batch::parse(&stamped).unwrap().check_crc(), Ok(()));
    }
}

#[test]
fn a_partial_batch_behind_the_first_is_left_out() {
    let bytes = three(Compression::None);
    let more = [&bytes[..], &bytes[..50]].concat();
    assert_eq!(validate_produce(&more, &rules()).unwrap().size(), bytes.len());
}

#[test]
fn log_append_time_changes_type_and_maximum_alone() {
    for codec in Compression::ALL {
        let bytes = three(codec);
        let rules = ProduceRules { timestamp_type: TimestampType::LogAppendTime, ..rules() };
        let accepted = validate_produce(&bytes, &rules).unwrap();
        let before = BatchHeader::parse(&bytes).unwrap();
        let expected = BatchHeader {
            attributes: before.attributes.with_timestamp_type(TimestampType::LogAppendTime),
            max_timestamp: NOW_MS,
            crc: accepted.header().crc,
            ..before
        };
        assert_eq!(*accepted.header(), expected);
        assert!(!accepted.is_rebuilt());
        assert!(seen(&accepted.into_bytes()).iter().all(|record| record.1 == NOW_MS));
    }
}

#[test]
fn a_wrong_maximum_timestamp_is_corrected() {
    for codec in [Compression::None, Compression::Lz4] {
        let bytes = with_header(&three(codec), |header| header.max_timestamp = 3);
        let accepted = validate_produce(&bytes, &rules()).unwrap();
        assert_eq!(accepted.header().max_timestamp, NOW_MS + 5);
        assert_eq!(accepted.into_bytes(), three(codec));
    }
}

#[test]
fn another_codec_of_the_topic_rebuilds_the_batch() {
    for source in Compression::ALL {
        for target in Compression::ALL {
            let bytes = three(source);
            let rules = ProduceRules { codec: Some(Codec::new(target)), ..rules() };
            let accepted = validate_produce(&bytes, &rules).unwrap();
            assert_eq!(accepted.is_rebuilt(), source != target);
            let header = *accepted.header();
            assert_eq!(header.attributes, Attributes(16).with_compression(target));
            assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (9, 1, 40));
            assert_eq!(header.max_timestamp, NOW_MS + 5);
            assert_eq!(seen(&accepted.into_bytes()), seen(&bytes), "{source} to {target}");
        }
    }
}

#[test]
fn another_codec_where_records_cannot_be_kept_as_they_are() {
    for source in [Compression::None, Compression::Lz4] {
        let mut builder = BatchBuilder::new(0).codec(source).delete_horizon_ms(NOW_MS - 70);
        builder.append_at(3, &record(NOW_MS, None, b"x"));
        builder.append_at(5, &record(NOW_MS + 1, None, b"y"));
        let gaps = with_header(&builder.build(), |header| {
            header.last_offset_delta = 1;
            header.attributes = header.attributes.with_delete_horizon(false);
        });
        let rules = ProduceRules { codec: Some(Codec::new(Compression::Zstd)), ..rules() };
        let accepted = validate_produce(&gaps, &rules).unwrap();
        assert_eq!(accepted.header().base_timestamp, NOW_MS, "{source}");
        let expected: Seen =
            vec![(0, NOW_MS, None, Some(b"x".to_vec())), (1, NOW_MS + 1, None, Some(b"y".to_vec()))];
        assert_eq!(seen(&accepted.into_bytes()), expected, "{source}");
    }
}

#[test]
fn offsets_with_gaps_are_made_consecutive() {
    for codec in [Compression::None, Compression::Zstd] {
        let mut builder = BatchBuilder::new(0).codec(codec);
        builder.append_at(3, &record(NOW_MS, None, b"x"));
        builder.append_at(5, &record(NOW_MS, None, b"y"));
        let bytes = with_header(&builder.build(), |header| header.last_offset_delta = 1);
        let accepted = validate_produce(&bytes, &rules()).unwrap();
        let offsets: Vec<i64> = seen(&accepted.into_bytes()).iter().map(|record| record.0).collect();
        assert_eq!(offsets, [0, 1], "{codec}");
    }
}

#[test]
fn what_is_not_exactly_one_batch_is_refused() {
    let bytes = three(Compression::None);
    assert_eq!(refusal(&[], &rules()), ProduceError::NoBatch);
    assert_eq!(refusal(&bytes[..bytes.len() - 1], &rules()), ProduceError::NoBatch);
    assert_eq!(refusal(&[&bytes[..], &bytes[..]].concat(), &rules()), ProduceError::SeveralBatches);
    let mut old = bytes.clone();
    old[16] = 1;
    assert_eq!(refusal(&old, &rules()), ProduceError::OldMagic(1));
    old[16] = 3;
    assert_eq!(refusal(&old, &rules()), ProduceError::Corrupt(BatchError::Magic(3)));
    let mut damaged = bytes;
    damaged[70] ^= 1;
    assert!(matches!(refusal(&damaged, &rules()), ProduceError::Corrupt(BatchError::Crc { .. })));
}

#[test]
fn header_fields_that_producers_may_not_send() {
    let refused = |change: fn(&mut BatchHeader)| {
        let bytes = with_header(&three(Compression::None), change);
        matches!(refusal(&bytes, &rules()), ProduceError::Header(_))
    };
    assert!(refused(|header| header.base_offset = 1));
    assert!(refused(|header| header.count = 0));
    assert!(refused(|header| header.count = -1));
    assert!(refused(|header| header.last_offset_delta = 1));
    assert!(refused(|header| (header.last_offset_delta, header.count) = (i32::MAX, i32::MIN)));
    assert!(refused(|header| header.attributes = header.attributes.with_control(true)));
    assert!(refused(|header| header.base_sequence = -1));
}

#[test]
fn sizes_and_codecs_out_of_bounds() {
    let bytes = three(Compression::Zstd);
    let size = bytes.len();
    let exact = ProduceRules { max_message_bytes: size, ..rules() };
    assert!(validate_produce(&bytes, &exact).is_ok());
    let small = ProduceRules { max_message_bytes: size - 1, ..rules() };
    assert_eq!(refusal(&bytes, &small), ProduceError::TooLarge { size, max: size - 1 });
    let old = ProduceRules { zstd_allowed: false, ..rules() };
    assert_eq!(refusal(&bytes, &old), ProduceError::ZstdNotAllowed);
    let unknown = with_header(&bytes, |header| header.attributes = Attributes(5));
    assert!(matches!(refusal(&unknown, &rules()), ProduceError::Records(RecordError::Decompress(_))));
}

#[test]
fn a_rebuilt_batch_must_fit_too() {
    let mut builder = BatchBuilder::new(0).codec(Compression::Zstd);
    builder.append(&NewRecord { timestamp: NOW_MS, value: Some(&[7; 5000]), ..NewRecord::default() });
    let rules =
        ProduceRules { max_message_bytes: 4000, codec: Some(Codec::new(Compression::None)), ..rules() };
    assert!(matches!(refusal(&builder.build(), &rules), ProduceError::TooLarge { size: 5070, max: 4000 }));
}

#[test]
fn a_bomb_is_not_rebuilt_to_its_end() {
    let mut builder = BatchBuilder::new(0).codec(Compression::Zstd);
    let value = vec![0; 1_000_000];
    for _ in 0..100 {
        builder.append(&NewRecord { timestamp: NOW_MS, value: Some(&value), ..NewRecord::default() });
    }
    let bytes = builder.build();
    assert!(bytes.len() < 20_000);
    for (target, size) in [(Compression::None, 1_000_072), (Compression::Snappy, 409_098)] {
        let rules = ProduceRules { max_message_bytes: 400_000, codec: Some(Codec::new(target)), ..rules() };
        assert_eq!(refusal(&bytes, &rules), ProduceError::TooLarge { size, max: 400_000 });
    }
}

#[test]
fn compacted_topics_need_keys() {
    for codec in Compression::ALL {
        let rules = ProduceRules { compacted: true, ..rules() };
        let refused = vec![RefusedRecord { index: 2, reason: RefusalReason::NoKey }];
        assert_eq!(refusal(&three(codec), &rules), ProduceError::Refused(refused), "{codec}");
    }
}

#[test]
fn timestamps_out_of_range_are_refused() {
    let ahead = |index, timestamp| {
        vec![RefusedRecord { index, reason: RefusalReason::TimestampOutOfRange(timestamp) }]
    };
    for (timestamp_after_max_ms, timestamp_before_max_ms, refused) in
        [(5, 5, Vec::new()), (4, 5, ahead(1, NOW_MS + 5)), (5, 4, ahead(2, NOW_MS - 5))]
    {
        let rules = ProduceRules { timestamp_after_max_ms, timestamp_before_max_ms, ..rules() };
        for codec in [Compression::None, Compression::Gzip] {
            let bytes = three(codec);
            let result = validate_produce(&bytes, &rules);
            if refused.is_empty() {
                assert!(result.is_ok());
            } else {
                assert_eq!(result, Err(ProduceError::Refused(refused.clone())));
            }
            let append_time = ProduceRules { timestamp_type: TimestampType::LogAppendTime, ..rules };
            assert!(validate_produce(&bytes, &append_time).is_ok());
        }
    }
}

#[test]
fn producers_may_not_claim_log_append_time() {
    let bytes = with_header(&three(Compression::None), |header| {
        header.attributes = header.attributes.with_timestamp_type(TimestampType::LogAppendTime);
    });
    let ProduceError::Refused(refused) = refusal(&bytes, &rules()) else { panic!("accepted") };
    assert!(refused.iter().all(|record| record.reason == RefusalReason::LogAppendTime));
    assert_eq!(refused.len(), 3);
}

#[test]
fn records_that_are_not_what_the_header_says() {
    for codec in Compression::ALL {
        let bytes = three(codec);
        let fewer = with_header(&bytes, |header| (header.count, header.last_offset_delta) = (2, 1));
        assert_eq!(refusal(&fewer, &rules()), ProduceError::Records(RecordError::Remaining(2)), "{codec}");
        let more = with_header(&bytes, |header| (header.count, header.last_offset_delta) = (4, 3));
        assert!(matches!(refusal(&more, &rules()), ProduceError::Records(_)), "{codec}");
    }
}

#[test]
fn record_structures_that_do_not_fit() {
    let header = BatchHeader { count: 1, max_timestamp: 0, base_timestamp: 0, ..BatchHeader::default() };
    let bodies: [(&[u8], &str); 9] = [
        (&[], "no length"),
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "endless length"),
        (&[1], "negative length"),
        (&[2, 0], "no deltas"),
        (&[12, 0, 0, 0, 126, 1, 0], "key beyond the record"),
        (&[12, 0, 0, 0, 1, 126, 0], "value beyond the record"),
        (&[12, 0, 0, 0, 1, 1, 1], "negative header count"),
        (&[12, 0, 0, 0, 1, 1, 126], "header count beyond the record"),
        (&[14, 0, 0, 0, 1, 1, 0, 0], "bytes behind the headers"),
    ];
    for (body, what) in bodies {
        let bytes = with_body(&header, body);
        assert!(matches!(refusal(&bytes, &rules()), ProduceError::Records(_)), "{what}");
    }
    assert!(validate_produce(&with_body(&header, &[12, 0, 0, 0, 1, 1, 0]), &rules()).is_ok());
}

#[test]
fn large_records_are_bounded_by_their_own_limit() {
    let value = vec![3; 300_000];
    for codec in Compression::ALL {
        let mut builder = BatchBuilder::new(0).codec(codec);
        for _ in 0..3 {
            let headers = [Header { key: b"name", value: Some(b"value") }];
            builder.append(&NewRecord {
                timestamp: NOW_MS,
                key: Some(b"k"),
                value: Some(&value),
                headers: &headers,
            });
        }
        let bytes = builder.build();
        let with = |limits| {
            validate_produce(&bytes, &ProduceRules { limits, ..rules() }).map(|_: AcceptedBatch<'_>| ())
        };
        assert_eq!(with(DecompressLimits::default()), Ok(()), "{codec}");
        let record = with(DecompressLimits { record_bytes_max: 300_000, ..DecompressLimits::default() });
        let batch = with(DecompressLimits { batch_bytes_max: 800_000, ..DecompressLimits::default() });
        if codec == Compression::None {
            assert_eq!((record, batch), (Ok(()), Ok(())));
        } else {
            let large = RecordError::TooLarge { index: 0, size: 300_020, max: 300_000 };
            assert_eq!(record, Err(ProduceError::Records(large)), "{codec}");
            assert_eq!(
                batch,
                Err(ProduceError::Records(RecordError::BatchTooLarge { max: 800_000 })),
                "{codec}"
            );
        }
    }
}

#[test]
fn of_very_many_refused_records_a_thousand_are_listed() {
    let mut builder = BatchBuilder::new(0);
    for index in 0..5000 {
        let timestamp = if index == 4000 { NOW_MS + 10_000_000 } else { NOW_MS };
        let key: Option<&[u8]> = if index == 4000 { Some(b"k") } else { None };
        builder.append(&NewRecord { timestamp, key, ..NewRecord::default() });
    }
    let rules = ProduceRules { compacted: true, ..rules() };
    let ProduceError::Refused(refused) = refusal(&builder.build(), &rules) else { panic!("accepted") };
    assert_eq!(refused.len(), 1001);
    assert_eq!(refused[1000].index, 4000);
    assert!(refused[1000].reason.is_timestamp());
}
