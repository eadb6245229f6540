//! Replicas, elections, and the traffic between brokers.

use crate::setting::settings;

settings! { pub(super) REPLICATION:
    int "controller.socket.timeout.ms" = "30000", any, read_only, done:
        "Socket timeout for connections to the controller.";
    long "replica.lag.time.max.ms" = "30000", any, read_only, done:
        "A follower that has not caught up for this long leaves the in-sync replicas.";
    int "replica.socket.timeout.ms" = "30000", any, read_only, done:
        "Socket timeout of a follower's fetches.";
    int "replica.socket.receive.buffer.bytes" = "65536", any, read_only, later:
        "Receive buffer of a follower's connection.";
    int "replica.fetch.max.bytes" = "1048576", at_least(0), read_only, done:
        "Most bytes of a partition in one fetch of a follower; one batch is sent even when it is larger.";
    int "replica.fetch.wait.max.ms" = "500", any, read_only, done:
        "Longest wait of a follower's fetch; less than `replica.lag.time.max.ms`.";
    int "replica.fetch.backoff.ms" = "1000", at_least(0), read_only, done:
        "A follower's wait after a fetch that failed.";
    int "replica.fetch.min.bytes" = "1", any, read_only, done:
        "A follower's fetch waits for this many bytes.";
    int "replica.fetch.response.max.bytes" = "10485760", at_least(0), read_only, done:
        "Most bytes in one fetch answer to a follower; one batch is sent even when it is larger.";
    int "num.replica.fetchers" = "1", at_least(1), cluster_wide, done:
        "Connections over which a follower fetches from one leader.";
    long "replica.high.watermark.checkpoint.interval.ms" = "5000", any, read_only, done:
        "How often high watermarks are written.";
    int "fetch.purgatory.purge.interval.requests" = "1000", any, read_only, moot:
        "How often Kafka clears out finished waits of fetches; Klamm drops them at once.";
    int "producer.purgatory.purge.interval.requests" = "1000", any, read_only, moot:
        "How often Kafka clears out finished waits of produces; Klamm drops them at once.";
    int "delete.records.purgatory.purge.interval.requests" = "1", any, read_only, moot:
        "How often Kafka clears out finished waits of DeleteRecords; Klamm drops them at once.";
    boolean "auto.leader.rebalance.enable" = "true", any, read_only, done:
        "Give leadership back to preferred replicas in the background.";
    long "leader.imbalance.check.interval.seconds" = "300", at_least(1), read_only, done:
        "How often leadership is compared with the preferred replicas.";
    long "unclean.leader.election.interval.ms" = "300000", at_least(1), read_only, done, internal():
        "How often partitions without a leader are looked through for an unclean election.";
    boolean "unclean.leader.election.enable" = "false", any, cluster_wide, done:
        "Let a replica that is not in sync become leader when no other is left; records may be lost.";
    string "security.inter.broker.protocol" = "PLAINTEXT", one_of("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"), read_only, done:
        "Security protocol between brokers; `inter.broker.listener.name` takes its place.";
    string "inter.broker.listener.name" = null, any, read_only, done:
        "Listener that brokers use between themselves.";
    string "replica.selector.class" = null, any, read_only, done:
        "What picks the replica that a consumer reads from: `org.apache.kafka.common.replica.RackAwareReplicaSelector`, or without it the leader.";
    boolean "follower.fetch.last.tiered.offset.enable" = "false", any, cluster_wide, later:
        "A new follower starts at the end of what is in tiered storage.";
    int "min.insync.replicas" = "1", at_least(1), cluster_wide, done:
        "Replicas that must have a record before `acks=all` is acknowledged.";
}
