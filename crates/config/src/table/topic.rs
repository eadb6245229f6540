//! Settings of a topic; most fall back to a setting of the broker.

use crate::setting::settings;

settings! { pub(super) TOPIC:
    list "cleanup.policy" = "delete", list_of("compact", "delete"), per_resource, done, broker("log.cleanup.policy"):
        "What happens to old records: `delete` by age and size, `compact` to the last of each key, both, or nothing when empty.";
    int "compression.gzip.level" = "-1", gzip_level, per_resource, done, broker("compression.gzip.level"):
        "Level used when recompressing with gzip; -1 is the codec's default.";
    int "compression.lz4.level" = "9", between(1, 17), per_resource, done, broker("compression.lz4.level"):
        "Level used when recompressing with lz4.";
    string "compression.type" = "producer", one_of("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"), per_resource, done, broker("compression.type"):
        "How batches are kept: `producer` as they came, `uncompressed`, or recompressed with the codec named.";
    int "compression.zstd.level" = "3", between(-131_072, 22), per_resource, done, broker("compression.zstd.level"):
        "Level used when recompressing with zstd.";
    long "delete.retention.ms" = "86400000", at_least(0), per_resource, done, broker("log.cleaner.delete.retention.ms"):
        "How long a tombstone stays in a compacted topic.";
    boolean "errors.deadletterqueue.group.enable" = "false", any, per_resource, later:
        "Let share groups use this topic for records that they give up.";
    long "file.delete.delay.ms" = "60000", at_least(0), per_resource, done, broker("log.segment.delete.delay.ms"):
        "Wait between renaming a deleted file and removing it.";
    long "flush.messages" = "9223372036854775807", at_least(1), per_resource, done, broker("log.flush.interval.messages"):
        "Flush a partition to disk after this many records; 1 flushes before every acknowledgement.";
    long "flush.ms" = "9223372036854775807", at_least(0), per_resource, done, broker("log.flush.interval.ms"):
        "Longest time a record stays unflushed.";
    list "follower.replication.throttled.replicas" = "", throttled_replicas, per_resource, done:
        "Replicas whose fetching is throttled, as `partition:broker,…` or `*`.";
    int "index.interval.bytes" = "4096", at_least(0), per_resource, done, broker("log.index.interval.bytes"):
        "An index entry is written about every so many bytes of records.";
    int "internal.segment.bytes" = null, any, per_resource, done, internal():
        "Segment size below the usual minimum, for tests.";
    list "leader.replication.throttled.replicas" = "", throttled_replicas, per_resource, done:
        "Replicas to which sending is throttled, as `partition:broker,…` or `*`.";
    long "local.retention.bytes" = "-2", at_least(-2), per_resource, later, broker("log.local.retention.bytes"):
        "Size beyond which copied segments leave the local disk; -2 is `retention.bytes`.";
    long "local.retention.ms" = "-2", at_least(-2), per_resource, later, broker("log.local.retention.ms"):
        "Age at which a copied segment leaves the local disk; -2 is `retention.ms`.";
    long "max.compaction.lag.ms" = "9223372036854775807", at_least(1), per_resource, done, broker("log.cleaner.max.compaction.lag.ms"):
        "A record is compacted after this long at the latest.";
    int "max.decompressed.message.bytes" = "2147483639", between(1, 2_147_483_639), per_resource, done, broker("max.decompressed.message.bytes"):
        "Largest size of one record once decompressed, wherever the broker decompresses.";
    int "max.message.bytes" = "1048588", at_least(0), per_resource, done, broker("message.max.bytes"):
        "Largest record batch accepted, after compression.";
    long "message.timestamp.after.max.ms" = "3600000", at_least(0), per_resource, done, broker("log.message.timestamp.after.max.ms"):
        "How far in the future a producer's timestamp may lie.";
    long "message.timestamp.before.max.ms" = "9223372036854775807", at_least(0), per_resource, done, broker("log.message.timestamp.before.max.ms"):
        "How far in the past a producer's timestamp may lie.";
    string "message.timestamp.type" = "CreateTime", one_of("CreateTime", "LogAppendTime"), per_resource, done, broker("log.message.timestamp.type"):
        "Which time records carry: the producer's (`CreateTime`) or the broker's (`LogAppendTime`).";
    double "min.cleanable.dirty.ratio" = "0.5", fraction(0.0, 1.0), per_resource, done, broker("log.cleaner.min.cleanable.ratio"):
        "A partition is compacted when this part of it is new since the last time.";
    long "min.compaction.lag.ms" = "0", at_least(0), per_resource, done, broker("log.cleaner.min.compaction.lag.ms"):
        "A record stays uncompacted for at least this long.";
    int "min.insync.replicas" = "1", at_least(1), per_resource, done, broker("min.insync.replicas"):
        "Replicas that must have a record before `acks=all` is acknowledged.";
    boolean "preallocate" = "false", any, per_resource, later, broker("log.preallocate"):
        "Give a new segment its whole size at once.";
    long "remote.copy.lag.bytes" = "-1", at_least(-1), per_resource, later, broker("log.remote.copy.lag.bytes"):
        "A closed segment is copied when this many bytes follow it; 0 at once, -1 only by age.";
    long "remote.copy.lag.ms" = "0", at_least(-1), per_resource, later, broker("log.remote.copy.lag.ms"):
        "A closed segment is copied at this age; 0 at once, -1 only by size.";
    boolean "remote.log.copy.disable" = "false", any, per_resource, later:
        "Copy nothing more to tiered storage; what is there stays readable.";
    boolean "remote.log.delete.on.disable" = "false", any, per_resource, later:
        "Delete what is in tiered storage when it is turned off.";
    boolean "remote.storage.enable" = "false", any, per_resource, later:
        "Turn tiered storage on.";
    long "retention.bytes" = "-1", any, per_resource, done, broker("log.retention.bytes"):
        "The oldest segments of a partition beyond this size are deleted; -1 keeps them.";
    long "retention.ms" = "604800000", at_least(-1), per_resource, done, broker("log.retention.ms"):
        "Segments whose newest record is older are deleted; -1 keeps them.";
    int "segment.bytes" = "1073741824", at_least(1_048_576), per_resource, done, broker("log.segment.bytes"):
        "Size at which a segment is closed and the next one begun.";
    int "segment.index.bytes" = "10485760", at_least(4), per_resource, done, broker("log.index.size.max.bytes"):
        "Largest size of an index file; a full index closes its segment.";
    long "segment.jitter.ms" = "0", at_least(0), per_resource, done, broker("log.roll.jitter.ms"):
        "Random part taken off `segment.ms`, so that partitions do not roll all at once.";
    long "segment.ms" = "604800000", at_least(1), per_resource, done, broker("log.roll.ms"):
        "Age of its first record at which a segment is closed.";
    boolean "unclean.leader.election.enable" = "false", any, per_resource, done, broker("unclean.leader.election.enable"):
        "Let a replica that is not in sync become leader when no other is left; records may be lost.";
}
