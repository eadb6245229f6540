//! Which producer snapshots a partition has, and taking new ones.

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::path::PathBuf;

use crate::bounds::SNAPSHOT_BYTES_MAX;
use crate::disk::{self, Access};
use crate::error::{SYNC, StorageError};
use crate::files::Home;
use crate::names::{FileKind, file_name};
use crate::producers::{ProducerState, ProducerStates, read_snapshot, snapshot};

#[derive(Debug, Default)]
pub(super) struct Snapshots {
    offsets: BTreeSet<i64>,
    /// The offset that the state was at when it was loaded or a snapshot taken: another one there would say the same.
    last_offset: i64,
    unsynced: BTreeSet<i64>,
}

impl Snapshots {
    pub(super) fn new(offsets: BTreeSet<i64>) -> Self {
        Self { offsets, ..Self::default() }
    }

    /// The newest one above an offset and at most at another.
    pub(super) fn latest_in(&self, above: i64, up_to: i64) -> Option<i64> {
        self.offsets.range(..=up_to).next_back().copied().filter(|offset| *offset > above)
    }

    pub(super) fn set_last_offset(&mut self, offset: i64) {
        self.last_offset = offset;
    }

    /// Writes the state's snapshot, unless there is one at its offset.
    pub(super) fn take(&mut self, home: &Home, states: &ProducerStates) -> Result<(), StorageError> {
        let offset = states.end_offset();
        if offset <= self.last_offset || self.offsets.contains(&offset) {
            return Ok(());
        }
        let path = path(home, offset);
        let bytes = snapshot::write(states);
        home.on("write", &path, |disk| {
            let file = disk.open(&path, Access::Create)?;
            file.set_size(0)?;
            disk::write_all_at(&*file, &mut [IoSlice::new(&bytes)], 0)
        })?;
        home.name_changed();
        self.offsets.insert(offset);
        self.last_offset = offset;
        self.unsynced.insert(offset);
        Ok(())
    }

    /// Those from here on were found after an unclean stop, and may be in memory only.
    pub(super) fn unsynced_from(&mut self, offset: i64) {
        self.unsynced.extend(self.offsets.range(offset..));
    }

    pub(super) fn has_unsynced(&self) -> bool {
        !self.unsynced.is_empty()
    }

    pub(super) fn take_unsynced(&mut self) -> BTreeSet<i64> {
        std::mem::take(&mut self.unsynced)
    }

    /// Removes the snapshots for which `wanted` says no.
    pub(super) fn retain(&mut self, home: &Home, wanted: impl Fn(i64) -> bool) -> Result<(), StorageError> {
        let unwanted: Vec<i64> = self.offsets.iter().copied().filter(|offset| !wanted(*offset)).collect();
        for offset in unwanted {
            self.remove(home, offset)?;
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, home: &Home, offset: i64) -> Result<(), StorageError> {
        self.offsets.remove(&offset);
        self.unsynced.remove(&offset);
        home.name_changed();
        home.remove_file(&file_name(offset, FileKind::Snapshot))
    }

    /// Of the snapshots that belong to no segment only the newest is of use, and only if it is beyond all segments' bases.
    pub(super) fn remove_strays(&mut self, home: &Home, base_offsets: &[i64]) -> Result<(), StorageError> {
        let newest = self.offsets.last().copied();
        self.retain(home, |offset| base_offsets.binary_search(&offset).is_ok() || Some(offset) == newest)
    }
}

/// The producers in a snapshot; an error of damage if the bytes are not what was written.
pub(super) fn read(home: &Home, offset: i64) -> Result<Vec<ProducerState>, StorageError> {
    let path = path(home, offset);
    let bytes = home.on("read", &path, |disk| disk::read_file(disk, &path, SNAPSHOT_BYTES_MAX))?;
    read_snapshot(&bytes).map_err(|what| StorageError::damaged("read", &path, what))
}

pub(super) fn sync(home: &Home, offset: i64) -> Result<(), StorageError> {
    let path = path(home, offset);
    match home.on(SYNC, &path, |disk| disk.open(&path, Access::Write)?.sync_data()) {
        Err(e) if e.is_not_found() => Ok(()),
        other => other,
    }
}

fn path(home: &Home, offset: i64) -> PathBuf {
    home.join(&file_name(offset, FileKind::Snapshot))
}
