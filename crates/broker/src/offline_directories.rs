//! Log directories that fail or are cordoned, and what becomes of their replicas (KIP-112, KIP-858, KIP-1066).
//!
//! A directory whose disk fails goes offline with all its replicas: they lead and follow no more, requests for them get
//! `KAFKA_STORAGE_ERROR`, and the next heartbeat tells the controller, which moves their leaders. The broker goes on with the directories
//! that are left, but not when none is, nor when no controller hears of the failure. A cordoned directory works, but gets no new replicas.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use klamm_protocol::Uuid;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

use crate::broker::Broker;
use crate::environment::Place;
use crate::internal_topics::CONSUMER_OFFSETS;
use crate::partition::HostedTopics;
use crate::replicas;

/// The entry of `cordoned.log.dirs` that stands for all directories.
const ALL: &str = "*";

/// What was done about directories that are offline.
#[derive(Default)]
pub(crate) struct OfflineDirectories {
    /// Notified when another one went offline.
    failed: Notify,
    reports: Mutex<Reports>,
}

#[derive(Default)]
struct Reports {
    /// Directories of whose failure the controller knows.
    reported: BTreeSet<Uuid>,
    /// Since when there is one of which it does not.
    unreported_since: Option<Instant>,
}

impl OfflineDirectories {
    /// The controller has answered a heartbeat that named these.
    pub(crate) fn reported(&self, directories: &[Uuid]) {
        if !directories.is_empty() {
            self.reports.lock().reported.extend(directories);
        }
    }

    /// How long the controller has not heard of a failure.
    fn unreported(&self, offline: &[Uuid], now: Instant) -> Duration {
        let Reports { reported, unreported_since } = &mut *self.reports.lock();
        if offline.iter().all(|directory| reported.contains(directory)) {
            *unreported_since = None;
            return Duration::ZERO;
        }
        now - *unreported_since.get_or_insert(now)
    }
}

/// Takes the replicas of every directory that goes offline from now on out of service.
pub(crate) fn watch(broker: &Arc<Broker>) {
    let told = Arc::downgrade(broker);
    broker.log_dirs().tell_failures(move || {
        if let Some(broker) = told.upgrade() {
            broker.offline_directories.failed.notify_one();
        }
    });
    let broker = broker.clone();
    broker.clone().environment().spawn(Place::Control, move || async move {
        loop {
            broker.offline_directories.failed.notified().await;
            let mut hosted = HostedTopics::clone(&broker.hosted());
            leave_replicas(&broker, &mut hosted);
            broker.hosted.store(Arc::new(hosted));
            broker.heartbeat_due.notify_one();
        }
    });
}

/// Gives up the replicas that are in directories which are offline. Whoever replaces the partitions that are here calls this at the last
/// moment, on the control thread, so that a failure meanwhile is not undone.
pub(crate) fn leave_replicas(broker: &Broker, hosted: &mut HostedTopics) {
    let dirs = broker.log_dirs();
    if dirs.directories().iter().all(|directory| directory.is_online()) {
        return;
    }
    let lost: Vec<_> =
        hosted.partitions().filter(|partition| dirs.is_offline(&partition.log().dir())).cloned().collect();
    for partition in &lost {
        hosted.remove_partition(partition.topic_id(), partition.index());
        replicas::give_up(broker, partition);
        if &**partition.topic() == CONSUMER_OFFSETS {
            broker.groups().unload(partition.index());
        }
    }
    if !lost.is_empty() {
        tracing::error!(
            "{} replicas are in log directories that are offline, and out of service",
            lost.len()
        );
    }
}

/// The directories that are offline, as far as their ids are known.
pub(crate) fn offline(broker: &Broker) -> Vec<Uuid> {
    let offline = broker.log_dirs().directories().iter().filter(|directory| !directory.is_online());
    offline.filter_map(|directory| directory.id()).collect()
}

/// All directories, as far as their ids are known. Those offline are among them: a heartbeat tells of their failure, and only of what is
/// registered does the controller take note.
pub(crate) fn known(broker: &Broker) -> Vec<Uuid> {
    broker.log_dirs().directories().iter().filter_map(|directory| directory.id()).collect()
}

/// The directories that get no new replicas, where the cluster's metadata has room for them.
pub(crate) fn cordoned(broker: &Broker) -> Option<Vec<Uuid>> {
    let dirs = broker.log_dirs();
    let cordoned = dirs.directories().iter().filter(|directory| dirs.is_cordoned(directory));
    let is_supported = broker.image().metadata_version().supports_cordoned_log_dirs();
    is_supported.then(|| cordoned.filter_map(|directory| directory.id()).collect())
}

/// Cordons the directories that the settings name, and no others; the controller is told.
pub(crate) fn cordon(broker: &Broker) {
    let config = broker.config();
    let all = || broker.log_dirs().directories().iter().map(|directory| directory.path().to_owned());
    let paths = match config.cordoned_log_dirs.iter().any(|path| path == ALL) {
        true => all().collect(),
        false => config.cordoned_log_dirs.iter().map(PathBuf::from).collect(),
    };
    if broker.log_dirs().set_cordoned(paths) {
        broker.heartbeat_due.notify_one();
    }
}

/// Why the broker cannot go on with the directories that are left, if that is so.
pub(crate) fn reason_to_stop(broker: &Broker) -> Option<String> {
    let directories = broker.log_dirs().directories();
    if let Some(errors) = directories.iter().map(|directory| directory.error()).collect::<Option<Vec<_>>>() {
        return Some(format!("all log directories are offline: {}", errors.first()?));
    }
    let limit = Duration::from_millis(broker.config().log_dir_failure_timeout_ms.max(0) as u64);
    let waiting = broker.offline_directories.unreported(&offline(broker), Instant::now());
    (broker.roles.broker && waiting >= limit).then(|| {
        format!("no controller has heard for {} ms that a log directory is offline", waiting.as_millis())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_counts_as_unreported_until_a_heartbeat_with_it_is_answered() {
        let directories = OfflineDirectories::default();
        let begin = Instant::now();
        let after = |ms| begin + Duration::from_millis(ms);
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(directories.unreported(&[], after(0)), Duration::ZERO);
        assert_eq!(directories.unreported(&[one], after(10)), Duration::ZERO);
        assert_eq!(directories.unreported(&[one], after(30)), Duration::from_millis(20));
        directories.reported(&[one]);
        assert_eq!(directories.unreported(&[one], after(40)), Duration::ZERO);
        assert_eq!(directories.unreported(&[one, other], after(50)), Duration::ZERO);
        directories.reported(&[one]);
        assert_eq!(directories.unreported(&[one, other], after(60)), Duration::from_millis(10));
    }
}
