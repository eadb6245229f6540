//! The requests of one fetcher: what it asks one leader broker for, in an incremental session (KIP-227).
//!
//! A fetcher follows many partitions that one broker leads. The first request names all of them; later ones name what changed, as long
//! as both sides agree on the session. A partition that waits after an error is taken out of the session until its time has come.
//!
//! Invariants, checked by [`Fetcher::check_invariants`]: without a session nothing counts as sent; what counts as sent is what the leader
//! has in the session once it has answered the latest request.

use std::collections::{BTreeMap, BTreeSet};

use klamm_protocol::{ErrorCode, Uuid};

/// The epoch of a request that asks for a new session.
const INITIAL_EPOCH: i32 = 0;
/// The id of a request without a session.
const NO_SESSION: i32 = 0;

/// A partition by its topic's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchKey {
    /// The topic.
    pub topic_id: Uuid,
    /// The partition's index.
    pub partition: i32,
}

/// Where a follower's log stands, as it tells the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// Where the log ends.
    pub fetch_offset: i64,
    /// The epoch of the last record, −1 where there is none.
    pub last_fetched_epoch: i32,
    /// Where the log starts.
    pub log_start_offset: i64,
}

/// What a request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetcherRequest {
    /// The session's id.
    pub session_id: i32,
    /// The session's epoch.
    pub session_epoch: i32,
    /// The partitions that are new in the session or moved on.
    pub partitions: Vec<(FetchKey, Position)>,
    /// The partitions that leave the session.
    pub forgotten: Vec<FetchKey>,
}

/// The partitions that one fetcher follows.
#[derive(Debug, Clone)]
pub struct Fetcher {
    partitions: BTreeMap<FetchKey, Followed>,
    session_id: i32,
    session_epoch: i32,
    /// What the leader has in the session.
    sent: BTreeMap<FetchKey, Position>,
}

#[derive(Debug, Clone, Copy)]
struct Followed {
    position: Position,
    not_before_ms: i64,
}

impl Default for Fetcher {
    fn default() -> Self {
        Self {
            partitions: BTreeMap::new(),
            session_id: NO_SESSION,
            session_epoch: INITIAL_EPOCH,
            sent: BTreeMap::new(),
        }
    }
}

impl Fetcher {
    /// Whether nothing is followed.
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// How many partitions are followed.
    pub fn len(&self) -> usize {
        self.partitions.len()
    }

    /// The partitions that are followed.
    pub fn keys(&self) -> impl Iterator<Item = FetchKey> + '_ {
        self.partitions.keys().copied()
    }

    /// Where a partition stands, while it is followed.
    pub fn position(&self, key: FetchKey) -> Option<Position> {
        self.partitions.get(&key).map(|followed| followed.position)
    }

    /// Follows a partition from `position` on; one that is followed goes on there.
    pub fn follow(&mut self, key: FetchKey, position: Position) {
        self.partitions.insert(key, Followed { position, not_before_ms: i64::MIN });
    }

    /// Follows a partition no longer.
    pub fn leave(&mut self, key: FetchKey) {
        self.partitions.remove(&key);
    }

    /// Does not ask for a partition before a time, because of an error or because it is throttled; the latest of several counts.
    pub fn delay(&mut self, key: FetchKey, not_before_ms: i64) {
        if let Some(followed) = self.partitions.get_mut(&key) {
            followed.not_before_ms = followed.not_before_ms.max(not_before_ms);
        }
    }

    /// When the next partition that waits is due; none when none waits.
    pub fn next_due_ms(&self, now_ms: i64) -> Option<i64> {
        let waiting = self.partitions.values().map(|followed| followed.not_before_ms);
        waiting.filter(|due| *due > now_ms).min()
    }

    /// The next request; none when nothing is to be asked for now.
    pub fn next_request(&mut self, now_ms: i64) -> Option<FetcherRequest> {
        let due = self.partitions.iter().filter(|(_, followed)| followed.not_before_ms <= now_ms);
        let wanted: BTreeMap<FetchKey, Position> =
            due.map(|(key, followed)| (*key, followed.position)).collect();
        if wanted.is_empty() {
            return None;
        }
        let partitions = wanted.iter().filter(|(key, position)| self.sent.get(key) != Some(position));
        let request = FetcherRequest {
            session_id: self.session_id,
            session_epoch: self.session_epoch,
            partitions: partitions.map(|(key, position)| (*key, *position)).collect(),
            forgotten: self.sent.keys().filter(|key| !wanted.contains_key(key)).copied().collect(),
        };
        self.sent = wanted;
        Some(request)
    }

    /// The leader answered the latest request. False when the answer is of no use and a new session is asked for next.
    ///
    /// `answered` are the partitions in the answer: to a request that asks for a session it has to name all.
    pub fn answered(
        &mut self,
        error_code: ErrorCode,
        session_id: i32,
        answered: &BTreeSet<FetchKey>,
    ) -> bool {
        let is_full = self.session_epoch == INITIAL_EPOCH;
        let is_whole = !is_full || self.sent.keys().all(|key| answered.contains(key));
        let is_ours = answered.iter().all(|key| self.sent.contains_key(key));
        let is_in_session = is_full || session_id == self.session_id;
        if error_code.is_error() || !is_whole || !is_ours || !is_in_session {
            self.renew(error_code == ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
            return false;
        }
        if session_id == NO_SESSION {
            // The leader has no room for a session: all is named in each request.
            self.renew(true);
        } else {
            self.session_id = session_id;
            self.session_epoch = self.session_epoch.checked_add(1).unwrap_or(1);
        }
        true
    }

    /// The latest request got no answer: what the leader knows is unknown.
    pub fn unanswered(&mut self) {
        self.renew(false);
    }

    /// Panics where the module's invariants do not hold; for tests and simulation.
    pub fn check_invariants(&self) {
        assert!(self.session_id != NO_SESSION || self.session_epoch == INITIAL_EPOCH, "{self:?}");
        assert!(self.session_epoch >= INITIAL_EPOCH, "{self:?}");
    }

    /// Asks for a new session next, and has the leader close the old one where it may know it.
    fn renew(&mut self, is_gone: bool) {
        if is_gone {
            self.session_id = NO_SESSION;
        }
        self.session_epoch = INITIAL_EPOCH;
        self.sent.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(partition: i32) -> FetchKey {
        FetchKey { topic_id: Uuid([7; 16]), partition }
    }

    fn at(fetch_offset: i64) -> Position {
        Position { leader_epoch: 5, fetch_offset, last_fetched_epoch: 4, log_start_offset: 0 }
    }

    fn fetcher(offsets: &[i64]) -> Fetcher {
        let mut fetcher = Fetcher::default();
        offsets.iter().zip(0..).for_each(|(offset, index)| fetcher.follow(key(index), at(*offset)));
        fetcher
    }

    fn keys(partitions: &[i32]) -> BTreeSet<FetchKey> {
        partitions.iter().map(|index| key(*index)).collect()
    }

    /// Session id, epoch, what is named with its offset, what is forgotten.
    fn sent(fetcher: &mut Fetcher, now_ms: i64) -> (i32, i32, Vec<(i32, i64)>, Vec<i32>) {
        let request = fetcher.next_request(now_ms).expect("there is something to ask for");
        fetcher.check_invariants();
        let named = request.partitions.iter().map(|(key, at)| (key.partition, at.fetch_offset)).collect();
        let forgotten = request.forgotten.iter().map(|key| key.partition).collect();
        (request.session_id, request.session_epoch, named, forgotten)
    }

    #[test]
    fn a_session_names_all_once_and_then_what_changed() {
        let mut fetcher = fetcher(&[10, 20, 30]);
        assert_eq!(sent(&mut fetcher, 0), (0, 0, vec![(0, 10), (1, 20), (2, 30)], vec![]));
        assert!(fetcher.answered(ErrorCode::NONE, 77, &keys(&[0, 1, 2])));
        assert_eq!(sent(&mut fetcher, 0), (77, 1, vec![], vec![]));
        assert!(fetcher.answered(ErrorCode::NONE, 77, &keys(&[1])));
        fetcher.follow(key(1), at(25));
        fetcher.follow(key(3), at(40));
        fetcher.leave(key(0));
        assert_eq!(sent(&mut fetcher, 0), (77, 2, vec![(1, 25), (3, 40)], vec![0]));
    }

    #[test]
    fn a_partition_that_waits_leaves_the_session_and_comes_back() {
        let mut fetcher = fetcher(&[10, 20]);
        sent(&mut fetcher, 0);
        assert!(fetcher.answered(ErrorCode::NONE, 77, &keys(&[0, 1])));
        fetcher.delay(key(0), 500);
        assert_eq!(fetcher.next_due_ms(100), Some(500));
        assert_eq!(sent(&mut fetcher, 100), (77, 1, vec![], vec![0]));
        assert!(fetcher.answered(ErrorCode::NONE, 77, &keys(&[])));
        assert_eq!(sent(&mut fetcher, 500), (77, 2, vec![(0, 10)], vec![]));
        fetcher.delay(key(0), 900);
        fetcher.delay(key(1), 800);
        assert_eq!((fetcher.next_request(600), fetcher.next_due_ms(600)), (None, Some(800)));
    }

    #[test]
    fn whatever_breaks_the_session_has_all_named_again() {
        let table: [(ErrorCode, i32, &[i32], i32); 5] = [
            (ErrorCode::FETCH_SESSION_ID_NOT_FOUND, 77, &[], 0),
            (ErrorCode::INVALID_FETCH_SESSION_EPOCH, 77, &[], 77),
            (ErrorCode::NONE, 78, &[], 77),
            (ErrorCode::NONE, 77, &[9], 77),
            (ErrorCode::NONE, 0, &[], 77),
        ];
        for (error_code, answered_id, answered, next_id) in table {
            let mut fetcher = fetcher(&[10, 20]);
            sent(&mut fetcher, 0);
            assert!(fetcher.answered(ErrorCode::NONE, 77, &keys(&[0, 1])));
            sent(&mut fetcher, 0);
            assert!(!fetcher.answered(error_code, answered_id, &keys(answered)), "{error_code}");
            assert_eq!(sent(&mut fetcher, 0), (next_id, 0, vec![(0, 10), (1, 20)], vec![]), "{error_code}");
        }
        let mut fetcher = fetcher(&[10]);
        sent(&mut fetcher, 0);
        fetcher.unanswered();
        assert_eq!(sent(&mut fetcher, 0), (0, 0, vec![(0, 10)], vec![]));
        assert!(!fetcher.answered(ErrorCode::NONE, 77, &keys(&[])), "a full answer has to be full");
    }

    #[test]
    fn without_room_for_a_session_all_is_named_each_time() {
        let mut fetcher = fetcher(&[10]);
        for _ in 0..3 {
            assert_eq!(sent(&mut fetcher, 0), (0, 0, vec![(0, 10)], vec![]));
            assert!(fetcher.answered(ErrorCode::NONE, 0, &keys(&[0])));
        }
    }
}
