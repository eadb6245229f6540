//! One shard with its partition, its lock and those who wait for its answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use klamm_coordinator::{
    Answer, GroupSettings, Moment, RequestContext, RequestId, Response, Shard, Step, Write,
};
use klamm_protocol::{EncodeError, ErrorCode, Uuid, Writer};
use klamm_records::{AcceptedBatch, BatchBuilder, NewRecord};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::{Caller, Reply, moment};
use crate::environment::{Environment, Place};
use crate::partition::{Appended, Partition};

pub(crate) struct HostedShard {
    partition: Arc<Partition>,
    /// The leader's epoch in which this broker began to coordinate.
    leader_epoch: i32,
    settings: GroupSettings,
    environment: Environment,
    state: Mutex<State>,
    /// When the shard's timer is due, in milliseconds on the clock that nobody sets; `i64::MAX` for never.
    deadline_ms: AtomicI64,
    rescheduled: Arc<Notify>,
}

struct State {
    shard: Shard,
    /// In order, so that those who wait are also let go in order.
    waiting: BTreeMap<RequestId, oneshot::Sender<Response>>,
    next_request: u64,
    /// Topics deleted while the shard was loading: what is replayed may still have offsets in them.
    deleted_meanwhile: Vec<(Uuid, String)>,
    is_loading: bool,
}

impl HostedShard {
    pub(super) fn new(
        partition: Arc<Partition>,
        settings: GroupSettings,
        environment: Environment,
        rescheduled: Arc<Notify>,
    ) -> Self {
        let mut shard = Shard::new(settings.clone());
        shard.start_loading();
        let state = Mutex::new(State {
            shard,
            waiting: BTreeMap::new(),
            next_request: 0,
            deleted_meanwhile: Vec::new(),
            is_loading: true,
        });
        let leader_epoch = partition.leadership().leader_epoch;
        Self {
            partition,
            leader_epoch,
            settings,
            environment,
            state,
            deadline_ms: AtomicI64::new(i64::MAX),
            rescheduled,
        }
    }

    pub(super) fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    pub(super) fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    pub(super) fn settings(&self) -> &GroupSettings {
        &self.settings
    }

    pub(super) fn deadline_ms(&self) -> i64 {
        self.deadline_ms.load(Ordering::Relaxed)
    }

    /// One request of a client.
    pub(super) fn call<'a>(
        self: &Arc<Self>,
        caller: &Caller<'_>,
        input: impl FnOnce(&mut Shard, &RequestContext<'_>) -> Step<'a>,
    ) -> Reply {
        let mut state = self.state.lock();
        let request = RequestId(state.next_request);
        state.next_request += 1;
        let step = input(&mut state.shard, &caller.shard_context(request));
        let mut own = None;
        for answer in self.carry_out(&mut state, step, caller.now) {
            if answer.request == request {
                own = Some(answer.response);
            } else {
                state.deliver(answer);
            }
        }
        self.reschedule(&state);
        match own {
            Some(response) => Reply::Now(response),
            None => {
                let (sender, receiver) = oneshot::channel();
                state.waiting.insert(request, sender);
                Reply::Later(receiver)
            }
        }
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&Shard) -> T) -> T {
        read(&self.state.lock().shard)
    }

    /// Does everything that is due.
    pub(super) fn run_timers(self: &Arc<Self>, now: Moment) {
        let mut state = self.state.lock();
        while state.shard.next_deadline_ms().is_some_and(|deadline| deadline <= now.monotonic_ms) {
            let step = state.shard.on_timer(now);
            let answers = self.carry_out(&mut state, step, now);
            state.deliver_all(answers);
        }
        self.reschedule(&state);
    }

    pub(super) fn topics_deleted(&self, topics: &[(Uuid, &str)]) {
        let mut state = self.state.lock();
        if state.is_loading {
            state.deleted_meanwhile.extend(topics.iter().map(|(id, name)| (*id, (*name).to_owned())));
        }
        state.shard.topics_deleted(topics, moment(&self.environment));
        self.reschedule(&state);
    }

    /// Puts the replayed shard in the place of the one that was loading.
    pub(super) fn loaded(&self, shard: Shard) {
        let mut state = self.state.lock();
        if !state.is_loading {
            return;
        }
        state.shard = shard;
        state.is_loading = false;
        let deleted = std::mem::take(&mut state.deleted_meanwhile);
        let deleted: Vec<_> = deleted.iter().map(|(id, name)| (*id, name.as_str())).collect();
        if !deleted.is_empty() {
            state.shard.topics_deleted(&deleted, moment(&self.environment));
        }
        self.reschedule(&state);
    }

    pub(super) fn unload(&self) {
        let mut state = self.state.lock();
        state.is_loading = false;
        let answers = state.shard.unload(moment(&self.environment));
        state.deliver_all(answers);
        state.waiting.clear();
        self.reschedule(&state);
    }

    /// Appends what a step writes and tells the shard of it. Returns the answers that may leave.
    fn carry_out(self: &Arc<Self>, state: &mut State, step: Step<'_>, now: Moment) -> Vec<Answer> {
        let mut answers = step.answers;
        let Some(write) = step.write else { return answers };
        match self.append(&write, now.wall_ms) {
            Ok(appended) => {
                state.shard.appended(write, appended.base_offset, now);
                if appended.is_settled() {
                    answers.extend(state.shard.committed(appended.end_offset, now));
                } else {
                    self.watch_commit(appended);
                }
            }
            Err(error) => answers.extend(state.shard.append_failed(write, error, now)),
        }
        answers
    }

    fn append(&self, write: &Write<'_>, now_ms: i64) -> Result<Appended, ErrorCode> {
        let batch = batch_of(write, now_ms).map_err(|error| {
            let index = self.partition.index();
            tracing::error!("records of groups cannot be written to __consumer_offsets-{index}: {error}");
            ErrorCode::UNKNOWN_SERVER_ERROR
        })?;
        if batch.size() > self.partition.config().max_message_bytes.max(0) as usize {
            return Err(ErrorCode::MESSAGE_TOO_LARGE);
        }
        self.partition.append_own(batch, now_ms).map_err(|error| error.error_code())
    }

    /// Tells the shard when records that were appended are committed.
    fn watch_commit(self: &Arc<Self>, appended: Appended) {
        let shard = self.clone();
        self.environment.spawn(Place::Control, move || async move {
            if let Err(error) = shard.partition.committed(&appended).await {
                let index = shard.partition.index();
                return tracing::warn!(
                    "records of groups in __consumer_offsets-{index} are not committed: {error}"
                );
            }
            let mut state = shard.state.lock();
            let answers = state.shard.committed(appended.end_offset, moment(&shard.environment));
            state.deliver_all(answers);
            shard.reschedule(&state);
        });
    }

    fn reschedule(&self, state: &State) {
        let deadline_ms = state.shard.next_deadline_ms().unwrap_or(i64::MAX);
        if self.deadline_ms.swap(deadline_ms, Ordering::Relaxed) > deadline_ms {
            self.rescheduled.notify_one();
        }
    }
}

impl State {
    fn deliver(&mut self, answer: Answer) {
        if let Some(waiting) = self.waiting.remove(&answer.request) {
            // Whoever asked may be gone.
            let _ = waiting.send(answer.response);
        }
    }

    fn deliver_all(&mut self, answers: Vec<Answer>) {
        answers.into_iter().for_each(|answer| self.deliver(answer));
    }
}

fn batch_of(write: &Write<'_>, now_ms: i64) -> Result<AcceptedBatch<'static>, EncodeError> {
    let mut builder = BatchBuilder::new(0);
    for record in &write.records {
        let (mut key, mut value) = (Writer::new(), Writer::new());
        record.encode_key(&mut key)?;
        let has_value = record.encode_value(&mut value)?;
        builder.append(&NewRecord {
            timestamp: now_ms,
            key: Some(key.as_bytes()),
            value: has_value.then_some(value.as_bytes()),
            headers: &[],
        });
    }
    Ok(builder.finish())
}
