//! What happens by itself: sessions and phases end, answers are given up, offsets expire.

use std::sync::Arc;

use klamm_protocol::{ErrorCode, Uuid};

use super::{Group, Phase, Shard};
use crate::bounds::SCAN_SLICE_GROUPS_MAX;
use crate::moment::Moment;
use crate::offsets::{DeletedTopic, ExpiryClock, Scan, Tombstones};
use crate::step::{Completion, Step, Write};
use crate::timer::{DueEntry, Guards};
use crate::turn::Turn;

impl Shard {
    /// When [`Shard::on_timer`] is to be called next, if ever. It may turn out that there was nothing to do: deadlines
    /// that moved away are noticed only when their old time comes.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<i64> {
        if self.phase != Phase::Active {
            return None;
        }
        let answer = self.waiting.front().map(|waiting| waiting.deadline_ms);
        let scan = self.scans.front().map(|scan| scan.since_ms);
        [answer, self.timers.next_deadline_ms(), scan, Some(self.next_expiry_ms)].into_iter().flatten().min()
    }

    /// Does one thing that is due. Call it until [`Shard::next_deadline_ms`] lies in the future.
    pub fn on_timer(&mut self, now: Moment) -> Step<'static> {
        if self.phase != Phase::Active {
            return Step::default();
        }
        if self.waiting.front().is_some_and(|waiting| waiting.deadline_ms <= now.monotonic_ms) {
            return self.give_up_waiting(now);
        }
        if let Some(entry) = self.timers.pop(now.monotonic_ms) {
            return self.on_group_timer(&entry, now);
        }
        if self.next_expiry_ms <= now.monotonic_ms {
            self.next_expiry_ms = now.monotonic_ms + self.settings.offsets_retention_check_interval_ms;
            self.start_scan(None, now);
        }
        if self.scans.front().is_some_and(|scan| scan.since_ms <= now.monotonic_ms) {
            return self.scan_slice(now);
        }
        Step::default()
    }

    /// Topics are gone, and so are the offsets of all groups in them. The work is due at once, in
    /// [`Shard::on_timer`].
    pub fn topics_deleted(&mut self, topics: &[(Uuid, &str)], now: Moment) {
        let deleted = topics.iter().map(|(id, name)| DeletedTopic { id: *id, name: (*name).into() });
        self.start_scan(Some(deleted.collect()), now);
    }

    fn give_up_waiting(&mut self, now: Moment) -> Step<'static> {
        let given_up = self.waiting.pop_front();
        let answers = given_up.map_or_else(Vec::new, |waiting| {
            self.fail(waiting.completion, ErrorCode::REQUEST_TIMED_OUT, now)
        });
        Step { answers, write: None }
    }

    fn on_group_timer(&mut self, entry: &DueEntry, now: Moment) -> Step<'static> {
        let mut turn = Turn::new(now, &self.settings, &mut self.timers);
        if let Some(Group::Classic(group)) = self.groups.get_mut(&entry.key.group_id) {
            match &entry.key.guards {
                Guards::Session(member_id) => group.on_session_timer(&mut turn, member_id, entry),
                Guards::Join => group.on_join_timer(&mut turn, entry),
                Guards::Sync => group.on_sync_timer(&mut turn, entry),
            }
        }
        turn.into_step()
    }

    fn start_scan(&mut self, deleted_topics: Option<Vec<DeletedTopic>>, now: Moment) {
        if self.phase == Phase::Active {
            let mut remaining: Vec<Arc<str>> = self.groups.keys().cloned().collect();
            remaining.sort();
            self.scans.push_back(Scan {
                since_ms: now.monotonic_ms,
                remaining: remaining.into(),
                deleted_topics,
            });
        }
    }

    /// Goes on with the first scan. It stays the first until nothing of it is left, so that a slice whose append fails
    /// can come back.
    fn scan_slice(&mut self, now: Moment) -> Step<'static> {
        let Some(mut scan) = self.scans.pop_front() else { return Step::default() };
        if scan.remaining.is_empty() {
            return Step::default();
        }
        let mut tombstones = Tombstones::default();
        let mut groups = Vec::new();
        while groups.len() < SCAN_SLICE_GROUPS_MAX && !tombstones.is_full() {
            let Some(group_id) = scan.remaining.pop_front() else { break };
            match &scan.deleted_topics {
                Some(deleted) => self.offsets.forget_topics(&group_id, deleted, &mut tombstones),
                None => self.expire_group(&group_id, now, &mut tombstones),
            }
            groups.push(group_id);
        }
        if tombstones.is_full() {
            // Perhaps the last group has more: the next slice begins with it.
            groups.pop().into_iter().for_each(|group_id| scan.remaining.push_front(group_id));
        }
        self.scans.push_front(scan);
        if tombstones.records.is_empty() {
            return Step::default();
        }
        let write = Write { records: tombstones.records, completion: Completion::Scan { groups } };
        Step { answers: Vec::new(), write: Some(write) }
    }

    /// Deletes what has expired of a group's offsets, and the group if nothing is left of it.
    fn expire_group(&self, group_id: &str, now: Moment, tombstones: &mut Tombstones) {
        let Some(group) = self.groups.get(group_id) else { return };
        let retention_ms = self.settings.offsets_retention_ms;
        let clock = ExpiryClock { expiry: group.expiry(), now_ms: now.wall_ms, retention_ms };
        let is_subscribed = |topic: &str| group.is_subscribed(topic);
        let all_expired = self.offsets.expire(group_id, clock, is_subscribed, tombstones);
        if all_expired {
            tombstones.push_group(group_id, group.tombstones_if_unused(group_id));
        }
    }
}
