//! A topic's settings as its partitions use them.

use std::sync::Arc;

use klamm_config::{BrokerConfig, CompressionType, MessageTimestampType, TopicConfig};
use klamm_log::LogConfig;
use klamm_records::{Codec, Compression, DecompressLimits, ProduceRules, TimestampType};

use crate::throttles::ThrottledReplicas;

/// Settings shared by all partitions of a topic.
#[derive(Debug)]
pub(crate) struct PartitionSettings {
    pub(crate) topic: Arc<TopicConfig>,
    pub(crate) log: Arc<LogConfig>,
    /// What a produced batch must satisfy; the time and what the request allows are filled in for each.
    pub(crate) produce: ProduceRules,
    /// How long a follower may lack something before it is out of sync.
    pub(crate) replica_lag_time_max_ms: i64,
    /// Leaders whose followers that are out of sync get no more than a bound allows.
    pub(crate) throttled_leaders: ThrottledReplicas,
    /// Followers that fetch no more than a bound allows while they are behind.
    pub(crate) throttled_followers: ThrottledReplicas,
}

impl PartitionSettings {
    pub(crate) fn new(topic: TopicConfig, broker: &BrokerConfig) -> Self {
        Self {
            log: Arc::new(log_config(&topic, broker)),
            produce: produce_rules(&topic),
            throttled_leaders: ThrottledReplicas::new(&topic.leader_replication_throttled_replicas),
            throttled_followers: ThrottledReplicas::new(&topic.follower_replication_throttled_replicas),
            replica_lag_time_max_ms: broker.replica_lag_time_max_ms,
            topic: Arc::new(topic),
        }
    }
}

fn log_config(topic: &TopicConfig, broker: &BrokerConfig) -> LogConfig {
    LogConfig {
        segment_bytes: topic.segment_size().max(0) as u64,
        segment_ms: segment_ms(topic),
        segment_jitter_ms: topic.segment_jitter_ms,
        index_bytes_max: topic.segment_index_bytes.max(0) as u64,
        index_interval_bytes: topic.index_interval_bytes.max(0) as u64,
        retention_ms: topic.retention_ms,
        retention_bytes: topic.retention_bytes,
        delete: topic.cleanup_policy.delete,
        compact: topic.cleanup_policy.compact,
        min_cleanable_dirty_ratio: topic.min_cleanable_dirty_ratio,
        min_compaction_lag_ms: topic.min_compaction_lag_ms,
        max_compaction_lag_ms: topic.max_compaction_lag_ms,
        delete_retention_ms: topic.delete_retention_ms,
        flush_messages: topic.flush_messages,
        flush_ms: topic.flush_ms,
        file_delete_delay_ms: topic.file_delete_delay_ms,
        producer_id_expiration_ms: i64::from(broker.producer_id_expiration_ms),
    }
}

/// A record of the last segment cannot be compacted, so a segment ends before its first record has waited for too long.
fn segment_ms(topic: &TopicConfig) -> i64 {
    match topic.cleanup_policy.compact {
        true => topic.segment_ms.min(topic.max_compaction_lag_ms),
        false => topic.segment_ms,
    }
}

fn produce_rules(topic: &TopicConfig) -> ProduceRules {
    let record_bytes_max = topic.max_decompressed_message_bytes.max(0) as usize;
    ProduceRules {
        max_message_bytes: topic.max_message_bytes.max(0) as usize,
        timestamp_type: match topic.message_timestamp_type {
            MessageTimestampType::CreateTime => TimestampType::CreateTime,
            MessageTimestampType::LogAppendTime => TimestampType::LogAppendTime,
        },
        timestamp_before_max_ms: topic.message_timestamp_before_max_ms,
        timestamp_after_max_ms: topic.message_timestamp_after_max_ms,
        compacted: topic.cleanup_policy.compact,
        codec: codec(topic),
        zstd_allowed: true,
        limits: DecompressLimits { record_bytes_max, ..DecompressLimits::default() },
        now_ms: 0,
    }
}

/// The codec that batches are stored with; none keeps the producer's.
fn codec(topic: &TopicConfig) -> Option<Codec> {
    Some(match topic.compression_type {
        CompressionType::Producer => return None,
        CompressionType::Uncompressed => Codec::new(Compression::None),
        CompressionType::Snappy => Codec::new(Compression::Snappy),
        CompressionType::Gzip => Codec::new(Compression::Gzip).with_level(topic.compression_gzip_level),
        CompressionType::Lz4 => Codec::new(Compression::Lz4).with_level(topic.compression_lz4_level),
        CompressionType::Zstd => Codec::new(Compression::Zstd).with_level(topic.compression_zstd_level),
    })
}
