//! The shard and its log: what was appended, what is committed, and what is replayed.

use std::sync::Arc;

use klamm_protocol::coordinator_record::{GroupKey, GroupValue};
use klamm_protocol::messages::{GroupMetadataValue, OffsetCommitValue};
use klamm_protocol::{DecodeError, DecodeErrorKind, ErrorCode};

use super::{Group, Shard, Waiting};
use crate::bounds::SCAN_RETRY_MS;
use crate::classic::ClassicGroup;
use crate::foreign::{ForeignGroup, ForeignRecord};
use crate::moment::Moment;
use crate::offsets::CommittedOffset;
use crate::step::{Answer, Completion, Write, coordinator_error};
use crate::turn::Turn;

/// The producer id of a record outside any transaction.
const NO_PRODUCER_ID: i64 = -1;

impl Shard {
    /// The write of the last step is in the log, its first record at `base_offset`. What it says counts from now on; the
    /// answers come when it is committed.
    pub fn appended(&mut self, write: Write<'_>, base_offset: i64, now: Moment) {
        let Write { records, completion } = write;
        for (record_offset, record) in (base_offset..).zip(&records) {
            // The live group is ahead of its own record: the record says what is durable, not what goes on.
            if !matches!(record.value, Some(GroupValue::GroupMetadata(_))) {
                self.replay(record_offset, NO_PRODUCER_ID, &record.key, record.value.as_ref());
            }
        }
        self.written_end = base_offset + records.len() as i64;
        match completion {
            Completion::Nothing | Completion::Scan { .. } => {}
            completion => self.wait_for_commit(completion, now),
        }
    }

    /// The write of the last step could not be appended, for `error`. Whoever waits for it learns why.
    #[must_use]
    pub fn append_failed(&mut self, write: Write<'_>, error: ErrorCode, now: Moment) -> Vec<Answer> {
        match write.completion {
            Completion::Scan { groups } => {
                self.retry_scan(groups, now);
                Vec::new()
            }
            completion => self.fail(completion, error, now),
        }
    }

    /// Everything below `end_offset` is committed: the partition's high watermark.
    #[must_use]
    pub fn committed(&mut self, end_offset: i64, now: Moment) -> Vec<Answer> {
        self.committed_end = self.committed_end.max(end_offset.min(self.written_end));
        let mut answers = Vec::new();
        while self.waiting.front().is_some_and(|first| first.end_offset <= self.committed_end) {
            if let Some(waiting) = self.waiting.pop_front() {
                answers.extend(self.complete(waiting.completion, now));
            }
        }
        answers
    }

    /// Whether everything that was appended is committed, so that what is read may be told.
    pub(super) fn is_settled(&self) -> bool {
        self.committed_end >= self.written_end
    }

    pub(super) fn wait_for_commit(&mut self, completion: Completion, now: Moment) {
        let deadline_ms = now.monotonic_ms + self.settings.offsets_commit_timeout_ms;
        self.waiting.push_back(Waiting { end_offset: self.written_end, deadline_ms, completion });
    }

    fn complete(&mut self, completion: Completion, now: Moment) -> Vec<Answer> {
        let mut turn = Turn::new(now, &self.settings, &mut self.timers);
        match completion {
            Completion::Nothing | Completion::Scan { .. } | Completion::NewGroup { .. } => {}
            Completion::Answer(answer) => turn.answer(answer.request, answer.response),
            Completion::Assignment { group_id, request, assignments } => {
                if let Some(Group::Classic(group)) = self.groups.get_mut(&group_id) {
                    group.adopt_assignment(&mut turn, request, assignments);
                }
            }
            Completion::StaticReplacement(replacement) => {
                if let Some(Group::Classic(group)) = self.groups.get_mut(&replacement.group_id) {
                    group.confirm_replacement(&mut turn, &replacement);
                }
            }
        }
        turn.into_answers()
    }

    pub(super) fn fail(&mut self, completion: Completion, error: ErrorCode, now: Moment) -> Vec<Answer> {
        let error = coordinator_error(error);
        let mut turn = Turn::new(now, &self.settings, &mut self.timers);
        match completion {
            Completion::Nothing | Completion::Scan { .. } => {}
            Completion::Answer(answer) => turn.answer(answer.request, answer.response.into_failure(error)),
            Completion::NewGroup { group_id, request } => {
                if let Some(Group::Classic(group)) = self.groups.get_mut(&group_id) {
                    group.fail_creation(&mut turn, request, error);
                }
            }
            Completion::Assignment { group_id, request, .. } => {
                if let Some(Group::Classic(group)) = self.groups.get_mut(&group_id) {
                    group.reject_assignment(&mut turn, request, error);
                }
            }
            Completion::StaticReplacement(replacement) => {
                if let Some(Group::Classic(group)) = self.groups.get_mut(&replacement.group_id) {
                    group.revert_replacement(&mut turn, *replacement, error);
                }
            }
        }
        turn.into_answers()
    }

    fn retry_scan(&mut self, groups: Vec<Arc<str>>, now: Moment) {
        if let Some(scan) = self.scans.front_mut() {
            groups.into_iter().rev().for_each(|group_id| scan.remaining.push_front(group_id));
            scan.since_ms = now.monotonic_ms + SCAN_RETRY_MS;
        }
    }

    /// Replays one record as it lies in the log. Records of kinds unknown here are left alone: a newer broker wrote
    /// them.
    ///
    /// # Errors
    /// If the key or the value of a known kind cannot be read.
    pub fn replay_bytes(
        &mut self,
        record_offset: i64,
        producer_id: i64,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), DecodeError> {
        let key = match GroupKey::decode(key) {
            Err(error) if matches!(error.kind(), DecodeErrorKind::UnknownRecord(_)) => return Ok(()),
            decoded => decoded?,
        };
        let value = value.map(|bytes| GroupValue::decode(key.key(), bytes)).transpose()?;
        self.replay(record_offset, producer_id, &key, value.as_ref());
        Ok(())
    }

    /// Replays one record. `producer_id` is that of its batch where the batch is transactional, else −1.
    pub fn replay(
        &mut self,
        record_offset: i64,
        producer_id: i64,
        key: &GroupKey<'_>,
        value: Option<&GroupValue<'_>>,
    ) {
        match (key, value) {
            (GroupKey::OffsetCommit(key), Some(GroupValue::OffsetCommit(value))) => {
                let place = (&*key.group, &*key.topic, key.partition);
                self.replay_offset(place, producer_id, CommittedOffset::of(record_offset, value));
            }
            (GroupKey::LegacyOffsetCommit(key), Some(GroupValue::LegacyOffsetCommit(value))) => {
                let value = OffsetCommitValue {
                    offset: value.offset,
                    metadata: value.metadata.as_ref().into(),
                    commit_timestamp: value.commit_timestamp,
                    ..OffsetCommitValue::default()
                };
                let place = (&*key.group, &*key.topic, key.partition);
                self.replay_offset(place, producer_id, CommittedOffset::of(record_offset, &value));
            }
            (GroupKey::OffsetCommit(key), None) => self.offsets.remove(&key.group, &key.topic, key.partition),
            (GroupKey::LegacyOffsetCommit(key), None) => {
                self.offsets.remove(&key.group, &key.topic, key.partition);
            }
            (GroupKey::GroupMetadata(key), Some(GroupValue::GroupMetadata(value))) => {
                self.replay_group(&key.group, value);
            }
            (GroupKey::GroupMetadata(key), None) => self.remove_classic(&key.group),
            (key, value) => {
                if let Some(record) = ForeignRecord::of(key) {
                    self.replay_foreign(record, key, value.is_some());
                }
            }
        }
    }

    /// A transaction marker is in the log at `record_offset`: the producer's pending offsets count, or are dropped.
    pub fn replay_marker(&mut self, record_offset: i64, producer_id: i64, is_commit: bool) {
        self.written_end = self.written_end.max(record_offset + 1);
        self.offsets.end_transaction(producer_id, is_commit);
    }

    fn replay_offset(
        &mut self,
        (group_id, topic, partition): (&str, &str, i32),
        producer_id: i64,
        offset: CommittedOffset,
    ) {
        // Whoever commits to a group that nobody has joined makes a group that only holds offsets.
        if !self.groups.contains_key(group_id) {
            let id: Arc<str> = group_id.into();
            let group = ClassicGroup::new(Arc::clone(&id), offset.commit_timestamp_ms);
            self.groups.insert(id, Group::Classic(Box::new(group)));
        }
        self.offsets.put(producer_id, group_id, topic, partition, offset);
    }

    fn replay_group(&mut self, group_id: &str, value: &GroupMetadataValue<'_>) {
        let id: Arc<str> = group_id.into();
        let group = ClassicGroup::from_record(Arc::clone(&id), value);
        self.groups.insert(id, Group::Classic(Box::new(group)));
    }

    /// Only a classic group: the id may belong to another kind of group by now.
    fn remove_classic(&mut self, group_id: &str) {
        if let Some(Group::Classic(_)) = self.groups.get(group_id) {
            self.groups.remove(group_id);
        }
    }

    fn replay_foreign(&mut self, record: ForeignRecord<'_>, key: &GroupKey<'_>, has_value: bool) {
        let may_replace = match self.groups.get(record.group_id) {
            None => true,
            Some(Group::Classic(group)) => group.is_simple(),
            Some(Group::Foreign(_)) => false,
        };
        if may_replace && has_value {
            let group = Group::Foreign(Box::new(ForeignGroup::new(record.kind)));
            self.groups.insert(record.group_id.into(), group);
        }
        if let Some(Group::Foreign(group)) = self.groups.get_mut(record.group_id)
            && group.kind == record.kind
            && !group.apply(record, key, has_value)
        {
            self.groups.remove(record.group_id);
        }
    }
}
