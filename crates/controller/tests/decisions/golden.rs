//! The metadata logs of Kafka 4.4.0 nodes: followed record by record, and wherever a heartbeat or a request for producer ids must have been
//! the cause of a batch, decided again: the controller would have written the same.

use std::fs;

use klamm_controller::{Appended, Decision, Step};
use klamm_metadata::MetadataRecord;
use klamm_metadata::log_batch::{BatchContents, LogBatch, decode_batch};
use klamm_protocol::messages::assign_replicas_to_dirs_request as assign;
use klamm_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use klamm_protocol::messages::{
    AllocateProducerIdsRequest, AssignReplicasToDirsRequest, BrokerHeartbeatRequest, CreateTopicsRequest,
};
use klamm_records::batches;

use crate::cluster::Cluster;

fn log(folder: &str) -> Vec<LogBatch> {
    let path =
        format!("{}/../protocol/golden/files/{folder}/00000000000000000000.log", env!("CARGO_MANIFEST_DIR"));
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    batches(&bytes).map(|batch| decode_batch(&batch.unwrap()).unwrap()).collect()
}

/// What this controller writes where Kafka wrote a batch that begins, or for fencing ends, with this record.
fn decide_again(
    cluster: &mut Cluster,
    records: &[MetadataRecord<'static>],
) -> Option<Vec<MetadataRecord<'static>>> {
    let heartbeat = |broker_id, broker_epoch| BrokerHeartbeatRequest {
        broker_id,
        broker_epoch,
        current_metadata_offset: i64::MAX,
        ..Default::default()
    };
    match (records.first()?, records.last()?) {
        (MetadataRecord::ProducerIds(ids), _) => {
            let request =
                AllocateProducerIdsRequest { broker_id: ids.broker_id, broker_epoch: ids.broker_epoch };
            Some(cluster.controller.allocate_producer_ids(&request).records)
        }
        (MetadataRecord::BrokerRegistrationChange(change), _) if change.fenced == -1 => {
            let request = heartbeat(change.broker_id, change.broker_epoch);
            Some(decided(cluster.controller.heartbeat(&request)))
        }
        (MetadataRecord::BrokerRegistrationChange(change), _) if change.in_controlled_shutdown == 1 => {
            let request = BrokerHeartbeatRequest {
                want_shut_down: true,
                ..heartbeat(change.broker_id, change.broker_epoch)
            };
            Some(decided(cluster.controller.heartbeat(&request)))
        }
        (_, MetadataRecord::BrokerRegistrationChange(change)) if change.fenced == 1 => {
            Some(cluster.controller.fence_overdue(change.broker_id).records)
        }
        (MetadataRecord::Topic(_), _) if records.iter().all(creates_topics) => {
            Some(create_again(cluster, records))
        }
        (MetadataRecord::PartitionChange(_), _) if records.iter().all(assigns_directory) => {
            Some(assign_again(cluster, records))
        }
        _ => None,
    }
}

/// Kafka writes what several requests caused within some milliseconds as one batch; those are passed over.
fn creates_topics(record: &MetadataRecord<'_>) -> bool {
    use MetadataRecord::{ClearElr, Config, NoOp, Partition, Topic};
    matches!(record, Topic(_) | Config(_) | Partition(_) | ClearElr(_) | NoOp(_))
}

fn assigns_directory(record: &MetadataRecord<'_>) -> bool {
    match record {
        MetadataRecord::PartitionChange(change) => change.directories.is_some() && change.replicas.is_none(),
        record => matches!(record, MetadataRecord::NoOp(_)),
    }
}

/// The topics of the records, assigned as they are, with ids drawn as they were.
fn create_again(cluster: &Cluster, records: &[MetadataRecord<'static>]) -> Vec<MetadataRecord<'static>> {
    let mut topics: Vec<CreatableTopic<'static>> = Vec::new();
    let mut drawn = Vec::new();
    for record in records {
        match record {
            MetadataRecord::Topic(topic) => {
                let bits = topic.topic_id.as_u128();
                drawn.extend([(bits >> 64) as u64, bits as u64]);
                topics.push(CreatableTopic {
                    name: topic.name.clone(),
                    num_partitions: -1,
                    replication_factor: -1,
                    ..Default::default()
                });
            }
            MetadataRecord::Config(config) => {
                let config = CreatableTopicConfig { name: config.name.clone(), value: config.value.clone() };
                topics.last_mut().unwrap().configs.push(config);
            }
            MetadataRecord::Partition(partition) => {
                topics.last_mut().unwrap().assignments.push(CreatableReplicaAssignment {
                    partition_index: partition.partition_id,
                    broker_ids: partition.replicas.clone(),
                });
            }
            _ => {}
        }
    }
    let mut drawn = drawn.into_iter();
    let mut step = Step { now_ms: 0, next_offset: 0, random: &mut || drawn.next().unwrap() };
    let request = CreateTopicsRequest { topics, ..Default::default() };
    cluster.controller.create_topics(&mut step, &request, &|_| false).records
}

/// A broker's report of where its replicas are.
fn assign_again(cluster: &Cluster, records: &[MetadataRecord<'static>]) -> Vec<MetadataRecord<'static>> {
    let image = cluster.controller.image();
    let changes = records.iter().filter_map(|record| match record {
        MetadataRecord::PartitionChange(change) => Some(change),
        _ => None,
    });
    let directories = changes.map(|change| assign::DirectoryData {
        id: change.directories.as_ref().unwrap()[0],
        topics: vec![assign::TopicData {
            topic_id: change.topic_id,
            partitions: vec![assign::PartitionData { partition_index: change.partition_id }],
        }],
    });
    let broker = image.cluster.broker(1).unwrap();
    let request = AssignReplicasToDirsRequest {
        broker_id: broker.id,
        broker_epoch: broker.epoch,
        directories: directories.collect(),
    };
    cluster.controller.assign_replicas_to_dirs(&request).records
}

fn decided<R>(decision: Decision<R>) -> Vec<MetadataRecord<'static>> {
    decision.records
}

/// Partitions come in the order of Kafka's hash maps, or of ids here.
fn sorted(records: &[MetadataRecord<'static>]) -> Vec<String> {
    let is_idle = |record: &&MetadataRecord<'_>| matches!(record, MetadataRecord::NoOp(_));
    let mut texts: Vec<_> =
        records.iter().filter(|record| !is_idle(record)).map(|record| format!("{record:?}")).collect();
    texts.sort();
    texts
}

#[test]
fn kafkas_logs_are_followed_and_decided_again() {
    for (folder, decisions_expected) in
        [("__cluster_metadata-0", 39), ("static-quorum", 8), ("static-quorum-3.3", 13)]
    {
        let mut cluster = Cluster::empty();
        let mut decisions = 0;
        for batch in log(folder) {
            let BatchContents::Metadata(records) = &batch.contents else { continue };
            if let Some(again) = decide_again(&mut cluster, records) {
                assert_eq!(sorted(&again), sorted(records), "{folder} at offset {}", batch.base_offset);
                decisions += 1;
            }
            for (offset, record) in (batch.base_offset..).zip(records) {
                let timestamp_ms = batch.timestamp_ms;
                let appended = Appended { offset, timestamp_ms, now_ms: timestamp_ms };
                cluster.controller.apply(appended, record).unwrap();
            }
            cluster.controller.check_invariants();
        }
        assert_eq!(decisions, decisions_expected, "{folder}");
    }
}
