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
        let partitions =
            || image.topics.iter().flat_map(|topic| topic.partitions()).map(|(_, partition)| partition);
        let fenced_brokers = image.cluster.brokers().filter(|broker| broker.fenced).count();
        Self {
            topics: image.topics.len(),
            partitions: image.topics.partition_count(),
            offline_partitions: partitions().filter(|partition| partition.leader == NO_LEADER).count(),
            not_led_by_preferred: partitions()
                .filter(|partition| partition.replicas.first() != Some(&partition.leader))
                .count(),
            active_brokers: image.cluster.brokers().count() - fenced_brokers,
            fenced_brokers,
            last_applied_offset: image.provenance.last_offset,
        }
    }

    /// Writes the counts. Whether the active controller is here is known apart from them.
    pub(super) fn write(&self, page: &mut Page, is_active_controller: bool) {
        let active = usize::from(is_active_controller);
        let gauges = [
            (
                "kafka_controller_kafkacontroller_activecontrollercount",
                "1 where the active controller is.",
                active,
            ),
            ("kafka_controller_kafkacontroller_globaltopiccount", "Topics of the cluster.", self.topics),
            (
                "kafka_controller_kafkacontroller_globalpartitioncount",
                "Partitions of the cluster.",
                self.partitions,
            ),
            (
                "kafka_controller_kafkacontroller_offlinepartitionscount",
                "Partitions without a leader.",
                self.offline_partitions,
            ),
            (
                "kafka_controller_kafkacontroller_preferredreplicaimbalancecount",
                "Partitions not led by their first replica.",
                self.not_led_by_preferred,
            ),
            (
                "kafka_controller_kafkacontroller_activebrokercount",
                "Registered brokers that are not fenced.",
                self.active_brokers,
            ),
            (
                "kafka_controller_kafkacontroller_fencedbrokercount",
                "Registered brokers that are fenced.",
                self.fenced_brokers,
            ),
        ];
        for (name, help, value) in gauges {
            page.gauge(name, help, value);
        }
        page.gauge(
            "kafka_server_broker_metadata_metrics_last_applied_record_offset",
            "The offset of the metadata log that this broker works with.",
            self.last_applied_offset,
        );
    }
}

#[cfg(test)]
mod tests {
    use klamm_metadata::{MetadataRecord, Provenance};
    use klamm_protocol::Uuid;
    use klamm_protocol::messages::partition_record::PartitionRecord;
    use klamm_protocol::messages::register_broker_record::RegisterBrokerRecord;
    use klamm_protocol::messages::topic_record::TopicRecord;

    use super::*;

    fn partition(partition_id: i32, leader: i32) -> MetadataRecord<'static> {
        let (topic_id, replicas) = (Uuid([7; 16]), vec![1, 2]);
        let isr = if leader == NO_LEADER { Vec::new() } else { vec![leader] };
        let record = PartitionRecord { partition_id, topic_id, replicas, isr, leader, ..Default::default() };
        MetadataRecord::Partition(record)
    }

    fn broker(broker_id: i32, fenced: bool) -> MetadataRecord<'static> {
        MetadataRecord::RegisterBroker(RegisterBrokerRecord { broker_id, fenced, ..Default::default() })
    }

    #[test]
    fn an_image_is_counted() {
        let topic = TopicRecord { name: "t".into(), topic_id: Uuid([7; 16]) };
        let records = [
            broker(1, false),
            broker(2, true),
            MetadataRecord::Topic(topic),
            partition(0, 1),
            partition(1, 2),
            partition(2, NO_LEADER),
        ];
        let provenance = Provenance { last_offset: 41, ..Provenance::default() };
        let (image, _) = MetadataImage::default().apply(&records, provenance).unwrap();
        let expected = ClusterSample {
            topics: 1,
            partitions: 3,
            offline_partitions: 1,
            not_led_by_preferred: 2,
            active_brokers: 1,
            fenced_brokers: 1,
            last_applied_offset: 41,
        };
        assert_eq!(ClusterSample::of(&image), expected);
    }
}
