//! The indexes beside a segment: `.index`, `.timeindex`, `.txnindex`.

use std::io;

use klamm_log::disk::File;
use klamm_log::scan::Headers;
use klamm_log::{read_offset_index, read_time_index, read_transaction_index};

use crate::failure::Failure;
use crate::log::findings::Report;
use crate::time::format_time;

/// Prints an offset index; with the segment's file and size, checks that its entries point at batches.
pub(crate) fn dump_offsets(
    report: &mut Report,
    file: &dyn File,
    base_offset: i64,
    segment: Option<(&dyn File, u64)>,
) -> Result<(), Failure> {
    let entries = match read_offset_index(file, base_offset) {
        Ok(entries) => entries,
        Err(error) => return report.problem(error.to_string()),
    };
    for entry in entries {
        report.line(format!("  offset {}  at byte {}", entry.offset, entry.position))?;
        if let Some((log, size)) = segment
            && !is_batch_of(log, size, entry.position, entry.offset)
        {
            report.problem(format!(
                "no batch with offset {} begins at byte {}",
                entry.offset, entry.position
            ))?;
        }
    }
    Ok(())
}

fn is_batch_of(log: &dyn File, size: u64, position: u64, offset: i64) -> bool {
    let batch = Headers::new(log, position, size).next();
    batch.is_ok_and(|batch| {
        batch.is_some_and(|batch| (batch.base_offset..=batch.last_offset).contains(&offset))
    })
}

/// Prints a time index and checks that its entries ascend.
pub(crate) fn dump_times(report: &mut Report, file: &dyn File, base_offset: i64) -> Result<(), Failure> {
    let entries = match read_time_index(file, base_offset) {
        Ok(entries) => entries,
        Err(error) => return report.problem(error.to_string()),
    };
    let mut last = (i64::MIN, i64::MIN);
    for entry in entries {
        report.line(format!("  {}  offset {}", format_time(entry.timestamp), entry.offset))?;
        if entry.timestamp < last.0 || entry.offset < last.1 {
            report.problem("this entry is before the one above it")?;
        }
        last = (entry.timestamp, entry.offset);
    }
    Ok(())
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
