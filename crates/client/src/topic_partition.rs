//! A partition's name.

use std::fmt;
use std::sync::Arc;

/// A partition of a topic. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's index.
    pub partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl AsRef<str>, partition: i32) -> Self {
        Self { topic: Arc::from(topic.as_ref()), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Groups partitions by topic, as most requests want them, in order.
pub(crate) fn by_topic<'p, T>(
    partitions: impl IntoIterator<Item = (&'p TopicPartition, T)>,
) -> std::collections::BTreeMap<Arc<str>, Vec<(i32, T)>> {
    let mut topics: std::collections::BTreeMap<Arc<str>, Vec<(i32, T)>> = std::collections::BTreeMap::new();
    for (partition, value) in partitions {
        topics.entry(Arc::clone(&partition.topic)).or_default().push((partition.partition, value));
    }
    topics
}
