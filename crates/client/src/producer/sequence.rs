//! Sequence numbers of an idempotent producer on one partition: sans-IO.
//!
//! The broker takes batches of a producer only in the order of their sequence numbers, and knows the last five
//! again. So a batch keeps its number through all retries, and the numbers of a partition may have no hole.
//! A batch that is given up leaves one; then the partition starts over at 0 under the next epoch, once it is known
//! of every numbered batch whether it is in the log: one that is, under another number, would be there twice.
//!
//! Invariants:
//! - `outstanding` holds the first numbers of all batches numbered but not yet acknowledged, in order.
//! - While `broken`, no new number is given out.

use std::collections::VecDeque;

/// A producer's identity as InitProducerId gave it, or with an epoch raised since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProducerIdentity {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

/// What a numbered batch carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub(crate) identity: ProducerIdentity,
    pub(crate) first: i32,
}

/// One partition's numbering.
#[derive(Debug, Default)]
pub(crate) struct Sequences {
    identity: Option<ProducerIdentity>,
    next: i32,
    outstanding: VecDeque<i32>,
    broken: bool,
}

impl Sequences {
    /// Numbers a batch of `count` records, or `None` while the partition waits to start over.
    pub(crate) fn assign(&mut self, current: ProducerIdentity, count: i32) -> Option<Sequence> {
        if self.broken {
            return None;
        }
        let identity = *self.identity.get_or_insert(current);
        let first = self.next;
        self.next = klamm_records::increment_sequence(first, count);
        self.outstanding.push_back(first);
        Some(Sequence { identity, first })
    }

    /// The batch is in the log.
    pub(crate) fn acknowledged(&mut self, sequence: Sequence) {
        self.forget(sequence);
    }

    /// The batch will not come under these numbers: they are a hole.
    pub(crate) fn given_up(&mut self, sequence: Sequence) {
        if self.forget(sequence) {
            self.broken = true;
        }
    }

    /// Whether no earlier batch is undecided, so that an error about its number is about itself.
    pub(crate) fn is_first_outstanding(&self, sequence: Sequence) -> bool {
        self.identity == Some(sequence.identity) && self.outstanding.front() == Some(&sequence.first)
    }

    /// Whether the partition must start over before it can number a batch.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Starts over at 0 with nothing in flight. `None` if the epochs of this producer id are used up: the
    /// partition then takes the next identity it is given.
    pub(crate) fn start_over(&mut self) -> Option<ProducerIdentity> {
        self.next = 0;
        self.outstanding.clear();
        self.broken = false;
        self.identity = self.identity.and_then(|identity| {
            let epoch = identity.epoch.checked_add(1).filter(|epoch| *epoch < i16::MAX)?;
            Some(ProducerIdentity { epoch, ..identity })
        });
        self.identity
    }

    fn forget(&mut self, sequence: Sequence) -> bool {
        let ours = self.identity == Some(sequence.identity);
        let at = self.outstanding.iter().position(|first| *first == sequence.first);
        at.filter(|_| ours).and_then(|at| self.outstanding.remove(at)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCER: ProducerIdentity = ProducerIdentity { id: 7, epoch: 0 };

    #[test]
    fn numbers_follow_the_record_counts() {
        let mut sequences = Sequences::default();
        let firsts: Vec<_> = [3, 1, 5]
            .iter()
            .filter_map(|count| sequences.assign(PRODUCER, *count))
            .map(|s| s.first)
            .collect();
        assert_eq!(firsts, [0, 3, 4]);
    }

    #[test]
    fn numbers_wrap_after_the_largest() {
        let mut sequences = Sequences { next: i32::MAX, ..Sequences::default() };
        assert_eq!(sequences.assign(PRODUCER, 2).map(|s| s.first), Some(i32::MAX));
        assert_eq!(sequences.assign(PRODUCER, 1).map(|s| s.first), Some(1));
    }

    #[test]
    fn a_hole_stops_numbering_until_the_next_epoch() {
        let mut sequences = Sequences::default();
        let first = sequences.assign(PRODUCER, 1).expect("numbered");
        let second = sequences.assign(PRODUCER, 1).expect("numbered");
        assert!(sequences.is_first_outstanding(first) && !sequences.is_first_outstanding(second));
        sequences.given_up(first);
        assert_eq!(sequences.assign(PRODUCER, 1), None);
        sequences.acknowledged(second);
        assert_eq!(sequences.start_over(), Some(ProducerIdentity { id: 7, epoch: 1 }));
        let again = sequences.assign(PRODUCER, 1).expect("numbered");
        assert_eq!((again.first, again.identity.epoch), (0, 1));
        sequences.given_up(second);
        assert!(!sequences.is_broken(), "a batch of an older epoch leaves no hole in this one");
    }

    #[test]
    fn used_up_epochs_need_a_new_identity() {
        let last = ProducerIdentity { id: 7, epoch: i16::MAX - 1 };
        let mut sequences = Sequences::default();
        let batch = sequences.assign(last, 1).expect("numbered");
        sequences.given_up(batch);
        assert_eq!(sequences.start_over(), None);
        let fresh = ProducerIdentity { id: 8, epoch: 0 };
        assert_eq!(sequences.assign(fresh, 1).map(|s| s.identity), Some(fresh));
    }
}
