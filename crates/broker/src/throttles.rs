//! Bounds on what this broker sends to, fetches for and moves between the replicas that settings name (KIP-73, KIP-113).
//!
//! A replica that is in sync is never held up, so that a bound cannot break the promise that depends on it; what is sent to it counts all
//! the same. Without a bound nothing is counted.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use klamm_config::BrokerConfig;
use klamm_replica::Throttle;
use parking_lot::Mutex;

/// The bounds of a broker.
pub(crate) struct Throttles {
    /// On what followers get, `leader.replication.throttled.rate`.
    pub(crate) leader: Bound,
    /// On what is fetched from leaders, `follower.replication.throttled.rate`.
    pub(crate) follower: Bound,
    /// On what is copied between log directories, `replica.alter.log.dirs.io.max.bytes.per.second`.
    pub(crate) moves: Bound,
}

/// One of them.
pub(crate) struct Bound {
    is_set: AtomicBool,
    throttle: Mutex<Throttle>,
}

impl Throttles {
    pub(crate) fn new(config: &BrokerConfig) -> Self {
        let replication = Throttle::new(
            window_ms(config.replication_quota_window_size_seconds),
            windows(config.replication_quota_window_num),
        );
        let moves = Throttle::new(
            window_ms(config.alter_log_dirs_replication_quota_window_size_seconds),
            windows(config.alter_log_dirs_replication_quota_window_num),
        );
        let throttles = Self {
            leader: Bound::new(replication.clone()),
            follower: Bound::new(replication),
            moves: Bound::new(moves),
        };
        throttles.follow(config);
        throttles
    }

    /// Takes the bounds that the settings have now.
    pub(crate) fn follow(&self, config: &BrokerConfig) {
        self.leader.set(config.leader_replication_throttled_rate);
        self.follower.set(config.follower_replication_throttled_rate);
        self.moves.set(config.replica_alter_log_dirs_io_max_bytes_per_second);
    }
}

fn window_ms(seconds: i32) -> i64 {
    i64::from(seconds) * 1000
}

fn windows(count: i32) -> usize {
    count.max(1) as usize
}

impl Bound {
    fn new(throttle: Throttle) -> Self {
        Self { is_set: AtomicBool::new(false), throttle: Mutex::new(throttle) }
    }

    /// The greatest number stands for no bound, as in the settings.
    fn set(&self, bytes_per_second: i64) {
        let bound = if bytes_per_second == i64::MAX { u64::MAX } else { bytes_per_second.max(0) as u64 };
        self.throttle.lock().set_bound(bound);
        self.is_set.store(bound != u64::MAX, Ordering::Relaxed);
    }

    /// Whether there is a bound.
    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Relaxed)
    }

    /// Bytes a second; none without a bound.
    pub(crate) fn bytes_per_second(&self) -> Option<u64> {
        self.is_set().then(|| self.throttle.lock().bound())
    }

    /// Counts bytes.
    pub(crate) fn record(&self, bytes: usize, now_ms: i64) {
        if self.is_set() && bytes > 0 {
            self.throttle.lock().record(bytes as u64, now_ms);
        }
    }

    /// When the bound is kept again; none while it is.
    pub(crate) fn due_ms(&self, now_ms: i64) -> Option<i64> {
        if !self.is_set() {
            return None;
        }
        Some(self.throttle.lock().within_bound_at_ms(now_ms)).filter(|due_ms| *due_ms > now_ms)
    }
}

/// The replicas of a topic that a bound concerns, by partition and broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ThrottledReplicas {
    All,
    These(BTreeSet<(i32, i32)>),
}

impl ThrottledReplicas {
    /// From the entries of a topic's setting.
    pub(crate) fn new(entries: &[String]) -> Self {
        if entries == ["*"] {
            return Self::All;
        }
        let replica = |entry: &String| {
            let (partition, broker) = entry.split_once(':')?;
            Some((partition.parse().ok()?, broker.parse().ok()?))
        };
        Self::These(entries.iter().filter_map(replica).collect())
    }

    /// Whether a replica is one of them.
    pub(crate) fn contains(&self, partition: i32, broker_id: i32) -> bool {
        match self {
            Self::All => true,
            Self::These(replicas) => replicas.contains(&(partition, broker_id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_named_by_partition_and_broker() {
        let named = |entries: &[&str]| {
            let entries: Vec<String> = entries.iter().map(|entry| entry.to_string()).collect();
            ThrottledReplicas::new(&entries)
        };
        let some = named(&["0:1", "2:3"]);
        assert!(some.contains(0, 1) && some.contains(2, 3));
        assert!(!some.contains(0, 3) && !some.contains(1, 1));
        assert!(named(&["*"]).contains(7, 7));
        assert!(!named(&[]).contains(0, 1));
    }
}
