//! The hands of one input: what it may touch besides the group it is about, and what it leaves behind.

use std::sync::Arc;

use klamm_protocol::messages::{JoinGroupResponse, SyncGroupResponse};

use crate::classic::Parked;
use crate::moment::Moment;
use crate::record::CoordinatorRecord;
use crate::settings::GroupSettings;
use crate::step::{Answer, Completion, RequestId, Response, Step, Write};
use crate::timer::{Guards, Timer, TimerKey, TimerQueue};

/// One input's time, settings and timers, and the step it builds.
pub(crate) struct Turn<'t> {
    pub(crate) now: Moment,
    pub(crate) settings: &'t GroupSettings,
    pub(crate) timers: &'t mut TimerQueue,
    step: Step<'static>,
}

impl<'t> Turn<'t> {
    pub(crate) fn new(now: Moment, settings: &'t GroupSettings, timers: &'t mut TimerQueue) -> Self {
        Self { now, settings, timers, step: Step::default() }
    }

    pub(crate) fn into_step(self) -> Step<'static> {
        self.step
    }

    /// The answers of an input that writes nothing.
    pub(crate) fn into_answers(self) -> Vec<Answer> {
        debug_assert!(self.step.write.is_none(), "the outcome of a write is no reason to write");
        self.step.answers
    }

    pub(crate) fn answer(&mut self, request: RequestId, response: Response) {
        self.step.answers.push(Answer { request, response });
    }

    pub(crate) fn answer_join(&mut self, parked: Parked, mut response: JoinGroupResponse<'static>) {
        // No protocol is null from version 7 on, and an empty name before.
        let name = response.protocol_name.filter(|name| !name.is_empty());
        response.protocol_name = if parked.api_version < 7 { name.or(Some("".into())) } else { name };
        self.answer(parked.request, Response::JoinGroup(response));
    }

    pub(crate) fn answer_sync(&mut self, parked: Parked, response: SyncGroupResponse<'static>) {
        self.answer(parked.request, Response::SyncGroup(response));
    }

    /// Answers once the input's write is committed; now, if it has none.
    pub(crate) fn answer_when_committed(&mut self, request: RequestId, response: Response) {
        match &mut self.step.write {
            Some(write) => {
                debug_assert_eq!(write.completion, Completion::Nothing, "the write already has a purpose");
                write.completion = Completion::Answer(Answer { request, response });
            }
            None => self.answer(request, response),
        }
    }

    /// Records one input's write. An input writes at most once, so that its records share one batch.
    pub(crate) fn write(&mut self, records: Vec<CoordinatorRecord<'static>>, completion: Completion) {
        debug_assert!(self.step.write.is_none(), "an input writes at most once");
        debug_assert!(!records.is_empty(), "a write has records");
        self.step.write = Some(Write { records, completion });
    }

    /// Arms or moves `timer` to `delay_ms` from now.
    pub(crate) fn schedule(
        &mut self,
        timer: &mut Option<Timer>,
        delay_ms: i64,
        group_id: &Arc<str>,
        guards: impl FnOnce() -> Guards,
    ) {
        let deadline_ms = self.now.monotonic_ms + delay_ms.max(0);
        self.timers
            .schedule(timer, deadline_ms, || TimerKey { group_id: Arc::clone(group_id), guards: guards() });
    }
}
