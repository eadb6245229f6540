//! Tiered storage.

use crate::setting::settings;

settings! { pub(super) TIERED:
    boolean "remote.log.storage.system.enable" = "false", any, read_only, later:
        "Turn tiered storage on.";
    string "remote.log.storage.manager.impl.prefix" = "rsm.config.", not_empty, read_only, later:
        "Prefix of the settings handed to the storage plugin.";
    string "remote.log.metadata.manager.impl.prefix" = "rlmm.config.", not_empty, read_only, later:
        "Prefix of the settings handed to the metadata plugin.";
    string "remote.log.storage.manager.class.name" = null, not_empty, read_only, later:
        "Class of the storage plugin.";
    string "remote.log.storage.manager.class.path" = null, any, read_only, later:
        "Class path of the storage plugin.";
    string "remote.log.metadata.manager.class.name" = "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager", not_empty, read_only, later:
        "Class of the metadata plugin.";
    string "remote.log.metadata.manager.class.path" = null, any, read_only, later:
        "Class path of the metadata plugin.";
    string "remote.log.metadata.manager.listener.name" = null, not_empty, read_only, later:
        "Listener that the metadata plugin connects to.";
    int "remote.log.metadata.custom.metadata.max.bytes" = "128", at_least(0), read_only, later:
        "Most bytes of its own that the storage plugin may add to a segment's metadata.";
    long "remote.log.index.file.cache.total.size.bytes" = "1073741824", at_least(1), cluster_wide, later:
        "Disk space for indexes fetched from tiered storage.";
    long "remote.log.index.file.cache.ttl.ms" = "900000", at_least(-1), read_only, later, internal():
        "A cached index that is not used for this long is dropped.";
    int "remote.log.manager.thread.pool.size" = "2", at_least(1), read_only, later:
        "Old name of `remote.log.manager.follower.thread.pool.size`.";
    int "remote.log.manager.copier.thread.pool.size" = "10", at_least(1), cluster_wide, later:
        "Threads that copy segments to tiered storage.";
    int "remote.log.manager.expiration.thread.pool.size" = "10", at_least(1), cluster_wide, later:
        "Threads that delete old segments from tiered storage.";
    int "remote.log.manager.follower.thread.pool.size" = "2", at_least(1), cluster_wide, later:
        "Threads that follow what leaders have copied.";
    long "remote.log.manager.task.interval.ms" = "30000", at_least(1), read_only, later:
        "How often segments are copied and deleted.";
    long "remote.log.manager.task.retry.backoff.ms" = "500", at_least(1), read_only, later, internal():
        "First wait after such a task failed.";
    long "remote.log.manager.task.retry.backoff.max.ms" = "30000", at_least(1), read_only, later, internal():
        "Longest wait after such a task failed.";
    double "remote.log.manager.task.retry.jitter" = "0.2", fraction(0.0, 0.5), read_only, later, internal():
        "Random part of that wait.";
    int "remote.log.reader.threads" = "10", at_least(1), cluster_wide, later:
        "Threads that read from tiered storage.";
    int "remote.log.reader.max.pending.tasks" = "100", at_least(1), read_only, later:
        "Most waiting reads from tiered storage; more are refused.";
    long "log.local.retention.ms" = "-2", at_least(-2), cluster_wide, later:
        "Age at which a copied segment leaves the local disk; -2 is `log.retention.ms`.";
    long "log.local.retention.bytes" = "-2", at_least(-2), cluster_wide, later:
        "Size beyond which copied segments leave the local disk; -2 is `log.retention.bytes`.";
    long "log.remote.copy.lag.ms" = "0", at_least(-1), cluster_wide, later:
        "A closed segment is copied at this age; 0 at once, -1 only by size.";
    long "log.remote.copy.lag.bytes" = "-1", at_least(-1), cluster_wide, later:
        "A closed segment is copied when this many bytes follow it; 0 at once, -1 only by age.";
    long "remote.log.manager.copy.max.bytes.per.second" = "9223372036854775807", at_least(1), cluster_wide, later:
        "Most bytes a second copied to tiered storage.";
    int "remote.log.manager.copy.quota.window.num" = "11", at_least(1), read_only, later:
        "Samples kept for that limit.";
    int "remote.log.manager.copy.quota.window.size.seconds" = "1", at_least(1), read_only, later:
        "Length of a sample for that limit.";
    long "remote.log.manager.fetch.max.bytes.per.second" = "9223372036854775807", at_least(1), cluster_wide, later:
        "Most bytes a second fetched from tiered storage.";
    int "remote.log.manager.fetch.quota.window.num" = "11", at_least(1), read_only, later:
        "Samples kept for that limit.";
    int "remote.log.manager.fetch.quota.window.size.seconds" = "1", at_least(1), read_only, later:
        "Length of a sample for that limit.";
    int "remote.fetch.max.wait.ms" = "500", at_least(1), cluster_wide, later:
        "Longest wait of a fetch from tiered storage.";
    long "remote.list.offsets.request.timeout.ms" = "30000", at_least(1), cluster_wide, later:
        "Longest wait of an offset lookup in tiered storage.";
    short "rlmm.config.remote.log.metadata.topic.replication.factor" = "3", at_least(1), read_only, later, when_set():
        "Replicas of `__remote_log_metadata`.";
    int "rlmm.config.remote.log.metadata.topic.num.partitions" = "50", at_least(1), read_only, later, when_set():
        "Partitions of `__remote_log_metadata`.";
    long "rlmm.config.remote.log.metadata.topic.retention.ms" = "-1", any, read_only, later, when_set():
        "Retention of `__remote_log_metadata`; -1 keeps everything.";
    short "rlmm.config.remote.log.metadata.topic.min.isr" = "2", at_least(1), read_only, later, when_set():
        "`min.insync.replicas` of `__remote_log_metadata`.";
    long "rlmm.config.remote.log.metadata.consume.wait.ms" = "120000", at_least(0), read_only, later, when_set():
        "How long to wait until an event that was written is read back.";
    long "rlmm.config.remote.log.metadata.initialization.retry.max.timeout.ms" = "120000", at_least(0), read_only, later, when_set():
        "Longest time over which starting the metadata plugin is retried.";
    long "rlmm.config.remote.log.metadata.initialization.retry.interval.ms" = "100", at_least(0), read_only, later, when_set():
        "Wait between two such tries.";
}
