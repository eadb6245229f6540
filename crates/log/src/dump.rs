//! Reading single files of a partition's folder, for tools that show them. Nothing here changes a file.
//!
//! A file is opened with [`Disk::open`] and [`Access::Read`](crate::disk::Access::Read); [`parse_file_name`](crate::parse_file_name)
//! tells which function reads it. Log files and the metadata log's snapshots are walked with [`Batches`] (verifying) or
//! [`Headers`] (skipping bodies).

use std::path::Path;

use crate::checkpoint;
use crate::disk::Disk;
use crate::epochs::EpochStart;
pub use crate::epochs::LEADER_EPOCH_CHECKPOINT;
use crate::error::StorageError;
pub use crate::index::{read_offset_index, read_time_index, read_transaction_index};
pub use crate::producers::read_snapshot;
pub use crate::scan::{BatchEntry, Batches, Headers, ScanError};

/// The leader epochs in a checkpoint file; `None` when there is no such file.
pub fn read_epochs(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<EpochStart>>, StorageError> {
    checkpoint::read(disk, path)
}
