//! Which partitions this broker has, by topic name and id.
//!
//! Requests read one immutable picture; whoever adds or removes partitions publishes the next. A change costs what changed.

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use imbl::GenericHashMap;
use imbl::shared_ptr::DefaultSharedPtr;
use klamm_protocol::Uuid;

use crate::partition::Partition;

type HashMap<K, V> = GenericHashMap<K, V, BuildHasherDefault<DefaultHasher>, DefaultSharedPtr>;

/// A topic with the partitions of it that are here.
#[derive(Clone)]
pub(crate) struct HostedTopic {
    name: Arc<str>,
    id: Uuid,
    /// By index; none where the partition is on other brokers only.
    partitions: Vec<Option<Arc<Partition>>>,
}

/// All topics of which a partition is here.
#[derive(Clone, Default)]
pub(crate) struct HostedTopics {
    by_name: HashMap<Arc<str>, Arc<HostedTopic>>,
    by_id: HashMap<Uuid, Arc<HostedTopic>>,
}

impl HostedTopic {
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// A partition by its index, if it is here.
    pub(crate) fn partition(&self, index: i32) -> Option<&Arc<Partition>> {
        self.partitions.get(usize::try_from(index).ok()?)?.as_ref()
    }

    /// The partitions that are here, by index.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = &Arc<Partition>> + '_ {
        self.partitions.iter().flatten()
    }
}

impl HostedTopics {
    pub(crate) fn by_name(&self, name: &str) -> Option<&Arc<HostedTopic>> {
        self.by_name.get(name)
    }

    pub(crate) fn by_id(&self, id: Uuid) -> Option<&Arc<HostedTopic>> {
        self.by_id.get(&id)
    }

    /// A partition by topic name and index.
    pub(crate) fn partition(&self, topic: &str, index: i32) -> Option<&Arc<Partition>> {
        self.by_name(topic)?.partition(index)
    }

    /// All topics, in no particular order.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &Arc<HostedTopic>> + '_ {
        self.by_id.values()
    }

    /// All partitions, in no particular order.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = &Arc<Partition>> + '_ {
        self.topics().flat_map(|topic| topic.partitions())
    }

    /// Adds partitions of one topic, or replaces them.
    pub(crate) fn insert(
        &mut self,
        name: &Arc<str>,
        id: Uuid,
        partitions: impl IntoIterator<Item = Arc<Partition>>,
    ) {
        let known = self.by_id.get(&id).map(|topic| HostedTopic::clone(topic));
        let mut topic =
            known.unwrap_or_else(|| HostedTopic { name: name.clone(), id, partitions: Vec::new() });
        for partition in partitions {
            let at = partition.index() as usize;
            if topic.partitions.len() <= at {
                topic.partitions.resize(at + 1, None);
            }
            topic.partitions[at] = Some(partition);
        }
        let topic = Arc::new(topic);
        self.by_name.insert(name.clone(), topic.clone());
        self.by_id.insert(id, topic);
    }

    /// Removes a partition and returns it. Its topic goes with the last one.
    pub(crate) fn remove_partition(&mut self, id: Uuid, index: i32) -> Option<Arc<Partition>> {
        let mut topic = HostedTopic::clone(self.by_id(id)?);
        let partition = topic.partitions.get_mut(usize::try_from(index).ok()?)?.take()?;
        if topic.partitions().next().is_none() {
            self.remove(id);
            return Some(partition);
        }
        let topic = Arc::new(topic);
        if self.by_name(&topic.name).is_some_and(|named| named.id == id) {
            self.by_name.insert(topic.name.clone(), topic.clone());
        }
        self.by_id.insert(id, topic);
        Some(partition)
    }

    /// Removes a topic and returns its partitions.
    pub(crate) fn remove(&mut self, id: Uuid) -> Vec<Arc<Partition>> {
        let Some(topic) = self.by_id.remove(&id) else { return Vec::new() };
        if self.by_name.get(&topic.name).is_some_and(|named| named.id == id) {
            self.by_name.remove(&topic.name);
        }
        topic.partitions().cloned().collect()
    }
}
