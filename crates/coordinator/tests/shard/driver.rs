//! What a broker does around a shard, with a log in memory.

use klamm_coordinator::{
    Answer, CoordinatorRecord, GroupSettings, Moment, RequestContext, RequestId, Shard, Step,
};
use klamm_protocol::coordinator_record::{GroupKey, GroupValue};
use klamm_protocol::{ErrorCode, Writer};

/// What a step leads to, in the order in which a broker does it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    Answered(Answer),
    Logged(i64, CoordinatorRecord<'static>),
}

/// A shard and its log.
pub(crate) struct Driver {
    pub(crate) shard: Shard,
    pub(crate) now_ms: i64,
    /// By how much somebody set the wall clock.
    pub(crate) wall_ahead_ms: i64,
    /// Keys and values as they are stored.
    pub(crate) log: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// How many of them are committed.
    pub(crate) committed: usize,
    /// While set, nothing that is appended is committed.
    pub(crate) holds_commits: bool,
    /// What the next append fails with.
    pub(crate) next_append_error: Option<ErrorCode>,
    pub(crate) append_failures: usize,
    next_request: u64,
}

impl Driver {
    pub(crate) fn new(settings: GroupSettings) -> Self {
        let mut shard = Shard::new(settings);
        shard.start_loading();
        shard.finish_loading(0, Moment::default());
        Self {
            shard,
            now_ms: 0,
            wall_ahead_ms: 0,
            log: Vec::new(),
            committed: 0,
            holds_commits: false,
            next_append_error: None,
            append_failures: 0,
            next_request: 0,
        }
    }

    pub(crate) fn context<'c>(&mut self, api_version: i16, client_id: &'c str) -> RequestContext<'c> {
        self.next_request += 1;
        RequestContext {
            request: RequestId(self.next_request),
            api_version,
            client_id,
            client_host: "/127.0.0.1",
            now: self.now(),
        }
    }

    pub(crate) fn now(&self) -> Moment {
        Moment { monotonic_ms: self.now_ms, wall_ms: self.now_ms + self.wall_ahead_ms }
    }

    pub(crate) fn last_request(&self) -> u64 {
        self.next_request
    }

    /// Does with a step what the shard's head asks for.
    pub(crate) fn drive(&mut self, step: Step<'_>, events: &mut Vec<Event>) {
        events.extend(step.answers.into_iter().map(Event::Answered));
        let Some(write) = step.write else { return };
        if let Some(error) = self.next_append_error.take() {
            self.append_failures += 1;
            let answers = self.shard.append_failed(write, error, self.now());
            events.extend(answers.into_iter().map(Event::Answered));
            return;
        }
        let base_offset = self.log.len() as i64;
        for (offset, record) in (base_offset..).zip(&write.records) {
            let stored = stored(record);
            events.push(Event::Logged(offset, decoded(&stored)));
            self.log.push(stored);
        }
        self.shard.appended(write, base_offset, self.now());
        if !self.holds_commits {
            self.commit(events);
        }
    }

    pub(crate) fn commit(&mut self, events: &mut Vec<Event>) {
        self.commit_up_to(self.log.len(), events);
    }

    /// Commits the next record that is not, if any.
    pub(crate) fn commit_one(&mut self, events: &mut Vec<Event>) {
        self.commit_up_to((self.committed + 1).min(self.log.len()), events);
    }

    fn commit_up_to(&mut self, end: usize, events: &mut Vec<Event>) {
        self.committed = end;
        let answers = self.shard.committed(end as i64, self.now());
        events.extend(answers.into_iter().map(Event::Answered));
    }

    /// Lets everything happen that is due.
    pub(crate) fn run_timers(&mut self, events: &mut Vec<Event>) {
        while self.shard.next_deadline_ms().is_some_and(|deadline| deadline <= self.now_ms) {
            let step = self.shard.on_timer(self.now());
            self.drive(step, events);
            self.shard.check_invariants();
        }
    }

    /// Lets time pass, deadline by deadline.
    pub(crate) fn advance(&mut self, by_ms: i64, events: &mut Vec<Event>) {
        let end_ms = self.now_ms + by_ms;
        while let Some(deadline) = self.shard.next_deadline_ms().filter(|deadline| *deadline <= end_ms) {
            self.now_ms = deadline.max(self.now_ms);
            self.run_timers(events);
        }
        self.now_ms = end_ms;
    }

    /// A shard that has replayed the log.
    pub(crate) fn replayed(&self, settings: GroupSettings) -> Shard {
        let mut shard = Shard::new(settings);
        shard.start_loading();
        for (offset, (key, value)) in (0..).zip(&self.log) {
            shard.replay_bytes(offset, -1, key, value.as_deref()).expect("what was written can be read");
        }
        shard.finish_loading(self.log.len() as i64, self.now());
        shard.check_invariants();
        shard
    }
}

fn stored(record: &CoordinatorRecord<'_>) -> (Vec<u8>, Option<Vec<u8>>) {
    let (mut key, mut value) = (Writer::new(), Writer::new());
    record.encode_key(&mut key).expect("a key can be written");
    let has_value = record.encode_value(&mut value).expect("a value can be written");
    (key.into_bytes(), has_value.then(|| value.into_bytes()))
}

fn decoded((key, value): &(Vec<u8>, Option<Vec<u8>>)) -> CoordinatorRecord<'static> {
    let key = GroupKey::decode(key).expect("a key can be read").into_static();
    let value =
        value.as_deref().map(|value| GroupValue::decode(key.key(), value).expect("a value can be read"));
    CoordinatorRecord { value: value.map(GroupValue::into_static), key }
}
