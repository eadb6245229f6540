//! Share groups and their coordinator.

use crate::setting::settings;

settings! { pub(super) SHARE_GROUPS:
    int "group.share.session.timeout.ms" = "45000", at_least(1), read_only, later:
        "A share consumer without a heartbeat for this long leaves its group.";
    int "group.share.min.session.timeout.ms" = "45000", at_least(1), read_only, later:
        "Shortest `share.session.timeout.ms` of a group.";
    int "group.share.max.session.timeout.ms" = "60000", at_least(1), read_only, later:
        "Longest `share.session.timeout.ms` of a group.";
    int "group.share.heartbeat.interval.ms" = "5000", at_least(1), read_only, later:
        "Heartbeat interval that share consumers are told.";
    int "group.share.min.heartbeat.interval.ms" = "5000", at_least(1), read_only, later:
        "Shortest `share.heartbeat.interval.ms` of a group.";
    int "group.share.max.heartbeat.interval.ms" = "15000", at_least(1), read_only, later:
        "Longest `share.heartbeat.interval.ms` of a group.";
    int "group.share.max.size" = "200", between(1, 1000), read_only, later:
        "Most members of a share group.";
    list "group.share.assignors" = "simple", not_empty, read_only, later:
        "The assignor for share groups.";
    int "group.share.assignment.interval.ms" = "1000", at_least(0), cluster_wide, later:
        "Shortest time between two assignments of a share group.";
    int "group.share.min.assignment.interval.ms" = "0", at_least(0), read_only, later:
        "Least `share.assignment.interval.ms` of a group.";
    int "group.share.max.assignment.interval.ms" = "15000", at_least(0), read_only, later:
        "Greatest `share.assignment.interval.ms` of a group.";
    boolean "group.share.assignor.offload.enable" = "true", any, cluster_wide, later, internal():
        "Compute assignments of share groups in the background.";
    int "group.share.initialize.retry.interval.ms" = "30000", at_least(1), read_only, later, internal():
        "Wait before a failed initialisation of share state is tried again.";
    boolean "errors.deadletterqueue.auto.create.topics.enable" = "false", any, cluster_wide, later:
        "Create a share group's dead-letter topic when it does not exist.";
    string "errors.deadletterqueue.topic.name.prefix" = "dlq.", any, cluster_wide, later:
        "What names of dead-letter topics must begin with; empty allows any.";
    int "group.share.delivery.count.limit" = "5", between(2, 10), read_only, later:
        "How often a record is delivered to a share group before it is given up.";
    int "group.share.max.delivery.count.limit" = "10", between(5, 25), read_only, later:
        "Greatest `share.delivery.count.limit` of a group.";
    int "group.share.min.delivery.count.limit" = "2", between(2, 5), read_only, later:
        "Least `share.delivery.count.limit` of a group.";
    int "group.share.record.lock.duration.ms" = "30000", between(1000, 3_600_000), read_only, later:
        "How long a share consumer holds a record before it is delivered again.";
    int "group.share.min.record.lock.duration.ms" = "15000", between(1000, 30_000), read_only, later:
        "Shortest `share.record.lock.duration.ms` of a group.";
    int "group.share.max.record.lock.duration.ms" = "60000", between(30_000, 3_600_000), read_only, later:
        "Longest `share.record.lock.duration.ms` of a group.";
    int "group.share.partition.max.record.locks" = "2000", between(100, 10_000), read_only, later:
        "Most records of a partition in the hands of a share group.";
    int "group.share.max.partition.max.record.locks" = "4000", between(2000, 10_000), read_only, later:
        "Greatest `share.partition.max.record.locks` of a group.";
    int "group.share.min.partition.max.record.locks" = "100", between(100, 2000), read_only, later:
        "Least `share.partition.max.record.locks` of a group.";
    int "share.fetch.purgatory.purge.interval.requests" = "1000", any, read_only, moot:
        "How often Kafka clears out finished waits of share fetches; Klamm drops them at once.";
    int "group.share.max.share.sessions" = "2000", at_least(1), read_only, later:
        "Most share sessions on a broker.";
    string "group.share.persister.class.name" = "org.apache.kafka.server.share.persister.DefaultStatePersister", any, read_only, later, internal():
        "Class that keeps the state of share groups.";
    string "group.share.dlq.manager.class.name" = "org.apache.kafka.server.share.dlq.DefaultShareGroupDLQManager", any, read_only, later, internal():
        "Class that writes dead-letter records of share groups.";
    int "share.coordinator.state.topic.num.partitions" = "50", at_least(1), read_only, later:
        "Partitions of `__share_group_state`; must not change once the topic exists.";
    short "share.coordinator.state.topic.replication.factor" = "3", at_least(1), read_only, later:
        "Replicas of `__share_group_state`.";
    short "share.coordinator.state.topic.min.isr" = "2", at_least(1), read_only, later:
        "`min.insync.replicas` of `__share_group_state`.";
    int "share.coordinator.state.topic.segment.bytes" = "104857600", at_least(1), read_only, later:
        "Segment size of `__share_group_state`.";
    int "share.coordinator.threads" = "1", at_least(1), read_only, moot:
        "Kafka's threads of the share coordinator.";
    int "share.coordinator.snapshot.update.records.per.snapshot" = "500", between(0, 500), read_only, later:
        "Updates of a share partition between two snapshots of its state.";
    int "share.coordinator.load.buffer.size" = "5242880", at_least(1), read_only, moot:
        "Kafka's read size when it loads share state; Klamm replays its log in place.";
    int "share.coordinator.state.topic.compression.codec" = "0", any, read_only, later:
        "Codec of `__share_group_state`: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.";
    int "share.coordinator.append.linger.ms" = "-1", at_least(-1), read_only, later:
        "How long the share coordinator gathers records before it writes them; -1 adapts to the load.";
    int "share.coordinator.write.timeout.ms" = "5000", at_least(1), read_only, later:
        "How long a write of share state waits for its replicas.";
    int "share.coordinator.state.topic.prune.interval.ms" = "300000", at_least(1), read_only, later, internal():
        "How often superseded records of `__share_group_state` are deleted.";
    int "share.coordinator.cold.partition.snapshot.interval.ms" = "300000", at_least(1), read_only, later, internal():
        "How often share partitions without updates are looked through for one that needs a snapshot.";
    int "share.coordinator.cached.buffer.max.bytes" = "1048588", at_least(524_288), cluster_wide, moot:
        "Largest write buffer that the share coordinator keeps for its next write.";
}
