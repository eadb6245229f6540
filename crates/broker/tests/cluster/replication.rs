//! Records on three brokers: acknowledged ones outlive their leader, and replicas become equal again.

use std::collections::BTreeSet;
use std::time::Duration;

use klamm_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use klamm_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use klamm_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use klamm_protocol::messages::{CreateTopicsRequest, FetchRequest, ProduceRequest};
use klamm_protocol::{ErrorCode, Records, Uuid};
use klamm_records::{BatchBuilder, NewRecord, batches};

use crate::cluster::{Cluster, Role, eventually};

const THREE: &[Role] = &[Role::Both, Role::Both, Role::Both];
const ALL: i16 = -1;
const LEADER: i16 = 1;

/// A topic of one partition on three nodes.
struct Replicated {
    cluster: Cluster,
    topic_id: Uuid,
}

/// Who leads, and who is in sync, as a node knows it.
#[derive(Debug, PartialEq)]
struct Seen {
    leader: i32,
    isr: BTreeSet<i32>,
}

impl Replicated {
    fn new(min_insync_replicas: &'static str) -> Self {
        let cluster = Cluster::started(THREE);
        eventually("all brokers are alive", || cluster.alive(1) == [1, 2, 3]);
        let config = CreatableTopicConfig {
            name: "min.insync.replicas".into(),
            value: Some(min_insync_replicas.into()),
        };
        let topic = CreatableTopic {
            name: "t".into(),
            num_partitions: 1,
            replication_factor: 3,
            configs: vec![config],
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
        let created = cluster.ask(1, &request, 7);
        assert_eq!(created.topics[0].error_code, ErrorCode::NONE);
        let replicated = Self { cluster, topic_id: created.topics[0].topic_id };
        for id in 1..=3 {
            eventually("the topic is led", || replicated.seen(id).is_some_and(|seen| seen.leader > 0));
        }
        replicated
    }

    fn seen(&self, by: i32) -> Option<Seen> {
        let metadata = self.cluster.metadata(by);
        let topic = metadata.topics.iter().find(|topic| topic.topic_id == self.topic_id)?;
        let partition = topic.partitions.first()?;
        let isr = partition.isr_nodes.iter().copied().collect();
        Some(Seen { leader: partition.leader_id, isr })
    }

    fn leader(&self, by: i32) -> i32 {
        self.seen(by).map_or(-1, |seen| seen.leader)
    }

    /// Asks a node to take records; the offset they got.
    fn produce(&self, to: i32, acks: i16, values: &[String]) -> Result<i64, ErrorCode> {
        let mut builder = BatchBuilder::new(0);
        for value in values {
            let value = Some(value.as_bytes());
            builder.append(&NewRecord { timestamp: 1000, key: None, value, headers: &[] });
        }
        let batch = builder.finish();
        let records = [&batch.header().write()[..], batch.body()].concat();
        let partition = PartitionProduceData { index: 0, records: Some(Records::from(records)) };
        let topic = TopicProduceData {
            topic_id: self.topic_id,
            partition_data: vec![partition],
            ..TopicProduceData::default()
        };
        let request =
            ProduceRequest { acks, timeout_ms: 5000, topic_data: vec![topic], ..ProduceRequest::default() };
        let response = self.cluster.ask(to, &request, 13);
        let answer = &response.responses[0].partition_responses[0];
        answer.error_code.check().map(|()| answer.base_offset)
    }

    /// Has records acknowledged by all in sync, by whoever leads.
    fn produce_until_acknowledged(&self, by: i32, value: &str) {
        let values = [value.to_owned()];
        eventually("a record is acknowledged", || {
            let leader = self.leader(by);
            leader > 0 && self.cluster.is_up(leader) && self.produce(leader, ALL, &values).is_ok()
        });
    }

    /// The bytes that a node gives a consumer, up to its high watermark; leader or not.
    fn read(&self, from: i32) -> (i64, Vec<u8>) {
        let mut bytes = Vec::new();
        let mut offset = 0;
        loop {
            let wanted =
                FetchPartition { fetch_offset: offset, partition_max_bytes: 1 << 20, ..Default::default() };
            let topic =
                FetchTopic { topic_id: self.topic_id, partitions: vec![wanted], ..FetchTopic::default() };
            let request = FetchRequest { max_wait_ms: 0, topics: vec![topic], ..FetchRequest::default() };
            let response = self.cluster.ask(from, &request, 16);
            let Some(answer) = response.responses.first().and_then(|topic| topic.partitions.first()) else {
                return (-1, bytes);
            };
            let records = answer.records.as_ref().and_then(|records| records.as_bytes()).unwrap_or_default();
            if answer.error_code.is_error() || records.is_empty() {
                return (answer.high_watermark, bytes);
            }
            // The last batch may be cut short.
            for batch in batches(records) {
                let batch = batch.unwrap();
                bytes.extend_from_slice(&batch.header().write());
                bytes.extend_from_slice(batch.body());
                offset = batch.header().next_offset();
            }
        }
    }

    fn values(&self, from: i32) -> Vec<String> {
        let (_, bytes) = self.read(from);
        let mut values = Vec::new();
        for batch in batches(&bytes) {
            let batch = batch.unwrap();
            let mut records = batch.records(Default::default()).unwrap();
            while let Some(record) = records.next_record().unwrap() {
                values.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap());
            }
        }
        values
    }

    /// Waits until all are in sync and what they hold is the same.
    fn settles(&self) -> Duration {
        let all: BTreeSet<i32> = [1, 2, 3].into();
        eventually("all are in sync", || {
            (1..=3).all(|id| self.seen(id).is_some_and(|seen| seen.isr == all && seen.leader > 0))
        });
        eventually("all replicas are equal", || {
            let first = self.read(1);
            first.0 >= 0 && first == self.read(2) && first == self.read(3)
        })
    }
}

#[test]
fn acknowledged_records_outlive_their_leader() {
    let mut replicated = Replicated::new("2");
    let mut expected: Vec<String> = (0..50).map(|n| format!("before {n}")).collect();
    for value in &expected {
        replicated.produce_until_acknowledged(1, value);
    }
    let old = replicated.leader(1);
    let witness = old % 3 + 1;
    replicated.cluster.kill(old);
    eventually("another one leads", || {
        let leader = replicated.leader(witness);
        leader > 0 && leader != old
    });
    for n in 0..50 {
        let value = format!("after {n}");
        replicated.produce_until_acknowledged(witness, &value);
        expected.push(value);
    }
    let new = replicated.leader(witness);
    let mut found = replicated.values(new);
    // A record whose acknowledgement was lost may be there twice.
    found.dedup();
    assert_eq!(found, expected);
    replicated.cluster.start_all(&[old]);
    replicated.settles();
    let mut found = replicated.values(old);
    found.dedup();
    assert_eq!(found, expected);
}

/// What the followers had not fetched yet when the leader died is only in its log, and goes when it comes back.
#[test]
fn a_leader_that_comes_back_follows_the_new_one() {
    let mut replicated = Replicated::new("1");
    replicated.produce_until_acknowledged(1, "everywhere");
    replicated.settles();
    let old = replicated.leader(1);
    let witness = old % 3 + 1;
    let large = "x".repeat(900_000);
    for n in 0..20 {
        replicated.produce(old, LEADER, &[format!("{n}{large}")]).unwrap();
    }
    replicated.cluster.kill(old);
    eventually("another one leads", || ![old, -1].contains(&replicated.leader(witness)));
    replicated.produce_until_acknowledged(witness, "without it");
    replicated.cluster.start_all(&[old]);
    replicated.settles();
    for id in 1..=3 {
        let found = replicated.values(id);
        assert_eq!(found.first().map(String::as_str), Some("everywhere"), "node {id}");
        assert_eq!(found.last().map(String::as_str), Some("without it"), "node {id}");
    }
}

#[test]
fn too_few_replicas_take_no_records_that_all_are_to_have() {
    let mut replicated = Replicated::new("3");
    replicated.produce_until_acknowledged(1, "with all");
    let leader = replicated.leader(1);
    let killed = leader % 3 + 1;
    replicated.cluster.kill(killed);
    eventually("two are in sync", || replicated.seen(leader).is_some_and(|seen| seen.isr.len() == 2));
    let value = ["with two".to_owned()];
    eventually("a record for all is refused", || {
        replicated.produce(leader, ALL, &value) == Err(ErrorCode::NOT_ENOUGH_REPLICAS)
    });
    assert!(replicated.produce(leader, LEADER, &value).is_ok());
    let seen = replicated.values(leader);
    assert_eq!(seen.last().map(String::as_str), Some("with all"), "it is not committed");
    replicated.cluster.start_all(&[killed]);
    replicated.settles();
    eventually("it is committed", || replicated.values(leader).last().is_some_and(|last| last == "with two"));
}
