//! Settings of a group, and of a client metrics subscription.

use crate::setting::settings;

settings! { pub(super) GROUP:
    int "consumer.session.timeout.ms" = "45000", at_least(1), per_resource, later, broker("group.consumer.session.timeout.ms"):
        "A consumer without a heartbeat for this long leaves the group.";
    int "consumer.heartbeat.interval.ms" = "5000", at_least(1), per_resource, later, broker("group.consumer.heartbeat.interval.ms"):
        "Heartbeat interval that consumers are told.";
    int "consumer.assignment.interval.ms" = "1000", at_least(0), per_resource, later, broker("group.consumer.assignment.interval.ms"):
        "Shortest time between two assignments.";
    boolean "consumer.assignor.offload.enable" = "true", any, per_resource, later, broker("group.consumer.assignor.offload.enable"), internal():
        "Compute assignments in the background.";
    int "share.session.timeout.ms" = "45000", at_least(1), per_resource, later, broker("group.share.session.timeout.ms"):
        "A share consumer without a heartbeat for this long leaves the group.";
    int "share.heartbeat.interval.ms" = "5000", at_least(1), per_resource, later, broker("group.share.heartbeat.interval.ms"):
        "Heartbeat interval that share consumers are told.";
    int "share.record.lock.duration.ms" = "30000", at_least(1000), per_resource, later, broker("group.share.record.lock.duration.ms"):
        "How long a share consumer holds a record before it is delivered again.";
    int "share.delivery.count.limit" = "5", at_least(2), per_resource, later, broker("group.share.delivery.count.limit"):
        "How often a record is delivered before it is given up.";
    int "share.partition.max.record.locks" = "2000", at_least(100), per_resource, later, broker("group.share.partition.max.record.locks"):
        "Most records of a partition in the hands of the group.";
    string "share.auto.offset.reset" = "latest", offset_reset, per_resource, later:
        "Where a share group begins: `latest`, `earliest`, or `by_duration:` and an ISO 8601 duration ago.";
    string "share.isolation.level" = "read_uncommitted", one_of("read_committed", "read_uncommitted"), per_resource, later:
        "Whether a share group sees records of open transactions.";
    boolean "share.renew.acknowledge.enable" = "true", any, per_resource, later:
        "Let share consumers prolong the time they hold a record.";
    int "share.assignment.interval.ms" = "1000", at_least(0), per_resource, later, broker("group.share.assignment.interval.ms"):
        "Shortest time between two assignments.";
    boolean "share.assignor.offload.enable" = "true", any, per_resource, later, broker("group.share.assignor.offload.enable"), internal():
        "Compute assignments in the background.";
    int "streams.session.timeout.ms" = "45000", at_least(1), per_resource, later, broker("group.streams.session.timeout.ms"):
        "A streams client without a heartbeat for this long leaves the group.";
    int "streams.heartbeat.interval.ms" = "5000", at_least(1), per_resource, later, broker("group.streams.heartbeat.interval.ms"):
        "Heartbeat interval that streams clients are told.";
    int "streams.num.standby.replicas" = "0", at_least(0), per_resource, later, broker("group.streams.num.standby.replicas"):
        "Standby copies of each stateful task.";
    int "streams.initial.rebalance.delay.ms" = "3000", at_least(0), per_resource, later, broker("group.streams.initial.rebalance.delay.ms"):
        "How long the group waits for more members before its first rebalance.";
    int "streams.assignment.interval.ms" = "1000", at_least(0), per_resource, later, broker("group.streams.assignment.interval.ms"):
        "Shortest time between two assignments.";
    boolean "streams.assignor.offload.enable" = "true", any, per_resource, later, broker("group.streams.assignor.offload.enable"), internal():
        "Compute assignments in the background.";
    int "streams.task.offset.interval.ms" = "60000", at_least(1), per_resource, later, broker("group.streams.task.offset.interval.ms"), internal():
        "How often clients report the offsets of their tasks.";
    int "streams.num.warmup.replicas" = "2", at_least(0), per_resource, later, broker("group.streams.num.warmup.replicas"), internal():
        "Most warm-up copies of tasks.";
    list "streams.rack.aware.assignment.tags" = "", any, per_resource, later, broker("group.streams.rack.aware.assignment.tags"):
        "Client tags over which standby copies are spread.";
    long "streams.acceptable.recovery.lag" = "10000", at_least(0), per_resource, later, broker("group.streams.acceptable.recovery.lag"), internal():
        "Lag in records up to which a client may take over a stateful task.";
    string "streams.assignor.name" = null, any, per_resource, later, broker("group.streams.assignors"):
        "Task assignor of the group, one of `group.streams.assignors`.";
    string "errors.deadletterqueue.topic.name" = "", any, per_resource, later:
        "Topic for records that a share group gives up; empty drops them.";
    boolean "errors.deadletterqueue.copy.record.enable" = "false", any, per_resource, later:
        "Write the whole record to the dead-letter topic, not only where it came from.";
}

settings! { pub(super) CLIENT_METRICS:
    list "metrics" = "", any, per_resource, later:
        "Prefixes of the metrics that clients push; `*` is all, empty is none.";
    int "interval.ms" = "300000", between(100, 3_600_000), per_resource, later:
        "How often clients push.";
    list "match" = "", client_match, per_resource, later:
        "Which clients push, as `selector=regex,…`.";
}
