//! The replicas on this broker and their logs.

use std::sync::Arc;

use klamm_metadata::MetadataImage;

use super::exposition::{Kind, Page};
use crate::limits::METRICS_PARTITIONS_MAX;
use crate::partition::{HostedTopics, Partition};

/// What is known of the replicas here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ReplicaSamples {
    replicas: usize,
    leaders: usize,
    offline: usize,
    under_replicated: usize,
    /// By topic name and index, at most [`METRICS_PARTITIONS_MAX`].
    logs: Vec<LogSample>,
}

/// What is known of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LogSample {
    topic: Arc<str>,
    partition: i32,
    size_bytes: u64,
    segments: usize,
    start_offset: i64,
    end_offset: i64,
}

impl ReplicaSamples {
    /// The replicas that the metadata assign to a broker, and what there really is of them.
    pub(super) fn of(image: &MetadataImage, hosted: &HostedTopics, node_id: i32) -> Self {
        let mut samples = Self::default();
        for topic in image.topics.iter() {
            let here = hosted.by_id(topic.id);
            for (index, state) in topic.partitions().filter(|(_, state)| state.replicas.contains(&node_id)) {
                samples.replicas += 1;
                if state.leader == node_id {
                    samples.leaders += 1;
                    samples.under_replicated += usize::from(state.isr.len() < state.replicas.len());
                }
                samples.add_log(here.and_then(|topic| topic.partition(index)));
            }
        }
        samples
    }

    fn add_log(&mut self, partition: Option<&Arc<Partition>>) {
        match partition.filter(|partition| !partition.log().is_failed()) {
            None => self.offline += 1,
            Some(partition) if self.logs.len() < METRICS_PARTITIONS_MAX => {
                self.logs.push(LogSample::of(partition))
            }
            Some(_) => {}
        }
    }

    /// Logs that are not shown.
    pub(super) fn omitted(&self) -> usize {
        self.replicas - self.offline - self.logs.len()
    }

    pub(super) fn write(&self, page: &mut Page) {
        let gauges = [
            ("kafka_server_replicamanager_partitioncount", "Replicas on this broker.", self.replicas),
            ("kafka_server_replicamanager_leadercount", "Partitions led by this broker.", self.leaders),
            (
                "kafka_server_replicamanager_offlinereplicacount",
                "Replicas of this broker that cannot be used.",
                self.offline,
            ),
            (
                "kafka_server_replicamanager_underreplicatedpartitions",
                "Partitions led by this broker with replicas that are not in sync.",
                self.under_replicated,
            ),
        ];
        for (name, help, value) in gauges {
            page.gauge(name, help, value);
        }
        self.write_logs(page, "kafka_log_log_size", "Bytes of a log.", |log| log.size_bytes as i64);
        self.write_logs(page, "kafka_log_log_numlogsegments", "Segments of a log.", |log| {
            log.segments as i64
        });
        self.write_logs(page, "kafka_log_log_logstartoffset", "First offset of a log.", |log| {
            log.start_offset
        });
        let help = "Offset that a log's next record gets.";
        self.write_logs(page, "kafka_log_log_logendoffset", help, |log| log.end_offset);
    }

    fn write_logs(&self, page: &mut Page, name: &'static str, help: &str, value: fn(&LogSample) -> i64) {
        let mut family = page.family(name, Kind::Gauge, help);
        for log in &self.logs {
            family.sample(&[("topic", &log.topic), ("partition", &log.partition.to_string())], value(log));
        }
    }
}

impl LogSample {
    fn of(partition: &Partition) -> Self {
        let log = partition.log();
        Self {
            topic: partition.topic().clone(),
            partition: partition.index(),
            size_bytes: log.size(),
            segments: log.segment_base_offsets().len(),
            start_offset: log.log_start_offset(),
            end_offset: log.log_end_offset(),
        }
    }
}

#[cfg(test)]
mod tests {
    use klamm_metadata::{MetadataRecord, Provenance};
    use klamm_protocol::Uuid;
    use klamm_protocol::messages::partition_record::PartitionRecord;
    use klamm_protocol::messages::topic_record::TopicRecord;

    use super::*;

    fn log(topic: &str, partition: i32) -> LogSample {
        LogSample {
            topic: topic.into(),
            partition,
            size_bytes: 300,
            segments: 2,
            start_offset: 5,
            end_offset: 9,
        }
    }

    #[test]
    fn assigned_replicas_that_are_not_here_are_offline() {
        let topic_id = Uuid([3; 16]);
        let partition = |partition_id, replicas: &[i32], isr: &[i32], leader| {
            let (replicas, isr) = (replicas.to_vec(), isr.to_vec());
            MetadataRecord::Partition(PartitionRecord {
                partition_id,
                topic_id,
                replicas,
                isr,
                leader,
                ..Default::default()
            })
        };
        let records = [
            MetadataRecord::Topic(TopicRecord { name: "t".into(), topic_id }),
            partition(0, &[1, 2], &[1], 1),
            partition(1, &[2, 1], &[2, 1], 2),
            partition(2, &[2, 3], &[2, 3], 2),
        ];
        let (image, _) = MetadataImage::default().apply(&records, Provenance::default()).unwrap();
        let samples = ReplicaSamples::of(&image, &HostedTopics::default(), 1);
        let expected =
            ReplicaSamples { replicas: 2, leaders: 1, offline: 2, under_replicated: 1, logs: Vec::new() };
        assert_eq!(samples, expected);
        assert_eq!(samples.omitted(), 0);
    }

    #[test]
    fn logs_are_families_by_topic_and_partition() {
        let logs = vec![log("a", 0), log("b", 3)];
        let samples = ReplicaSamples { replicas: 4, leaders: 3, offline: 1, under_replicated: 0, logs };
        assert_eq!(samples.omitted(), 1);
        let mut page = Page::default();
        samples.write(&mut page);
        assert_eq!(
            page.samples(),
            [
                "kafka_server_replicamanager_partitioncount 4",
                "kafka_server_replicamanager_leadercount 3",
                "kafka_server_replicamanager_offlinereplicacount 1",
                "kafka_server_replicamanager_underreplicatedpartitions 0",
                "kafka_log_log_size{topic=\"a\",partition=\"0\"} 300",
                "kafka_log_log_size{topic=\"b\",partition=\"3\"} 300",
                "kafka_log_log_numlogsegments{topic=\"a\",partition=\"0\"} 2",
                "kafka_log_log_numlogsegments{topic=\"b\",partition=\"3\"} 2",
                "kafka_log_log_logstartoffset{topic=\"a\",partition=\"0\"} 5",
                "kafka_log_log_logstartoffset{topic=\"b\",partition=\"3\"} 5",
                "kafka_log_log_logendoffset{topic=\"a\",partition=\"0\"} 9",
                "kafka_log_log_logendoffset{topic=\"b\",partition=\"3\"} 9",
            ]
        );
    }
}
