//! Idempotence under failures: a broker that keeps Kafka's rules for sequence numbers but fails as a seed says.
//!
//! Whatever happens to requests and answers, every record must be in the log exactly once and in the order in which
//! it was sent, and every acknowledgement must name the offset where the record really is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use klamm_client::{ErrorCode, Producer, ProducerConfig, ProducerRecord};
use klamm_protocol::ApiKey;
use klamm_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use klamm_protocol::messages::{ProduceRequest, ProduceResponse};
use klamm_records::{Batch, BatchHeader, DecompressLimits, RecordIter};

use crate::fake_broker::{FakeCluster, Incoming, Reply, TOPIC, TOPIC_ID};

const PARTITIONS: i32 = 3;
const RECORDS: usize = 600;

#[derive(Default)]
struct PartitionLog {
    values: Vec<Vec<u8>>,
    /// Producer epoch, next sequence, and the last five batches by first sequence and offset.
    epoch: i16,
    next_sequence: i32,
    recent: VecDeque<(i32, i64)>,
}

impl PartitionLog {
    /// Kafka's rule: the next number is appended, one of the last five batches known again, the rest refused.
    fn append(&mut self, bytes: &[u8]) -> Result<i64, ErrorCode> {
        let batch = Batch::parse(bytes).expect("a whole batch");
        batch.check_crc().expect("as it was sealed");
        let BatchHeader { base_sequence, producer_epoch, .. } = *batch.header();
        if producer_epoch > self.epoch {
            (self.epoch, self.next_sequence) = (producer_epoch, 0);
            self.recent.clear();
        }
        if let Some((_, offset)) = self.recent.iter().find(|(first, _)| *first == base_sequence) {
            return Ok(*offset);
        }
        if base_sequence != self.next_sequence {
            return Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
        }
        let offset = self.values.len() as i64;
        let body = batch.decompress(DecompressLimits::default()).expect("as it was sealed");
        for record in RecordIter::new(batch.header(), &body) {
            self.values.push(record.expect("a record").value.unwrap_or_default().to_vec());
        }
        self.next_sequence += batch.header().count;
        self.recent.push_back((base_sequence, offset));
        if self.recent.len() > 5 {
            self.recent.pop_front();
        }
        Ok(offset)
    }
}

struct Flaky {
    logs: BTreeMap<i32, PartitionLog>,
    random: u64,
}

impl Flaky {
    fn new(seed: u64) -> Self {
        let logs = (0..PARTITIONS).map(|partition| (partition, PartitionLog::default())).collect();
        Self { logs, random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 100 < percent
    }

    fn produce(&mut self, request: &Incoming) -> Reply {
        if self.chance(3) {
            return Reply::Close;
        }
        let request: ProduceRequest<'_> = request.decode();
        let mut partition_responses = Vec::new();
        for partition in &request.topic_data[0].partition_data {
            let bytes = partition.records.as_ref().and_then(|r| r.as_bytes()).expect("records");
            let refused = self.chance(10).then_some(ErrorCode::NOT_ENOUGH_REPLICAS);
            let log = self.logs.get_mut(&partition.index).expect("a partition of the topic");
            let appended = refused.map_or_else(|| log.append(bytes), Err);
            partition_responses.push(PartitionProduceResponse {
                index: partition.index,
                error_code: appended.err().unwrap_or(ErrorCode::NONE),
                base_offset: appended.unwrap_or(-1),
                ..Default::default()
            });
        }
        if self.chance(3) {
            // Stored, but nobody is told.
            return Reply::Close;
        }
        let topic = TopicProduceResponse { topic_id: TOPIC_ID, partition_responses, ..Default::default() };
        Reply::answer(ProduceResponse { responses: vec![topic], ..Default::default() })
    }
}

async fn run(seed: u64, codec: &str) {
    let flaky = Arc::new(Mutex::new(Flaky::new(seed)));
    let script = Arc::clone(&flaky);
    let cluster = FakeCluster::start(1, PARTITIONS, move |request| {
        (request.key == ApiKey::Produce).then(|| script.lock().expect("no panic").produce(request))
    })
    .await;
    let servers = cluster.bootstrap();
    let config = ProducerConfig::from_properties([
        ("bootstrap.servers", servers.as_str()),
        ("linger.ms", "0"),
        ("batch.size", "100"),
        ("retry.backoff.ms", "1"),
        ("retry.backoff.max.ms", "2"),
        ("reconnect.backoff.ms", "1"),
        ("reconnect.backoff.max.ms", "2"),
        ("compression.type", codec),
    ]);
    let producer = Producer::new(config.expect("valid")).expect("valid");
    let mut deliveries = Vec::new();
    for index in 0..RECORDS {
        let (partition, value) = (index as i32 % PARTITIONS, index.to_string());
        let record = ProducerRecord::new(TOPIC).partition(partition).value(&value);
        deliveries.push((value.clone(), producer.send(record).await.expect("accepted")));
    }
    producer.flush().await;
    let mut sent: BTreeMap<i32, Vec<Vec<u8>>> = BTreeMap::new();
    for (value, delivery) in deliveries {
        let delivered = delivery.await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let expected = sent.entry(delivered.partition).or_default();
        assert_eq!(delivered.offset, Some(expected.len() as i64), "seed {seed}: {value}");
        expected.push(value.into_bytes());
    }
    let flaky = flaky.lock().expect("no panic");
    let logged: BTreeMap<i32, Vec<Vec<u8>>> =
        flaky.logs.iter().map(|(partition, log)| (*partition, log.values.clone())).collect();
    assert!(logged == sent, "seed {seed}: the log is not what was sent");
}

#[tokio::test]
async fn every_record_is_in_the_log_once_and_in_order() {
    for (seed, codec) in [(1, "none"), (2, "lz4"), (3, "none"), (4, "zstd"), (5, "none"), (6, "snappy")] {
        run(seed, codec).await;
    }
}
