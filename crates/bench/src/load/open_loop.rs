//! An open loop: requests leave by a timetable, and each is timed from when it was meant to leave. A broker that
//! stalls is charged for all that would have been sent meanwhile (no coordinated omission).

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::event::{Timespec, epoll};

use crate::failure::{Failure, Result};
use crate::wire::{CORRELATION_AT, Connection, check_produced};

/// Nanoseconds a sleep may last longer than asked for.
const TIMER_SLACK_NS: NonZeroU64 = NonZeroU64::MIN;
const SILENCE_MAX: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };
const LATENCY_NS_MAX: u64 = 300_000_000_000;

/// Latencies in nanoseconds.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("bounds that a histogram can have"))
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(latency.as_nanos() as u64);
    }

    /// The latency in milliseconds that this share of requests, in percent, did not exceed.
    pub(crate) fn percentile_ms(&self, percent: f64) -> f64 {
        self.0.value_at_percentile(percent) as f64 / 1e6
    }
}

/// When each request is meant to leave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timetable {
    pub(crate) start: Instant,
    pub(crate) interval: Duration,
    /// The first requests, which warm the broker up and are not counted.
    pub(crate) warm_up: u32,
    /// All requests.
    pub(crate) total: u32,
}

impl Timetable {
    /// Begins in a moment.
    pub(crate) fn new(per_second: u32, warm_up: Duration, counted: Duration) -> Self {
        let requests = |time: Duration| (time.as_secs_f64() * f64::from(per_second)) as u32;
        Self {
            start: Instant::now() + Duration::from_millis(20),
            interval: Duration::from_secs(1) / per_second,
            warm_up: requests(warm_up),
            total: requests(warm_up + counted),
        }
    }

    fn due(&self, request: u32) -> Instant {
        self.start + self.interval * request
    }

    /// Notes that this request's effect is there, unless it belongs to the warm-up.
    pub(crate) fn record(&self, request: u32, latencies: &mut Latencies) {
        if request >= self.warm_up {
            latencies.record(self.due(request).elapsed());
        }
    }
}

/// A connection of an open loop, and the requests that go over it in turn.
pub(crate) struct Lane {
    pub(crate) address: SocketAddr,
    pub(crate) frames: Vec<Vec<u8>>,
}

/// Produce requests of one batch each, over the lanes in turn.
pub(crate) struct OpenLoop {
    pub(crate) lanes: Vec<Lane>,
}

impl OpenLoop {
    /// Requests over so many connections to one broker in turn.
    pub(crate) fn spread(address: SocketAddr, frames: Vec<Vec<u8>>, connections: usize) -> Self {
        let mut lanes: Vec<Lane> = (0..connections).map(|_| Lane { address, frames: Vec::new() }).collect();
        for (at, frame) in frames.iter().cycle().take(frames.len().max(connections)).enumerate() {
            lanes[at % connections].frames.push(frame.clone());
        }
        Self { lanes }
    }

    /// Sends all requests of the timetable, and takes the time of each answer.
    pub(crate) fn run(self, timetable: Timetable) -> Result<Latencies> {
        let open = |lane: &Lane| Connection::open(lane.address);
        let mut connections = self.lanes.iter().map(open).collect::<Result<Vec<_>>>()?;
        let streams = connections.iter().map(|connection| connection.stream().try_clone());
        let streams = streams.collect::<std::io::Result<Vec<_>>>()?;
        thread::scope(|scope| {
            let sender = scope.spawn(move || send_all(self.lanes, streams, timetable));
            let latencies = receive_all(&mut connections, timetable);
            sender.join().map_err(|_| Failure::Other("the sender panicked".to_owned()))??;
            latencies
        })
    }
}

/// The number of a request is its correlation id, so the receiver knows when it was due.
fn send_all(mut lanes: Vec<Lane>, mut streams: Vec<TcpStream>, timetable: Timetable) -> Result<()> {
    rustix::thread::set_current_timer_slack(Some(TIMER_SLACK_NS)).map_err(std::io::Error::from)?;
    for request in 0..timetable.total {
        let (round, lane) = (request as usize / lanes.len(), request as usize % lanes.len());
        let frames = &mut lanes[lane].frames;
        let frames_len = frames.len();
        let frame = &mut frames[round % frames_len];
        frame[CORRELATION_AT..CORRELATION_AT + 4].copy_from_slice(&request.to_be_bytes());
        thread::sleep(timetable.due(request).saturating_duration_since(Instant::now()));
        streams[lane].write_all(frame)?;
    }
    Ok(())
}

fn receive_all(connections: &mut [Connection], timetable: Timetable) -> Result<Latencies> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(std::io::Error::from)?;
    for (index, connection) in connections.iter().enumerate() {
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&poll, connection.stream(), data, epoll::EventFlags::IN).map_err(std::io::Error::from)?;
    }
    let mut latencies = Latencies::new();
    let mut events = Vec::with_capacity(connections.len());
    let mut awaited = timetable.total;
    while awaited > 0 {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), Some(&SILENCE_MAX))
            .map_err(std::io::Error::from)?;
        if events.is_empty() {
            return Err(Failure::Other(format!("{awaited} requests were not answered")));
        }
        for event in &events {
            awaited -= take_answers(&mut connections[event.data.u64() as usize], &timetable, &mut latencies)?;
        }
    }
    Ok(latencies)
}

fn take_answers(
    connection: &mut Connection,
    timetable: &Timetable,
    latencies: &mut Latencies,
) -> Result<u32> {
    connection.take_in()?;
    let mut taken = 0;
    while let Some(answer) = connection.received()? {
        let correlation = answer.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        let request = correlation.ok_or_else(|| Failure::Other("an answer without a header".to_owned()))?;
        timetable.record(request, latencies);
        check_produced(answer)?;
        taken += 1;
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_counts_from_the_intended_time() {
        let start = Instant::now() - Duration::from_secs(2);
        let timetable = Timetable { start, interval: Duration::from_millis(10), warm_up: 1, total: 3 };
        let mut latencies = Latencies::new();
        for request in 0..3 {
            timetable.record(request, &mut latencies);
        }
        assert_eq!(latencies.0.len(), 2, "the first one is warm-up");
        assert!(latencies.percentile_ms(100.0) >= 1990.0, "the second was due 1.99 s ago");
        assert!(latencies.percentile_ms(0.0) >= 1970.0, "so was the third, but 10 ms");
    }
}
