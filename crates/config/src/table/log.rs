//! Topics as a broker makes them, segments, flushing, retention, compaction.

use crate::setting::settings;

settings! { pub(super) TOPICS:
    boolean "delete.topic.enable" = "true", any, read_only, done:
        "Allow topics to be deleted.";
    int "default.replication.factor" = "1", any, read_only, done:
        "Replicas of a topic that does not say how many it wants.";
    int "num.partitions" = "1", at_least(1), read_only, done:
        "Partitions of a topic that does not say how many it wants.";
    boolean "auto.create.topics.enable" = "true", any, read_only, done:
        "Create a topic when a client asks for one that does not exist.";
    class "create.topic.policy.class.name" = null, any, read_only, later:
        "Class that may refuse a new topic.";
    class "alter.config.policy.class.name" = null, any, read_only, later:
        "Class that may refuse a change of settings.";
}

settings! { pub(super) LOG:
    string "compression.type" = "producer", one_of("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"), cluster_wide, done:
        "How batches are kept: `producer` as they came, `uncompressed`, or recompressed with the codec named.";
    int "compression.gzip.level" = "-1", gzip_level, cluster_wide, done:
        "Level used when recompressing with gzip; -1 is the codec's default.";
    int "compression.lz4.level" = "9", between(1, 17), cluster_wide, done:
        "Level used when recompressing with lz4.";
    int "compression.zstd.level" = "3", between(-131_072, 22), cluster_wide, done:
        "Level used when recompressing with zstd.";
    list "log.dir" = "/tmp/kafka-logs", not_empty, read_only, done:
        "Folder for data, used when `log.dirs` is not set.";
    list "log.dirs" = null, not_empty, read_only, done:
        "Folders for data; partitions are spread over them.";
    list "cordoned.log.dirs" = "", any, per_broker, done:
        "Folders that get no new partitions; `*` is all of them.";
    int "log.segment.bytes" = "1073741824", at_least(1_048_576), cluster_wide, done:
        "Size at which a segment is closed and the next one begun.";
    long "log.roll.ms" = null, any, cluster_wide, done, or("log.roll.hours", 3_600_000):
        "Age of its first record at which a segment is closed; without it, `log.roll.hours`.";
    int "log.roll.hours" = "168", at_least(1), read_only, done:
        "The same in hours.";
    long "log.roll.jitter.ms" = null, any, cluster_wide, done, or("log.roll.jitter.hours", 3_600_000):
        "Random part taken off `log.roll.ms`, so that partitions do not roll all at once; without it, `log.roll.jitter.hours`.";
    int "log.roll.jitter.hours" = "0", at_least(0), read_only, done:
        "The same in hours.";
    list "log.cleanup.policy" = "delete", list_of("compact", "delete"), cluster_wide, done:
        "What happens to old records: `delete` by age and size, `compact` to the last of each key, both, or nothing when empty.";
    int "log.index.size.max.bytes" = "10485760", at_least(4), cluster_wide, done:
        "Largest size of an index file; a full index closes its segment.";
    int "log.index.interval.bytes" = "4096", at_least(0), cluster_wide, done:
        "An index entry is written about every so many bytes of records.";
    long "log.flush.interval.messages" = "9223372036854775807", at_least(1), cluster_wide, done:
        "Flush a partition to disk after this many records; 1 flushes before every acknowledgement.";
    long "log.segment.delete.delay.ms" = "60000", at_least(0), cluster_wide, done:
        "Wait between renaming a deleted file and removing it.";
    long "log.flush.scheduler.interval.ms" = "9223372036854775807", any, read_only, done:
        "How often partitions are looked through for one that is due for a flush.";
    long "log.flush.interval.ms" = null, any, cluster_wide, done, or("log.flush.scheduler.interval.ms", 1):
        "Longest time a record stays unflushed; without it, `log.flush.scheduler.interval.ms`.";
    int "log.flush.offset.checkpoint.interval.ms" = "60000", at_least(0), read_only, done:
        "How often recovery points are written; recovery starts from them.";
    int "log.flush.start.offset.checkpoint.interval.ms" = "60000", at_least(0), read_only, done:
        "How often log start offsets are written.";
    boolean "log.preallocate" = "false", any, cluster_wide, later:
        "Give a new segment its whole size at once.";
    int "num.recovery.threads.per.data.dir" = "2", at_least(1), cluster_wide, done:
        "Threads per data folder that recover partitions at start.";
    string "log.message.timestamp.type" = "CreateTime", one_of("CreateTime", "LogAppendTime"), cluster_wide, done:
        "Which time records carry: the producer's (`CreateTime`) or the broker's (`LogAppendTime`).";
    long "log.message.timestamp.before.max.ms" = "9223372036854775807", at_least(0), cluster_wide, done:
        "How far in the past a producer's timestamp may lie.";
    long "log.message.timestamp.after.max.ms" = "3600000", at_least(0), cluster_wide, done:
        "How far in the future a producer's timestamp may lie.";
    long "log.dir.failure.timeout.ms" = "30000", at_least(1), read_only, done:
        "A broker that cannot report a failed folder for this long stops.";
    long "log.initial.task.delay.ms" = "30000", at_least(0), read_only, done, internal():
        "Wait after start before retention, flushing and checkpoints begin.";
}

settings! { pub(super) RETENTION:
    long "log.retention.ms" = null, any, cluster_wide, done, or("log.retention.minutes", 60_000):
        "Segments whose newest record is older are deleted; -1 keeps them. Without it, `log.retention.minutes`.";
    int "log.retention.minutes" = null, any, read_only, done, or("log.retention.hours", 60):
        "The same in minutes; without it, `log.retention.hours`.";
    int "log.retention.hours" = "168", any, read_only, done:
        "The same in hours.";
    long "log.retention.bytes" = "-1", any, cluster_wide, done:
        "The oldest segments of a partition beyond this size are deleted; -1 keeps them.";
    long "log.retention.check.interval.ms" = "300000", at_least(1), read_only, done:
        "How often segments are looked through for old ones.";
}

settings! { pub(super) CLEANER:
    int "log.cleaner.threads" = "1", at_least(0), cluster_wide, later:
        "Compactions at a time.";
    double "log.cleaner.io.max.bytes.per.second" = "1.7976931348623157E308", any, cluster_wide, later:
        "Most bytes a second that compaction reads and writes.";
    long "log.cleaner.dedupe.buffer.size" = "134217728", any, cluster_wide, done:
        "Memory for the keys of all compactions.";
    int "log.cleaner.io.buffer.size" = "524288", at_least(0), cluster_wide, later:
        "Memory for reading and writing of all compactions.";
    double "log.cleaner.io.buffer.load.factor" = "0.9", any, cluster_wide, later:
        "How full the key table may get; fuller compacts more at a time with more collisions.";
    long "log.cleaner.backoff.ms" = "15000", at_least(0), cluster_wide, done:
        "Wait when there is nothing to compact.";
    double "log.cleaner.min.cleanable.ratio" = "0.5", fraction(0.0, 1.0), cluster_wide, done:
        "A partition is compacted when this part of it is new since the last time.";
    boolean "log.cleaner.enable" = "true", any, read_only, done:
        "Turn compaction on.";
    long "log.cleaner.delete.retention.ms" = "86400000", at_least(0), cluster_wide, done:
        "How long a tombstone stays in a compacted partition.";
    long "log.cleaner.min.compaction.lag.ms" = "0", at_least(0), cluster_wide, done:
        "A record stays uncompacted for at least this long.";
    long "log.cleaner.max.compaction.lag.ms" = "9223372036854775807", at_least(1), cluster_wide, done:
        "A record is compacted after this long at the latest.";
}
