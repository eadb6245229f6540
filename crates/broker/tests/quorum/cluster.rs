//! Several nodes, and what is asked of whichever leads.

use std::time::Instant;

use klamm_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use klamm_protocol::messages::describe_quorum_response::{PartitionData as Described, ReplicaState};
use klamm_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use klamm_protocol::messages::{DescribeQuorumRequest, IncrementalAlterConfigsRequest};
use klamm_protocol::{ErrorCode, Request};

use crate::node::{Node, PATIENCE, free_port};

pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
}

impl Cluster {
    /// Controllers that the settings name, formatted and started.
    pub(crate) fn of_static_voters(count: i32, settings: &[&str]) -> Self {
        let ports: Vec<u16> = (0..count).map(|_| free_port()).collect();
        let voters: Vec<_> =
            (1..).zip(&ports).map(|(id, port): (i32, _)| format!("{id}@127.0.0.1:{port}")).collect();
        let others = format!("controller.quorum.voters={}", voters.join(","));
        let mut cluster = Self { nodes: Vec::new() };
        for (id, port) in (1..).zip(ports) {
            let node = Node::controller(id, port, &others);
            let mut node = settings.iter().fold(node, |node, setting| node.with(setting));
            node.format(klamm_broker::InitialControllers::Configured);
            node.start();
            cluster.nodes.push(node);
        }
        cluster
    }

    pub(crate) fn node(&mut self, id: i32) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.id == id).unwrap()
    }

    /// Asks whether something holds until it does.
    pub(crate) fn wait_for<T>(&self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            for node in &self.nodes {
                assert_eq!(node.failure(), None, "node {}", node.id);
            }
            assert!(began.elapsed() < PATIENCE, "{what} took too long");
            std::thread::yield_now();
        }
    }

    /// The leader, as it says itself once it has committed a record of its epoch.
    pub(crate) fn leader(&self) -> i32 {
        self.wait_for("an election", |cluster| {
            let running = cluster.nodes.iter().filter(|node| node.is_running());
            running.filter_map(|node| Some((node.id, describe(node)?))).find_map(|(id, described)| {
                (described.leader_id == id && described.high_watermark >= 0).then_some(id)
            })
        })
    }

    pub(crate) fn describe(&self) -> Option<Described<'static>> {
        self.nodes.iter().filter(|node| node.is_running()).find_map(describe)
    }

    /// Asks the leader.
    pub(crate) fn ask<R: Request>(&self, request: &R, version: i16) -> R::Response<'static> {
        let leader = self.leader();
        let leader = self.nodes.iter().find(|node| node.id == leader).unwrap();
        leader.ask(request, version).unwrap()
    }

    /// Has the controller decide something, a setting of all brokers; its record is in the metadata log once it has answered.
    pub(crate) fn decide(&self, retention_ms: u32) {
        let response = self.ask(&alter_retention(retention_ms), 1);
        assert_eq!(response.responses[0].error_code, ErrorCode::NONE, "{response:?}");
    }

    /// Waits until all running nodes have what the leader has committed, and as many vote as observe.
    pub(crate) fn in_step(&self) -> Described<'static> {
        self.wait_for("catching up", |cluster| {
            let described = cluster.describe()?;
            let end = described.high_watermark;
            let running: Vec<_> = cluster.nodes.iter().filter(|node| node.is_running()).collect();
            let replicas: Vec<&ReplicaState> =
                described.current_voters.iter().chain(&described.observers).collect();
            let is_there = |node: &&Node| {
                replicas.iter().any(|replica| replica.replica_id == node.id && replica.log_end_offset >= end)
            };
            (end > 0 && running.iter().all(is_there)).then_some(described.clone())
        })
    }
}

/// The quorum as its leader sees it.
pub(crate) fn describe(node: &Node) -> Option<Described<'static>> {
    let partition = PartitionData { partition_index: 0 };
    let topic = TopicData { topic_name: "__cluster_metadata".into(), partitions: vec![partition] };
    let request = DescribeQuorumRequest { topics: vec![topic] };
    let response = node.ask(&request, 2)?;
    if response.error_code != ErrorCode::NONE {
        return None;
    }
    response.topics.into_iter().next()?.partitions.into_iter().next()
}

fn alter_retention(retention_ms: u32) -> IncrementalAlterConfigsRequest<'static> {
    let config = AlterableConfig {
        name: "log.retention.ms".into(),
        config_operation: 0,
        value: Some(retention_ms.to_string().into()),
    };
    let resource = AlterConfigsResource { resource_type: 4, resource_name: "".into(), configs: vec![config] };
    IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false }
}

impl Node {
    /// Asks this node's controller to set something; its answer, if it gives one.
    pub(crate) fn alter_retention(&self, retention_ms: u32) -> Option<ErrorCode> {
        let response = self.ask(&alter_retention(retention_ms), 1)?;
        Some(response.responses[0].error_code)
    }
}
