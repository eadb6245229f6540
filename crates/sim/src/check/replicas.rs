//! Replicas of a partition, compared batch by batch as they are on the disks of stopped nodes.
//!
//! What is below a log's start is not compared: where records were deleted, the leader no longer knows in which epochs they were, and tells
//! a follower to cut its log at its own start. So a follower may keep what was never committed there, in Kafka as well; nobody can read it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use klamm_log::disk::simulated::SimulatedDisk;
use klamm_log::disk::{Access, Disk, read_exact_at};
use klamm_records::any_batches;

/// Where a batch has its leader's epoch.
const EPOCH_AT: std::ops::Range<usize> = 12..16;

/// The batches of a replica by their first offsets.
type Batches = BTreeMap<i64, Vec<u8>>;

/// Where a node keeps the log start offsets that are not the first offset of a segment.
const LOG_STARTS: &str = "log-start-offset-checkpoint";

/// What differs between replicas. Where `are_in_sync`, all is equal that two of them still have, and they end at the same offset.
/// Otherwise each may have an end that was never committed; but where two have a batch of one epoch at one offset, all before it is equal.
/// Each folder is named with the number of its node.
pub(crate) fn differences(
    replicas: &[(usize, &SimulatedDisk, PathBuf)],
    are_in_sync: bool,
) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut first: Option<(usize, Batches)> = None;
    for (node, disk, dir) in replicas {
        let batches =
            read(disk, dir).map_err(|error| format!("{} of node {node}: {error}", dir.display()))?;
        match &first {
            None => first = Some((*node, batches)),
            Some((other, others)) => {
                let what = difference(others, &batches, are_in_sync);
                found.extend(
                    what.map(|what| format!("{} of nodes {other} and {node}: {what}", dir.display())),
                );
            }
        }
    }
    Ok(found)
}

fn difference(one: &Batches, other: &Batches, are_in_sync: bool) -> Option<String> {
    let start = start(one).max(start(other));
    if are_in_sync && end(one) != end(other) {
        return Some(format!("one ends at {}, the other at {}", end(one), end(other)));
    }
    let common_end = if are_in_sync { end(one) } else { agreed_end(one, other) };
    let offsets = one.range(start..).chain(other.range(start..)).map(|(offset, _)| *offset);
    let mut differing = offsets.filter(|at| *at < common_end && one.get(at) != other.get(at));
    differing.next().map(|offset| format!("the batches at {offset} differ"))
}

/// The last offset at which both have a batch of the same epoch.
fn agreed_end(one: &Batches, other: &Batches) -> i64 {
    let epoch = |batch: &Vec<u8>| batch.get(EPOCH_AT).map(<[u8]>::to_vec);
    let is_shared = |(offset, batch): &(&i64, &Vec<u8>)| other.get(offset).map(epoch) == Some(epoch(batch));
    one.iter().rev().find(is_shared).map_or(0, |(offset, _)| *offset + 1)
}

fn start(batches: &Batches) -> i64 {
    batches.keys().next().copied().unwrap_or(i64::MAX)
}

/// Behind the last batch, by its header: its first offset and the difference to its last.
fn end(batches: &Batches) -> i64 {
    let last = batches.last_key_value();
    last.map_or(0, |(offset, bytes)| {
        any_batches(bytes).flatten().last().map_or(*offset, |batch| batch.last_offset() + 1)
    })
}

/// The batches that begin at or behind the log's start.
fn read(disk: &SimulatedDisk, dir: &Path) -> io::Result<Batches> {
    let mut batches = read_segments(disk, dir)?;
    Ok(batches.split_off(&log_start(disk, dir)?))
}

fn log_start(disk: &SimulatedDisk, dir: &Path) -> io::Result<i64> {
    let path = dir.with_file_name(LOG_STARTS);
    if disk.metadata(&path).is_err() {
        return Ok(0);
    }
    let text = String::from_utf8_lossy(&read_file(disk, &path)?).into_owned();
    let folder = dir.file_name().unwrap_or_default().to_string_lossy();
    let start = text.lines().find_map(|line| {
        let (partition, offset) = line.rsplit_once(' ')?;
        let is_this = partition.replacen(' ', "-", 1) == folder;
        is_this.then(|| offset.parse().ok())?
    });
    Ok(start.unwrap_or(0))
}

fn read_file(disk: &SimulatedDisk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path, Access::Read)?;
    let mut bytes = vec![0; file.size()? as usize];
    read_exact_at(&*file, &mut bytes, 0)?;
    Ok(bytes)
}

fn read_segments(disk: &SimulatedDisk, dir: &Path) -> io::Result<Batches> {
    let mut names: Vec<String> = disk.list(dir)?.into_iter().map(|entry| entry.name).collect();
    names.retain(|name| name.ends_with(".log"));
    names.sort();
    let mut batches = Batches::new();
    for name in names {
        let bytes = read_file(disk, &dir.join(name))?;
        let mut rest = &bytes[..];
        while let Some((offset, length)) = head(rest) {
            let Some(batch) = rest.get(..length) else { break };
            batches.insert(offset, batch.to_vec());
            rest = &rest[length..];
        }
    }
    Ok(batches)
}

/// The first offset and the length of the batch that bytes begin with.
fn head(bytes: &[u8]) -> Option<(i64, usize)> {
    let offset = i64::from_be_bytes(bytes.get(..8)?.try_into().ok()?);
    let length = i32::from_be_bytes(bytes.get(8..12)?.try_into().ok()?);
    Some((offset, 12 + usize::try_from(length).ok()?))
}
