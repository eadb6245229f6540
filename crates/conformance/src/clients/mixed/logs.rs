//! Replicas of a partition, byte by byte.

use std::fs;
use std::path::Path;

use crate::check::{Fault, Verdict, expect};

/// The bytes of a log, its segments one after another; what a rolled segment's name says is in its batches too.
pub(super) fn log(folder: &Path) -> Verdict<Vec<u8>> {
    let mut segments: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    segments.retain(|file| file.file_name().to_string_lossy().ends_with(".log"));
    segments.sort_by_key(fs::DirEntry::file_name);
    let mut bytes = Vec::new();
    for segment in segments {
        bytes.extend(fs::read(segment.path())?);
    }
    Ok(bytes)
}

/// Passes if the replicas are the same to the last byte, of which it gives the number.
pub(super) fn expect_equal_replicas(partition: &str, folders: &[&Path]) -> Verdict<usize> {
    let logs = folders.iter().map(|folder| log(&folder.join(partition))).collect::<Verdict<Vec<_>>>()?;
    let Some((first, others)) = logs.split_first() else { return Ok(0) };
    for (folder, other) in folders[1..].iter().zip(others) {
        let differs = first.iter().zip(other).position(|(a, b)| a != b);
        expect(first == other, &format!("replicas of {partition} with equal bytes"), || {
            let lengths = format!("{} and {} bytes", first.len(), other.len());
            format!("{}: {lengths}, different from byte {differs:?} on", folder.display())
        })?;
    }
    Ok(first.len())
}

/// Passes if one log begins with all of the other: a metadata log's last batches may not have come everywhere yet.
pub(super) fn expect_common_front(what: &str, one: &[u8], other: &[u8]) -> Verdict<usize> {
    let common = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    if common < one.len().min(other.len()) || common == 0 {
        let came = format!("{common} equal bytes of {} and {}", one.len(), other.len());
        return Err(Fault::failed(format!("{what} to be equal"), came));
    }
    Ok(common)
}
