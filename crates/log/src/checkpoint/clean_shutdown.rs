//! `.kafka_cleanshutdown`: there when the logs of the directory were closed in order, so that no recovery is needed.

use std::path::Path;

use super::{read_text, write_text};
use crate::disk::Disk;
use crate::error::{SYNC, StorageError};

const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanShutdown {
    /// The broker's epoch when it stopped (KIP-966); `None` in files of brokers that did not write it.
    pub broker_epoch: Option<i64>,
}

impl CleanShutdown {
    /// Reads the file in `dir`; `None` when there is none. Its presence counts, whatever its content.
    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, StorageError> {
        let text = match read_text(disk, &dir.join(CLEAN_SHUTDOWN_FILE)) {
            Err(error) if error.is_damage() => return Ok(Some(Self { broker_epoch: None })),
            read => read?,
        };
        let Some(text) = text else { return Ok(None) };
        let content: Option<serde_json::Value> = serde_json::from_str(&text).ok();
        let broker_epoch = content.and_then(|content| content.get("brokerEpoch")?.as_i64());
        Ok(Some(Self { broker_epoch }))
    }

    /// Writes the file into `dir`; durable on return.
    pub fn write(disk: &dyn Disk, dir: &Path, broker_epoch: i64) -> Result<(), StorageError> {
        let text = format!("{{\"version\":0,\"brokerEpoch\":{broker_epoch}}}");
        write_text(disk, &dir.join(CLEAN_SHUTDOWN_FILE), &text, true)
    }

    /// Removes the file from `dir`; durable on return, so that a crash from now on is not taken for a clean stop.
    pub fn remove(disk: &dyn Disk, dir: &Path) -> Result<(), StorageError> {
        let path = dir.join(CLEAN_SHUTDOWN_FILE);
        match disk.remove(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(StorageError::new("remove", &path, e)),
            Ok(()) => disk.sync_dir(dir).map_err(|e| StorageError::new(SYNC, dir, e)),
        }
    }
}
