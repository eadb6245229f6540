//! Who a node is, the controller quorum, and the metadata log.

use crate::setting::settings;

settings! { pub(super) QUORUM:
    int "broker.id" = "-1", any, read_only, done:
        "Old name of `node.id`; when both are set they must agree.";
    string "broker.rack" = null, any, read_only, done:
        "Rack or zone of this broker; replicas are spread over racks, and consumers may read from their own.";
    boolean "controlled.shutdown.enable" = "true", any, read_only, done:
        "Move leadership away before a broker stops.";
    boolean "unstable.api.versions.enable" = "false", any, read_only, later, internal():
        "Serve API versions that are still under development.";
    boolean "unstable.feature.versions.enable" = "false", any, read_only, later, internal():
        "Accept feature levels that are still under development.";
    list "process.roles" = required, some_of("broker", "controller"), read_only, done:
        "What this node is: `broker`, `controller`, or both.";
    int "node.id" = required, at_least(0), read_only, done:
        "Id of this node, unique in the cluster.";
    int "initial.broker.registration.timeout.ms" = "60000", any, read_only, done:
        "How long a starting broker tries to register with the controller before it gives up.";
    int "broker.heartbeat.interval.ms" = "2000", any, read_only, done:
        "Time between a broker's heartbeats to the controller.";
    int "broker.session.timeout.ms" = "9000", any, read_only, done:
        "A broker without a heartbeat for this long is fenced by the controller.";
    list "controller.listener.names" = required, not_empty, read_only, done:
        "Names of the listeners that controllers use; clients do not connect to them.";
    string "sasl.mechanism.controller.protocol" = "GSSAPI", any, read_only, later:
        "SASL mechanism spoken to controllers.";
    long "controller.performance.sample.period.ms" = "60000", at_least(100), read_only, moot, internal():
        "Time between log lines on the controller's event times.";
    long "controller.performance.always.log.threshold.ms" = "2000", at_least(0), read_only, moot, internal():
        "Controller events slower than this are always logged.";
    long "server.max.startup.time.ms" = "9223372036854775807", at_least(0), read_only, later, internal():
        "Give up starting after this time.";
    list "controller.quorum.voters" = "", voters, read_only, done:
        "The fixed set of controllers, as `id@host:port,…`.";
    list "controller.quorum.bootstrap.servers" = "", servers, read_only, done:
        "Where to find the controller quorum, as `host:port,…`; for quorums whose members are kept in the metadata log.";
    int "controller.quorum.election.timeout.ms" = "1000", at_least(0), read_only, done:
        "A candidate without a result for this long starts another election.";
    int "controller.quorum.fetch.timeout.ms" = "2000", at_least(0), read_only, done:
        "A follower that could not fetch from the leader for this long starts an election.";
    int "controller.quorum.election.backoff.max.ms" = "1000", at_least(0), read_only, done:
        "Longest random wait before another election, so that candidates do not collide forever.";
    int "controller.quorum.append.linger.ms" = "25", at_least(0), read_only, later:
        "How long the quorum's leader gathers records before it writes them.";
    int "controller.quorum.request.timeout.ms" = "2000", at_least(0), read_only, done:
        "How long a request to the quorum waits for its answer.";
    int "controller.quorum.retry.backoff.ms" = "20", at_least(0), read_only, done:
        "Wait before a failed request to the quorum is sent again.";
    boolean "controller.quorum.auto.join.enable" = "false", any, read_only, done:
        "A controller that is not a voter adds itself to the quorum.";
    int "controller.quorum.fetch.snapshot.max.bytes" = "1048576", at_least(1), read_only, done:
        "Most bytes of a metadata snapshot in one FetchSnapshot answer.";
    int "controller.quorum.fetch.max.bytes" = "1048576", at_least(1), read_only, done:
        "Most bytes of the metadata log in one Fetch answer; one batch is sent even when it is larger.";
    long "metadata.log.max.record.bytes.between.snapshots" = "20971520", at_least(1), read_only, done:
        "A metadata snapshot is written after this many bytes of new records.";
    long "metadata.log.max.snapshot.interval.ms" = "3600000", at_least(0), read_only, done:
        "A metadata snapshot is written at least this often while there are new records; 0 turns that off.";
    string "metadata.log.dir" = null, any, read_only, done:
        "Folder of the metadata log; without it, the first of `log.dirs`.";
    int "metadata.log.segment.bytes" = "1073741824", at_least(8_388_608), read_only, done:
        "Size at which a segment of the metadata log is closed.";
    long "metadata.log.segment.ms" = "604800000", any, read_only, done:
        "Age at which a segment of the metadata log is closed.";
    long "metadata.max.retention.bytes" = "104857600", any, read_only, done:
        "Old metadata segments and snapshots beyond this total are deleted, the newest snapshot never.";
    long "metadata.max.retention.ms" = "604800000", any, read_only, done:
        "Metadata segments and snapshots older than this are deleted, the newest snapshot never.";
    int "metadata.max.idle.interval.ms" = "500", at_least(0), read_only, done:
        "An idle controller writes a no-op record this often, unless it is the only node; 0 turns that off.";
    int "internal.metadata.log.segment.bytes" = null, any, read_only, done, internal():
        "Segment size of the metadata log below its usual minimum, for tests.";
    int "internal.metadata.max.batch.size.in.bytes" = "8388608", any, read_only, later, internal():
        "Largest batch in the metadata log, for tests.";
    long "internal.metadata.delete.delay.millis" = "60000", any, read_only, later, internal():
        "Wait before a deleted metadata file leaves the disk, for tests.";
}
