//! `.kafka_cleanshutdown`: there when the logs of the directory were closed in order, so that no recovery is needed.
//!
//! A start takes it away, and keeps the broker's epoch of that stop under another name. A broker that dies before the controller has given
//! it a new epoch has taken no records: at the next start it still has all that it had in the old one, and may say so (KIP-966).

use std::path::Path;

use super::{read_text, write_text};
use crate::disk::Disk;
use crate::error::{SYNC, StorageError};

const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";
const LAST_CLEAN_SHUTDOWN_FILE: &str = ".klamm_last_cleanshutdown";

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanShutdown {
    /// The broker's epoch when it stopped (KIP-966); `None` in files of brokers that did not write it.
    pub broker_epoch: Option<i64>,
}

impl CleanShutdown {
    /// Reads the file in `dir`; `None` when there is none. Its presence counts, whatever its content.
    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, StorageError> {
        Self::read_named(disk, &dir.join(CLEAN_SHUTDOWN_FILE))
    }

    /// Reads what the last start in `dir` has [set aside](Self::set_aside); `None` when there is no such file.
    pub fn read_set_aside(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, StorageError> {
        Self::read_named(disk, &dir.join(LAST_CLEAN_SHUTDOWN_FILE))
    }

    fn read_named(disk: &dyn Disk, path: &Path) -> Result<Option<Self>, StorageError> {
        let text = match read_text(disk, path) {
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

    /// Takes the file away; durable on return, so that a crash from now on is not taken for a clean stop.
    pub fn set_aside(disk: &dyn Disk, dir: &Path) -> Result<(), StorageError> {
        let path = dir.join(CLEAN_SHUTDOWN_FILE);
        match disk.rename(&path, &dir.join(LAST_CLEAN_SHUTDOWN_FILE)) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(StorageError::new("rename", &path, e)),
            Ok(()) => disk.sync_dir(dir).map_err(|e| StorageError::new(SYNC, dir, e)),
        }
    }
}
