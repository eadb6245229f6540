//! What is measured of a shard. All of it is the live state, committed or not.

use super::{Group, Phase, Shard};
use crate::classic::GroupState;

impl Shard {
    /// Whether the log is still being replayed.
    pub fn is_loading(&self) -> bool {
        self.phase == Phase::Loading
    }

    /// How many classic groups are in each state; the states are named as in DescribeGroups.
    pub fn group_counts(&self) -> [(&'static str, usize); 4] {
        use GroupState::{CompletingRebalance, Empty, PreparingRebalance, Stable};
        [Empty, PreparingRebalance, CompletingRebalance, Stable].map(|state| {
            let is_in_it = |group: &&Group| matches!(group, Group::Classic(group) if group.state() == state);
            (state.name(), self.groups.values().filter(is_in_it).count())
        })
    }

    /// Calls `visit` with group, topic, partition and offset of each committed offset, in that order, until it returns
    /// false.
    pub fn visit_committed_offsets(&self, mut visit: impl FnMut(&str, &str, i32, i64) -> bool) {
        let mut groups: Vec<&str> = self.groups.keys().map(|id| &**id).collect();
        groups.sort_unstable();
        for group in groups {
            for (topic, partitions) in self.offsets.group(group).into_iter().flatten() {
                for (&partition, committed) in partitions {
                    if !visit(group, topic, partition, committed.offset) {
                        return;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use klamm_protocol::coordinator_record::{GroupKey, GroupValue};
    use klamm_protocol::messages::{OffsetCommitKey, OffsetCommitValue};

    use crate::{GroupSettings, Moment, Shard};

    fn visited(shard: &Shard, max: usize) -> Vec<String> {
        let mut seen = Vec::new();
        shard.visit_committed_offsets(|group, topic, partition, offset| {
            seen.push(format!("{group} {topic}-{partition} {offset}"));
            seen.len() < max
        });
        seen
    }

    #[test]
    fn offsets_are_visited_in_order_and_groups_counted() {
        let mut shard = Shard::new(GroupSettings::default());
        shard.start_loading();
        let offsets = [("b", "t", 1, 7), ("b", "t", 0, 5), ("a", "u", 0, 1), ("b", "s", 3, 9)];
        for (at, (group, topic, partition, offset)) in (0..).zip(offsets) {
            let key = OffsetCommitKey { group: group.into(), topic: topic.into(), partition };
            let value = OffsetCommitValue { offset, ..OffsetCommitValue::default() };
            shard.replay(at, -1, &GroupKey::from(key), Some(&GroupValue::from(value)));
        }
        assert!(shard.is_loading());
        shard.finish_loading(4, Moment::default());
        assert!(!shard.is_loading());
        assert_eq!(visited(&shard, 9), ["a u-0 1", "b s-3 9", "b t-0 5", "b t-1 7"]);
        assert_eq!(visited(&shard, 2), ["a u-0 1", "b s-3 9"]);
        let counts = [("Empty", 2), ("PreparingRebalance", 0), ("CompletingRebalance", 0), ("Stable", 0)];
        assert_eq!(shard.group_counts(), counts);
    }
}
