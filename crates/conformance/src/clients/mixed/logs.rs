//! Replicas of a partition, byte by byte.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::check::{Fault, Verdict, expect, expect_all, expect_none};
use crate::nodes::Software;
use crate::stage::Stage;

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

/// A batch's base offset, its length behind these two, and the bytes of both.
const LENGTH_AT: usize = 8;
const PREFIX_BYTES: usize = 12;

/// The offset of a log's first batch.
pub(super) fn first_offset(log: &[u8]) -> Option<i64> {
    log.first_chunk().map(|bytes| i64::from_be_bytes(*bytes))
}

/// The log from the batch that begins at this offset or behind it.
pub(super) fn from_offset(mut log: &[u8], offset: i64) -> &[u8] {
    while first_offset(log).is_some_and(|first| first < offset) {
        let length =
            log.get(LENGTH_AT..).and_then(<[u8]>::first_chunk).map(|bytes| u32::from_be_bytes(*bytes));
        log = length.and_then(|length| log.get(PREFIX_BYTES + length as usize..)).unwrap_or_default();
    }
    log
}

/// What Kafka's tool prints of a metadata log and its snapshots; it finds nothing to complain about.
pub(super) fn dumped_by_kafka(stage: &Stage<'_>, folder: &Path) -> Verdict<String> {
    let (mut all, mut snapshots) = (String::new(), 0);
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        let is_snapshot = path.extension().is_some_and(|extension| extension == "checkpoint");
        if is_snapshot || path.extension().is_some_and(|extension| extension == "log") {
            let args = format!("--files {} --cluster-metadata-decoder", path.display());
            let came = stage.tool("DumpLogSegments", &args)?;
            expect_none(&came, &["isvalid: false", "Non-consecutive", "corrupt", "Exception"])?;
            snapshots += usize::from(is_snapshot);
            all.push_str(&came);
        }
    }
    stage.report(format!("DumpLogSegments reads our metadata log and {snapshots} snapshots"))?;
    Ok(all)
}

/// Our tool reads Kafka's metadata log and snapshots, and finds these in them.
pub(super) fn dumped_by_klamm(stage: &Stage<'_>, folder: &Path, expected: &[&str]) -> Verdict {
    let Some(Software::Klamm(binary)) = stage.software else { return Ok(()) };
    let mut dump = Command::new(binary);
    dump.args(["log", "dump", "--records", "--verify"]).arg(folder);
    expect_all(&stage.run(&mut dump, "")?.stdout, expected)?;
    stage.report("`klamm log dump` reads Kafka's metadata log and snapshots")
}
