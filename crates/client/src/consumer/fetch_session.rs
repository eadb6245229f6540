//! Incremental fetch sessions with one broker (KIP-227): sans-IO.
//!
//! The broker remembers which partitions a session fetches and from where; a request then names only what has changed.
//!
//! Invariants:
//! - `known` is what the broker has remembered, provided it has answered the last request of the session.
//! - At most one request of a session is on its way.

use std::collections::BTreeMap;

use klamm_protocol::{ErrorCode, Uuid};

use crate::TopicPartition;

/// What is fetched of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartitionFetch {
    pub(super) topic_id: Uuid,
    pub(super) offset: i64,
    pub(super) current_leader_epoch: i32,
    pub(super) last_fetched_epoch: i32,
}

/// What the next request of a session must say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SessionFetch {
    pub(super) session_id: i32,
    pub(super) session_epoch: i32,
    /// Partitions that are new to the session or have changed.
    pub(super) changed: BTreeMap<TopicPartition, PartitionFetch>,
    /// Partitions that leave the session.
    pub(super) forgotten: Vec<(TopicPartition, Uuid)>,
}

/// The session with one broker.
#[derive(Debug, Default)]
pub(super) struct FetchSession {
    id: i32,
    /// Of the next request: 0 opens a session.
    epoch: i32,
    known: BTreeMap<TopicPartition, PartitionFetch>,
}

impl FetchSession {
    /// The request that makes the session fetch exactly `wanted`.
    pub(super) fn request(&mut self, wanted: BTreeMap<TopicPartition, PartitionFetch>) -> SessionFetch {
        let is_full = self.epoch == 0;
        let same_id = |partition, fetch: &PartitionFetch| {
            wanted.get(partition).is_some_and(|wanted: &PartitionFetch| wanted.topic_id == fetch.topic_id)
        };
        let gone = self.known.iter().filter(|(partition, fetch)| !is_full && !same_id(*partition, fetch));
        let forgotten = gone.map(|(partition, fetch)| (partition.clone(), fetch.topic_id)).collect();
        let is_changed = |partition: &TopicPartition, fetch: &PartitionFetch| {
            is_full || self.known.get(partition) != Some(fetch)
        };
        let changed = wanted.iter().filter(|(p, fetch)| is_changed(p, fetch));
        let changed = changed.map(|(partition, fetch)| (partition.clone(), *fetch)).collect();
        self.known = wanted;
        SessionFetch { session_id: self.id, session_epoch: self.epoch, changed, forgotten }
    }

    /// Takes in the answer's header. False means that the answer holds nothing and a new session must be opened.
    pub(super) fn answered(&mut self, code: ErrorCode, session_id: i32) -> bool {
        if code.is_error() {
            self.reset();
            return false;
        }
        if session_id == 0 {
            // The broker has no room for a session: the next request is a full one again.
            self.reset();
        } else if self.epoch == 0 {
            (self.id, self.epoch) = (session_id, 1);
        } else {
            self.epoch = if self.epoch == i32::MAX { 1 } else { self.epoch + 1 };
        }
        true
    }

    /// The request got lost, and with it what the broker may have remembered. An open session is closed by the
    /// next full request, which names it.
    pub(super) fn lost(&mut self) {
        self.epoch = 0;
        self.known.clear();
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(offset: i64) -> PartitionFetch {
        PartitionFetch {
            topic_id: Uuid::from_u128(1),
            offset,
            current_leader_epoch: 0,
            last_fetched_epoch: 0,
        }
    }

    fn wanted(partitions: &[(i32, i64)]) -> BTreeMap<TopicPartition, PartitionFetch> {
        partitions.iter().map(|(p, offset)| (TopicPartition::new("t", *p), fetch(*offset))).collect()
    }

    fn shown(request: &SessionFetch) -> (i32, i32, Vec<i32>, Vec<i32>) {
        let changed = request.changed.keys().map(|p| p.partition).collect();
        let forgotten = request.forgotten.iter().map(|(p, _)| p.partition).collect();
        (request.session_id, request.session_epoch, changed, forgotten)
    }

    #[test]
    fn only_changes_are_told() {
        let mut session = FetchSession::default();
        assert_eq!(shown(&session.request(wanted(&[(0, 0), (1, 0)]))), (0, 0, vec![0, 1], vec![]));
        assert!(session.answered(ErrorCode::NONE, 77));
        assert_eq!(shown(&session.request(wanted(&[(0, 5), (1, 0)]))), (77, 1, vec![0], vec![]));
        assert!(session.answered(ErrorCode::NONE, 77));
        assert_eq!(shown(&session.request(wanted(&[(1, 0), (2, 0)]))), (77, 2, vec![2], vec![0]));
        assert!(session.answered(ErrorCode::NONE, 77));
        assert_eq!(shown(&session.request(wanted(&[(1, 0), (2, 0)]))), (77, 3, vec![], vec![]));
    }

    #[test]
    fn a_refused_or_lost_session_starts_again() {
        let mut session = FetchSession::default();
        session.request(wanted(&[(0, 0)]));
        session.answered(ErrorCode::NONE, 77);
        session.request(wanted(&[(0, 1)]));
        assert!(!session.answered(ErrorCode::FETCH_SESSION_ID_NOT_FOUND, 0));
        assert_eq!(shown(&session.request(wanted(&[(0, 1)]))), (0, 0, vec![0], vec![]));
        session.answered(ErrorCode::NONE, 78);
        session.request(wanted(&[(0, 2)]));
        session.lost();
        assert_eq!(shown(&session.request(wanted(&[(0, 2)]))), (78, 0, vec![0], vec![]));
    }

    #[test]
    fn a_broker_without_room_gets_full_requests() {
        let mut session = FetchSession::default();
        session.request(wanted(&[(0, 0)]));
        assert!(session.answered(ErrorCode::NONE, 0));
        assert_eq!(shown(&session.request(wanted(&[(0, 1)]))), (0, 0, vec![0], vec![]));
    }

    #[test]
    fn epochs_wrap_to_one() {
        let mut session = FetchSession { id: 5, epoch: i32::MAX, known: BTreeMap::new() };
        session.answered(ErrorCode::NONE, 5);
        assert_eq!(session.request(BTreeMap::new()).session_epoch, 1);
    }

    #[test]
    fn another_epoch_at_the_same_offset_is_told() {
        let mut session = FetchSession::default();
        session.request(wanted(&[(0, 5)]));
        session.answered(ErrorCode::NONE, 77);
        let epoch_known = PartitionFetch { last_fetched_epoch: 1, ..fetch(5) };
        let request = session.request([(TopicPartition::new("t", 0), epoch_known)].into());
        assert_eq!(shown(&request), (77, 1, vec![0], vec![]));
    }

    #[test]
    fn a_recreated_topic_is_another_partition() {
        let mut session = FetchSession::default();
        session.request(wanted(&[(0, 0)]));
        session.answered(ErrorCode::NONE, 77);
        let again = PartitionFetch { topic_id: Uuid::from_u128(2), ..fetch(0) };
        let request = session.request([(TopicPartition::new("t", 0), again)].into());
        assert_eq!(shown(&request), (77, 1, vec![0], vec![0]));
    }
}
