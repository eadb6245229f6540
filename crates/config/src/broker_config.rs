//! A broker's settings as its code reads them; those that never change at run time are in `NodeConfig`.

use std::path::{Path, PathBuf};

use crate::conflict::{Conflict, require};
use crate::endpoint::HostCounts;
use crate::layers::Layers;
use crate::setting::Scope;
use crate::snapshot::snapshot;
use crate::table;
use crate::value::{FromValue, Value};

snapshot! {
    /// A broker's settings; immutable, built anew when one of them changes. What topics inherit is in
    /// [`TopicConfig::defaults`](crate::TopicConfig::defaults).
    pub BrokerConfig of Broker {
        alter_log_dirs_replication_quota_window_num: i32 = "alter.log.dirs.replication.quota.window.num",
        alter_log_dirs_replication_quota_window_size_seconds: i32 = "alter.log.dirs.replication.quota.window.size.seconds",
        auto_create_topics_enable: bool = "auto.create.topics.enable",
        auto_leader_rebalance_enable: bool = "auto.leader.rebalance.enable",
        broker_heartbeat_interval_ms: i32 = "broker.heartbeat.interval.ms",
        broker_session_timeout_ms: i32 = "broker.session.timeout.ms",
        connections_max_idle_ms: i64 = "connections.max.idle.ms",
        controlled_shutdown_enable: bool = "controlled.shutdown.enable",
        controller_quorum_auto_join_enable: bool = "controller.quorum.auto.join.enable",
        controller_quorum_election_backoff_max_ms: i32 = "controller.quorum.election.backoff.max.ms",
        controller_quorum_election_timeout_ms: i32 = "controller.quorum.election.timeout.ms",
        controller_quorum_fetch_max_bytes: i32 = "controller.quorum.fetch.max.bytes",
        controller_quorum_fetch_snapshot_max_bytes: i32 = "controller.quorum.fetch.snapshot.max.bytes",
        controller_quorum_fetch_timeout_ms: i32 = "controller.quorum.fetch.timeout.ms",
        controller_quorum_request_timeout_ms: i32 = "controller.quorum.request.timeout.ms",
        controller_quorum_retry_backoff_ms: i32 = "controller.quorum.retry.backoff.ms",
        controller_socket_timeout_ms: i32 = "controller.socket.timeout.ms",
        cordoned_log_dirs: Vec<String> = "cordoned.log.dirs",
        default_replication_factor: i32 = "default.replication.factor",
        delete_topic_enable: bool = "delete.topic.enable",
        fetch_max_bytes: i32 = "fetch.max.bytes",
        follower_replication_throttled_rate: i64 = "follower.replication.throttled.rate",
        group_initial_rebalance_delay_ms: i32 = "group.initial.rebalance.delay.ms",
        group_max_session_timeout_ms: i32 = "group.max.session.timeout.ms",
        group_max_size: i32 = "group.max.size",
        group_min_session_timeout_ms: i32 = "group.min.session.timeout.ms",
        initial_broker_registration_timeout_ms: i32 = "initial.broker.registration.timeout.ms",
        internal_metadata_log_segment_bytes: Option<i32> = "internal.metadata.log.segment.bytes",
        leader_imbalance_check_interval_seconds: i64 = "leader.imbalance.check.interval.seconds",
        leader_replication_throttled_rate: i64 = "leader.replication.throttled.rate",
        log_cleaner_backoff_ms: i64 = "log.cleaner.backoff.ms",
        log_cleaner_dedupe_buffer_size: i64 = "log.cleaner.dedupe.buffer.size",
        log_cleaner_enable: bool = "log.cleaner.enable",
        log_dir_failure_timeout_ms: i64 = "log.dir.failure.timeout.ms",
        log_flush_offset_checkpoint_interval_ms: i32 = "log.flush.offset.checkpoint.interval.ms",
        log_flush_scheduler_interval_ms: i64 = "log.flush.scheduler.interval.ms",
        log_flush_start_offset_checkpoint_interval_ms: i32 = "log.flush.start.offset.checkpoint.interval.ms",
        log_initial_task_delay_ms: i64 = "log.initial.task.delay.ms",
        log_retention_check_interval_ms: i64 = "log.retention.check.interval.ms",
        max_connections: i32 = "max.connections",
        max_connections_per_ip: i32 = "max.connections.per.ip",
        max_connections_per_ip_overrides: HostCounts = "max.connections.per.ip.overrides",
        max_incremental_fetch_session_cache_slots: i32 = "max.incremental.fetch.session.cache.slots",
        max_request_partition_size_limit: i32 = "max.request.partition.size.limit",
        metadata_log_max_record_bytes_between_snapshots: i64 = "metadata.log.max.record.bytes.between.snapshots",
        metadata_log_max_snapshot_interval_ms: i64 = "metadata.log.max.snapshot.interval.ms",
        metadata_log_segment_bytes: i32 = "metadata.log.segment.bytes",
        metadata_log_segment_ms: i64 = "metadata.log.segment.ms",
        metadata_max_idle_interval_ms: i32 = "metadata.max.idle.interval.ms",
        metadata_max_retention_bytes: i64 = "metadata.max.retention.bytes",
        metadata_max_retention_ms: i64 = "metadata.max.retention.ms",
        min_insync_replicas: i32 = "min.insync.replicas",
        num_partitions: i32 = "num.partitions",
        num_recovery_threads_per_data_dir: i32 = "num.recovery.threads.per.data.dir",
        num_replica_fetchers: i32 = "num.replica.fetchers",
        offset_metadata_max_bytes: i32 = "offset.metadata.max.bytes",
        offsets_commit_timeout_ms: i32 = "offsets.commit.timeout.ms",
        offsets_retention_check_interval_ms: i64 = "offsets.retention.check.interval.ms",
        offsets_retention_minutes: i32 = "offsets.retention.minutes",
        offsets_topic_num_partitions: i32 = "offsets.topic.num.partitions",
        offsets_topic_replication_factor: i16 = "offsets.topic.replication.factor",
        offsets_topic_segment_bytes: i32 = "offsets.topic.segment.bytes",
        producer_id_expiration_check_interval_ms: i32 = "producer.id.expiration.check.interval.ms",
        producer_id_expiration_ms: i32 = "producer.id.expiration.ms",
        replica_alter_log_dirs_io_max_bytes_per_second: i64 = "replica.alter.log.dirs.io.max.bytes.per.second",
        replica_fetch_backoff_ms: i32 = "replica.fetch.backoff.ms",
        replica_fetch_max_bytes: i32 = "replica.fetch.max.bytes",
        replica_fetch_min_bytes: i32 = "replica.fetch.min.bytes",
        replica_fetch_response_max_bytes: i32 = "replica.fetch.response.max.bytes",
        replica_fetch_wait_max_ms: i32 = "replica.fetch.wait.max.ms",
        replica_high_watermark_checkpoint_interval_ms: i64 = "replica.high.watermark.checkpoint.interval.ms",
        replica_lag_time_max_ms: i64 = "replica.lag.time.max.ms",
        replica_selector_class: Option<String> = "replica.selector.class",
        replica_socket_timeout_ms: i32 = "replica.socket.timeout.ms",
        replication_quota_window_num: i32 = "replication.quota.window.num",
        replication_quota_window_size_seconds: i32 = "replication.quota.window.size.seconds",
        request_timeout_ms: i32 = "request.timeout.ms",
        socket_listen_backlog_size: i32 = "socket.listen.backlog.size",
        socket_receive_buffer_bytes: i32 = "socket.receive.buffer.bytes",
        socket_request_max_bytes: i32 = "socket.request.max.bytes",
        socket_send_buffer_bytes: i32 = "socket.send.buffer.bytes",
        unclean_leader_election_interval_ms: i64 = "unclean.leader.election.interval.ms",
    }
}

/// The one selector of replicas that Kafka comes with: consumers read from a replica in their rack (KIP-392).
const RACK_AWARE_SELECTOR: &str = "org.apache.kafka.common.replica.RackAwareReplicaSelector";

impl BrokerConfig {
    /// Reads the settings; fails when values do not go together.
    pub fn new(layers: &Layers) -> Result<Self, Conflict> {
        let config = Self::read(|setting| layers.effective(setting));
        check_log(layers)?;
        check_replication(layers)?;
        config.check_connections(layers)?;
        config.check_replica_selector()?;
        Ok(config)
    }

    /// Whether consumers had better read from a replica in their rack than from the leader.
    pub fn selects_replicas_by_rack(&self) -> bool {
        self.replica_selector_class.is_some()
    }

    /// Checks that `cordoned.log.dirs` names folders of the broker, or `*` alone.
    pub fn check_cordoned(&self, log_dirs: &[PathBuf]) -> Result<(), Conflict> {
        let cordoned = &self.cordoned_log_dirs;
        if cordoned.iter().any(|dir| dir == "*") {
            return require(cordoned.len() == 1, || {
                "cordoned.log.dirs holds *, which stands for all, and other folders".to_owned()
            });
        }
        let is_known = |dir: &&String| log_dirs.iter().any(|known| known == Path::new(dir.as_str()));
        match cordoned.iter().find(|dir| !is_known(dir)) {
            Some(dir) => Err(Conflict::new(format!("cordoned.log.dirs holds {dir}, but log.dirs does not"))),
            None => Ok(()),
        }
    }

    /// Other selectors are classes that only a JVM could load.
    fn check_replica_selector(&self) -> Result<(), Conflict> {
        let unknown = self.replica_selector_class.as_ref().filter(|class| *class != RACK_AWARE_SELECTOR);
        unknown.map_or(Ok(()), |class| {
            Err(Conflict::new(format!(
                "replica.selector.class is {class}, but Klamm has only {RACK_AWARE_SELECTOR}"
            )))
        })
    }

    fn check_connections(&self, layers: &Layers) -> Result<(), Conflict> {
        let queued = integer(layers, "queued.max.request.bytes");
        require(queued <= 0 || queued >= i64::from(self.socket_request_max_bytes), || {
            let max = self.socket_request_max_bytes;
            format!("queued.max.request.bytes ({queued}) must be at least socket.request.max.bytes ({max})")
        })?;
        require(
            self.max_connections_per_ip > 0 || !self.max_connections_per_ip_overrides.is_empty(),
            || "max.connections.per.ip can be 0 only when max.connections.per.ip.overrides is set".to_owned(),
        )?;
        let (delay, idle) =
            (integer(layers, "connection.failed.authentication.delay.ms"), self.connections_max_idle_ms);
        require(idle < 0 || delay < idle, || {
            format!(
                "connection.failed.authentication.delay.ms ({delay}) must be less than connections.max.idle.ms ({idle})"
            )
        })
    }
}

fn check_log(layers: &Layers) -> Result<(), Conflict> {
    let at_least = |name: &str, min: i64| {
        let value = integer(layers, name);
        require(value >= min, || format!("{name} ({value}) must be at least {min}"))
    };
    at_least("log.roll.ms", 1)?;
    at_least("log.roll.jitter.ms", 0)?;
    require(integer(layers, "log.retention.ms") != 0, || {
        "log.retention.ms must be -1 or at least 1".to_owned()
    })?;
    let (min, max) = (
        integer(layers, "log.cleaner.min.compaction.lag.ms"),
        integer(layers, "log.cleaner.max.compaction.lag.ms"),
    );
    require(min <= max, || {
        format!(
            "log.cleaner.min.compaction.lag.ms ({min}) must not be greater than log.cleaner.max.compaction.lag.ms ({max})"
        )
    })?;
    let (buffer, threads) =
        (integer(layers, "log.cleaner.dedupe.buffer.size"), integer(layers, "log.cleaner.threads"));
    require(threads == 0 || buffer / threads > 1 << 20, || {
        "log.cleaner.dedupe.buffer.size must be more than 1 MiB for each of log.cleaner.threads".to_owned()
    })
}

fn check_replication(layers: &Layers) -> Result<(), Conflict> {
    let wait = integer(layers, "replica.fetch.wait.max.ms");
    for name in ["replica.socket.timeout.ms", "replica.lag.time.max.ms"] {
        let limit = integer(layers, name);
        require(wait <= limit, || {
            format!("replica.fetch.wait.max.ms ({wait}) must not be greater than {name} ({limit})")
        })?;
    }
    Ok(())
}

fn integer(layers: &Layers, name: &str) -> i64 {
    match layers.effective(table::known(Scope::Broker, name)) {
        Value::Null => 0,
        value => i64::from_value(value),
    }
}
