//! Offsets, classic groups and KIP-848 consumer groups.

use crate::setting::settings;

settings! { pub(super) CLASSIC_GROUPS:
    list "group.coordinator.rebalance.protocols" = "classic,consumer,streams", some_of("consumer", "classic", "share", "streams"), read_only, later:
        "Group protocols that are served.";
    int "group.coordinator.threads" = "4", at_least(1), read_only, moot:
        "Kafka's threads of the group coordinator.";
    int "group.coordinator.background.threads" = "2", at_least(1), read_only, moot:
        "Kafka's threads for regular expressions and assignments.";
    int "group.coordinator.append.linger.ms" = "-1", at_least(-1), read_only, later:
        "How long the coordinator gathers records before it writes them; -1 adapts to the load.";
    int "offsets.commit.timeout.ms" = "5000", at_least(1), read_only, done:
        "How long a commit waits for its replicas.";
    int "offsets.load.buffer.size" = "5242880", at_least(1), read_only, moot:
        "Kafka's read size when it loads groups; Klamm replays its log in place.";
    short "offsets.topic.replication.factor" = "3", at_least(1), read_only, done:
        "Replicas of `__consumer_offsets`.";
    int "offsets.topic.num.partitions" = "50", at_least(1), read_only, done:
        "Partitions of `__consumer_offsets`; must not change once the topic exists.";
    int "offsets.topic.segment.bytes" = "104857600", at_least(1), read_only, done:
        "Segment size of `__consumer_offsets`.";
    int "offsets.topic.compression.codec" = "0", any, read_only, later:
        "Codec of `__consumer_offsets`: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.";
    int "group.coordinator.cached.buffer.max.bytes" = "1048588", at_least(524_288), cluster_wide, moot:
        "Largest write buffer that the coordinator keeps for its next write.";
    int "offset.metadata.max.bytes" = "4096", any, read_only, done:
        "Longest text that may be committed with an offset.";
    int "offsets.retention.minutes" = "10080", at_least(1), read_only, done:
        "Committed offsets are dropped this long after their group became empty.";
    long "offsets.retention.check.interval.ms" = "600000", at_least(1), read_only, done:
        "How often offsets are looked through for old ones.";
    int "group.min.session.timeout.ms" = "6000", any, read_only, done:
        "Shortest session timeout that a member of a classic group may ask for.";
    int "group.max.session.timeout.ms" = "1800000", any, read_only, done:
        "Longest session timeout that a member of a classic group may ask for.";
    int "group.initial.rebalance.delay.ms" = "3000", any, read_only, done:
        "How long a new classic group waits for more members before its first rebalance.";
    int "group.max.size" = "2147483647", at_least(1), read_only, done:
        "Most members of a classic group.";
}

settings! { pub(super) CONSUMER_GROUPS:
    int "group.consumer.session.timeout.ms" = "45000", at_least(1), read_only, later:
        "A consumer without a heartbeat for this long leaves its group.";
    int "group.consumer.min.session.timeout.ms" = "45000", at_least(1), read_only, later:
        "Shortest `consumer.session.timeout.ms` of a group.";
    int "group.consumer.max.session.timeout.ms" = "60000", at_least(1), read_only, later:
        "Longest `consumer.session.timeout.ms` of a group.";
    int "group.consumer.heartbeat.interval.ms" = "5000", at_least(1), read_only, later:
        "Heartbeat interval that consumers are told.";
    int "group.consumer.min.heartbeat.interval.ms" = "5000", at_least(1), read_only, later:
        "Shortest `consumer.heartbeat.interval.ms` of a group.";
    int "group.consumer.max.heartbeat.interval.ms" = "15000", at_least(1), read_only, later:
        "Longest `consumer.heartbeat.interval.ms` of a group.";
    int "group.consumer.max.size" = "2147483647", at_least(1), read_only, later:
        "Most members of a consumer group.";
    list "group.consumer.assignors" = "uniform,range", not_empty, read_only, later:
        "Assignors for consumer groups; the first is the default.";
    string "group.consumer.migration.policy" = "bidirectional", one_of_any_case("DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"), read_only, later:
        "Which conversions between classic and consumer groups are allowed while members are there.";
    int "group.consumer.assignment.interval.ms" = "1000", at_least(0), cluster_wide, later:
        "Shortest time between two assignments of a consumer group.";
    int "group.consumer.min.assignment.interval.ms" = "0", at_least(0), read_only, later:
        "Least `consumer.assignment.interval.ms` of a group.";
    int "group.consumer.max.assignment.interval.ms" = "15000", at_least(0), read_only, later:
        "Greatest `consumer.assignment.interval.ms` of a group.";
    boolean "group.consumer.assignor.offload.enable" = "true", any, cluster_wide, later, internal():
        "Compute assignments of consumer groups in the background.";
    int "group.consumer.regex.refresh.interval.ms" = "600000", at_least(10_000), read_only, later, internal():
        "How often topics are matched again with the regular expressions of consumer groups.";
}
