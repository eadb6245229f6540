//! What is known of one partition.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A record's identity: who sent it, and as which of its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp {
    /// The producer.
    pub(crate) producer: u32,
    /// Counts its records, over all partitions.
    pub(crate) sequence: u64,
}

impl Stamp {
    /// The record's value: the stamp and some padding.
    pub(crate) fn value(self, padding: usize) -> Vec<u8> {
        let mut value = format!("{}/{}/", self.producer, self.sequence).into_bytes();
        value.resize(value.len() + padding, b'.');
        value
    }

    /// The stamp in a value.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let mut parts = value.splitn(3, |byte| *byte == b'/').map(|part| std::str::from_utf8(part).ok());
        Some(Self { producer: parts.next()??.parse().ok()?, sequence: parts.next()??.parse().ok()? })
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.producer, self.sequence)
    }
}

/// What a producer's settings promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// Nothing about order and number.
    None,
    /// Once and in order, unless the broker is restarted while several batches are unanswered: of these, Kafka's snapshots of producers'
    /// state keep the last alone, and a retry of another is not recognised.
    OnceWhileUp,
    /// Once and in order.
    Once,
}

/// How far a reader is with a partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// In which era it began.
    pub(crate) era: u32,
    /// The offset that it must get next; none before it knows.
    pub(crate) next: Option<i64>,
    /// What is below this was gone before it began, as long as the broker's process of then lives.
    pub(crate) from: i64,
    /// That process.
    pub(crate) life: u32,
    /// A process ended while it read. What that one had said, that the place is deleted, may be heard long after, behind records that
    /// were fetched before; the next one may have forgotten the deletion, and have the reader begin again.
    pub(crate) has_outlived_one: bool,
    /// The reader begins anywhere: whoever is asked may not know of its place.
    pub(crate) may_begin_again: bool,
}

/// The model of a partition.
#[derive(Default)]
pub(super) struct Partition {
    /// Everything that was ever sent here, and what holds for it.
    sent: BTreeMap<Stamp, Promise>,
    unacknowledged: BTreeSet<Stamp>,
    /// What the broker has said is here.
    at: BTreeMap<i64, Stamp>,
    /// Where the records of idempotent producers are.
    places: BTreeMap<Stamp, i64>,
    delete_requested: i64,
    deleted: i64,
    /// Offsets at which a reader found nothing.
    skipped: BTreeSet<i64>,
    /// The power was lost. What was acknowledged or seen may be lost too if `is_lossy`.
    has_lost_power: bool,
    is_lossy: bool,
}

impl Partition {
    pub(super) fn sent(&mut self, stamp: Stamp, promise: Promise) {
        self.sent.insert(stamp, promise);
        self.unacknowledged.insert(stamp);
    }

    pub(super) fn acknowledged(&mut self, offset: i64, stamp: Stamp) -> Result<(), String> {
        self.unacknowledged.remove(&stamp);
        self.holds(offset, stamp)
    }

    pub(super) fn deleted_below(&self) -> i64 {
        self.deleted
    }

    pub(super) fn forget(&mut self) {
        self.at.clear();
        self.places.clear();
        self.skipped.clear();
        self.is_lossy = true;
    }

    pub(super) fn power_lost(&mut self) {
        self.has_lost_power = true;
    }

    pub(super) fn process_ended(&mut self) {
        self.deleted = 0;
        for stamp in &self.unacknowledged {
            self.sent.entry(*stamp).and_modify(|promise| {
                if *promise == Promise::OnceWhileUp {
                    *promise = Promise::None;
                }
            });
        }
    }

    /// A record is at an offset.
    pub(super) fn holds(&mut self, offset: i64, stamp: Stamp) -> Result<(), String> {
        let Some(promise) = self.sent.get(&stamp).copied() else {
            return Err("nobody sent it here".to_owned());
        };
        if self.skipped.contains(&offset) {
            return Err("before, nothing was there".to_owned());
        }
        match self.at.insert(offset, stamp) {
            Some(before) if before != stamp => return Err(format!("before, {before} was there")),
            _ => {}
        }
        if promise == Promise::None { Ok(()) } else { self.in_order(offset, stamp) }
    }

    /// Idempotent producers' records are here once, in the order of sending.
    fn in_order(&mut self, offset: i64, stamp: Stamp) -> Result<(), String> {
        match self.places.insert(stamp, offset) {
            Some(place) if place != offset && place.min(offset) >= self.delete_requested => {
                return Err(format!("it is at {place} as well"));
            }
            _ => {}
        }
        let first = Stamp { sequence: 0, ..stamp };
        let last = Stamp { sequence: u64::MAX, ..stamp };
        let before = self.places.range(first..stamp).next_back();
        let after = self.places.range(stamp..=last).nth(1);
        match (before, after) {
            (Some((other, at)), _) if *at > offset => Err(format!("{other}, sent before it, is at {at}")),
            (_, Some((other, at))) if *at < offset => Err(format!("{other}, sent after it, is at {at}")),
            _ => Ok(()),
        }
    }

    /// A reader got a record.
    pub(super) fn seen(&mut self, reading: &mut Reading, offset: i64, stamp: Stamp) -> Result<(), String> {
        let expected = reading.next.replace(offset + 1).filter(|_| !reading.may_begin_again);
        reading.may_begin_again = false;
        if let Some(expected) = expected
            && (offset < expected || !self.may_skip(expected, offset))
        {
            return Err(format!("{expected} was to come next"));
        }
        if offset < reading.from {
            return Err(format!("records below {} are deleted", reading.from));
        }
        self.holds(offset, stamp)
    }

    /// Records that somebody deletes may be missing. So may offsets of which nobody was told: a power loss can take the end of a segment
    /// and leave the next one, and appends go on behind that. What is missing once is missing for good.
    fn may_skip(&mut self, from: i64, to: i64) -> bool {
        let from = from.max(self.delete_requested);
        if from >= to {
            return true;
        }
        self.skipped.extend(from..to);
        self.has_lost_power && self.at.range(from..to).next().is_none()
    }

    /// Whether a reader at this offset may be told that it is out of range.
    pub(super) fn is_deletable(&self, offset: i64) -> bool {
        offset < self.delete_requested
    }

    /// Below this a place in the partition may be gone: by a deletion that may be forgotten again when the process ends, or, once
    /// records were lost, because the log ends before it.
    pub(super) fn deletable_below(&self) -> i64 {
        if self.is_lossy { i64::MAX } else { self.delete_requested }
    }

    /// Nothing that was said to be here is at or behind the end.
    pub(super) fn complete_below(&self, end: i64) -> Result<(), String> {
        match self.at.range(end.max(self.delete_requested)..).next() {
            Some((offset, stamp)) => Err(format!("{stamp} at {offset} is lost")),
            None => Ok(()),
        }
    }

    pub(super) fn delete_requested(&mut self, before: i64) {
        self.delete_requested = self.delete_requested.max(before);
    }

    pub(super) fn deleted(&mut self, low: i64) {
        self.deleted = self.deleted.max(low);
    }

    pub(super) fn some_offset(&self, random: u64) -> Option<i64> {
        let readable: Vec<i64> = self.at.range(self.delete_requested..).map(|(offset, _)| *offset).collect();
        readable.get((random % readable.len().max(1) as u64) as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(next: i64) -> Reading {
        Reading {
            era: 0,
            next: Some(next),
            from: 0,
            life: 0,
            has_outlived_one: false,
            may_begin_again: false,
        }
    }

    /// One producer's records at the offsets from 0 on, all but the last acknowledged.
    fn partition(count: u64) -> Partition {
        let mut partition = Partition::default();
        for sequence in 0..count {
            partition.sent(Stamp { producer: 0, sequence }, Promise::Once);
        }
        for sequence in 0..count - 1 {
            let acknowledged = partition.acknowledged(sequence as i64, Stamp { producer: 0, sequence });
            assert_eq!(acknowledged, Ok(()));
        }
        partition
    }

    #[test]
    fn offsets_nobody_was_told_of_may_be_missing_after_a_power_loss() {
        let last = Stamp { producer: 0, sequence: 2 };
        assert!(partition(3).seen(&mut reading(2), 3, last).is_err(), "no power was lost");
        let mut partition = partition(3);
        partition.power_lost();
        assert!(partition.seen(&mut reading(1), 3, last).is_err(), "the one at 1 was acknowledged");
        assert_eq!(partition.seen(&mut reading(2), 3, last), Ok(()));
    }

    #[test]
    fn what_is_missing_once_is_missing_for_good() {
        let mut partition = partition(4);
        partition.power_lost();
        assert_eq!(partition.seen(&mut reading(3), 4, Stamp { producer: 0, sequence: 3 }), Ok(()));
        partition.sent(Stamp { producer: 1, sequence: 0 }, Promise::None);
        assert!(partition.holds(3, Stamp { producer: 1, sequence: 0 }).is_err());
    }
}
