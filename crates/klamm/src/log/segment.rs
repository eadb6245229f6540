//! Files of record batches: `.log` segments, and the metadata's `.checkpoint` snapshots.

use klamm_log::disk::File;
use klamm_log::dump::{BatchEntry, Batches, Headers, ScanError};
use klamm_records::{
    AnyBatch, BatchHeader, Compression, DecompressLimits, NO_PRODUCER_ID, NO_SEQUENCE, Record, Records,
    TimestampType,
};

use crate::failure::Failure;
use crate::log::findings::Report;
use crate::log::record_text::{Contents, describe_control, plain};
use crate::time::format_time;

/// How deep to look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Depth {
    /// Print the records.
    pub(crate) records: bool,
    /// Check checksums and every record.
    pub(crate) verify: bool,
    pub(crate) contents: Contents,
}

/// Prints the batches of a file whose name says that it begins at `base_offset`.
pub(crate) fn dump(
    report: &mut Report,
    file: &dyn File,
    size: u64,
    base_offset: i64,
    depth: Depth,
) -> Result<(), Failure> {
    let mut expected_offset = base_offset;
    let walked = if depth.records || depth.verify {
        dump_batches(report, file, size, &mut expected_offset, depth)?
    } else {
        dump_headers(report, file, size, &mut expected_offset)?
    };
    match walked {
        Ok(()) => Ok(()),
        Err(error) => report.problem(error.to_string()),
    }
}

type Walked = Result<(), ScanError>;

fn dump_headers(
    report: &mut Report,
    file: &dyn File,
    size: u64,
    expected: &mut i64,
) -> Result<Walked, Failure> {
    let mut headers = Headers::new(file, 0, size);
    loop {
        match headers.next_batch() {
            Ok(None) => return Ok(Ok(())),
            Ok(Some(entry)) => dump_entry(report, &entry, expected)?,
            Err(error) => return Ok(Err(error)),
        }
    }
}

fn dump_batches(
    report: &mut Report,
    file: &dyn File,
    size: u64,
    expected: &mut i64,
    depth: Depth,
) -> Result<Walked, Failure> {
    let mut batches = Batches::new(file, 0, size);
    loop {
        match batches.next_batch() {
            Ok(None) => return Ok(Ok(())),
            Ok(Some((entry, bytes))) => {
                dump_entry(report, &entry, expected)?;
                dump_records(report, &entry, bytes, depth)?;
            }
            Err(error) => return Ok(Err(error)),
        }
    }
}

fn dump_entry(report: &mut Report, entry: &BatchEntry, expected: &mut i64) -> Result<(), Failure> {
    report.line(format!("  {}", describe_entry(entry)))?;
    if entry.base_offset < *expected {
        report.problem(format!("offset {} comes after offset {}", entry.base_offset, *expected - 1))?;
    }
    *expected = entry.next_offset();
    Ok(())
}

/// One line about a batch.
fn describe_entry(entry: &BatchEntry) -> String {
    let place = format!(
        "{}  at byte {}  {} bytes  {}",
        offsets(entry.base_offset, entry.last_offset),
        entry.position,
        entry.size,
        format_time(entry.max_timestamp)
    );
    match &entry.header {
        Some(header) => format!("{place}{}", describe_header(header)),
        None => format!("{place}  format before v2"),
    }
}

fn offsets(first: i64, last: i64) -> String {
    if first == last { format!("offset {first}") } else { format!("offsets {first}-{last}") }
}

/// What a line says of a header beyond its place; what is usual is not mentioned.
fn describe_header(header: &BatchHeader) -> String {
    let attributes = header.attributes;
    let codec = match attributes.compression() {
        Some(Compression::None) => String::new(),
        Some(codec) => format!("  {codec}"),
        None => format!("  unknown codec {}", attributes.compression_id()),
    };
    let producer = match header.producer_id {
        NO_PRODUCER_ID => String::new(),
        id if header.base_sequence == NO_SEQUENCE => {
            format!("  producer {id} epoch {}", header.producer_epoch)
        }
        id => format!(
            "  producer {id} epoch {} sequences {}-{}",
            header.producer_epoch,
            header.base_sequence,
            header.last_sequence()
        ),
    };
    let flags = [
        (attributes.timestamp_type() == TimestampType::LogAppendTime, "  log append time"),
        (attributes.is_transactional(), "  transactional"),
        (attributes.is_control(), "  control"),
        (attributes.has_delete_horizon(), "  delete horizon"),
    ];
    let flags: String = flags.into_iter().filter_map(|(set, name)| set.then_some(name)).collect();
    format!(
        "  {} records  leader epoch {}{codec}{producer}{flags}",
        header.count, header.partition_leader_epoch
    )
}

/// Reads all records, printing them where asked to.
fn dump_records(report: &mut Report, entry: &BatchEntry, bytes: &[u8], depth: Depth) -> Result<(), Failure> {
    let is_control = entry.header.is_some_and(|header| header.attributes.is_control());
    let mut records = match checked_records(bytes) {
        Ok(records) => records,
        Err(problem) => return report.problem(problem),
    };
    loop {
        match records.next_record() {
            Ok(None) => return Ok(()),
            Ok(Some(record)) if depth.records => {
                report.line(describe_record(&record, is_control, depth.contents))?;
            }
            Ok(Some(_)) => {}
            Err(error) => return report.problem(error.to_string()),
        }
    }
}

/// The records of a batch of any format whose checksum is right.
fn checked_records(bytes: &[u8]) -> Result<Records<'_>, String> {
    let batch = AnyBatch::parse(bytes).map_err(|error| error.to_string())?;
    batch.check_crc().map_err(|error| error.to_string())?;
    batch.records(DecompressLimits::default()).map_err(|error| error.to_string())
}

fn describe_record(record: &Record<'_>, is_control: bool, contents: Contents) -> String {
    let body = match is_control {
        true => describe_control(record.key, record.value),
        false => contents.describe(record.key, record.value),
    };
    let headers: Vec<String> =
        record.headers.map(|header| format!("{}={}", header.key_str(), plain(header.value))).collect();
    let headers = if headers.is_empty() { String::new() } else { format!("  headers {}", headers.join(",")) };
    format!("    {}  {}  {body}{headers}", record.offset, format_time(record.timestamp))
}
