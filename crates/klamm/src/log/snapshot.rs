//! Producer snapshots: `.snapshot` files.

use std::path::Path;

use klamm_log::ProducerState;
use klamm_log::disk::{RealDisk, read_file};
use klamm_log::dump::read_snapshot;

use crate::failure::Failure;
use crate::log::findings::Report;
use crate::log::index::unreadable;
use crate::time::format_time;

/// A producer takes a few dozen bytes; larger files are something else.
const SIZE_MAX: u64 = 1024 * 1024 * 1024;

/// Prints the producers that the partition remembered at the offset in the file's name.
pub(crate) fn dump(report: &mut Report, path: &Path) -> Result<(), Failure> {
    let bytes = read_file(&RealDisk, path, SIZE_MAX).map_err(|error| unreadable(path, &error))?;
    match read_snapshot(&bytes) {
        Ok(producers) => producers.iter().try_for_each(|producer| report.line(describe(producer))),
        Err(problem) => report.problem(problem),
    }
}

fn describe(producer: &ProducerState) -> String {
    let transaction = match producer.current_transaction_start {
        Some(offset) => format!("  transaction open since offset {offset}"),
        None => String::new(),
    };
    format!(
        "  producer {} epoch {}  last sequence {}  last offset {}  {}  coordinator epoch {}{transaction}",
        producer.producer_id,
        producer.producer_epoch,
        producer.last_sequence(),
        producer.last_offset(),
        format_time(producer.last_timestamp),
        producer.coordinator_epoch
    )
}
