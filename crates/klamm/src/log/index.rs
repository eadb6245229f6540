//! The indexes beside a segment: `.index`, `.timeindex`, `.txnindex`.

use std::io;

use klamm_log::TimestampOffset;
use klamm_log::disk::File;
use klamm_log::dump::{read_offset_index, read_time_index, read_transaction_index};

use crate::failure::Failure;
use crate::log::findings::Report;
use crate::time::format_time;

/// Prints an offset index.
pub(crate) fn dump_offsets(report: &mut Report, file: &dyn File, base_offset: i64) -> Result<(), Failure> {
    let entries = match read_offset_index(file, base_offset) {
        Ok(entries) => entries,
        Err(error) => return report.problem(error.to_string()),
    };
    entries
        .iter()
        .try_for_each(|entry| report.line(format!("  offset {}  at byte {}", entry.offset, entry.position)))
}

/// Prints a time index.
pub(crate) fn dump_times(report: &mut Report, file: &dyn File, base_offset: i64) -> Result<(), Failure> {
    let entries = match read_time_index(file, base_offset) {
        Ok(entries) => entries,
        Err(error) => return report.problem(error.to_string()),
    };
    let describe =
        |entry: &TimestampOffset| format!("  {}  offset {}", format_time(entry.timestamp), entry.offset);
    entries.iter().try_for_each(|entry| report.line(describe(entry)))
}

/// Prints the aborted transactions of a segment.
pub(crate) fn dump_aborted(report: &mut Report, file: &dyn File) -> Result<(), Failure> {
    let aborted = match read_transaction_index(file) {
        Ok(aborted) => aborted,
        Err(error) => return report.problem(error.to_string()),
    };
    for transaction in aborted {
        report.line(format!(
            "  producer {}  offsets {}-{} aborted  last stable offset {}",
            transaction.producer_id,
            transaction.first_offset,
            transaction.last_offset,
            transaction.last_stable_offset
        ))?;
    }
    Ok(())
}

/// The system's words for a file that cannot be read.
pub(crate) fn unreadable(path: &std::path::Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot read {}: {error}", path.display()))
}
