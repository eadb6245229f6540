//! The commits of one partition's offset by one group: a register that is written and read over an unreliable wire.
//!
//! What is read must be a value that some commit wrote, and none that was certainly written over: a commit was over when another one
//! was sent after it and was acknowledged before the question. A commit without an acknowledgement may take effect at any time after
//! it was sent, or never. This says everything about committed offsets, whether clients commit larger and larger ones or not: members
//! rightly go back when the records at their place were deleted or lost.
//!
//! A power loss takes what was not flushed, where flushing was not asked for: a beginning of the commits is left. So each of those
//! before it may be the last one, and so may none, until one that is sent later is acknowledged.

use std::collections::BTreeSet;

/// All commits.
#[derive(Default)]
pub(super) struct Commits {
    writes: Vec<Write>,
    /// When there may have been none the last time: in the beginning, or after a loss that may have taken them all.
    none_at: u64,
    /// Offsets that a coordinator told which is none any more.
    told_late: BTreeSet<i64>,
}

struct Write {
    offset: i64,
    sent_at: u64,
    acknowledged_at: Option<u64>,
}

impl Commits {
    /// A commit leaves.
    pub(super) fn sent(&mut self, offset: i64, sent_at: u64) {
        self.writes.push(Write { offset, sent_at, acknowledged_at: None });
    }

    /// The commit that was sent at that moment was acknowledged.
    pub(super) fn acknowledged(&mut self, sent_at: u64, now: u64) {
        if let Some(write) = self.writes.iter_mut().find(|write| write.sent_at == sent_at) {
            write.acknowledged_at = Some(now);
        }
    }

    /// The commit that was sent at that moment was refused, and never takes effect.
    pub(super) fn refused(&mut self, sent_at: u64) {
        self.writes.retain(|write| write.sent_at != sent_at);
    }

    /// What was committed may be lost.
    pub(super) fn lost(&mut self, now: u64) {
        for acknowledged_at in self.writes.iter_mut().filter_map(|write| write.acknowledged_at.as_mut()) {
            *acknowledged_at = now;
        }
        self.none_at = now;
    }

    /// Whether a question that was asked at this moment may be answered with `offset`, where -1 stands for none.
    pub(super) fn may_be(&self, offset: i64, asked_at: u64) -> bool {
        match offset {
            -1 => !self.is_over(self.none_at, asked_at),
            _ => self.possible(asked_at).any(|write| write.offset == offset),
        }
    }

    /// Whether this may have been the committed offset at any time.
    pub(super) fn was(&self, offset: i64) -> bool {
        offset == -1 || self.writes.iter().any(|write| write.offset == offset)
    }

    /// Somebody was told this by a coordinator that did not know better, and begins there.
    pub(super) fn told_late(&mut self, offset: i64) {
        self.told_late.insert(offset);
    }

    /// Whether somebody was. Who was told that nothing is committed begins anywhere.
    pub(super) fn was_told_late(&self, offset: i64) -> bool {
        self.told_late.contains(&offset) || self.told_late.contains(&-1)
    }

    /// The lowest offset that may be the committed one now; none if there may be none.
    pub(super) fn lowest(&self, now: u64) -> Option<i64> {
        if self.may_be(-1, now) { None } else { self.possible(now).map(|write| write.offset).min() }
    }

    /// The last commit that was acknowledged, for messages.
    pub(super) fn last(&self) -> Option<i64> {
        let acknowledged = self.writes.iter().filter(|write| write.acknowledged_at.is_some());
        acknowledged.max_by_key(|write| write.acknowledged_at).map(|write| write.offset)
    }

    fn possible(&self, asked_at: u64) -> impl Iterator<Item = &Write> {
        self.writes.iter().filter(move |write| match write.acknowledged_at {
            None => true,
            Some(acknowledged_at) => !self.is_over(acknowledged_at, asked_at),
        })
    }

    /// Whether what was there at one moment was certainly written over before another.
    fn is_over(&self, at: u64, before: u64) -> bool {
        let mut later = self.writes.iter().filter(|write| write.sent_at > at);
        later.any(|write| write.acknowledged_at.is_some_and(|acknowledged_at| acknowledged_at < before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acknowledged(commits: &mut Commits, offset: i64, sent_at: u64, at: u64) {
        commits.sent(offset, sent_at);
        commits.acknowledged(sent_at, at);
    }

    #[test]
    fn what_was_written_over_is_not_there() {
        let mut commits = Commits::default();
        acknowledged(&mut commits, 5, 1, 2);
        acknowledged(&mut commits, 9, 3, 4);
        assert!(commits.may_be(9, 5) && !commits.may_be(5, 5) && !commits.may_be(-1, 5));
        assert!(commits.may_be(5, 3), "asked while the second was under way");
    }

    #[test]
    fn a_commit_without_an_answer_may_count_and_one_refused_may_not() {
        let mut commits = Commits::default();
        acknowledged(&mut commits, 5, 1, 2);
        commits.sent(7, 3);
        assert!(commits.may_be(5, 9) && commits.may_be(7, 9));
        commits.refused(3);
        assert!(commits.may_be(5, 9) && !commits.may_be(7, 9));
    }

    #[test]
    fn a_loss_leaves_any_of_those_before_it_until_the_next() {
        let mut commits = Commits::default();
        acknowledged(&mut commits, 5, 1, 2);
        acknowledged(&mut commits, 9, 3, 4);
        commits.lost(5);
        assert!([-1, 5, 9].into_iter().all(|offset| commits.may_be(offset, 6)));
        acknowledged(&mut commits, 6, 7, 8);
        assert_eq!(commits.lowest(9), Some(6));
        assert!(!commits.may_be(-1, 9));
    }
}
