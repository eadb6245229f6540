//! Elections that nobody asks for: leaders go back to the preferred replicas, and partitions that stay without one get an unclean leader
//! where their topic allows it.

use klamm_config::BrokerConfig;
use klamm_controller::Controller;
use klamm_metadata::MetadataRecord;

/// When they are due.
pub(crate) struct PeriodicElections {
    /// None without `auto.leader.rebalance.enable`.
    balance_interval_ms: Option<i64>,
    unclean_interval_ms: i64,
    next_balance_ms: i64,
    next_unclean_ms: i64,
}

impl PeriodicElections {
    pub(crate) fn new(config: &BrokerConfig) -> Self {
        let seconds = config.leader_imbalance_check_interval_seconds;
        Self {
            balance_interval_ms: config.auto_leader_rebalance_enable.then(|| seconds.saturating_mul(1000)),
            unclean_interval_ms: config.unclean_leader_election_interval_ms,
            next_balance_ms: i64::MAX,
            next_unclean_ms: i64::MAX,
        }
    }

    /// A controller takes over: the intervals begin.
    pub(super) fn begin(&mut self, now_ms: i64) {
        self.next_balance_ms = self.balance_interval_ms.map_or(i64::MAX, |ms| now_ms.saturating_add(ms));
        self.next_unclean_ms = now_ms.saturating_add(self.unclean_interval_ms);
    }

    /// The records of the elections that are due. Where one step was not enough, the next follows at once.
    pub(super) fn hold(
        &mut self,
        now_ms: i64,
        controller: &Controller,
    ) -> Option<Vec<MetadataRecord<'static>>> {
        if now_ms >= self.next_balance_ms {
            let balanced = controller.balance_leaders();
            let wait_ms = self.balance_interval_ms.filter(|_| !balanced.response).unwrap_or(0);
            self.next_balance_ms = now_ms.saturating_add(wait_ms);
            return Some(balanced.records);
        }
        if now_ms >= self.next_unclean_ms {
            let elected = controller.elect_unclean_leaders();
            let wait_ms = if elected.response { 0 } else { self.unclean_interval_ms };
            self.next_unclean_ms = now_ms.saturating_add(wait_ms);
            return Some(elected.records);
        }
        None
    }
}
