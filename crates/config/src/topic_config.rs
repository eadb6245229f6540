//! A topic's settings as the log and the request handlers read them.

use crate::conflict::Conflict;
use crate::layers::{Layers, Values};
use crate::setting::{Scope, Setting};
use crate::snapshot::snapshot;
use crate::table;
use crate::value::{FromValue, InvalidValue, Value};

snapshot! {
    /// A topic's settings; immutable, built anew when one of them changes.
    pub TopicConfig of Topic {
        cleanup_policy: CleanupPolicy = "cleanup.policy",
        compression_gzip_level: i32 = "compression.gzip.level",
        compression_lz4_level: i32 = "compression.lz4.level",
        compression_type: CompressionType = "compression.type",
        compression_zstd_level: i32 = "compression.zstd.level",
        delete_retention_ms: i64 = "delete.retention.ms",
        file_delete_delay_ms: i64 = "file.delete.delay.ms",
        flush_messages: i64 = "flush.messages",
        flush_ms: i64 = "flush.ms",
        follower_replication_throttled_replicas: Vec<String> = "follower.replication.throttled.replicas",
        index_interval_bytes: i32 = "index.interval.bytes",
        internal_segment_bytes: Option<i32> = "internal.segment.bytes",
        leader_replication_throttled_replicas: Vec<String> = "leader.replication.throttled.replicas",
        max_compaction_lag_ms: i64 = "max.compaction.lag.ms",
        max_decompressed_message_bytes: i32 = "max.decompressed.message.bytes",
        max_message_bytes: i32 = "max.message.bytes",
        message_timestamp_after_max_ms: i64 = "message.timestamp.after.max.ms",
        message_timestamp_before_max_ms: i64 = "message.timestamp.before.max.ms",
        message_timestamp_type: MessageTimestampType = "message.timestamp.type",
        min_cleanable_dirty_ratio: f64 = "min.cleanable.dirty.ratio",
        min_compaction_lag_ms: i64 = "min.compaction.lag.ms",
        min_insync_replicas: i32 = "min.insync.replicas",
        remote_storage_enable: bool = "remote.storage.enable",
        retention_bytes: i64 = "retention.bytes",
        retention_ms: i64 = "retention.ms",
        segment_bytes: i32 = "segment.bytes",
        segment_index_bytes: i32 = "segment.index.bytes",
        segment_jitter_ms: i64 = "segment.jitter.ms",
        segment_ms: i64 = "segment.ms",
        unclean_leader_election_enable: bool = "unclean.leader.election.enable",
    }
}

/// Settings of a topic that are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicConfigError {
    /// No setting has this name.
    #[error("Unknown topic config name: {name}{}", did_you_mean(*nearest))]
    Unknown {
        /// The name.
        name: String,
        /// The name that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// A value is not valid by itself.
    #[error(transparent)]
    Value(#[from] InvalidValue),
    /// Two values do not go together.
    #[error(transparent)]
    Conflict(#[from] Conflict),
}

pub(crate) fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}

impl TopicConfig {
    /// The settings of a topic that sets none itself.
    pub fn defaults(layers: &Layers) -> Self {
        let mut config = Self::read(|setting| inherited(layers, setting));
        config.retention_ms = config.retention_ms.max(-1);
        config
    }

    /// The settings of a topic that sets these itself, over `self` as the settings of a topic that sets none.
    pub fn with_overrides(&self, overrides: &Values) -> Result<Self, TopicConfigError> {
        let mut config = self.clone();
        for (name, text) in overrides {
            let setting = table::find(Scope::Topic, name).ok_or_else(|| unknown(name))?;
            config.set(name, setting.parse(text)?);
        }
        config.check()?;
        Ok(config)
    }

    /// The same, leaving out and telling what is refused: for records that are already in the metadata log.
    pub fn with_valid_overrides(&self, overrides: &Values) -> (Self, Vec<TopicConfigError>) {
        let mut config = self.clone();
        let mut refused = Vec::new();
        for (name, text) in overrides {
            match table::find(Scope::Topic, name).map(|setting| setting.parse(text)) {
                Some(Ok(value)) => config.set(name, value),
                Some(Err(error)) => refused.push(error.into()),
                None => refused.push(unknown(name)),
            }
        }
        (config, refused)
    }

    /// Size at which a segment is closed.
    pub fn segment_size(&self) -> i32 {
        self.internal_segment_bytes.unwrap_or(self.segment_bytes)
    }

    fn check(&self) -> Result<(), Conflict> {
        let (min, max) = (self.min_compaction_lag_ms, self.max_compaction_lag_ms);
        if min > max {
            return Err(Conflict::new(format!(
                "min.compaction.lag.ms ({min}) must not be greater than max.compaction.lag.ms ({max})"
            )));
        }
        if self.remote_storage_enable {
            return Err(Conflict::new(
                "remote.storage.enable cannot be true: this broker has no tiered storage",
            ));
        }
        Ok(())
    }
}

/// The value of a topic's setting when the topic sets none.
pub(crate) fn inherited(layers: &Layers, setting: &Setting) -> Value {
    match setting.broker_name {
        Some(name) => layers.effective(table::known(Scope::Broker, name)),
        None => setting.default_value(),
    }
}

fn unknown(name: &str) -> TopicConfigError {
    TopicConfigError::Unknown { name: name.to_owned(), nearest: table::nearest(Scope::Topic, name) }
}

/// What happens to old records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Keep only the last record of each key.
    pub compact: bool,
    /// Delete by age and size.
    pub delete: bool,
}

impl FromValue for CleanupPolicy {
    fn from_value(value: Value) -> Self {
        let words = Vec::<String>::from_value(value);
        let has = |word: &str| words.iter().any(|entry| entry == word);
        Self { compact: has("compact"), delete: has("delete") }
    }
}

/// How batches are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionType {
    /// As the producer sent them.
    Producer,
    /// Not compressed.
    Uncompressed,
    /// With gzip.
    Gzip,
    /// With snappy.
    Snappy,
    /// With lz4.
    Lz4,
    /// With zstd.
    Zstd,
}

impl FromValue for CompressionType {
    fn from_value(value: Value) -> Self {
        match String::from_value(value).as_str() {
            "uncompressed" => Self::Uncompressed,
            "gzip" => Self::Gzip,
            "snappy" => Self::Snappy,
            "lz4" => Self::Lz4,
            "zstd" => Self::Zstd,
            _ => Self::Producer,
        }
    }
}

/// Which time records carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageTimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, when it appends.
    LogAppendTime,
}

impl FromValue for MessageTimestampType {
    fn from_value(value: Value) -> Self {
        match String::from_value(value).as_str() {
            "LogAppendTime" => Self::LogAppendTime,
            _ => Self::CreateTime,
        }
    }
}
