//! What an operator may set about groups and offsets.

/// The settings of one shard, under the names Kafka gives them (dots as underscores, units last).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSettings {
    /// `group.min.session.timeout.ms`: shorter session timeouts are refused.
    pub group_min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`: longer session timeouts are refused.
    pub group_max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`: how long the first rebalance of an empty group waits for more members.
    pub group_initial_rebalance_delay_ms: i32,
    /// `group.max.size`: the most members of one classic group.
    pub group_max_size: usize,
    /// `offset.metadata.max.bytes`: the longest metadata string of a committed offset, in UTF-16 units.
    pub offset_metadata_max_bytes: usize,
    /// `offsets.retention.minutes`, in milliseconds: how long the offsets of a group without members are kept.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`: how often expired offsets are looked for.
    pub offsets_retention_check_interval_ms: i64,
    /// `offsets.commit.timeout.ms`: how long an answer waits for its records to be committed.
    pub offsets_commit_timeout_ms: i64,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            group_min_session_timeout_ms: 6_000,
            group_max_session_timeout_ms: 1_800_000,
            group_initial_rebalance_delay_ms: 3_000,
            group_max_size: i32::MAX as usize,
            offset_metadata_max_bytes: 4_096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1_000,
            offsets_retention_check_interval_ms: 600_000,
            offsets_commit_timeout_ms: 5_000,
        }
    }
}
