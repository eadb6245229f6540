//! The settings of one log. The broker fills them from a topic's configuration and may replace them at any time.

/// Settings of a log; shared by the partitions of a topic. Times are in milliseconds, −1 stands for "no limit".
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment is rolled before it would grow beyond this.
    pub segment_bytes: u64,
    /// `segment.ms`: a segment is rolled when its first batch is older than this.
    pub segment_ms: i64,
    /// `segment.jitter.ms`: up to this much is taken off `segment_ms`, different for each segment.
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`: a segment is rolled when one of its indexes has this size.
    pub index_bytes_max: u64,
    /// `index.interval.bytes`: bytes of batches between index entries.
    pub index_interval_bytes: u64,
    /// `retention.ms`: segments whose largest timestamp is older may be deleted.
    pub retention_ms: i64,
    /// `retention.bytes`: the oldest segments may be deleted while the log stays this large.
    pub retention_bytes: i64,
    /// Whether `cleanup.policy` has `delete`: without it only DeleteRecords makes segments go.
    pub delete: bool,
    /// Whether `cleanup.policy` has `compact`.
    pub compact: bool,
    /// `min.cleanable.dirty.ratio`: a compaction is due when a larger share of what it would go over is new.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`: a record is not compacted before it has this age.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: a compaction is due when a record has waited for longer.
    pub max_compaction_lag_ms: i64,
    /// `delete.retention.ms`: how long a tombstone stays when nothing older of its key is left.
    pub delete_retention_ms: i64,
    /// `flush.messages`: a flush is due when this many offsets are not flushed.
    pub flush_messages: i64,
    /// `flush.ms`: a flush is due when the last one is this long ago.
    pub flush_ms: i64,
    /// `file.delete.delay.ms`: how long deleted segments' files stay, for readers that still use them.
    pub file_delete_delay_ms: i64,
    /// `producer.id.expiration.ms`: how long a producer that writes no more is remembered.
    pub producer_id_expiration_ms: i64,
}

impl Default for LogConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 60 * 60 * 1000,
            segment_jitter_ms: 0,
            index_bytes_max: 10 << 20,
            index_interval_bytes: 4096,
            retention_ms: 7 * 24 * 60 * 60 * 1000,
            retention_bytes: -1,
            delete: true,
            compact: false,
            min_cleanable_dirty_ratio: 0.5,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            delete_retention_ms: 24 * 60 * 60 * 1000,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            file_delete_delay_ms: 60_000,
            producer_id_expiration_ms: 24 * 60 * 60 * 1000,
        }
    }
}
