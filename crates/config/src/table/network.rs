//! Listeners, connections, requests, threads.

use crate::setting::settings;

settings! { pub(super) NETWORK:
    int "message.max.bytes" = "1048588", at_least(0), cluster_wide, done:
        "Largest record batch accepted, after compression; a topic overrides it with `max.message.bytes`.";
    int "max.decompressed.message.bytes" = "2147483639", between(1, 2_147_483_639), cluster_wide, done:
        "Largest size of one record once decompressed, wherever the broker decompresses.";
    int "num.io.threads" = "8", at_least(1), cluster_wide, moot:
        "Kafka's request handler threads; Klamm handles a request on the thread that read it (`klamm.worker.threads`).";
    int "num.replica.alter.log.dirs.threads" = null, any, read_only, moot:
        "Kafka's threads for moving replicas between folders.";
    int "background.threads" = "10", at_least(1), cluster_wide, moot:
        "Kafka's threads for background work.";
    int "request.timeout.ms" = "30000", any, read_only, done:
        "How long a request of this broker to another node waits for its answer.";
    long "socket.connection.setup.timeout.ms" = "10000", any, read_only, later:
        "How long opening a connection to another node may take at first.";
    long "socket.connection.setup.timeout.max.ms" = "30000", any, read_only, later:
        "Longest time for opening a connection; the timeout doubles up to it after failures.";
    list "early.start.listeners" = null, any, read_only, later:
        "Listeners that accept connections before the authorizer is ready; without it, the controller's.";
    int "max.incremental.fetch.session.cache.slots" = "1000", at_least(0), read_only, done:
        "Most fetch sessions kept; a client beyond them names all its partitions in every request.";
    int "fetch.max.bytes" = "57671680", at_least(1024), read_only, done:
        "Most record bytes in one fetch answer; one batch is sent even when it is larger.";
    int "max.request.partition.size.limit" = "2000", at_least(1), read_only, done:
        "Most partitions in one DescribeTopicPartitions answer.";
    list "listeners" = "PLAINTEXT://:9092", not_empty, per_broker, done:
        "Addresses to listen on, as `NAME://host:port,…`; an empty host means every interface. Klamm opens and closes listeners only at a start.";
    list "advertised.listeners" = null, not_empty, read_only, done:
        "Addresses that clients are told to connect to; without it, `listeners`.";
    string "listener.security.protocol.map" = "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", any, per_broker, done:
        "Security protocol of each listener name, as `NAME:PROTOCOL,…`. Klamm takes it only at a start.";
    int "socket.send.buffer.bytes" = "102400", any, read_only, done:
        "Send buffer of a socket; -1 leaves it to the system.";
    int "socket.receive.buffer.bytes" = "102400", any, read_only, done:
        "Receive buffer of a socket; -1 leaves it to the system.";
    int "socket.request.max.bytes" = "104857600", at_least(1), read_only, done:
        "Largest request; a larger one closes the connection.";
    int "socket.listen.backlog.size" = "50", at_least(1), read_only, done:
        "Connections that the system may hold until the broker accepts them.";
    int "max.connections.per.ip" = "2147483647", at_least(0), cluster_wide, done:
        "Most connections from one address; more are closed.";
    string "max.connections.per.ip.overrides" = "", host_counts, cluster_wide, done:
        "Other limits for single hosts or addresses, as `host:count,…`.";
    int "max.connections" = "2147483647", at_least(0), cluster_wide, done:
        "Most connections at a time; at the limit new ones wait, save those between brokers.";
    int "max.connection.creation.rate" = "2147483647", at_least(0), cluster_wide, later:
        "Most new connections a second.";
    long "connections.max.idle.ms" = "600000", any, read_only, done:
        "A connection without traffic for this long is closed; a negative value keeps it.";
    int "connection.failed.authentication.delay.ms" = "100", at_least(0), read_only, later:
        "Wait before a failed login is answered.";
    int "queued.max.requests" = "500", at_least(1), read_only, moot:
        "Kafka's queue between network and handler threads; Klamm has none.";
    long "queued.max.request.bytes" = "-1", any, read_only, later:
        "Most bytes of requests being read at a time; -1 means no limit.";
    int "num.network.threads" = "3", at_least(1), cluster_wide, moot:
        "Kafka's network threads; Klamm runs `klamm.worker.threads`.";
}
