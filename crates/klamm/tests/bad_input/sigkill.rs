//! SIGKILL under load: what was acknowledged is there afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use klamm_client::{Producer, ProducerConfig, ProducerRecord};

use crate::broker::{Broker, lasting_address};

const KILLS: usize = 6;
/// Records acknowledged between one kill and the next.
const RECORDS_PER_LIFE: usize = 700;

/// What a producer was told: the record's number by its offset.
type Acknowledged = BTreeMap<i64, usize>;

/// Sends numbered records until enough are acknowledged in each life of the broker, which is killed with records in flight.
async fn produce_through_kills(settings: &[(&str, &str)], data: &std::path::Path) -> (Acknowledged, Broker) {
    let address = lasting_address();
    let mut broker = Broker::start_at(data, &address, &[]);
    broker.out(&["topic", "create", "t"], b"");
    let properties =
        [&[("bootstrap.servers", address.as_str()), ("batch.size", "2000")][..], settings].concat();
    let producer = Producer::new(ProducerConfig::from_properties(properties).unwrap()).unwrap();
    let (mut acknowledged, mut sent) = (Acknowledged::new(), 0);
    for _ in 0..KILLS {
        let mut deliveries = Vec::new();
        for _ in 0..RECORDS_PER_LIFE * 2 {
            let value = format!("{sent} {}", "x".repeat(100));
            deliveries.push((sent, producer.send(ProducerRecord::new("t").value(&value)).await.unwrap()));
            sent += 1;
        }
        let rest = deliveries.split_off(RECORDS_PER_LIFE);
        note(&mut acknowledged, deliveries).await;
        broker.kill();
        broker = Broker::start_at(data, &address, &[]);
        note(&mut acknowledged, rest).await;
    }
    producer.close().await;
    (acknowledged, broker)
}

async fn note(acknowledged: &mut Acknowledged, deliveries: Vec<(usize, klamm_client::Delivery)>) {
    for (number, delivery) in deliveries {
        let delivered = delivery.await.unwrap_or_else(|error| panic!("record {number}: {error}"));
        if let Some(offset) = delivered.offset {
            let other = acknowledged.insert(offset, number);
            assert_eq!(other, None, "offset {offset} was given twice");
        }
    }
}

fn run(settings: &[(&str, &str)]) -> (Acknowledged, Vec<usize>) {
    let data = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let produced = produce_through_kills(settings, data.path());
    let (acknowledged, broker) = runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(120), produced).await })
        .expect("it ends in time");
    let read = broker.consume("t");
    let numbers = read.iter().enumerate().map(|(at, line)| {
        let mut words = line.split(' ');
        assert_eq!(words.next().unwrap(), at.to_string(), "offsets have no gaps");
        words.next().unwrap().parse().unwrap()
    });
    (acknowledged, numbers.collect())
}

/// Every acknowledged record is where it was said to be.
fn check_acknowledged(acknowledged: &Acknowledged, read: &[usize]) {
    assert!(acknowledged.len() > KILLS * RECORDS_PER_LIFE, "{}", acknowledged.len());
    for (offset, number) in acknowledged {
        assert_eq!(read.get(*offset as usize), Some(number), "offset {offset}");
    }
}

#[test]
fn an_idempotent_producer_finds_every_record_once_and_in_order() {
    let (acknowledged, read) = run(&[("enable.idempotence", "true")]);
    check_acknowledged(&acknowledged, &read);
    assert_eq!(read, (0..KILLS * RECORDS_PER_LIFE * 2).collect::<Vec<_>>());
}

#[test]
fn nothing_that_one_leader_acknowledged_is_missing() {
    let (acknowledged, read) = run(&[("acks", "1"), ("max.in.flight.requests.per.connection", "1")]);
    check_acknowledged(&acknowledged, &read);
    assert!(read.iter().max() == Some(&(KILLS * RECORDS_PER_LIFE * 2 - 1)));
}
