//! Replicas of a partition, compared batch by batch as they are on the disks of stopped nodes.

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

fn read(disk: &SimulatedDisk, dir: &Path) -> io::Result<Batches> {
    let mut names: Vec<String> = disk.list(dir)?.into_iter().map(|entry| entry.name).collect();
    names.retain(|name| name.ends_with(".log"));
    names.sort();
    let mut batches = Batches::new();
    for name in names {
        let file = disk.open(&dir.join(name), Access::Read)?;
        let mut bytes = vec![0; file.size()? as usize];
        read_exact_at(&*file, &mut bytes, 0)?;
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
