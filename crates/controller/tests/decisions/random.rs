//! Random requests on four brokers, from many seeds. The cluster checks after each that the records apply, that what follows from them is
//! kept, that each partition makes sense, and that a snapshot would hold it all; here also that brokers keep promises to each other.

use klamm_metadata::MetadataVersion;
use klamm_metadata::partition::NO_LEADER;
use klamm_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use klamm_protocol::messages::alter_partition_request::{BrokerState, PartitionData, TopicData};
use klamm_protocol::messages::create_topics_request::CreatableTopicConfig;
use klamm_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use klamm_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionRequest, DeleteTopicsRequest, ElectLeadersRequest,
    IncrementalAlterConfigsRequest,
};

use crate::cluster::{Cluster, topic};

const BROKERS: [i32; 4] = [1, 2, 3, 4];

struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % below.max(1)
    }

    fn one_of<T: Copy>(&mut self, items: &[T]) -> Option<T> {
        items.get(self.roll(items.len() as u64) as usize).copied()
    }
}

/// Every partition, by topic name and index.
fn partitions(cluster: &Cluster) -> Vec<(String, i32)> {
    let topics = cluster.controller.image().topics.iter();
    topics.flat_map(|topic| topic.partitions().map(|(index, _)| (topic.name.to_string(), index))).collect()
}

fn step(cluster: &mut Cluster, dice: &mut Dice) {
    let all = partitions(cluster);
    let partition = all.get(dice.roll(all.len() as u64) as usize).cloned();
    let broker = dice.one_of(&BROKERS).unwrap();
    match (dice.roll(15), partition) {
        (0, _) => create(cluster, dice),
        (1, Some((name, _))) => delete(cluster, name),
        (2, _) => cluster.now_ms += dice.roll(4_000) as i64,
        (3, _) => fence(cluster),
        (4, _) => crash(cluster, broker),
        (5, _) => _ = cluster.heartbeat(broker, |request| request.want_shut_down = true),
        (6, Some((name, index))) => reassign(cluster, dice, name, index),
        (7, _) => {
            let election_type = dice.roll(2) as i8;
            let request = ElectLeadersRequest { election_type, topic_partitions: None, ..Default::default() };
            cluster.decide(|controller, _| controller.elect_leaders(&request));
        }
        (8, _) => _ = cluster.decide(|controller, _| controller.balance_leaders()),
        (14, Some((name, _))) => change_minimum(cluster, dice, name),
        (9..=11, Some((name, index))) => alter_isr(cluster, dice, &name, index),
        _ => _ = cluster.heartbeat(broker, |_| {}),
    }
}

fn create(cluster: &mut Cluster, dice: &mut Dice) {
    let name = format!("t{}", dice.roll(6));
    let mut wanted = topic(&name, 1 + dice.roll(3) as i32, 1 + dice.roll(4) as i16);
    if dice.roll(2) == 0 {
        let name = "min.insync.replicas".into();
        wanted.configs = vec![CreatableTopicConfig { name, value: Some("2".into()) }];
    }
    cluster.create(vec![wanted]);
}

fn change_minimum(cluster: &mut Cluster, dice: &mut Dice, name: String) {
    let value = Some((1 + dice.roll(3)).to_string().into());
    let config = AlterableConfig { name: "min.insync.replicas".into(), config_operation: 0, value };
    let resource =
        AlterConfigsResource { resource_type: 2, resource_name: name.into(), configs: vec![config] };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    cluster.decide(|controller, _| controller.incremental_alter_configs(&request, true));
}

fn delete(cluster: &mut Cluster, name: String) {
    let request = DeleteTopicsRequest { topic_names: vec![name.into()], ..Default::default() };
    cluster.decide(|controller, _| controller.delete_topics(&request));
}

fn fence(cluster: &mut Cluster) {
    if let Some(overdue) = cluster.controller.overdue_broker(cluster.now_ms) {
        cluster.decide(|controller, _| controller.fence_overdue(overdue));
    }
}

/// A broker comes back as another incarnation, without having said goodbye.
fn crash(cluster: &mut Cluster, broker: i32) {
    let again = crate::cluster::registration(broker, 1_000_000 + cluster.next_offset as u128);
    _ = cluster.register(&again);
}

fn reassign(cluster: &mut Cluster, dice: &mut Dice, name: String, partition_index: i32) {
    let start = dice.roll(4) as usize;
    let count = 1 + dice.roll(3) as usize;
    let target: Vec<_> = BROKERS.iter().cycle().skip(start).take(count).copied().collect();
    let replicas = (dice.roll(4) > 0).then_some(target);
    let partitions = vec![ReassignablePartition { partition_index, replicas }];
    let topics = vec![ReassignableTopic { name: name.into(), partitions }];
    let request = AlterPartitionReassignmentsRequest { topics, ..Default::default() };
    cluster.decide(|controller, _| controller.alter_partition_reassignments(&request));
}

/// The leader proposes some of the replicas, itself among them.
fn alter_isr(cluster: &mut Cluster, dice: &mut Dice, name: &str, partition_index: i32) {
    let partition = cluster.partition(name, partition_index).clone();
    if partition.leader == NO_LEADER {
        return;
    }
    let isr = partition.replicas.iter().filter(|&&id| id == partition.leader || dice.roll(3) > 0);
    let state =
        |&broker_id: &i32| BrokerState { broker_id, broker_epoch: cluster.epoch(broker_id).unwrap_or(-1) };
    let data = PartitionData {
        partition_index,
        leader_epoch: partition.leader_epoch,
        new_isr_with_epochs: isr.map(state).collect(),
        partition_epoch: partition.partition_epoch,
        ..Default::default()
    };
    let request = AlterPartitionRequest {
        broker_id: partition.leader,
        broker_epoch: cluster.epoch(partition.leader).unwrap_or(-1),
        topics: vec![TopicData { topic_id: cluster.topic(name).id, partitions: vec![data] }],
    };
    cluster.decide(|controller, _| controller.alter_partition(&request));
}

/// Who leads lives; who is fenced or shutting down is in no ISR, but where it is the last one known.
fn check(cluster: &Cluster) {
    let image = cluster.controller.image();
    let lives = |id: i32| image.cluster.broker(id).is_some_and(|broker| broker.is_active());
    for topic in image.topics.iter() {
        for (index, partition) in topic.partitions() {
            assert!(
                !partition.has_leader() || lives(partition.leader),
                "{}-{index}: {partition:?}",
                topic.name
            );
            let keeps_last = !image.features.eligible_leader_replicas_enabled() && partition.isr.len() == 1;
            let all_live = partition.isr.iter().all(|&id| lives(id));
            assert!(all_live || keeps_last, "{}-{index}: {partition:?}", topic.name);
        }
    }
}

#[test]
fn whatever_comes_the_state_makes_sense() {
    for seed in 0..60 {
        let version =
            if seed % 3 == 0 { MetadataVersion::from_name("3.9").unwrap() } else { MetadataVersion::LATEST };
        let mut cluster = Cluster::formatted(version);
        BROKERS.into_iter().for_each(|id| cluster.start_broker(id));
        let mut dice = Dice(seed);
        for _ in 0..250 {
            step(&mut cluster, &mut dice);
            check(&cluster);
        }
    }
}
