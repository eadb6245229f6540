//! The consumer against brokers that cut connections, forget sessions and move leaders.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::fake_broker::{FakeCluster, Incoming, Reply, TOPIC, TOPIC_ID, metadata};
use crate::grouping::{COMMITTED_EPOCH, offset_fetch};
use klamm_client::{
    ConsumeError, Consumer, ConsumerConfig, ErrorCode, Event, OffsetSpec, StartAt, TopicPartition,
};
use klamm_protocol::messages::fetch_response::{
    EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData,
};
use klamm_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use klamm_protocol::messages::{FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse};
use klamm_protocol::{ApiKey, Records};
use klamm_records::{BatchBuilder, Compression, NewRecord};

fn consumer(cluster: &FakeCluster, settings: &[(&str, &str)]) -> Consumer {
    let servers = cluster.bootstrap();
    let base = [
        ("bootstrap.servers", servers.as_str()),
        ("retry.backoff.ms", "1"),
        ("retry.backoff.max.ms", "2"),
        ("reconnect.backoff.ms", "1"),
    ];
    let config = ConsumerConfig::from_properties(base.into_iter().chain(settings.iter().copied()));
    Consumer::new(config.expect("valid")).expect("valid")
}

fn partition() -> TopicPartition {
    TopicPartition::new(TOPIC, 0)
}

/// Two records at `offset` and behind.
fn batch(offset: i64, compression: Compression) -> Vec<u8> {
    batch_of(offset, -1, compression)
}

/// The same, written by the leader of this epoch.
fn batch_of(offset: i64, leader_epoch: i32, compression: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new(offset).partition_leader_epoch(leader_epoch).codec(compression);
    for _ in 0..2 {
        builder.append(&NewRecord { value: Some(b"v"), ..NewRecord::default() });
    }
    builder.build()
}

/// The session epoch and, if the request names it, the offset of the partition.
fn asked(request: &Incoming) -> (i32, Option<i64>) {
    let request: FetchRequest<'_> = request.decode();
    let offset = request.topics.first().and_then(|t| t.partitions.first()).map(|p| p.fetch_offset);
    (request.session_epoch, offset)
}

fn answer(session_id: i32, partition: PartitionData<'static>) -> Reply {
    let topic =
        FetchableTopicResponse { topic_id: TOPIC_ID, partitions: vec![partition], ..Default::default() };
    Reply::answer(FetchResponse { session_id, responses: vec![topic], ..Default::default() })
}

/// The offset asked for, and the epoch of what is before it.
fn asked_behind(request: &Incoming) -> (i64, i32) {
    let asked = &request.decode::<FetchRequest<'_>>().topics[0].partitions[0];
    (asked.fetch_offset, asked.last_fetched_epoch)
}

fn data(offset: i64) -> PartitionData<'static> {
    data_of(offset, -1)
}

fn data_of(offset: i64, leader_epoch: i32) -> PartitionData<'static> {
    let records = batch_of(offset, leader_epoch, Compression::Lz4);
    PartitionData {
        high_watermark: 100,
        records: Some(Records::Bytes(records.into())),
        ..PartitionData::default()
    }
}

async fn offsets(consumer: &mut Consumer, count: usize) -> Vec<i64> {
    let mut offsets = Vec::new();
    while offsets.len() < count {
        if let Event::Records(records) = consumer.next().await.expect("records") {
            offsets.extend(records.iter().map(|record| record.expect("a record").offset));
        }
    }
    offsets
}

/// Answers every fetch with the batch that begins at the offset asked for, which the session remembers.
struct Log {
    positions: Mutex<BTreeMap<(i32, usize), i64>>,
}

impl Log {
    fn new() -> Self {
        Self { positions: Mutex::default() }
    }

    fn fetch(&self, request: &Incoming) -> Reply {
        let (_, offset) = asked(request);
        let mut positions = self.positions.lock().expect("no panic");
        let position = positions.entry((request.broker, request.connection)).or_insert(-1);
        *position = offset.unwrap_or(*position);
        answer(77, data(*position))
    }
}

#[tokio::test]
async fn a_session_names_only_what_has_changed() {
    let log = Log::new();
    let cluster =
        FakeCluster::start(1, 1, move |request| (request.key == ApiKey::Fetch).then(|| log.fetch(request)))
            .await;
    let mut consumer = consumer(&cluster, &[]);
    consumer.assign([(partition(), StartAt::Offset(10))]).expect("assigned");
    assert_eq!(offsets(&mut consumer, 6).await, [10, 11, 12, 13, 14, 15]);
    let epochs: Vec<_> = cluster.received(ApiKey::Fetch).iter().take(3).map(asked).collect();
    assert_eq!(epochs, [(0, Some(10)), (1, Some(12)), (2, Some(14))]);
    assert_eq!(consumer.position(&partition()), Some(16));
    assert_eq!(consumer.high_watermark(&partition()), Some(100));
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_when_a_connection_is_cut() {
    let log = Log::new();
    let cluster = FakeCluster::start(1, 1, move |request| match request.key {
        ApiKey::Fetch if asked(request).0 == 2 && request.connection < 2 => Some(Reply::Close),
        ApiKey::Fetch => Some(log.fetch(request)),
        _ => None,
    })
    .await;
    let mut consumer = consumer(&cluster, &[]);
    consumer.assign([(partition(), StartAt::Offset(0))]).expect("assigned");
    assert_eq!(offsets(&mut consumer, 12).await, (0..12).collect::<Vec<i64>>());
}

#[tokio::test]
async fn a_forgotten_session_is_opened_again() {
    let log = Log::new();
    let cluster = FakeCluster::start(1, 1, move |request| match request.key {
        ApiKey::Fetch if asked(request).0 == 1 => {
            let error_code = ErrorCode::FETCH_SESSION_ID_NOT_FOUND;
            Some(Reply::answer(FetchResponse { error_code, ..Default::default() }))
        }
        ApiKey::Fetch => Some(log.fetch(request)),
        _ => None,
    })
    .await;
    let mut consumer = consumer(&cluster, &[]);
    consumer.assign([(partition(), StartAt::Offset(0))]).expect("assigned");
    assert_eq!(offsets(&mut consumer, 6).await, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_moved_leader_is_followed() {
    let log = Log::new();
    let cluster = FakeCluster::start(2, 1, move |request| match (request.key, request.broker) {
        (ApiKey::Fetch, 1) => Some(answer(
            1,
            PartitionData {
                error_code: ErrorCode::NOT_LEADER_OR_FOLLOWER,
                current_leader: LeaderIdAndEpoch { leader_id: 2, leader_epoch: 1 },
                ..PartitionData::default()
            },
        )),
        (ApiKey::Fetch, _) => Some(log.fetch(request)),
        _ => None,
    })
    .await;
    let mut consumer = consumer(&cluster, &[]);
    consumer.assign([(partition(), StartAt::Offset(0))]).expect("assigned");
    assert_eq!(offsets(&mut consumer, 2).await, [0, 1]);
}

/// Somebody read from a leader of epoch 3, and committed that: the one of epoch 2 may have less, and is not asked.
#[tokio::test]
async fn a_leader_older_than_what_was_read_is_not_asked() {
    let log = Log::new();
    let told = AtomicUsize::new(0);
    let cluster = FakeCluster::start(2, 1, move |request| match (request.key, request.broker) {
        (ApiKey::Metadata, _) => {
            let is_old = told.fetch_add(1, Ordering::Relaxed) < 3;
            let leader = if is_old { (1, COMMITTED_EPOCH - 1) } else { (2, COMMITTED_EPOCH) };
            Some(Reply::answer(metadata(&request.ports, 1, |_| leader)))
        }
        (ApiKey::OffsetFetch, _) => Some(offset_fetch()),
        (ApiKey::Fetch, 2) => Some(log.fetch(request)),
        _ => None,
    })
    .await;
    let mut consumer = consumer(&cluster, &[("group.id", "g"), ("auto.offset.reset", "earliest")]);
    consumer.assign([(partition(), StartAt::Committed)]).expect("assigned");
    assert_eq!(offsets(&mut consumer, 2).await, [42, 43]);
    assert!(cluster.received(ApiKey::Fetch).iter().all(|request| request.broker == 2));
}

/// The leader of epoch 5 had records that the next one never got (KIP-320): a fetch behind them names their epoch, and goes back.
#[tokio::test]
async fn a_log_that_was_cut_is_read_again_from_there() {
    let is_cut = Arc::new(AtomicBool::new(false));
    let is_cut_by_now = Arc::clone(&is_cut);
    let cluster = FakeCluster::start(1, 1, move |request| match request.key {
        ApiKey::Metadata => Some(Reply::answer(metadata(&request.ports, 1, |_| (1, 6)))),
        ApiKey::Fetch => Some(match asked_behind(request) {
            (10, -1) => answer(0, data_of(10, 5)),
            (12, 5) if is_cut_by_now.load(Ordering::Relaxed) => {
                let diverging_epoch = EpochEndOffset { epoch: 4, end_offset: 11 };
                answer(0, PartitionData { diverging_epoch, ..PartitionData::default() })
            }
            (12, 5) => answer(0, PartitionData::default()),
            (11, 4) => answer(0, data_of(11, 6)),
            (13, 6) => Reply::Silence,
            asked => panic!("{asked:?}"),
        }),
        _ => None,
    })
    .await;
    let mut consumer = consumer(&cluster, &[]);
    consumer.assign([(partition(), StartAt::Offset(10))]).expect("assigned");
    assert_eq!(offsets(&mut consumer, 2).await, [10, 11]);
    is_cut.store(true, Ordering::Relaxed);
    assert_eq!(offsets(&mut consumer, 2).await, [11, 12]);
}

#[tokio::test]
async fn a_batch_that_begins_earlier_is_delivered_from_the_position() {
    let cluster = FakeCluster::start(1, 1, |request| {
        (request.key == ApiKey::Fetch).then(|| match asked(request).1 {
            Some(11) => answer(0, data(10)),
            _ => answer(0, PartitionData { high_watermark: 12, ..PartitionData::default() }),
        })
    })
    .await;
    let mut consumer = consumer(&cluster, &[("enable.partition.eof", "true")]);
    consumer.assign([(partition(), StartAt::Offset(11))]).expect("assigned");
    assert_eq!(offsets(&mut consumer, 1).await, [11]);
    let event = consumer.next().await.expect("an event");
    assert!(matches!(event, Event::EndOfPartition { offset: 12, .. }), "{event:?}");
}

/// Answers offset look-ups: earliest 3, latest 50, timestamps 20.
fn list_offsets(request: &Incoming) -> Reply {
    let request: ListOffsetsRequest<'_> = request.decode();
    let offset = match request.topics[0].partitions[0].timestamp {
        -2 => 3,
        -1 => 50,
        _ => 20,
    };
    Reply::answer(ListOffsetsResponse {
        topics: vec![ListOffsetsTopicResponse {
            name: TOPIC.into(),
            partitions: vec![ListOffsetsPartitionResponse { offset, ..Default::default() }],
        }],
        ..Default::default()
    })
}

#[tokio::test]
async fn starts_are_looked_up() {
    let log = Log::new();
    let cluster = FakeCluster::start(1, 1, move |request| match request.key {
        ApiKey::Fetch => Some(log.fetch(request)),
        ApiKey::ListOffsets => Some(list_offsets(request)),
        _ => None,
    })
    .await;
    let mut consumer = consumer(&cluster, &[]);
    for (start, first) in [(StartAt::Earliest, 3), (StartAt::Latest, 50), (StartAt::Timestamp(99), 20)] {
        consumer.assign([(partition(), start)]).expect("assigned");
        assert_eq!(offsets(&mut consumer, 2).await, [first, first + 1], "{start:?}");
    }
    let listed =
        consumer.list_offsets(&[(partition(), OffsetSpec::Earliest)].into()).await.expect("answered");
    assert_eq!(listed[0].1.as_ref().map(|listed| listed.offset), Ok(Some(3)));
}

#[tokio::test]
async fn an_offset_out_of_range_is_reset_or_reported() {
    for policy in ["earliest", "none"] {
        let log = Log::new();
        let cluster = FakeCluster::start(1, 1, move |request| match request.key {
            ApiKey::Fetch if asked(request).1 == Some(999) => {
                let error_code = ErrorCode::OFFSET_OUT_OF_RANGE;
                Some(answer(0, PartitionData { error_code, ..PartitionData::default() }))
            }
            ApiKey::Fetch => Some(log.fetch(request)),
            ApiKey::ListOffsets => Some(list_offsets(request)),
            _ => None,
        })
        .await;
        let mut consumer = consumer(&cluster, &[("auto.offset.reset", policy)]);
        consumer.assign([(partition(), StartAt::Offset(999))]).expect("assigned");
        if policy == "none" {
            let error = consumer.next().await.expect_err("no policy");
            assert!(matches!(error, ConsumeError::NoOffset { .. }), "{error}");
            consumer.seek(&partition(), StartAt::Offset(3)).expect("assigned");
        }
        assert_eq!(offsets(&mut consumer, 2).await, [3, 4], "{policy}");
    }
}

#[tokio::test]
async fn a_damaged_batch_is_reported_once() {
    let cluster = FakeCluster::start(1, 1, |request| {
        (request.key == ApiKey::Fetch).then(|| {
            let (_, offset) = asked(request);
            let mut records = batch(offset.unwrap_or(0), Compression::None);
            if offset == Some(0) {
                *records.last_mut().expect("not empty") ^= 1;
            }
            let records = Some(Records::Bytes(records.into()));
            answer(0, PartitionData { records, ..PartitionData::default() })
        })
    })
    .await;
    let mut consumer = consumer(&cluster, &[]);
    consumer.assign([(partition(), StartAt::Offset(0))]).expect("assigned");
    let error = consumer.next().await.expect_err("damaged");
    assert!(matches!(error, ConsumeError::Corrupt { offset: 0, .. }), "{error}");
    consumer.seek(&partition(), StartAt::Offset(2)).expect("assigned");
    assert_eq!(offsets(&mut consumer, 2).await, [2, 3]);
}

#[tokio::test]
async fn good_batches_come_before_a_damaged_one() {
    let last_byte: fn(&mut Vec<u8>) = |batch| *batch.last_mut().expect("not empty") ^= 1;
    // No CRC covers the base offset.
    let offset_back: fn(&mut Vec<u8>) = |batch| batch[7] = 1;
    let offset_negative: fn(&mut Vec<u8>) = |batch| batch[0] ^= 0x80;
    for damage in [last_byte, offset_back, offset_negative] {
        let cluster = FakeCluster::start(1, 1, move |request| {
            (request.key == ApiKey::Fetch).then(|| {
                let mut batches = [0, 2, 4, 6].map(|offset| batch(offset, Compression::None));
                damage(&mut batches[2]);
                let records = Some(Records::Bytes(batches.concat().into()));
                answer(0, PartitionData { records, ..PartitionData::default() })
            })
        })
        .await;
        let mut consumer = consumer(&cluster, &[]);
        consumer.assign([(partition(), StartAt::Offset(0))]).expect("assigned");
        assert_eq!(offsets(&mut consumer, 4).await, [0, 1, 2, 3]);
        let error = consumer.next().await.expect_err("damaged");
        assert!(matches!(error, ConsumeError::Corrupt { offset: 4, .. }), "{error}");
        assert_eq!(consumer.position(&partition()), Some(4));
    }
}

/// Partitions 0 and 1 as they are asked for: with their offsets.
fn all_asked(request: &Incoming) -> Vec<(i32, i64)> {
    let request: FetchRequest<'_> = request.decode();
    let partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| (partition.partition, partition.fetch_offset)).collect()
}

#[tokio::test]
async fn an_error_does_not_overtake_what_was_fetched_before() {
    let cluster = FakeCluster::start(1, 2, |request| {
        (request.key == ApiKey::Fetch).then(|| match all_asked(request)[..] {
            [(0, 0), _] => answer(0, data(0)),
            // This tells the test that the answer before it has come.
            [(1, _)] => {
                answer(0, PartitionData { partition_index: 1, high_watermark: 7, ..PartitionData::default() })
            }
            _ => {
                let error_code = ErrorCode::CORRUPT_MESSAGE;
                answer(0, PartitionData { error_code, ..PartitionData::default() })
            }
        })
    })
    .await;
    let mut consumer = consumer(&cluster, &[]);
    let second = TopicPartition::new(TOPIC, 1);
    let start = StartAt::Offset(0);
    consumer.assign([(partition(), start), (second.clone(), start)]).expect("assigned");
    while consumer.high_watermark(&second).is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(offsets(&mut consumer, 2).await, [0, 1]);
    let error = consumer.next().await.expect_err("refused");
    let expected = ErrorCode::CORRUPT_MESSAGE;
    assert!(matches!(error, ConsumeError::Partition { code, .. } if code == expected), "{error}");
}

#[tokio::test]
async fn a_batch_that_does_not_decompress_halts_its_partition() {
    let cluster = FakeCluster::start(1, 1, |request| {
        (request.key == ApiKey::Fetch).then(|| {
            let (_, offset) = asked(request);
            let mut records = batch(offset.unwrap_or(0), Compression::None);
            if offset == Some(0) {
                // The attributes' last byte says zstd, which the body is not.
                records[22] = 4;
            }
            let records = Some(Records::Bytes(records.into()));
            answer(0, PartitionData { records, ..PartitionData::default() })
        })
    })
    .await;
    let mut consumer = consumer(&cluster, &[("check.crcs", "false")]);
    consumer.assign([(partition(), StartAt::Offset(0))]).expect("assigned");
    let error = consumer.next().await.expect_err("damaged");
    assert!(matches!(error, ConsumeError::Corrupt { offset: 0, .. }), "{error}");
    assert_eq!(consumer.position(&partition()), Some(0));
    consumer.seek(&partition(), StartAt::Offset(2)).expect("assigned");
    assert_eq!(offsets(&mut consumer, 2).await, [2, 3]);
}

#[tokio::test]
async fn what_needs_a_group_says_so() {
    let cluster = FakeCluster::start(1, 1, |_| None).await;
    let consumer = consumer(&cluster, &[]);
    assert!(matches!(consumer.subscribe([TOPIC]), Err(ConsumeError::NoGroup)));
    assert!(matches!(consumer.assign([(partition(), StartAt::Committed)]), Err(ConsumeError::NoGroup)));
    assert!(matches!(consumer.seek(&partition(), StartAt::Earliest), Err(ConsumeError::NotAssigned { .. })));
    assert!(consumer.commit().await.is_err());
}
