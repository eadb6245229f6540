//! Streams groups.

use crate::setting::settings;

settings! { pub(super) STREAMS_GROUPS:
    int "group.streams.session.timeout.ms" = "45000", at_least(1), read_only, later:
        "A streams client without a heartbeat for this long leaves its group.";
    int "group.streams.min.session.timeout.ms" = "45000", at_least(1), read_only, later:
        "Shortest `streams.session.timeout.ms` of a group.";
    int "group.streams.max.session.timeout.ms" = "60000", at_least(1), read_only, later:
        "Longest `streams.session.timeout.ms` of a group.";
    int "group.streams.heartbeat.interval.ms" = "5000", at_least(1), read_only, later:
        "Heartbeat interval that streams clients are told.";
    int "group.streams.min.heartbeat.interval.ms" = "5000", at_least(1), read_only, later:
        "Shortest `streams.heartbeat.interval.ms` of a group.";
    int "group.streams.max.heartbeat.interval.ms" = "15000", at_least(1), read_only, later:
        "Longest `streams.heartbeat.interval.ms` of a group.";
    int "group.streams.max.size" = "2147483647", at_least(1), read_only, later:
        "Most members of a streams group.";
    int "group.streams.num.standby.replicas" = "0", at_least(0), read_only, later:
        "Standby copies of each stateful task.";
    int "group.streams.max.standby.replicas" = "2", at_least(0), read_only, later:
        "Greatest `streams.num.standby.replicas` of a group.";
    int "group.streams.initial.rebalance.delay.ms" = "3000", at_least(0), read_only, later:
        "How long a new streams group waits for more members before its first rebalance.";
    int "group.streams.assignment.interval.ms" = "1000", at_least(0), cluster_wide, later:
        "Shortest time between two assignments of a streams group.";
    int "group.streams.min.assignment.interval.ms" = "0", at_least(0), read_only, later:
        "Least `streams.assignment.interval.ms` of a group.";
    int "group.streams.max.assignment.interval.ms" = "15000", at_least(0), read_only, later:
        "Greatest `streams.assignment.interval.ms` of a group.";
    list "group.streams.assignors" = "sticky", not_empty, read_only, later:
        "Task assignors for streams groups; the first is the default.";
    boolean "group.streams.assignor.offload.enable" = "true", any, cluster_wide, later, internal():
        "Compute assignments of streams groups in the background.";
    int "group.streams.task.offset.interval.ms" = "60000", at_least(1), read_only, later, internal():
        "How often streams clients report the offsets of their tasks.";
    int "group.streams.min.task.offset.interval.ms" = "15000", at_least(1), read_only, later, internal():
        "Least `streams.task.offset.interval.ms` of a group.";
    int "group.streams.num.warmup.replicas" = "2", at_least(0), read_only, later, internal():
        "Most warm-up copies of tasks in a streams group.";
    int "group.streams.max.warmup.replicas" = "20", at_least(0), read_only, later, internal():
        "Greatest `streams.num.warmup.replicas` of a group.";
    list "group.streams.rack.aware.assignment.tags" = "", any, read_only, later:
        "Client tags over which standby copies are spread.";
    class "group.streams.topology.description.plugin.class" = null, any, read_only, later:
        "Class that receives descriptions of streams topologies.";
    long "group.streams.acceptable.recovery.lag" = "10000", at_least(0), read_only, later, internal():
        "Lag in records up to which a client may take over a stateful task.";
}
