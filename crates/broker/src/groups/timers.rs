//! One task for the timers of all shards.

use std::time::Duration;

use super::{GroupCoordinator, moment};

pub(super) async fn run(coordinator: &GroupCoordinator) {
    loop {
        let now = moment(&coordinator.environment);
        let shards: Vec<_> = coordinator.shards.read().values().cloned().collect();
        shards
            .iter()
            .filter(|shard| shard.deadline_ms() <= now.monotonic_ms)
            .for_each(|shard| shard.run_timers(now));
        let next_ms = shards.iter().map(|shard| shard.deadline_ms()).min().unwrap_or(i64::MAX);
        let rescheduled = coordinator.rescheduled.notified();
        if next_ms == i64::MAX {
            rescheduled.await;
        } else {
            let wait = Duration::from_millis(next_ms.saturating_sub(now.monotonic_ms).max(1) as u64);
            let _ = tokio::time::timeout(wait, rescheduled).await;
        }
    }
}
