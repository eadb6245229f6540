//! The cluster as its metadata describe it.

use klamm_metadata::MetadataImage;
use klamm_metadata::partition::NO_LEADER;

use super::exposition::Page;

/// Counts of an image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ClusterSample {
    topics: usize,
    partitions: usize,
    offline_partitions: usize,
    not_led_by_preferred: usize,
    active_brokers: usize,
    fenced_brokers: usize,
    last_applied_offset: i64,
}

impl ClusterSample {
    pub(super) fn of(image: &MetadataImage) -> Self {
        let partitions = || image.topics.iter().flat_map(|topic| topic.partitions()).map(|(_, partition)| partition);
        let is_fenced = image.cluster.brokers().filter(|broker| broker.fenced).count();
        Self {
            topics: image.topics.len(),
            partitions: image.topics.partition_count(),
            offline_partitions: partitions().filter(|partition| partition.leader == NO_LEADER).count(),
            not_led_by_preferred: partitions()
                .filter(|partition| partition.replicas.first() != Some(&partition.leader))
                .count(),
            active_brokers: image.cluster.brokers().count() - is_fenced,
            fenced_brokers: is_fenced,
            last_applied_offset: image.provenance.last_offset,
        }
    }

    /// Writes the counts. Whether the active controller is here is known apart from them.
    pub(super) fn write(&self, page: &mut Page, is_active_controller: bool) {
        let active = usize::from(is_active_controller);
        let gauges = [
            ("activecontrollercount", "1 where the active controller is.", active),
            ("globaltopiccount", "Topics of the cluster.", self.topics),
            ("globalpartitioncount", "Partitions of the cluster.", self.partitions),
            ("offlinepartitionscount", "Partitions without a leader.", self.offline_partitions),
            ("preferredreplicaimbalancecount", "Partitions not led by their first replica.", self.not_led_by_preferred),
            ("activebrokercount", "Registered brokers that are not fenced.", self.active_brokers),
            ("fencedbrokercount", "Registered brokers that are fenced.", self.fenced_brokers),
        ];
        for (name, help, value) in gauges {
            page.gauge_of("kafka_controller_kafkacontroller_", name, help, value);
        }
        page.gauge(
            "kafka_server_broker_metadata_metrics_last_applied_record_offset",
            "The offset of the metadata log that this broker works with.",
            self.last_applied_offset,
        );
    }
}
