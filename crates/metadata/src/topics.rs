//! Topics and their partitions.
//!
//! Produce and fetch look topics up by name or id for each request, so both lookups hash and end at the same shared [`Topic`]. The
//! names are kept in order beside them, for listings that page by name; that index moves only when topics come and go.

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::ops::Bound;
use std::sync::Arc;

use imbl::shared_ptr::DefaultSharedPtr;
use imbl::{GenericHashMap, OrdMap, OrdSet};
use klamm_protocol::Uuid;

use crate::partition::Partition;

/// The hasher is the same in every process: iteration order never differs between two runs.
type HashMap<K, V> = GenericHashMap<K, V, BuildHasherDefault<DefaultHasher>, DefaultSharedPtr>;

/// A partition of a topic, by topic id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicIdPartition {
    /// The topic.
    pub topic_id: Uuid,
    /// The partition's index in the topic.
    pub partition: i32,
}

/// A topic and its partitions.
#[derive(Clone, Debug, PartialEq)]
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// Its id, drawn when it was created: a topic deleted and created again has another.
    pub id: Uuid,
    pub(crate) partitions: OrdMap<i32, Arc<Partition>>,
}

impl Topic {
    /// A partition by its index.
    pub fn partition(&self, index: i32) -> Option<&Arc<Partition>> {
        self.partitions.get(&index)
    }

    /// The partitions in the order of their indexes.
    pub fn partitions(&self) -> impl Iterator<Item = (i32, &Arc<Partition>)> + '_ {
        self.partitions.iter().map(|(&index, partition)| (index, partition))
    }

    /// How many partitions the topic has.
    pub fn partition_count(&self) -> usize {
        self.partitions.len()
    }
}

/// All topics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopicsImage {
    by_name: HashMap<Arc<str>, Arc<Topic>>,
    by_id: HashMap<Uuid, Arc<Topic>>,
    names: OrdSet<Arc<str>>,
    partition_count: usize,
}

impl TopicsImage {
    /// A topic by its name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_name.get(name)
    }

    /// A topic by its id.
    pub fn by_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.by_id.get(&id)
    }

    /// A partition by its topic's id and its index.
    pub fn partition(&self, id: TopicIdPartition) -> Option<&Arc<Partition>> {
        self.by_id(id.topic_id)?.partition(id.partition)
    }

    /// The topics, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Topic>> + '_ {
        self.names.iter().filter_map(|name| self.by_name.get(name))
    }

    /// The topics from `name` on, sorted by name: what a listing that pages by name continues with.
    pub fn iter_from<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Arc<Topic>> + 'a {
        let range = self.names.range::<_, str>((Bound::Included(name), Bound::Unbounded));
        range.filter_map(|name| self.by_name.get(name))
    }

    /// How many topics there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no topic.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// How many partitions all topics have together.
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// Adds or replaces a topic. A topic of the same name and another id gives way.
    pub(crate) fn insert(&mut self, topic: Topic) {
        let topic = Arc::new(topic);
        self.partition_count += topic.partition_count();
        match self.by_name.insert(topic.name.clone(), topic.clone()) {
            Some(old) => {
                self.partition_count -= old.partition_count();
                if old.id != topic.id {
                    self.by_id.remove(&old.id);
                }
            }
            None => _ = self.names.insert(topic.name.clone()),
        }
        self.by_id.insert(topic.id, topic);
    }

    pub(crate) fn remove(&mut self, id: Uuid) -> Option<Arc<Topic>> {
        let topic = self.by_id.remove(&id)?;
        self.by_name.remove(&topic.name);
        self.names.remove(&topic.name);
        self.partition_count -= topic.partition_count();
        Some(topic)
    }

    /// Adds or replaces one partition of a topic that exists; false where it does not.
    pub(crate) fn insert_partition(&mut self, id: TopicIdPartition, partition: Partition) -> bool {
        let Some(topic) = self.by_id.get(&id.topic_id) else { return false };
        let mut topic = Topic::clone(topic);
        topic.partitions.insert(id.partition, Arc::new(partition));
        self.insert(topic);
        true
    }

    /// Panics where the three indexes disagree or a partition contradicts itself; for tests and simulation.
    pub fn check_invariants(&self) {
        assert_eq!(self.by_name.len(), self.names.len());
        assert_eq!(self.by_id.len(), self.names.len());
        let mut partition_count = 0;
        for name in &self.names {
            let topic = self.by_name.get(name).expect("each name is a topic");
            assert!(Arc::ptr_eq(topic, &self.by_id[&topic.id]), "both lookups of {name} end at one topic");
            partition_count += topic.partition_count();
            for (expected, (index, partition)) in topic.partitions().enumerate() {
                assert_eq!(index, expected as i32, "partitions of {name} have consecutive indexes");
                partition.check_invariants();
            }
        }
        assert_eq!(partition_count, self.partition_count);
    }
}
