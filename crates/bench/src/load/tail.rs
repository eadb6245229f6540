//! A consumer at the end of one partition, who times how long records take to reach it.

use std::net::SocketAddr;

use klamm_records::batches;

use super::open_loop::{Latencies, Timetable};
use crate::failure::{Failure, Result};
use crate::wire::{Connection, FetchRange, Fetcher, Topic};

const RANGE: FetchRange = FetchRange { bytes_max: 1 << 20, wait_ms_max: 500 };

/// Follows partition 0 of a new topic until all requests of the timetable, one record each and in order, have come
/// out. The offset of a record is the number of its request.
pub(crate) fn follow(address: SocketAddr, topic: &Topic, timetable: Timetable) -> Result<Latencies> {
    let mut fetcher = Fetcher::new(Connection::open(address)?, topic, RANGE);
    let mut latencies = Latencies::new();
    let mut next = 0_i64;
    while next < i64::from(timetable.total) {
        let mut end = next;
        fetcher.fetch(&[(0, next)], |part| {
            for batch in batches(part.records) {
                let batch = batch.map_err(|error| Failure::Other(format!("a fetched batch: {error}")))?;
                end = end.max(batch.header().next_offset());
            }
            Ok(())
        })?;
        (next..end).for_each(|offset| timetable.record(offset as u32, &mut latencies));
        next = end;
    }
    Ok(latencies)
}
