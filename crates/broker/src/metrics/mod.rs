//! What an operator sees: counters of requests and traffic, gauges of state, and two answers on health, over HTTP.
//!
//! Requests are counted in a few relaxed atomic additions on counters of the thread they are handled on, found by index:
//! no lock, no look-up by label, no allocation. Everything else is read from where it lives when somebody asks, on a helper
//! thread. Names and labels are those that Kafka's JMX metrics get from the usual exporter configuration, so dashboards
//! keep working; `docs/metrics.md` lists them.
//!
//! Invariants:
//! - Counters never go back while the process lives, except those of a topic that is deleted.
//! - The series that grow with topics, partitions or groups are bounded ([`crate::limits`]), and what is left out is counted.

mod cluster;
mod exposition;
mod groups;
mod health;
mod http;
mod latency;
mod partitions;
mod process;
mod quorum;
mod requests;
mod scrape;
mod server;
mod traffic;

use std::time::Duration;

use klamm_protocol::{ApiKey, ErrorCode};

pub(crate) use server::serve;
pub(crate) use traffic::Traffic;

use requests::RequestCounters;

/// All counters of a broker.
pub(crate) struct Metrics {
    requests: RequestCounters,
    /// Of all topics together, by thread.
    traffic: Box<[Traffic]>,
    started_ms: i64,
}

impl Metrics {
    /// Counters that `threads` threads can use without getting in each other's way; more threads share them.
    pub(crate) fn new(threads: usize, started_ms: i64) -> Self {
        let threads = threads.max(1);
        let traffic = (0..threads).map(|_| Traffic::default()).collect();
        Self { requests: RequestCounters::new(threads), traffic, started_ms }
    }

    /// A request has arrived.
    pub(crate) fn received(&self, api: ApiKey, version: i16) {
        self.requests.received(thread_number(), api, version);
    }

    /// A request has its answer, which reports `error_codes`, this long after it arrived.
    pub(crate) fn answered(&self, api: ApiKey, elapsed: Duration, error_codes: &[ErrorCode]) {
        self.requests.answered(thread_number(), api, elapsed);
        self.requests.failed(api, error_codes);
    }

    /// Records were appended to a partition whose counters are `partition`.
    pub(crate) fn produced(&self, partition: &Traffic, records: u64, bytes: u64) {
        partition.add_in(records, bytes);
        self.traffic[thread_number() % self.traffic.len()].add_in(records, bytes);
    }

    /// Records of a partition whose counters are `partition` are on their way to a consumer.
    pub(crate) fn fetched(&self, partition: &Traffic, bytes: u64) {
        partition.add_out(bytes);
        self.traffic[thread_number() % self.traffic.len()].add_out(bytes);
    }
}

/// The current thread's number, counted from 0 in the order in which threads first ask.
fn thread_number() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}
