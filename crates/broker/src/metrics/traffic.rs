//! Records in and out.

use std::sync::atomic::{AtomicU64, Ordering};

use super::exposition::{Kind, Page};

/// Counters of records. On cache lines of their own, because other threads count beside them.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Traffic {
    messages_in: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

/// What some counters said at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TrafficSample {
    pub(super) messages_in: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}

impl Traffic {
    pub(super) fn add_in(&self, records: u64, bytes: u64) {
        self.messages_in.fetch_add(records, Ordering::Relaxed);
        self.bytes_in.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn add_out(&self, bytes: u64) {
        self.bytes_out.fetch_add(bytes, Ordering::Relaxed);
    }

    fn sample(&self) -> TrafficSample {
        TrafficSample {
            messages_in: self.messages_in.load(Ordering::Relaxed),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
        }
    }
}

impl TrafficSample {
    /// The sum of several counters.
    pub(super) fn of<'t>(counters: impl IntoIterator<Item = &'t Traffic>) -> Self {
        counters.into_iter().map(Traffic::sample).fold(Self::default(), |sum, one| Self {
            messages_in: sum.messages_in + one.messages_in,
            bytes_in: sum.bytes_in + one.bytes_in,
            bytes_out: sum.bytes_out + one.bytes_out,
        })
    }
}

/// A counter, its name and its help.
type Field = (fn(&TrafficSample) -> u64, &'static str, &'static str);

const FIELDS: [Field; 3] = [
    (
        |it| it.messages_in,
        "kafka_server_brokertopicmetrics_messagesin_total",
        "Records appended for clients.",
    ),
    (
        |it| it.bytes_in,
        "kafka_server_brokertopicmetrics_bytesin_total",
        "Bytes of record batches appended for clients.",
    ),
    (
        |it| it.bytes_out,
        "kafka_server_brokertopicmetrics_bytesout_total",
        "Bytes of record batches sent to clients.",
    ),
];

/// Writes the sums of all topics without a label, and each topic's with its name.
pub(super) fn write(page: &mut Page, all: TrafficSample, topics: &[(&str, TrafficSample)]) {
    for (value, name, help) in FIELDS {
        let mut family = page.family(name, Kind::Counter, help);
        family.sample(&[], value(&all));
        for (topic, sample) in topics {
            family.sample(&[("topic", topic)], value(sample));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_a_topic_and_of_all_are_one_family() {
        let [one, two] = [Traffic::default(), Traffic::default()];
        one.add_in(3, 100);
        two.add_in(2, 50);
        two.add_out(70);
        let sum = TrafficSample::of([&one, &two]);
        assert_eq!(sum, TrafficSample { messages_in: 5, bytes_in: 150, bytes_out: 70 });
        let mut page = Page::default();
        write(&mut page, sum, &[("t", TrafficSample::of([&two]))]);
        assert_eq!(
            page.samples(),
            [
                "kafka_server_brokertopicmetrics_messagesin_total 5",
                "kafka_server_brokertopicmetrics_messagesin_total{topic=\"t\"} 2",
                "kafka_server_brokertopicmetrics_bytesin_total 150",
                "kafka_server_brokertopicmetrics_bytesin_total{topic=\"t\"} 50",
                "kafka_server_brokertopicmetrics_bytesout_total 70",
                "kafka_server_brokertopicmetrics_bytesout_total{topic=\"t\"} 70",
            ]
        );
    }
}
