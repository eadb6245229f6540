//! Idempotent and transactional producers, and quotas.

use crate::setting::settings;

settings! { pub(super) TRANSACTIONS:
    int "transaction.state.log.min.isr" = "2", at_least(1), read_only, later:
        "`min.insync.replicas` of `__transaction_state`.";
    int "transaction.state.log.load.buffer.size" = "5242880", at_least(1), read_only, moot:
        "Kafka's read size when it loads transactions; Klamm replays its log in place.";
    short "transaction.state.log.replication.factor" = "3", at_least(1), read_only, later:
        "Replicas of `__transaction_state`.";
    int "transaction.state.log.num.partitions" = "50", at_least(1), read_only, later:
        "Partitions of `__transaction_state`; must not change once the topic exists.";
    int "transaction.state.log.segment.bytes" = "104857600", at_least(1), read_only, later:
        "Segment size of `__transaction_state`.";
    boolean "transaction.partition.verification.enable" = "true", any, cluster_wide, later:
        "Ask the coordinator whether a transaction is open before a partition takes its first record.";
    int "producer.id.expiration.ms" = "86400000", at_least(1), cluster_wide, done:
        "What a partition knows of an idempotent producer is dropped this long after its last write.";
    int "producer.id.expiration.check.interval.ms" = "600000", at_least(1), read_only, done, internal():
        "How often producers are looked through for idle ones.";
    int "transactional.id.expiration.ms" = "604800000", at_least(1), read_only, later:
        "A transactional id without activity for this long is forgotten.";
    int "transaction.max.timeout.ms" = "900000", at_least(1), read_only, later:
        "Longest transaction timeout that a producer may ask for.";
    int "transaction.abort.timed.out.transaction.cleanup.interval.ms" = "10000", at_least(1), read_only, later:
        "How often transactions are looked through for timed-out ones.";
    int "transaction.remove.expired.transaction.cleanup.interval.ms" = "3600000", at_least(1), read_only, later:
        "How often transactional ids are looked through for expired ones.";
    boolean "transaction.two.phase.commit.enable" = "false", any, read_only, later:
        "Allow transactions that an outside coordinator decides.";
    int "add.partitions.to.txn.retry.backoff.max.ms" = "100", at_least(0), read_only, later:
        "Longest time over which the broker retries adding a partition to a transaction.";
    int "add.partitions.to.txn.retry.backoff.ms" = "20", at_least(1), read_only, later:
        "Wait between two such tries.";
}

settings! { pub(super) QUOTAS:
    int "quota.window.num" = "11", at_least(1), read_only, later:
        "Samples kept for client quotas.";
    int "replication.quota.window.num" = "11", at_least(1), read_only, done:
        "Samples kept for replication quotas.";
    int "alter.log.dirs.replication.quota.window.num" = "11", at_least(1), read_only, done:
        "Samples kept for quotas of moves between folders.";
    int "controller.quota.window.num" = "11", at_least(1), read_only, later:
        "Samples kept for quotas of metadata changes.";
    int "quota.window.size.seconds" = "1", at_least(1), read_only, later:
        "Length of a sample for client quotas.";
    int "replication.quota.window.size.seconds" = "1", at_least(1), read_only, done:
        "Length of a sample for replication quotas.";
    int "alter.log.dirs.replication.quota.window.size.seconds" = "1", at_least(1), read_only, done:
        "Length of a sample for quotas of moves between folders.";
    int "controller.quota.window.size.seconds" = "1", at_least(1), read_only, later:
        "Length of a sample for quotas of metadata changes.";
    class "client.quota.callback.class" = null, any, read_only, later:
        "Class that decides clients' quotas.";
    long "leader.replication.throttled.rate" = "9223372036854775807", at_least(0), cluster_wide, done, when_set():
        "Most bytes a second sent for throttled replicas.";
    long "follower.replication.throttled.rate" = "9223372036854775807", at_least(0), cluster_wide, done, when_set():
        "Most bytes a second fetched for throttled replicas.";
    long "replica.alter.log.dirs.io.max.bytes.per.second" = "9223372036854775807", at_least(0), cluster_wide, done, when_set():
        "Most bytes a second moved between data folders.";
}
