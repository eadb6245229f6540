//! What DescribeQuorum shows.

use crate::quorum::Quorum;
use crate::role::{Progress, Role};
use crate::voters::ReplicaKey;

/// The quorum as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumDescription {
    /// The leader: this node.
    pub leader_id: i32,
    /// Its epoch.
    pub leader_epoch: i32,
    /// Everything before it is committed; −1 while unknown.
    pub high_watermark: i64,
    /// The voters.
    pub voters: Vec<ReplicaDescription>,
    /// Replicas that fetch and do not vote.
    pub observers: Vec<ReplicaDescription>,
}

impl QuorumDescription {
    /// The same on a clock that is `ms` ahead of the quorum's.
    pub fn moved_by(mut self, ms: i64) -> Self {
        for replica in self.voters.iter_mut().chain(&mut self.observers) {
            for moment_ms in [&mut replica.last_fetch_ms, &mut replica.last_caught_up_ms] {
                *moment_ms = if *moment_ms < 0 { -1 } else { *moment_ms + ms };
            }
        }
        self
    }
}

/// One replica of the metadata log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaDescription {
    /// Which replica.
    pub key: ReplicaKey,
    /// Where its log ends, −1 while unknown.
    pub log_end_offset: i64,
    /// Its last fetch in milliseconds, −1 if none.
    pub last_fetch_ms: i64,
    /// When it last had everything, in milliseconds, −1 if never.
    pub last_caught_up_ms: i64,
}

impl Quorum {
    /// The quorum's state; none where this node does not lead it.
    pub fn describe(&self, now_ms: i64) -> Option<QuorumDescription> {
        let Role::Leader(leader) = &self.role else { return None };
        let local = self.config.local.key;
        let own = ReplicaDescription {
            key: local,
            log_end_offset: self.log.end_offset,
            last_fetch_ms: now_ms,
            last_caught_up_ms: now_ms,
        };
        let voters = self.current_voters().iter().map(|voter| match leader.voters.get(&voter.key.id) {
            Some(progress) => replica(voter.key, progress),
            None => ReplicaDescription { key: voter.key, ..own },
        });
        // Where nobody fetches any more, nothing else forgets those that are gone.
        let observers = leader.observers.iter().filter(|(_, progress)| progress.is_in_session(now_ms));
        Some(QuorumDescription {
            leader_id: local.id,
            leader_epoch: self.epoch,
            high_watermark: leader.high_watermark.unwrap_or(-1),
            voters: voters.collect(),
            observers: observers.map(|(&key, progress)| replica(key, progress)).collect(),
        })
    }
}

fn replica(key: ReplicaKey, progress: &Progress) -> ReplicaDescription {
    ReplicaDescription {
        key,
        log_end_offset: progress.end_offset.unwrap_or(-1),
        last_fetch_ms: progress.last_fetch_ms,
        last_caught_up_ms: progress.last_caught_up_ms,
    }
}
