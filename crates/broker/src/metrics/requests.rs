//! Requests by API: how many, how long they took, how they failed.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use klamm_protocol::{ApiKey, ErrorCode};

use super::exposition::{Kind, Page};
use super::latency::{Latency, LatencySample};

/// Error codes of which an API's counters have room, from −1 on; more than Kafka has.
const ERROR_CODES: usize = 256;

/// Counters of requests.
pub(super) struct RequestCounters {
    threads: Box<[ThreadCounters]>,
    /// Where in a thread's `received` an API's lowest version is, by API key.
    first_slots: Box<[usize]>,
    /// By API key, then by error code; made when the API first fails.
    errors: Box<[OnceLock<Box<[AtomicU64]>>]>,
}

/// What one thread counts.
struct ThreadCounters {
    /// By API and version.
    received: Box<[AtomicU64]>,
    /// By API key.
    latency: Box<[Latency]>,
}

impl RequestCounters {
    pub(super) fn new(threads: usize) -> Self {
        let keys = ApiKey::ALL.iter().map(|api| slot(*api) + 1).max().unwrap_or(0);
        let mut first_slots = vec![0; keys];
        let mut slots = 0;
        for api in ApiKey::ALL {
            first_slots[slot(*api)] = slots;
            slots += versions(*api).count();
        }
        let counters = || ThreadCounters {
            received: (0..slots).map(|_| AtomicU64::new(0)).collect(),
            latency: (0..keys).map(|_| Latency::default()).collect(),
        };
        Self {
            threads: (0..threads).map(|_| counters()).collect(),
            first_slots: first_slots.into(),
            errors: (0..keys).map(|_| OnceLock::new()).collect(),
        }
    }

    /// A version that does not exist counts as the nearest.
    pub(super) fn received(&self, thread: usize, api: ApiKey, version: i16) {
        let range = api.versions();
        let at = self.first_slots[slot(api)] + (version.clamp(range.min, range.max) - range.min) as usize;
        self.thread(thread).received[at].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn answered(&self, thread: usize, api: ApiKey, elapsed: Duration) {
        self.thread(thread).latency[slot(api)].record(elapsed);
    }

    pub(super) fn failed(&self, api: ApiKey, error_codes: &[ErrorCode]) {
        if error_codes.is_empty() {
            return;
        }
        let counters =
            self.errors[slot(api)].get_or_init(|| (0..ERROR_CODES).map(|_| AtomicU64::new(0)).collect());
        for code in error_codes {
            if let Some(counter) = usize::try_from(i32::from(code.0) + 1).ok().and_then(|at| counters.get(at))
            {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn thread(&self, number: usize) -> &ThreadCounters {
        &self.threads[number % self.threads.len()]
    }

    /// Writes all that is not zero.
    pub(super) fn write(&self, page: &mut Page) {
        self.write_received(page);
        self.write_latency(page);
        self.write_errors(page);
    }

    fn write_received(&self, page: &mut Page) {
        let name = "kafka_network_requestmetrics_requests_total";
        let mut family = page.family(name, Kind::Counter, "Requests received, by API and version.");
        for api in ApiKey::ALL {
            for (at, version) in (self.first_slots[slot(*api)]..).zip(versions(*api)) {
                let count: u64 =
                    self.threads.iter().map(|thread| thread.received[at].load(Ordering::Relaxed)).sum();
                if count > 0 {
                    family.sample(&[("request", api.name()), ("version", &version.to_string())], count);
                }
            }
        }
    }

    fn write_latency(&self, page: &mut Page) {
        let name = "kafka_network_requestmetrics_totaltimems";
        let help = "Milliseconds from a request's arrival to its answer, waiting included.";
        let mut family = page.family(name, Kind::Histogram, help);
        for api in ApiKey::ALL {
            let sample = LatencySample::of(self.threads.iter().map(|thread| &thread.latency[slot(*api)]));
            if sample.count() == 0 {
                continue;
            }
            let request = ("request", api.name());
            for (bound_ms, count) in sample.cumulative() {
                family.sample_of("_bucket", &[request, ("le", &bound_ms.to_string())], count);
            }
            family.sample_of("_bucket", &[request, ("le", "+Inf")], sample.count());
            family.sample_of("_sum", &[request], sample.sum_ms());
            family.sample_of("_count", &[request], sample.count());
        }
    }

    fn write_errors(&self, page: &mut Page) {
        let name = "kafka_network_requestmetrics_errors_total";
        let mut family =
            page.family(name, Kind::Counter, "Errors in answers, by API; one answer may hold several.");
        for api in ApiKey::ALL {
            let counters = self.errors[slot(*api)].get().into_iter().flatten();
            for (code, counter) in (-1..).zip(counters) {
                let count = counter.load(Ordering::Relaxed);
                if count > 0 {
                    family.sample(&[("request", api.name()), ("error", &ErrorCode(code).to_string())], count);
                }
            }
        }
    }
}

fn slot(api: ApiKey) -> usize {
    api.as_i16() as usize
}

fn versions(api: ApiKey) -> impl Iterator<Item = i16> {
    let range = api.versions();
    range.min..=range.max
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(counters: &RequestCounters) -> Vec<String> {
        let mut page = Page::default();
        counters.write(&mut page);
        page.samples().into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn nothing_is_shown_of_what_never_happened() {
        assert_eq!(samples(&RequestCounters::new(2)), [""; 0]);
    }

    #[test]
    fn requests_count_by_api_and_version_over_all_threads() {
        let counters = RequestCounters::new(2);
        for (thread, api, version) in [
            (0, ApiKey::Produce, 9),
            (1, ApiKey::Produce, 9),
            (7, ApiKey::Produce, 13),
            (0, ApiKey::ApiVersions, 99),
            (0, ApiKey::Fetch, -1),
        ] {
            counters.received(thread, api, version);
        }
        let requests = |api, version, count| {
            format!(
                "kafka_network_requestmetrics_requests_total{{request=\"{api}\",version=\"{version}\"}} {count}"
            )
        };
        let newest = ApiKey::ApiVersions.versions().max;
        assert_eq!(
            samples(&counters),
            [
                requests("Produce", 9, 2),
                requests("Produce", 13, 1),
                requests("Fetch", 4, 1),
                requests("ApiVersions", newest, 1),
            ]
        );
    }

    #[test]
    fn every_version_of_every_api_has_a_counter_of_its_own() {
        let counters = RequestCounters::new(1);
        let all: Vec<_> =
            ApiKey::ALL.iter().flat_map(|api| versions(*api).map(move |version| (*api, version))).collect();
        all.iter().for_each(|(api, version)| counters.received(0, *api, *version));
        let samples = samples(&counters);
        assert_eq!(samples.len(), all.len());
        assert!(samples.iter().all(|sample| sample.ends_with(" 1")));
    }

    #[test]
    fn latencies_are_histograms() {
        let counters = RequestCounters::new(2);
        counters.answered(0, ApiKey::Fetch, Duration::from_micros(50));
        counters.answered(1, ApiKey::Fetch, Duration::from_micros(950));
        let samples = samples(&counters);
        assert_eq!(samples.len(), 24);
        for line in [
            "kafka_network_requestmetrics_totaltimems_bucket{request=\"Fetch\",le=\"0.032\"} 0",
            "kafka_network_requestmetrics_totaltimems_bucket{request=\"Fetch\",le=\"0.064\"} 1",
            "kafka_network_requestmetrics_totaltimems_bucket{request=\"Fetch\",le=\"1.024\"} 2",
            "kafka_network_requestmetrics_totaltimems_bucket{request=\"Fetch\",le=\"+Inf\"} 2",
            "kafka_network_requestmetrics_totaltimems_sum{request=\"Fetch\"} 1",
            "kafka_network_requestmetrics_totaltimems_count{request=\"Fetch\"} 2",
        ] {
            assert!(samples.iter().any(|sample| sample == line), "{line} in {samples:#?}");
        }
    }

    #[test]
    fn errors_count_by_api_and_code() {
        let counters = RequestCounters::new(1);
        let codes =
            [ErrorCode::INVALID_TIMESTAMP, ErrorCode(-1), ErrorCode::INVALID_TIMESTAMP, ErrorCode(i16::MAX)];
        counters.failed(ApiKey::Produce, &codes);
        counters.failed(ApiKey::Fetch, &[]);
        assert_eq!(
            samples(&counters),
            [
                "kafka_network_requestmetrics_errors_total{request=\"Produce\",error=\"UNKNOWN_SERVER_ERROR\"} 1",
                "kafka_network_requestmetrics_errors_total{request=\"Produce\",error=\"INVALID_TIMESTAMP\"} 2",
            ]
        );
    }
}
