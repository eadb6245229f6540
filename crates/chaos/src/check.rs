//! Whether a history keeps Kafka's promises.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::history::{History, Number, Placed};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Violation {
    /// Acknowledged, and not there.
    Lost { partition: i32, placed: Placed },
    /// There twice.
    Twice { partition: i32, number: Number, offsets: (i64, i64) },
    /// Behind a record that its producer sent later.
    OutOfOrder { partition: i32, before: Placed, after: Placed },
    /// Seen by a consumer, and no longer there.
    Unseen { partition: i32, placed: Placed },
    /// There, and not seen by the consumer that read along.
    NotDelivered { partition: i32, placed: Placed },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = |number: &Number| format!("record {} of producer {}", number.sequence, number.producer);
        match self {
            Self::Lost { partition, placed } => {
                let (record, offset) = (record(&placed.number), placed.offset);
                write!(f, "lost: {record} was acknowledged at offset {offset} of partition {partition}")
            }
            Self::Twice { partition, number, offsets: (first, second) } => {
                write!(
                    f,
                    "twice: {} is at offsets {first} and {second} of partition {partition}",
                    record(number)
                )
            }
            Self::OutOfOrder { partition, before, after } => {
                let (first, second) = (record(&before.number), record(&after.number));
                write!(
                    f,
                    "out of order: {second} follows {first} at offset {} of partition {partition}",
                    after.offset
                )
            }
            Self::Unseen { partition, placed } => {
                let (record, offset) = (record(&placed.number), placed.offset);
                write!(f, "taken back: a consumer saw {record} at offset {offset} of partition {partition}")
            }
            Self::NotDelivered { partition, placed } => {
                let (record, offset) = (record(&placed.number), placed.offset);
                write!(
                    f,
                    "not delivered: the consumer missed {record} at offset {offset} of partition {partition}"
                )
            }
        }
    }
}

/// Everything that is wrong with the history, by partition.
pub(crate) fn check(history: &History) -> Vec<Violation> {
    let partitions: BTreeSet<i32> = [&history.acknowledged, &history.tailed, &history.stored]
        .into_iter()
        .flat_map(|part| part.keys().copied())
        .collect();
    partitions.into_iter().flat_map(|partition| check_partition(history, partition)).collect()
}

fn check_partition(history: &History, partition: i32) -> Vec<Violation> {
    let of = |part: &BTreeMap<i32, Vec<Placed>>| part.get(&partition).cloned().unwrap_or_default();
    let (acknowledged, tailed, stored) =
        (of(&history.acknowledged), of(&history.tailed), of(&history.stored));
    let by_offset: BTreeMap<i64, Number> = stored.iter().map(|p| (p.offset, p.number)).collect();
    let seen: BTreeMap<i64, Number> = tailed.iter().map(|p| (p.offset, p.number)).collect();
    let lacks =
        |there: &BTreeMap<i64, Number>, placed: &Placed| there.get(&placed.offset) != Some(&placed.number);

    let lost = acknowledged.iter().filter(|placed| lacks(&by_offset, placed));
    let lost = lost.map(|placed| Violation::Lost { partition, placed: *placed });
    let unseen = tailed.iter().filter(|placed| lacks(&by_offset, placed));
    let unseen = unseen.map(|placed| Violation::Unseen { partition, placed: *placed });
    let missed = stored.iter().filter(|placed| lacks(&seen, placed));
    let missed = missed.map(|placed| Violation::NotDelivered { partition, placed: *placed });
    lost.chain(unseen).chain(missed).chain(check_sequences(partition, &stored)).collect()
}

fn check_sequences(partition: i32, stored: &[Placed]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut offsets: BTreeMap<Number, i64> = BTreeMap::new();
    let mut last: BTreeMap<u8, Placed> = BTreeMap::new();
    for placed in stored {
        let number = placed.number;
        if let Some(first) = offsets.insert(number, placed.offset) {
            violations.push(Violation::Twice { partition, number, offsets: (first, placed.offset) });
            continue;
        }
        match last.insert(number.producer, *placed) {
            Some(before) if before.number.sequence > number.sequence => {
                violations.push(Violation::OutOfOrder { partition, before, after: *placed });
            }
            _ => {}
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(offset: i64, producer: u8, sequence: u64) -> Placed {
        Placed { offset, number: Number { producer, sequence } }
    }

    fn history(acknowledged: &[Placed], tailed: &[Placed], stored: &[Placed]) -> History {
        let one = |records: &[Placed]| BTreeMap::from([(0, records.to_vec())]);
        History { acknowledged: one(acknowledged), tailed: one(tailed), stored: one(stored) }
    }

    #[test]
    fn a_clean_history_has_nothing_to_say() {
        // The record at offset 1 was never acknowledged, and may be there or not.
        let stored = [placed(0, 1, 1), placed(1, 2, 1), placed(3, 1, 4)];
        assert_eq!(check(&history(&[stored[0], stored[2]], &stored, &stored)), []);
    }

    #[test]
    fn each_broken_promise_is_named() {
        let (a, b, c) = (placed(0, 1, 1), placed(1, 1, 2), placed(2, 1, 3));
        let table = [
            (history(&[a, b], &[a], &[a]), Violation::Lost { partition: 0, placed: b }),
            (history(&[a], &[a, b], &[a]), Violation::Unseen { partition: 0, placed: b }),
            (history(&[a], &[a], &[a, b]), Violation::NotDelivered { partition: 0, placed: b }),
        ];
        for (history, violation) in table {
            assert_eq!(check(&history), [violation]);
        }
        let again = placed(2, 1, 1);
        let twice = [a, b, again];
        let expected = Violation::Twice { partition: 0, number: a.number, offsets: (0, 2) };
        assert_eq!(check(&history(&[], &twice, &twice)), [expected]);
        let swapped = [placed(0, 1, 3), placed(1, 1, 2)];
        let expected = Violation::OutOfOrder { partition: 0, before: swapped[0], after: swapped[1] };
        assert_eq!(check(&history(&[], &swapped, &swapped)), [expected]);
        assert!(check(&history(&[c], &[c], &[placed(2, 1, 9)])).len() > 1, "another record took its place");
    }
}
