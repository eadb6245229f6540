//! This node's replica of the metadata log, and the quorum as it sees it.

use super::exposition::{Kind, Page};
use crate::controller::ReplicaStatus;

/// What a replica of the metadata log can be.
const STATES: [&str; 7] =
    ["unattached", "prospective", "candidate", "leader", "follower", "resigned", "observer"];

/// Writes where the replica is.
pub(super) fn write(page: &mut Page, status: &ReplicaStatus) {
    let help = "1 for what this replica of the metadata log is in its epoch, 0 for all else.";
    let mut states = page.family("kafka_server_raft_metrics_current_state", Kind::Gauge, help);
    for state in STATES {
        states.sample(&[("state", state)], u8::from(status.role == state));
    }
    let gauges = [
        (
            "kafka_server_raft_metrics_current_leader",
            "The leader of the metadata quorum, -1 while unknown.",
            i64::from(status.leader_id),
        ),
        (
            "kafka_server_raft_metrics_current_epoch",
            "The epoch of the metadata quorum.",
            i64::from(status.epoch),
        ),
        (
            "kafka_server_raft_metrics_high_watermark",
            "Everything before it in the metadata log is committed.",
            status.high_watermark,
        ),
        (
            "kafka_server_raft_metrics_log_end_offset",
            "Where this replica's metadata log ends.",
            status.end_offset,
        ),
        (
            "kafka_server_raft_metrics_number_of_voters",
            "Voters of the metadata quorum.",
            status.voter_count as i64,
        ),
    ];
    for (name, help, value) in gauges {
        page.gauge(name, help, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_state_is_the_present_one() {
        let mut page = Page::default();
        write(&mut page, &ReplicaStatus { role: "follower", leader_id: 2, ..ReplicaStatus::default() });
        let text = page.into_string();
        let present: Vec<_> = text.lines().filter(|line| line.ends_with("} 1")).collect();
        assert_eq!(present, ["kafka_server_raft_metrics_current_state{state=\"follower\"} 1"]);
        assert!(text.contains("kafka_server_raft_metrics_current_leader 2\n"), "{text}");
    }
}
