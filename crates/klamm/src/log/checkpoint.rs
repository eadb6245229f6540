//! The small text files beside the data: offsets and epochs of partitions, identities, the quorum's state.

use std::path::Path;

use klamm_log::disk::{RealDisk, read_file};

use crate::failure::Failure;
use crate::log::findings::Report;
use crate::log::index::unreadable;

/// These files hold a line for each partition or epoch; larger ones are something else.
const SIZE_MAX: u64 = 64 * 1024 * 1024;

/// Prints the file; lines of offsets and epochs with the names of what they hold, everything else as it is.
pub(crate) fn dump(report: &mut Report, path: &Path) -> Result<(), Failure> {
    let content = read_file(&RealDisk, path, SIZE_MAX).map_err(|error| unreadable(path, &error))?;
    let Ok(text) = str::from_utf8(&content) else {
        return report.problem("this is no text");
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if !name.ends_with("-checkpoint") {
        return text.lines().try_for_each(|line| report.line(format!("  {line}")));
    }
    match entries(text) {
        Ok(entries) => entries.iter().try_for_each(|entry| report.line(format!("  {}", describe(entry)))),
        Err(problem) => report.problem(problem),
    }
}

/// The lines after version and count.
fn entries(text: &str) -> Result<Vec<&str>, String> {
    let mut lines = text.lines();
    match lines.next() {
        Some("0") => {}
        other => return Err(format!("the version is '{}', not 0", other.unwrap_or_default())),
    }
    let count = lines.next().unwrap_or_default();
    let entries: Vec<&str> = lines.collect();
    if count.parse() == Ok(entries.len()) {
        Ok(entries)
    } else {
        Err(format!("there should be {count} entries, but there are {}", entries.len()))
    }
}

/// `topic partition offset` or `epoch offset`.
fn describe(entry: &str) -> String {
    match entry.split(' ').collect::<Vec<_>>()[..] {
        [topic, partition, offset] => format!("{topic}-{partition}  offset {offset}"),
        [epoch, offset] => format!("epoch {epoch}  from offset {offset}"),
        _ => entry.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_follow_version_and_count() {
        assert_eq!(entries("0\n0\n"), Ok(vec![]));
        assert_eq!(entries("0\n2\na 0 5\nb 1 7\n"), Ok(vec!["a 0 5", "b 1 7"]));
        for wrong in ["", "1\n0\n", "0\n", "0\nx\n", "0\n2\na 0 5\n", "0\n1\na 0 5\nb 1 7\n"] {
            assert!(entries(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn entries_are_shown_with_names() {
        assert_eq!(describe("orders 3 42"), "orders-3  offset 42");
        assert_eq!(describe("5 42"), "epoch 5  from offset 42");
        assert_eq!(describe("what"), "what");
    }
}
