//! Incremental fetch sessions (KIP-227).
//!
//! A client that fetches thousands of partitions names them once. Its session keeps them, in the order in which they are to
//! be served; later requests carry changes only, and answers carry only partitions with something new. A partition that
//! yielded records goes to the end of the order, so that none starves.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use klamm_protocol::{ErrorCode, Uuid};

/// The session id of requests and answers without a session.
const NO_SESSION: i32 = 0;
/// The epoch of a request that asks for a new session.
const INITIAL_EPOCH: i32 = 0;
/// The epoch of a request that closes its session, or never had one.
const FINAL_EPOCH: i32 = -1;
/// How long a session is safe from being evicted in favour of another, in milliseconds.
const EVICTION_MS: i64 = 120_000;

/// How a request names a topic: by id from version 13 on, before that by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TopicKey {
    /// By id.
    Id(Uuid),
    /// By name.
    Name(Arc<str>),
}

/// A partition as requests name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PartitionKey {
    /// The topic.
    pub topic: TopicKey,
    /// The partition's index.
    pub partition: i32,
}

/// What a request wants of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The first offset wanted.
    pub fetch_offset: i64,
    /// The most bytes wanted.
    pub max_bytes: i32,
    /// The leader epoch that the client knows, −1 if none.
    pub current_leader_epoch: i32,
    /// The epoch of the last record that a follower has, −1 if none.
    pub last_fetched_epoch: i32,
    /// A follower's log start offset, −1 for consumers.
    pub log_start_offset: i64,
    /// The high watermark that a follower knows (KIP-1166); `i64::MAX` where the request does not say.
    pub high_watermark: i64,
}

/// A partition in a session: what is wanted of it and what was last answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachedPartition {
    /// What is wanted.
    pub wanted: Wanted,
    answered_high_watermark: i64,
    answered_log_start_offset: i64,
}

/// The session part of a Fetch request.
pub struct SessionRequest {
    /// The session id, 0 for none.
    pub session_id: i32,
    /// The session epoch.
    pub session_epoch: i32,
    /// True when the requester is a follower: its sessions are evicted last.
    pub privileged: bool,
    /// True when topics are named by id.
    pub by_id: bool,
    /// The partitions named, in the request's order.
    pub partitions: Vec<(PartitionKey, Wanted)>,
    /// The partitions that leave the session.
    pub forgotten: Vec<PartitionKey>,
}

/// What of a partition's answer decides whether it must be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionAnswer {
    /// The high watermark answered.
    pub high_watermark: i64,
    /// The log start offset answered.
    pub log_start_offset: i64,
    /// True when the answer holds records.
    pub has_records: bool,
    /// True when the answer holds an error, a diverging epoch or a preferred replica: it must be sent.
    pub must_send: bool,
    /// True when the answer is an error: what was answered before no longer counts.
    pub is_error: bool,
}

/// How a request is to be served.
#[derive(Debug, Clone, PartialEq)]
pub struct FetchPlan {
    kind: PlanKind,
    /// The partitions to serve, in order.
    pub partitions: Vec<(PartitionKey, Wanted)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PlanKind {
    Sessionless,
    Full { session_id: i32 },
    Incremental { session_id: i32 },
}

impl FetchPlan {
    /// The session id that the answer carries.
    pub fn session_id(&self) -> i32 {
        match self.kind {
            PlanKind::Sessionless => NO_SESSION,
            PlanKind::Full { session_id } | PlanKind::Incremental { session_id } => session_id,
        }
    }
}

/// The sessions of a broker, or of one shard of them.
pub struct FetchSessions {
    slots: usize,
    sessions: HashMap<i32, Session>,
}

struct Session {
    privileged: bool,
    by_id: bool,
    created_ms: i64,
    used_ms: i64,
    /// The epoch that the next request must carry.
    next_epoch: i32,
    /// Partitions in the order of service; a key's position is in `positions`.
    order: BTreeMap<u64, (PartitionKey, CachedPartition)>,
    positions: HashMap<PartitionKey, u64>,
    next_position: u64,
}

impl FetchSessions {
    /// A cache with room for `slots` sessions (`max.incremental.fetch.session.cache.slots`).
    pub fn new(slots: usize) -> Self {
        Self { slots, sessions: HashMap::new() }
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// True when there are no sessions.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Decides what a request fetches. `new_id` is a random number from which a new session takes its id.
    ///
    /// # Errors
    /// `FETCH_SESSION_ID_NOT_FOUND`, `INVALID_FETCH_SESSION_EPOCH` or `FETCH_SESSION_TOPIC_ID_ERROR`, for the answer's top.
    pub fn begin(
        &mut self,
        request: SessionRequest,
        new_id: u32,
        now_ms: i64,
    ) -> Result<FetchPlan, ErrorCode> {
        match request.session_epoch {
            INITIAL_EPOCH | FINAL_EPOCH => Ok(self.begin_full(request, new_id, now_ms)),
            _ => self.begin_incremental(request, now_ms),
        }
    }

    /// Notes what was answered and says, for each partition of the plan in its order, whether it is to be sent.
    pub fn finish(&mut self, plan: &FetchPlan, answers: &[PartitionAnswer]) -> Vec<bool> {
        let session = self.sessions.get_mut(&plan.session_id());
        match (plan.kind, session) {
            (PlanKind::Sessionless, _) | (_, None) => vec![true; answers.len()],
            (PlanKind::Full { .. }, Some(session)) => {
                session.note_all(plan, answers);
                vec![true; answers.len()]
            }
            (PlanKind::Incremental { .. }, Some(session)) => session.note_all(plan, answers),
        }
    }

    fn begin_full(&mut self, request: SessionRequest, new_id: u32, now_ms: i64) -> FetchPlan {
        self.sessions.remove(&request.session_id);
        let wants_session = request.session_epoch == INITIAL_EPOCH && !request.partitions.is_empty();
        let kind = if wants_session { self.create(&request, new_id, now_ms) } else { PlanKind::Sessionless };
        FetchPlan { kind, partitions: request.partitions }
    }

    fn create(&mut self, request: &SessionRequest, new_id: u32, now_ms: i64) -> PlanKind {
        if !self.make_room(request, now_ms) {
            return PlanKind::Sessionless;
        }
        let mut session_id = (new_id & 0x7fff_ffff).max(1) as i32;
        while self.sessions.contains_key(&session_id) {
            session_id = session_id.checked_add(1).unwrap_or(1);
        }
        self.sessions.insert(session_id, Session::new(request, now_ms));
        PlanKind::Full { session_id }
    }

    /// True when a session may be added, perhaps in place of another.
    fn make_room(&mut self, request: &SessionRequest, now_ms: i64) -> bool {
        if self.sessions.len() < self.slots {
            return true;
        }
        let candidates = self.sessions.iter().filter(|(_, session)| session.may_give_way_to(request, now_ms));
        let victim = candidates.min_by_key(|(id, session)| (session.privileged, session.order.len(), **id));
        let victim = victim.map(|(id, _)| *id);
        victim.is_some_and(|id| self.sessions.remove(&id).is_some())
    }

    fn begin_incremental(&mut self, request: SessionRequest, now_ms: i64) -> Result<FetchPlan, ErrorCode> {
        let session_id = request.session_id;
        let session = self.sessions.get_mut(&session_id).ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
        if session.next_epoch != request.session_epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        if session.by_id != request.by_id {
            return Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
        }
        session.used_ms = now_ms;
        session.next_epoch = next_epoch(session.next_epoch);
        for key in &request.forgotten {
            session.remove(key);
        }
        for (key, wanted) in request.partitions {
            session.upsert(key, wanted);
        }
        let partitions = session.wanted();
        if partitions.is_empty() {
            self.sessions.remove(&session_id);
            return Ok(FetchPlan { kind: PlanKind::Sessionless, partitions });
        }
        Ok(FetchPlan { kind: PlanKind::Incremental { session_id }, partitions })
    }
}

impl Session {
    fn new(request: &SessionRequest, now_ms: i64) -> Self {
        let mut session = Self {
            privileged: request.privileged,
            by_id: request.by_id,
            created_ms: now_ms,
            used_ms: now_ms,
            next_epoch: next_epoch(INITIAL_EPOCH),
            order: BTreeMap::new(),
            positions: HashMap::new(),
            next_position: 0,
        };
        for (key, wanted) in &request.partitions {
            session.upsert(key.clone(), *wanted);
        }
        session
    }

    /// Whether this session may be evicted for a new one: after idling, or when it is no follower's and the new one is, or when
    /// it has lived long enough and is not more worth keeping.
    fn may_give_way_to(&self, request: &SessionRequest, now_ms: i64) -> bool {
        let idle = now_ms - self.used_ms > EVICTION_MS;
        let outranked = request.privileged && !self.privileged;
        let aged = now_ms - self.created_ms > EVICTION_MS;
        let worth_less = (self.privileged, self.order.len()) < (request.privileged, request.partitions.len());
        idle || outranked || (aged && worth_less)
    }

    fn wanted(&self) -> Vec<(PartitionKey, Wanted)> {
        self.order.values().map(|(key, cached)| (key.clone(), cached.wanted)).collect()
    }

    fn remove(&mut self, key: &PartitionKey) {
        if let Some(position) = self.positions.remove(key) {
            self.order.remove(&position);
        }
    }

    fn upsert(&mut self, key: PartitionKey, wanted: Wanted) {
        let known = self.positions.get(&key).and_then(|position| self.order.get_mut(position));
        if let Some((_, cached)) = known {
            cached.wanted = wanted;
            return;
        }
        let cached = CachedPartition { wanted, answered_high_watermark: -1, answered_log_start_offset: -1 };
        self.append(key, cached);
    }

    fn append(&mut self, key: PartitionKey, cached: CachedPartition) {
        self.positions.insert(key.clone(), self.next_position);
        self.order.insert(self.next_position, (key, cached));
        self.next_position += 1;
    }

    fn note_all(&mut self, plan: &FetchPlan, answers: &[PartitionAnswer]) -> Vec<bool> {
        plan.partitions.iter().zip(answers).map(|((key, _), answer)| self.note(key, answer)).collect()
    }

    /// True when the answer says something new.
    fn note(&mut self, key: &PartitionKey, answer: &PartitionAnswer) -> bool {
        let Some(&position) = self.positions.get(key) else { return true };
        let Some((_, cached)) = self.order.get_mut(&position) else { return true };
        let changed = cached.answered_high_watermark != answer.high_watermark
            || cached.answered_log_start_offset != answer.log_start_offset;
        cached.answered_high_watermark = if answer.is_error { -1 } else { answer.high_watermark };
        cached.answered_log_start_offset = answer.log_start_offset;
        if answer.has_records && self.order.len() > 1 {
            self.move_to_end(position);
        }
        changed || answer.has_records || answer.must_send || answer.is_error
    }

    fn move_to_end(&mut self, position: u64) {
        if let Some((key, cached)) = self.order.remove(&position) {
            self.append(key, cached);
        }
    }
}

/// Epochs count up from 1 and wrap around to 1.
fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(partition: i32) -> PartitionKey {
        PartitionKey { topic: TopicKey::Id(Uuid([7; 16])), partition }
    }

    fn wanted(fetch_offset: i64) -> Wanted {
        Wanted {
            fetch_offset,
            max_bytes: 1000,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            log_start_offset: -1,
            high_watermark: i64::MAX,
        }
    }

    fn request(session_id: i32, session_epoch: i32, partitions: &[(i32, i64)]) -> SessionRequest {
        let partitions = partitions.iter().map(|&(index, offset)| (key(index), wanted(offset))).collect();
        SessionRequest {
            session_id,
            session_epoch,
            privileged: false,
            by_id: true,
            partitions,
            forgotten: vec![],
        }
    }

    fn answer(high_watermark: i64, has_records: bool) -> PartitionAnswer {
        PartitionAnswer {
            high_watermark,
            log_start_offset: 0,
            has_records,
            must_send: false,
            is_error: false,
        }
    }

    fn order(plan: &FetchPlan) -> Vec<(i32, i64)> {
        plan.partitions.iter().map(|(key, wanted)| (key.partition, wanted.fetch_offset)).collect()
    }

    #[test]
    fn a_request_without_a_session_leaves_none_behind() {
        let mut sessions = FetchSessions::new(10);
        let plan = sessions.begin(request(0, -1, &[(0, 5)]), 9, 0).unwrap();
        assert_eq!((plan.session_id(), order(&plan)), (0, vec![(0, 5)]));
        assert_eq!(sessions.finish(&plan, &[answer(5, false)]), [true]);
        assert!(sessions.is_empty());
    }

    #[test]
    fn an_incremental_answer_holds_what_changed() {
        let mut sessions = FetchSessions::new(10);
        let full = sessions.begin(request(0, 0, &[(0, 1), (1, 2), (2, 3)]), 77, 0).unwrap();
        assert_eq!(full.session_id(), 77);
        assert_eq!(sessions.finish(&full, &[answer(1, false); 3]), [true; 3]);

        let next = sessions.begin(request(77, 1, &[(1, 20)]), 0, 1).unwrap();
        assert_eq!(order(&next), [(0, 1), (1, 20), (2, 3)]);
        let answers = [answer(1, true), answer(1, false), answer(4, false)];
        assert_eq!(sessions.finish(&next, &answers), [true, false, true]);

        let mut change = request(77, 2, &[(3, 30)]);
        change.forgotten = vec![key(1)];
        let next = sessions.begin(change, 0, 2).unwrap();
        assert_eq!(order(&next), [(2, 3), (0, 1), (3, 30)], "what yielded records is served last");
        let error = PartitionAnswer { is_error: true, ..answer(-1, false) };
        assert_eq!(
            sessions.finish(&next, &[error, answer(1, false), answer(-1, false)]),
            [true, false, true]
        );
        let next = sessions.begin(request(77, 3, &[]), 0, 3).unwrap();
        assert!(sessions.finish(&next, &[answer(4, false); 3])[0], "after an error all is new");
    }

    #[test]
    fn a_request_out_of_step_is_refused_and_changes_nothing() {
        let mut sessions = FetchSessions::new(10);
        sessions.begin(request(0, 0, &[(0, 1)]), 77, 0).unwrap();
        for (id, epoch, by_id, error) in [
            (78, 1, true, ErrorCode::FETCH_SESSION_ID_NOT_FOUND),
            (77, 2, true, ErrorCode::INVALID_FETCH_SESSION_EPOCH),
            (77, 1, false, ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR),
        ] {
            let wrong = SessionRequest { by_id, ..request(id, epoch, &[(5, 5)]) };
            assert_eq!(sessions.begin(wrong, 0, 1), Err(error));
        }
        assert_eq!(order(&sessions.begin(request(77, 1, &[]), 0, 2).unwrap()), [(0, 1)]);
    }

    #[test]
    fn a_full_request_or_an_empty_one_ends_the_session() {
        let mut sessions = FetchSessions::new(10);
        sessions.begin(request(0, 0, &[(0, 1)]), 77, 0).unwrap();
        sessions.begin(request(77, -1, &[]), 0, 1).unwrap();
        assert!(sessions.is_empty());
        sessions.begin(request(0, 0, &[(0, 1)]), 78, 2).unwrap();
        let plan = sessions.begin(request(78, 0, &[(0, 1)]), 79, 3).unwrap();
        assert_eq!((plan.session_id(), sessions.len()), (79, 1));
        let last = SessionRequest { forgotten: vec![key(0)], ..request(79, 1, &[]) };
        assert_eq!(sessions.begin(last, 0, 4).unwrap().session_id(), 0);
        assert!(sessions.is_empty());
    }

    #[test]
    fn a_full_cache_gives_way_to_followers_to_larger_sessions_and_after_idling() {
        let begin = |sessions: &mut FetchSessions, privileged, count: i32, id, now_ms| {
            let partitions: Vec<_> = (0..count).map(|index| (index, 0)).collect();
            let wish = SessionRequest { privileged, ..request(0, 0, &partitions) };
            sessions.begin(wish, id, now_ms).unwrap().session_id()
        };
        let mut sessions = FetchSessions::new(2);
        assert_eq!(begin(&mut sessions, false, 1, 1, 0), 1);
        assert_eq!(begin(&mut sessions, true, 1, 2, 0), 2);
        assert_eq!(begin(&mut sessions, false, 9, 3, 1000), 0, "both are young");
        assert_eq!(begin(&mut sessions, true, 1, 4, 1000), 4, "a follower displaces a consumer");
        assert_eq!(begin(&mut sessions, false, 9, 5, EVICTION_MS + 2000), 5, "idle ones give way");
        assert_eq!(sessions.len(), 2);
    }

    #[test]
    fn epochs_wrap_to_one() {
        assert_eq!(next_epoch(i32::MAX), 1);
        assert_eq!(next_epoch(1), 2);
    }
}
