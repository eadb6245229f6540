//! The producer against brokers that cut connections, move leaders, and do not answer.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::fake_broker::{FakeCluster, Incoming, Reply, TOPIC, TOPIC_ID};
use klamm_client::{Delivery, DeliveryError, ErrorCode, Producer, ProducerConfig, ProducerRecord};
use klamm_protocol::ApiKey;
use klamm_protocol::messages::produce_response::{
    LeaderIdAndEpoch, PartitionProduceResponse, TopicProduceResponse,
};
use klamm_protocol::messages::{InitProducerIdResponse, ProduceRequest, ProduceResponse};
use klamm_records::BatchHeader;

fn producer(cluster: &FakeCluster, settings: &[(&str, &str)]) -> Producer {
    let servers = cluster.bootstrap();
    let base = [
        ("bootstrap.servers", servers.as_str()),
        ("linger.ms", "0"),
        ("retry.backoff.ms", "1"),
        ("reconnect.backoff.ms", "1"),
    ];
    let config = ProducerConfig::from_properties(base.into_iter().chain(settings.iter().copied()));
    Producer::new(config.expect("valid")).expect("valid")
}

async fn send(producer: &Producer, value: &str) -> Delivery {
    producer.send(ProducerRecord::new(TOPIC).partition(0).value(value)).await.expect("accepted")
}

/// The header of the only batch in a produce request.
fn batch(request: &Incoming) -> BatchHeader {
    let request: ProduceRequest<'_> = request.decode();
    let records = request.topic_data[0].partition_data[0].records.as_ref().and_then(|r| r.as_bytes());
    BatchHeader::parse(records.expect("records")).expect("a batch")
}

fn answer(partition: PartitionProduceResponse<'static>) -> Reply {
    let topic = TopicProduceResponse {
        topic_id: TOPIC_ID,
        partition_responses: vec![partition],
        ..Default::default()
    };
    Reply::answer(ProduceResponse { responses: vec![topic], ..Default::default() })
}

fn stored_at(base_offset: i64) -> Reply {
    answer(PartitionProduceResponse { base_offset, ..Default::default() })
}

fn refused(error_code: ErrorCode) -> Reply {
    answer(PartitionProduceResponse { error_code, ..Default::default() })
}

#[tokio::test]
async fn a_record_is_acknowledged_with_its_offset() {
    let cluster =
        FakeCluster::start(1, 1, |request| (request.key == ApiKey::Produce).then(|| stored_at(41))).await;
    let producer = producer(&cluster, &[]);
    let delivered = send(&producer, "v").await.await.expect("stored");
    assert_eq!((delivered.partition, delivered.offset), (0, Some(41)));
    let sent = batch(&cluster.received(ApiKey::Produce)[0]);
    assert_eq!((sent.producer_id, sent.producer_epoch, sent.base_sequence, sent.count), (500, 0, 0, 1));
    producer.close().await;
}

#[tokio::test]
async fn a_cut_connection_repeats_the_batch_under_its_number() {
    let cuts = AtomicUsize::new(0);
    let cluster = FakeCluster::start(1, 1, move |request| {
        let is_first = request.key == ApiKey::Produce && cuts.fetch_add(1, Ordering::Relaxed) == 0;
        match request.key {
            ApiKey::Produce if is_first => Some(Reply::Close),
            ApiKey::Produce => Some(stored_at(7)),
            _ => None,
        }
    })
    .await;
    let producer = producer(&cluster, &[]);
    assert_eq!(send(&producer, "v").await.await.map(|d| d.offset), Ok(Some(7)));
    let sent = cluster.received(ApiKey::Produce);
    assert_eq!(sent.len(), 2);
    assert_eq!(batch(&sent[0]), batch(&sent[1]));
    assert_ne!(sent[0].connection, sent[1].connection);
}

#[tokio::test]
async fn a_silent_broker_is_given_up_and_asked_again() {
    let asked = AtomicUsize::new(0);
    let cluster = FakeCluster::start(1, 1, move |request| match request.key {
        ApiKey::Produce if asked.fetch_add(1, Ordering::Relaxed) == 0 => Some(Reply::Silence),
        ApiKey::Produce => Some(stored_at(7)),
        _ => None,
    })
    .await;
    let producer = producer(&cluster, &[("request.timeout.ms", "50")]);
    assert_eq!(send(&producer, "v").await.await.map(|d| d.offset), Ok(Some(7)));
    let connections: Vec<usize> = cluster.received(ApiKey::Produce).iter().map(|r| r.connection).collect();
    assert!(connections[0] < connections[1], "{connections:?}");
}

#[tokio::test]
async fn order_survives_a_failure_in_the_middle() {
    // A broker that keeps to the sequence rule, and fails the second batch once.
    let (next, failures) = (Mutex::new(0), AtomicUsize::new(0));
    let cluster = FakeCluster::start(1, 1, move |request| {
        if request.key != ApiKey::Produce {
            return None;
        }
        let sequence = batch(request).base_sequence;
        let mut next = next.lock().expect("no panic");
        if sequence == 1 && failures.fetch_add(1, Ordering::Relaxed) == 0 {
            return Some(refused(ErrorCode::NOT_ENOUGH_REPLICAS));
        }
        if sequence != *next {
            return Some(refused(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
        }
        *next += 1;
        Some(stored_at(i64::from(sequence)))
    })
    .await;
    let producer = producer(&cluster, &[("batch.size", "0")]);
    let mut deliveries = Vec::new();
    for _ in 0..20 {
        deliveries.push(send(&producer, "v").await);
    }
    producer.flush().await;
    for (index, delivery) in deliveries.into_iter().enumerate() {
        assert_eq!(delivery.await.map(|d| d.offset), Ok(Some(index as i64)));
    }
}

#[tokio::test]
async fn a_moved_leader_is_followed_at_its_own_word() {
    let cluster = FakeCluster::start(2, 1, |request| match (request.key, request.broker) {
        (ApiKey::Produce, 1) => Some(answer(PartitionProduceResponse {
            error_code: ErrorCode::NOT_LEADER_OR_FOLLOWER,
            current_leader: LeaderIdAndEpoch { leader_id: 2, leader_epoch: 1 },
            ..Default::default()
        })),
        (ApiKey::Produce, _) => Some(stored_at(3)),
        _ => None,
    })
    .await;
    let producer = producer(&cluster, &[]);
    assert_eq!(send(&producer, "v").await.await.map(|d| d.offset), Ok(Some(3)));
    let brokers: Vec<i32> = cluster.received(ApiKey::Produce).iter().map(|r| r.broker).collect();
    assert_eq!(brokers, [1, 2]);
}

#[tokio::test]
async fn a_final_refusal_names_what_was_refused() {
    let cluster = FakeCluster::start(1, 1, |request| {
        let partition = PartitionProduceResponse {
            error_code: ErrorCode::INVALID_RECORD,
            error_message: Some("no key".into()),
            ..Default::default()
        };
        (request.key == ApiKey::Produce).then(|| answer(partition))
    })
    .await;
    let producer = producer(&cluster, &[]);
    let error = send(&producer, "v").await.await.expect_err("refused");
    assert_eq!(error.to_string(), "t-0: the broker answered INVALID_RECORD: no key");
}

#[tokio::test]
async fn without_a_producer_id_records_fail_and_say_why() {
    let cluster = FakeCluster::start(1, 1, |request| {
        let error_code = ErrorCode::CLUSTER_AUTHORIZATION_FAILED;
        (request.key == ApiKey::InitProducerId)
            .then(|| Reply::answer(InitProducerIdResponse { error_code, ..Default::default() }))
    })
    .await;
    let producer = producer(&cluster, &[]);
    let error = send(&producer, "v").await.await.expect_err("no id");
    assert!(
        matches!(&error, DeliveryError::NoProducerId { reason } if reason.ends_with("CLUSTER_AUTHORIZATION_FAILED")),
        "{error}"
    );
}

#[tokio::test]
async fn without_acknowledgements_nothing_is_waited_for() {
    let cluster =
        FakeCluster::start(1, 1, |request| (request.key == ApiKey::Produce).then_some(Reply::Silence)).await;
    let producer = producer(&cluster, &[("acks", "0")]);
    assert_eq!(send(&producer, "v").await.await.map(|d| d.offset), Ok(None));
    assert_eq!(send(&producer, "v").await.await.map(|d| d.offset), Ok(None));
    assert!(cluster.received(ApiKey::InitProducerId).is_empty(), "not idempotent");
}

#[tokio::test]
async fn a_full_buffer_holds_the_sender_back() {
    let cluster =
        FakeCluster::start(1, 1, |request| (request.key == ApiKey::Produce).then_some(Reply::Silence)).await;
    let producer = producer(&cluster, &[("buffer.memory", "1000"), ("max.block.ms", "20")]);
    let value = "v".repeat(600);
    send(&producer, &value).await;
    let record = ProducerRecord::new(TOPIC).partition(0).value(&value);
    let error = producer.send(record).await.expect_err("full").to_string();
    assert_eq!(error, "no room in buffer.memory for 20 ms: the brokers do not keep up");
    assert!(matches!(producer.try_send(&record), Ok(None)));
}
