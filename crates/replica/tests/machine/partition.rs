//! Partitions and moments for the tests.

use klamm_metadata::partition::{LeaderRecoveryState, Partition};
use klamm_protocol::Uuid;
use klamm_replica::Moment;

pub(crate) const LAG_MS: i64 = 1000;

pub(crate) fn partition(
    leader: i32,
    (leader_epoch, partition_epoch): (i32, i32),
    replicas: &[i32],
    isr: &[i32],
) -> Partition {
    Partition {
        replicas: replicas.into(),
        directories: vec![Uuid([0; 16]); replicas.len()].into(),
        isr: isr.into(),
        leader,
        leader_recovery_state: LeaderRecoveryState::Recovered,
        leader_epoch,
        partition_epoch,
        ..Partition::default()
    }
}

pub(crate) fn moment(now_ms: i64, high_watermark: i64, end_offset: i64) -> Moment {
    Moment {
        now_ms,
        high_watermark,
        end_offset,
        own_offset: end_offset,
        lag_time_max_ms: LAG_MS,
        min_insync_replicas: 1,
    }
}
