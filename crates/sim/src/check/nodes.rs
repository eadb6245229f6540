//! What running nodes hold for true, seen from inside: their metadata, and how their replicas stand.
//!
//! - Metadata at one offset is the same on all nodes, however they came to it.
//! - A partition has one leader in an epoch.
//! - Whoever the committed metadata has in the ISR or the ELR has everything that is committed, as soon as its broker knows of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_broker::{Observer, ReplicaStatus};
use klamm_coordinator::partition_for;
use klamm_metadata::partition::Partition;
use klamm_metadata::{MetadataImage, TopicIdPartition};

use crate::shape::node_id;

/// The topic of the group coordinators.
const CONSUMER_OFFSETS: &str = "__consumer_offsets";

/// The nodes that run, and what they have shown so far.
#[derive(Default)]
pub(super) struct Nodes {
    observers: BTreeMap<usize, Observer>,
    /// By offset.
    images: BTreeMap<i64, Arc<MetadataImage>>,
    /// By partition and its epoch as the leader had it: up to where it said that records are committed.
    committed: BTreeMap<TopicIdPartition, BTreeMap<i32, i64>>,
    /// By partition and leader's epoch.
    leaders: BTreeMap<(TopicIdPartition, i32), usize>,
}

/// A node as it is now.
struct Seen {
    node: usize,
    image: Arc<MetadataImage>,
    replicas: BTreeMap<TopicIdPartition, ReplicaStatus>,
}

impl Nodes {
    pub(super) fn runs(&mut self, node: usize, observer: Observer) {
        self.observers.insert(node, observer);
    }

    pub(super) fn ended(&mut self, node: usize) {
        self.observers.remove(&node);
    }

    /// Looks at all nodes that run.
    pub(super) fn look(&mut self) -> Result<(), String> {
        let seen: Vec<Seen> = self.observers.iter().filter_map(|(node, it)| Seen::of(*node, it)).collect();
        seen.iter().try_for_each(|seen| self.note_image(seen.node, &seen.image))?;
        seen.iter().try_for_each(|seen| self.note_leaders(seen))?;
        let Some(newest) = self.newest().cloned() else { return Ok(()) };
        seen.iter().try_for_each(|seen| self.check_claims(seen, &newest))
    }

    /// The leader's epoch of a group's coordinator, as a node knows it now; −1 where it knows none.
    pub(super) fn coordinator_epoch(&self, node: usize, group: &str) -> i32 {
        let image = self.observers.get(&node).and_then(Observer::image);
        image.map_or(-1, |image| coordinator_epoch(&image, group))
    }

    /// The newest leader's epoch of a group's coordinator that any node has known.
    pub(super) fn newest_coordinator_epoch(&self, group: &str) -> i32 {
        let running = self.observers.keys().map(|node| self.coordinator_epoch(*node, group));
        let known = self.newest().map_or(-1, |image| coordinator_epoch(image, group));
        running.max().unwrap_or(-1).max(known)
    }

    fn newest(&self) -> Option<&Arc<MetadataImage>> {
        self.images.last_key_value().map(|(_, image)| image)
    }

    fn note_image(&mut self, node: usize, image: &Arc<MetadataImage>) -> Result<(), String> {
        let offset = image.provenance.last_offset;
        let known = self.images.entry(offset).or_insert_with(|| image.clone());
        if Arc::ptr_eq(known, image) || known == image {
            return Ok(());
        }
        Err(format!("node {node} has other metadata at offset {offset} than another one"))
    }

    fn note_leaders(&mut self, seen: &Seen) -> Result<(), String> {
        for (id, replica) in &seen.replicas {
            let Some(partition_epoch) = replica.led_in else { continue };
            let end = self.committed.entry(*id).or_default().entry(partition_epoch).or_default();
            *end = replica.high_watermark.max(*end);
            let leader = *self.leaders.entry((*id, replica.leader_epoch)).or_insert(seen.node);
            if leader != seen.node {
                let (TopicIdPartition { topic_id, partition }, epoch) = (id, replica.leader_epoch);
                let nodes = [leader, seen.node];
                return Err(format!("nodes {nodes:?} both lead {topic_id}-{partition} in epoch {epoch}"));
            }
        }
        Ok(())
    }

    /// What the newest metadata says of a node's replicas, where the node knows that already.
    fn check_claims(&self, seen: &Seen, newest: &MetadataImage) -> Result<(), String> {
        if !seen.is_as_registered(newest) {
            return Ok(());
        }
        for (id, replica) in seen.replicas.iter().filter(|(_, replica)| !replica.is_failed) {
            let (Some(now), Some(known)) = (newest.topics.partition(*id), seen.image.topics.partition(*id))
            else {
                continue;
            };
            let committed = self.committed_in(*id, now.partition_epoch);
            let is_claimed = now.partition_epoch == known.partition_epoch && seen.is_claimed_by(now);
            if is_claimed && replica.log_end_offset < committed {
                let (node, end) = (seen.node, replica.log_end_offset);
                return Err(format!(
                    "node {node} ends at {end} where {committed} is committed, and counts as in sync: {now:?}"
                ));
            }
        }
        Ok(())
    }

    /// Up to where records were committed by leaders that knew the partition in this epoch, or an earlier one.
    fn committed_in(&self, id: TopicIdPartition, partition_epoch: i32) -> i64 {
        let epochs = self.committed.get(&id).map(|epochs| epochs.range(..=partition_epoch));
        epochs.into_iter().flatten().map(|(_, end)| *end).max().unwrap_or(0)
    }
}

impl Seen {
    fn of(node: usize, observer: &Observer) -> Option<Self> {
        let (replicas, image) = (observer.replicas().into_iter().collect(), observer.image()?);
        Some(Self { node, image, replicas })
    }

    /// Whether the broker is not fenced, and of no earlier life than the newest that is registered.
    fn is_as_registered(&self, newest: &MetadataImage) -> bool {
        let id = node_id(self.node);
        let registered = |image: &MetadataImage| {
            image.cluster.broker(id).filter(|broker| broker.is_active()).map(|broker| broker.epoch)
        };
        registered(newest).is_some() && registered(newest) == registered(&self.image)
    }

    fn is_claimed_by(&self, partition: &Partition) -> bool {
        let id = node_id(self.node);
        partition.isr.contains(&id) || partition.elr.contains(&id)
    }
}

fn coordinator_epoch(image: &MetadataImage, group: &str) -> i32 {
    let Some(topic) = image.topics.by_name(CONSUMER_OFFSETS) else { return -1 };
    let partition = topic.partition(partition_for(group, topic.partition_count() as i32));
    partition.map_or(-1, |partition| partition.leader_epoch)
}
