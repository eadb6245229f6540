//! The small text files of a log directory and of a partition.
//!
//! Checkpoints have one layout: a line with the version, a line with the number of entries, a line for each. They are
//! replaced in one step, so a reader sees the old or the new content; anything else is reported as damage, with the line.

mod clean_shutdown;
mod meta_properties;
mod offsets;
mod partition_metadata;

use std::path::Path;

pub use clean_shutdown::CleanShutdown;
pub use meta_properties::MetaProperties;
pub(crate) use offsets::{
    CLEANER_OFFSET_CHECKPOINT, LOG_START_OFFSET_CHECKPOINT, RECOVERY_POINT_CHECKPOINT,
    REPLICATION_OFFSET_CHECKPOINT, write_offsets,
};
pub use offsets::{OffsetCheckpoint, read_offsets};
pub(crate) use partition_metadata::PARTITION_METADATA_FILE;
pub use partition_metadata::PartitionMetadata;

use crate::bounds::CHECKPOINT_BYTES_MAX;
use crate::disk::{self, Disk};
use crate::error::StorageError;

const VERSION: &str = "0";

/// An entry of a checkpoint file.
pub(crate) trait CheckpointLine: Sized {
    fn parse(fields: &[&str]) -> Option<Self>;
    fn write(&self, out: &mut String);
}

/// The entries of a checkpoint; `None` when there is no such file.
pub(crate) fn read<L: CheckpointLine>(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<L>>, StorageError> {
    let Some(text) = read_text(disk, path)? else { return Ok(None) };
    parse(&text).map(Some).map_err(|what| StorageError::damaged("read", path, what))
}

/// Replaces a checkpoint. With `sync` it is durable on return.
pub(crate) fn write<L: CheckpointLine>(
    disk: &dyn Disk,
    path: &Path,
    entries: &[L],
    sync: bool,
) -> Result<(), StorageError> {
    let mut text = format!("{VERSION}\n{}\n", entries.len());
    for entry in entries {
        entry.write(&mut text);
        text.push('\n');
    }
    write_text(disk, path, &text, sync)
}

/// A small text file; `None` when there is no such file.
fn read_text(disk: &dyn Disk, path: &Path) -> Result<Option<String>, StorageError> {
    match disk::read_file(disk, path, CHECKPOINT_BYTES_MAX) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(StorageError::damaged("read", path, "the file is no text")),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(StorageError::new("read", path, e)),
    }
}

fn write_text(disk: &dyn Disk, path: &Path, text: &str, sync: bool) -> Result<(), StorageError> {
    disk::replace_file(disk, path, text.as_bytes(), sync).map_err(|e| StorageError::new("write", path, e))
}

fn parse<L: CheckpointLine>(text: &str) -> Result<Vec<L>, String> {
    let mut lines = text.lines();
    match lines.next().map(str::trim) {
        Some(VERSION) => {}
        other => return Err(format!("line 1: version {VERSION} expected, found {other:?}")),
    }
    let count: usize = match lines.next().map(|line| line.trim().parse()) {
        Some(Ok(count)) => count,
        _ => return Err("line 2: the number of entries expected".to_owned()),
    };
    let mut entries = Vec::new();
    for (number, line) in lines.enumerate() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let entry =
            L::parse(&fields).ok_or_else(|| format!("line {}: no valid entry: {line:?}", number + 3))?;
        entries.push(entry);
    }
    if entries.len() != count {
        return Err(format!("{count} entries announced, {} found", entries.len()));
    }
    Ok(entries)
}

/// The value of `key` in lines of `key=value` or `key: value`.
fn property<'a>(text: &'a str, key: &str, separator: char) -> Option<&'a str> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let (name, value) = line.split_once(separator)?;
        (name.trim() == key).then_some(value.trim())
    })
}
