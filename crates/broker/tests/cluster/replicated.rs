//! A topic of one partition on three nodes, and what clients do with it.

use std::collections::BTreeSet;
use std::time::Duration;

use klamm_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use klamm_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use klamm_protocol::messages::fetch_response::PartitionData;
use klamm_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use klamm_protocol::messages::{CreateTopicsRequest, FetchRequest, ProduceRequest};
use klamm_protocol::{ErrorCode, Records, Uuid};
use klamm_records::{BatchBuilder, NewRecord, batches};

use crate::cluster::{Cluster, Role, eventually};

const THREE: &[Role] = &[Role::Both, Role::Both, Role::Both];
/// The acks of a record that all in sync are to have.
pub(crate) const ALL: i16 = -1;
/// The acks of one that the leader is to have.
pub(crate) const LEADER: i16 = 1;

/// A topic of one partition on three nodes.
pub(crate) struct Replicated {
    pub(crate) cluster: Cluster,
    topic_id: Uuid,
}

/// Who leads, and who is in sync, as a node knows it.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) leader: i32,
    pub(crate) isr: BTreeSet<i32>,
}

impl Replicated {
    pub(crate) fn new(min_insync_replicas: &'static str) -> Self {
        Self::with(&[], min_insync_replicas)
    }

    /// The same on nodes with settings of their own.
    pub(crate) fn with(set: &[&str], min_insync_replicas: &'static str) -> Self {
        let cluster = Cluster::started_with(THREE, set);
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

    pub(crate) fn seen(&self, by: i32) -> Option<Seen> {
        let metadata = self.cluster.metadata(by);
        let topic = metadata.topics.iter().find(|topic| topic.topic_id == self.topic_id)?;
        let partition = topic.partitions.first()?;
        let isr = partition.isr_nodes.iter().copied().collect();
        Some(Seen { leader: partition.leader_id, isr })
    }

    pub(crate) fn leader(&self, by: i32) -> i32 {
        self.seen(by).map_or(-1, |seen| seen.leader)
    }

    /// Asks a node to take records; the offset they got.
    pub(crate) fn produce(&self, to: i32, acks: i16, values: &[String]) -> Result<i64, ErrorCode> {
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
    pub(crate) fn produce_until_acknowledged(&self, by: i32, value: &str) {
        let values = [value.to_owned()];
        eventually("a record is acknowledged", || {
            let leader = self.leader(by);
            leader > 0 && self.cluster.is_up(leader) && self.produce(leader, ALL, &values).is_ok()
        });
    }

    /// What a node answers to a consumer in a rack.
    pub(crate) fn fetch(&self, from: i32, offset: i64, rack: &'static str) -> PartitionData<'static> {
        let wanted =
            FetchPartition { fetch_offset: offset, partition_max_bytes: 1 << 20, ..Default::default() };
        let topic = FetchTopic { topic_id: self.topic_id, partitions: vec![wanted], ..FetchTopic::default() };
        let request = FetchRequest {
            max_wait_ms: 0,
            topics: vec![topic],
            rack_id: rack.into(),
            ..FetchRequest::default()
        };
        let response = self.cluster.ask(from, &request, 16);
        let topic = response.responses.into_iter().next().expect("the topic is answered");
        topic.partitions.into_iter().next().expect("the partition is answered")
    }

    /// The bytes that a node gives a consumer, up to its high watermark; leader or not.
    pub(crate) fn read(&self, from: i32) -> (i64, Vec<u8>) {
        let mut bytes = Vec::new();
        let mut offset = 0;
        loop {
            let answer = self.fetch(from, offset, "");
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

    pub(crate) fn values(&self, from: i32) -> Vec<String> {
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
    pub(crate) fn settles(&self) -> Duration {
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
