//! A cluster at one moment, and what is wrong with it.
//!
//! Several requests make one picture, so its parts may be milliseconds apart: what is wrong in it may be over by now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use klamm_client::{
    Admin, AdminError, ClusterDescription, ConfigResource, Partition, Quorum, QuorumReplica, Reassignment,
    Topic, TopicPartition,
};

/// A voter that was not at the leader's end for so long is behind, in milliseconds.
const VOTER_LAG_MS_MAX: i64 = 10_000;
/// A voter that has not fetched for so long is behind, in milliseconds: one that lives fetches twice a second where nothing is new.
const VOTER_SILENCE_MS_MAX: i64 = 3_000;

/// What brokers tell of their cluster.
pub(crate) struct Picture {
    pub(crate) cluster: ClusterDescription,
    pub(crate) quorum: Quorum,
    pub(crate) topics: Vec<Arc<Topic>>,
    /// `min.insync.replicas` by topic.
    min_isr: BTreeMap<String, usize>,
    pub(crate) moves: BTreeMap<TopicPartition, Reassignment>,
}

/// What a node does, as far as the cluster shows it.
#[derive(Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) id: i32,
    pub(crate) is_broker: bool,
    pub(crate) is_fenced: bool,
    pub(crate) is_voter: bool,
    /// Where clients reach it, or other controllers if it is no broker.
    pub(crate) address: Option<String>,
    pub(crate) rack: Option<String>,
    /// How many records of metadata it lacks.
    pub(crate) metadata_lag: Option<i64>,
}

/// Partitions by what is wrong with them; one may stand in several lists.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Findings {
    /// Brokers that are registered but do not serve.
    pub(crate) fenced: Vec<i32>,
    /// Whether the metadata quorum has a leader.
    pub(crate) has_quorum_leader: bool,
    /// Voters that do not keep up with their leader.
    pub(crate) voters_behind: Vec<i32>,
    /// Partitions without a leader.
    pub(crate) offline: Vec<TopicPartition>,
    /// Partitions that refuse writes with acks=all.
    pub(crate) under_min_isr: Vec<TopicPartition>,
    /// Partitions with replicas out of sync, other than those that are on their way to a new place.
    pub(crate) under_replicated: Vec<TopicPartition>,
}

impl Picture {
    pub(crate) async fn take(admin: &Admin) -> Result<Self, AdminError> {
        let topics = admin.list_topics(true).await?;
        Ok(Self {
            cluster: admin.describe_cluster(true).await?,
            quorum: admin.describe_quorum().await?,
            min_isr: min_isr(admin, &topics).await?,
            moves: admin.list_partition_reassignments(None).await?,
            topics,
        })
    }

    pub(crate) fn partitions(&self) -> impl Iterator<Item = (TopicPartition, &Partition)> {
        self.topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|p| (TopicPartition::new(&topic.name, p.index), p)))
    }

    pub(crate) fn nodes(&self) -> Vec<Node> {
        let brokers = self.cluster.brokers.iter().map(|node| node.broker.id);
        let replicas = self.quorum.voters.iter().chain(&self.quorum.observers).map(|replica| replica.id);
        let ids: BTreeSet<i32> = brokers.chain(replicas).collect();
        ids.into_iter().map(|id| self.node(id)).collect()
    }

    fn node(&self, id: i32) -> Node {
        let broker = self.cluster.brokers.iter().find(|node| node.broker.id == id);
        let quorum = &self.quorum;
        let replica = quorum.voters.iter().chain(&quorum.observers).find(|replica| replica.id == id);
        let leader_end = quorum.voters.iter().find(|voter| voter.id == quorum.leader);
        let endpoint = quorum.endpoints.get(&id).and_then(|listeners| listeners.first());
        Node {
            id,
            is_broker: broker.is_some(),
            is_fenced: broker.is_some_and(|node| node.is_fenced),
            is_voter: quorum.voters.iter().any(|voter| voter.id == id),
            address: broker
                .map(|node| address(&node.broker.host, node.broker.port))
                .or(endpoint.map(|(host, port)| address(host, *port))),
            rack: broker.and_then(|node| node.broker.rack.clone()),
            metadata_lag: replica
                .zip(leader_end)
                .filter(|(replica, _)| replica.log_end_offset >= 0)
                .map(|(replica, leader)| (leader.log_end_offset - replica.log_end_offset).max(0)),
        }
    }

    pub(crate) fn findings(&self) -> Findings {
        let mut findings = Findings {
            fenced: self.cluster.brokers.iter().filter(|n| n.is_fenced).map(|n| n.broker.id).collect(),
            has_quorum_leader: self.quorum.leader >= 0,
            voters_behind: voters_behind(&self.quorum),
            ..Findings::default()
        };
        for (name, partition) in self.partitions() {
            let adding = self.moves.get(&name).map_or(&[][..], |reassignment| &reassignment.adding);
            let settled = partition.replicas.iter().filter(|id| !adding.contains(id));
            let is_out_of_sync = settled.clone().any(|id| !partition.isr.contains(id));
            let min_isr = self.min_isr.get(&*name.topic).copied().unwrap_or(1).min(partition.replicas.len());
            if partition.leader.is_none() {
                findings.offline.push(name.clone());
            }
            if partition.leader.is_none() || partition.isr.len() < min_isr {
                findings.under_min_isr.push(name.clone());
            }
            if is_out_of_sync {
                findings.under_replicated.push(name);
            }
        }
        findings
    }
}

impl Findings {
    /// What is wrong, each as a few words; empty where all is well.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.has_quorum_leader {
            problems.push("the metadata quorum has no leader".to_owned());
        }
        let mut count = |number: usize, one: &str, many: &str| match number {
            0 => {}
            1 => problems.push(format!("1 {one}")),
            number => problems.push(format!("{number} {many}")),
        };
        count(self.fenced.len(), "broker does not serve", "brokers do not serve");
        count(self.voters_behind.len(), "voter is behind", "voters are behind");
        count(self.offline.len(), "partition has no leader", "partitions have no leader");
        count(
            self.under_min_isr.len(),
            "partition is below min.insync.replicas",
            "partitions are below min.insync.replicas",
        );
        count(
            self.under_replicated.len(),
            "partition has replicas out of sync",
            "partitions have replicas out of sync",
        );
        problems
    }
}

async fn min_isr(admin: &Admin, topics: &[Arc<Topic>]) -> Result<BTreeMap<String, usize>, AdminError> {
    if topics.is_empty() {
        return Ok(BTreeMap::new());
    }
    let resources: Vec<_> = topics.iter().map(|topic| ConfigResource::topic(&*topic.name)).collect();
    let described = admin.describe_configs(&resources, false).await?;
    // A topic that is gone by now, or may not be seen, counts as one without a bound.
    let bound = described.into_iter().filter_map(|(topic, entries)| {
        let entry = entries.ok()?.into_iter().find(|entry| entry.name == "min.insync.replicas")?;
        Some((topic.name, entry.value?.parse().ok()?))
    });
    Ok(bound.collect())
}

fn voters_behind(quorum: &Quorum) -> Vec<i32> {
    let Some(leader) = quorum.voters.iter().find(|voter| voter.id == quorum.leader) else {
        return Vec::new();
    };
    let is_behind = |voter: &QuorumReplica| {
        leader.last_caught_up_ms - voter.last_caught_up_ms > VOTER_LAG_MS_MAX
            || leader.last_fetch_ms - voter.last_fetch_ms > VOTER_SILENCE_MS_MAX
    };
    let voters = quorum.voters.iter().filter(|voter| voter.id != leader.id);
    voters.filter(|voter| is_behind(voter)).map(|voter| voter.id).collect()
}

/// Host and port as one would write them.
pub(crate) fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use klamm_client::{Broker, ClusterNode, Uuid};

    use super::*;

    fn broker(id: i32, is_fenced: bool) -> ClusterNode {
        let broker = Broker { id, host: "h".to_owned(), port: 9092, rack: None };
        ClusterNode { broker, is_fenced }
    }

    fn voter(id: i32, log_end_offset: i64, caught_up_ms: i64) -> QuorumReplica {
        QuorumReplica {
            id,
            directory_id: Uuid::ZERO,
            log_end_offset,
            last_fetch_ms: 50_000,
            last_caught_up_ms: caught_up_ms,
        }
    }

    fn partition(index: i32, leader: Option<i32>, replicas: &[i32], isr: &[i32]) -> Partition {
        Partition {
            index,
            leader,
            leader_epoch: 1,
            replicas: replicas.to_vec(),
            isr: isr.to_vec(),
            offline: Vec::new(),
        }
    }

    fn picture(partitions: Vec<Partition>) -> Picture {
        let topic = Topic { name: "t".into(), id: Uuid::ZERO, is_internal: false, partitions };
        Picture {
            cluster: ClusterDescription {
                cluster_id: "c".to_owned(),
                controller: Some(1),
                brokers: vec![broker(1, false), broker(2, true)],
            },
            quorum: Quorum {
                leader: 1,
                leader_epoch: 3,
                high_watermark: 90,
                voters: vec![voter(1, 100, 50_000), voter(3, 80, 39_999), voter(4, 100, 40_000)],
                observers: vec![voter(2, 100, 50_000)],
                endpoints: BTreeMap::from([(3, vec![("::1".to_owned(), 9093)])]),
            },
            topics: vec![Arc::new(topic)],
            min_isr: BTreeMap::from([("t".to_owned(), 2)]),
            moves: BTreeMap::new(),
        }
    }

    #[test]
    fn partitions_are_told_by_what_they_lack() {
        let name = |index| TopicPartition::new("t", index);
        let findings = picture(vec![
            partition(0, Some(1), &[1, 2, 3], &[1, 2, 3]),
            partition(1, Some(1), &[1, 2, 3], &[1, 3]),
            partition(2, Some(1), &[1, 2, 3], &[1]),
            partition(3, None, &[2], &[2]),
            // One replica is all there is to ask for.
            partition(4, Some(1), &[1], &[1]),
        ])
        .findings();
        assert_eq!(findings.offline, [name(3)]);
        assert_eq!(findings.under_min_isr, [name(2), name(3)]);
        assert_eq!(findings.under_replicated, [name(1), name(2)]);
        assert_eq!((findings.fenced, findings.voters_behind), (vec![2], vec![3]));
    }

    #[test]
    fn a_voter_that_no_longer_fetches_is_behind() {
        let mut picture = picture(Vec::new());
        picture.quorum.voters[1] = QuorumReplica { last_fetch_ms: 47_000, ..voter(3, 100, 50_000) };
        assert!(picture.findings().voters_behind.is_empty());
        picture.quorum.voters[1].last_fetch_ms -= 1;
        assert_eq!(picture.findings().voters_behind, [3]);
    }

    #[test]
    fn replicas_on_their_way_are_not_missed() {
        let mut picture = picture(vec![partition(0, Some(1), &[1, 2, 3], &[1, 2])]);
        assert_eq!(picture.findings().under_replicated.len(), 1);
        let moving = Reassignment { replicas: vec![1, 2, 3], adding: vec![3], removing: vec![1] };
        picture.moves.insert(TopicPartition::new("t", 0), moving);
        assert_eq!(picture.findings().under_replicated, []);
    }

    #[test]
    fn a_node_is_what_brokers_and_quorum_say_of_it() {
        let nodes = picture(Vec::new()).nodes();
        assert_eq!(nodes.iter().map(|node| node.id).collect::<Vec<_>>(), [1, 2, 3, 4]);
        let both = |node: &Node| (node.is_broker, node.is_voter);
        assert_eq!(
            nodes.iter().map(both).collect::<Vec<_>>(),
            [(true, true), (true, false), (false, true), (false, true)]
        );
        assert_eq!(nodes[2].address.as_deref(), Some("[::1]:9093"));
        assert_eq!(nodes[2].metadata_lag, Some(20));
    }

    #[test]
    fn problems_are_counted_in_words() {
        let mut findings = Findings { has_quorum_leader: true, ..Findings::default() };
        assert_eq!(findings.problems(), [] as [&str; 0]);
        findings.fenced = vec![2, 3];
        findings.offline = vec![TopicPartition::new("t", 0)];
        assert_eq!(findings.problems(), ["2 brokers do not serve", "1 partition has no leader"]);
    }
}
