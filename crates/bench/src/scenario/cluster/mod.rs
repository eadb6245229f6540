//! Three nodes with three replicas of everything: what replication costs, and how long failures are felt.

mod failover;
mod latency;
mod partitions;
mod produce;
mod start;

use super::{Figures, Goal, Metric, Scenario, Stage};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = produce::scenarios();
    all.push(latency::scenario());
    all.extend(failover::scenarios());
    all.extend([start::scenario(), partitions::scenario()]);
    all
}
