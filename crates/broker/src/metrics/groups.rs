//! The groups that are coordinated here, and how far they are behind.

use std::collections::BTreeMap;
use std::convert::Infallible;

use klamm_coordinator::Shard;

use super::exposition::{Kind, Page};
use crate::groups::GroupCoordinator;
use crate::limits::METRICS_GROUP_OFFSETS_MAX;
use crate::partition::HostedTopics;

/// What is known of the groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct GroupSamples {
    /// Groups by the name of their state.
    states: BTreeMap<&'static str, usize>,
    /// Committed offsets, shown or not.
    offsets: usize,
    /// At most [`METRICS_GROUP_OFFSETS_MAX`] of them.
    shown: Vec<OffsetSample>,
}

/// One committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OffsetSample {
    group: String,
    topic: String,
    partition: i32,
    committed: i64,
    /// Up to where the partition can be read; none where another broker leads it.
    end_offset: Option<i64>,
}

impl GroupSamples {
    pub(super) fn of(groups: &GroupCoordinator, hosted: &HostedTopics) -> Self {
        let mut samples = Self::default();
        let Ok(_) = groups.read_all(|shard| {
            samples.add(shard);
            Ok::<_, Infallible>(())
        });
        for sample in &mut samples.shown {
            let partition = hosted.partition(&sample.topic, sample.partition);
            let led_here = partition.filter(|partition| partition.leadership().is_here);
            sample.end_offset = led_here.map(|partition| partition.high_watermark());
        }
        samples
    }

    fn add(&mut self, shard: &Shard) {
        for (state, count) in shard.group_counts() {
            *self.states.entry(state).or_default() += count;
        }
        shard.visit_committed_offsets(|group, topic, partition, committed| {
            self.offsets += 1;
            if self.shown.len() < METRICS_GROUP_OFFSETS_MAX {
                let (group, topic) = (group.to_owned(), topic.to_owned());
                self.shown.push(OffsetSample { group, topic, partition, committed, end_offset: None });
            }
            true
        });
    }

    /// Committed offsets that are not shown.
    pub(super) fn omitted(&self) -> usize {
        self.offsets - self.shown.len()
    }

    pub(super) fn write(&self, page: &mut Page) {
        let states = [
            ("kafka_coordinator_group_groupmetadatamanager_numgroupsempty", "Empty"),
            (
                "kafka_coordinator_group_groupmetadatamanager_numgroupspreparingrebalance",
                "PreparingRebalance",
            ),
            (
                "kafka_coordinator_group_groupmetadatamanager_numgroupscompletingrebalance",
                "CompletingRebalance",
            ),
            ("kafka_coordinator_group_groupmetadatamanager_numgroupsstable", "Stable"),
        ];
        let total: usize = self.states.values().sum();
        page.gauge(
            "kafka_coordinator_group_groupmetadatamanager_numgroups",
            "Groups coordinated here.",
            total,
        );
        for (name, state) in states {
            let count = self.states.get(state).copied().unwrap_or_default();
            page.gauge(name, &format!("Groups coordinated here in state {state}."), count);
        }
        let help = "Committed offsets kept here.";
        page.gauge("kafka_coordinator_group_groupmetadatamanager_numoffsets", help, self.offsets);
        self.write_offsets(
            page,
            "kafka_consumergroup_current_offset",
            "Offset a group committed.",
            |sample| Some(sample.committed),
        );
        let help = "Records between the offset a group committed and the partition's end.";
        self.write_offsets(page, "kafka_consumergroup_lag", help, OffsetSample::lag);
    }

    fn write_offsets(
        &self,
        page: &mut Page,
        name: &'static str,
        help: &str,
        value: fn(&OffsetSample) -> Option<i64>,
    ) {
        let mut family = page.family(name, Kind::Gauge, help);
        for sample in &self.shown {
            let OffsetSample { group, topic, partition, .. } = sample;
            if let Some(value) = value(sample) {
                let labels =
                    [("consumergroup", &**group), ("topic", topic), ("partition", &partition.to_string())];
                family.sample(&labels, value);
            }
        }
    }
}

impl OffsetSample {
    /// A commit beyond the end, after data loss or by mistake, is no lag.
    fn lag(&self) -> Option<i64> {
        Some(self.end_offset?.saturating_sub(self.committed).max(0))
    }
}

#[cfg(test)]
mod tests {
    use klamm_coordinator::GroupSettings;
    use klamm_protocol::coordinator_record::{GroupKey, GroupValue};
    use klamm_protocol::messages::{OffsetCommitKey, OffsetCommitValue};

    use super::*;

    fn shard(offsets: &[(&'static str, i32, i64)]) -> Shard {
        let mut shard = Shard::new(GroupSettings::default());
        shard.start_loading();
        for (at, &(group, partition, offset)) in (0..).zip(offsets) {
            let key = OffsetCommitKey { group: group.into(), topic: "t".into(), partition };
            let value = OffsetCommitValue { offset, ..OffsetCommitValue::default() };
            shard.replay(at, -1, &GroupKey::from(key), Some(&GroupValue::from(value)));
        }
        shard.finish_loading(offsets.len() as i64, Default::default());
        shard
    }

    #[test]
    fn groups_and_lag_are_shown() {
        let mut samples = GroupSamples::default();
        samples.add(&shard(&[("g", 0, 40), ("g", 1, 50)]));
        samples.add(&shard(&[("h", 0, 70)]));
        for (sample, end_offset) in samples.shown.iter_mut().zip([Some(60), Some(45), None]) {
            sample.end_offset = end_offset;
        }
        let mut page = Page::default();
        samples.write(&mut page);
        assert_eq!(
            page.samples(),
            [
                "kafka_coordinator_group_groupmetadatamanager_numgroups 2",
                "kafka_coordinator_group_groupmetadatamanager_numgroupsempty 2",
                "kafka_coordinator_group_groupmetadatamanager_numgroupspreparingrebalance 0",
                "kafka_coordinator_group_groupmetadatamanager_numgroupscompletingrebalance 0",
                "kafka_coordinator_group_groupmetadatamanager_numgroupsstable 0",
                "kafka_coordinator_group_groupmetadatamanager_numoffsets 3",
                "kafka_consumergroup_current_offset{consumergroup=\"g\",topic=\"t\",partition=\"0\"} 40",
                "kafka_consumergroup_current_offset{consumergroup=\"g\",topic=\"t\",partition=\"1\"} 50",
                "kafka_consumergroup_current_offset{consumergroup=\"h\",topic=\"t\",partition=\"0\"} 70",
                "kafka_consumergroup_lag{consumergroup=\"g\",topic=\"t\",partition=\"0\"} 20",
                "kafka_consumergroup_lag{consumergroup=\"g\",topic=\"t\",partition=\"1\"} 0",
            ]
        );
        assert_eq!(samples.omitted(), 0);
    }

    #[test]
    fn offsets_beyond_the_bound_are_counted_and_not_shown() {
        let offsets: Vec<_> =
            (0..METRICS_GROUP_OFFSETS_MAX as i32 + 3).map(|partition| ("g", partition, 1)).collect();
        let mut samples = GroupSamples::default();
        samples.add(&shard(&offsets));
        assert_eq!(samples.shown.len(), METRICS_GROUP_OFFSETS_MAX);
        assert_eq!(samples.omitted(), 3);
    }
}
