//! `partition.metadata`: the topic id that a partition's folder belongs to (KIP-516).

use std::path::Path;

use klamm_protocol::Uuid;

use super::{property, read_text, write_text};
use crate::disk::Disk;
use crate::error::StorageError;

pub(crate) const PARTITION_METADATA_FILE: &str = "partition.metadata";

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// The topic's id.
    pub topic_id: Uuid,
}

impl PartitionMetadata {
    /// Reads the file in `dir`. `None` when there is none, or an empty one: what a power loss leaves of a folder that
    /// was made right before.
    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, StorageError> {
        let path = dir.join(PARTITION_METADATA_FILE);
        let Some(text) = read_text(disk, &path)? else { return Ok(None) };
        if text.bytes().all(|byte| byte == 0) {
            return Ok(None);
        }
        Self::parse(&text).map(Some).map_err(|what| StorageError::damaged("read", &path, what))
    }

    /// Writes the file into `dir`. It is durable after the partition's first flush.
    pub fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<(), StorageError> {
        let text = format!("version: 0\ntopic_id: {}", self.topic_id);
        write_text(disk, &dir.join(PARTITION_METADATA_FILE), &text, false)
    }

    fn parse(text: &str) -> Result<Self, String> {
        match property(text, "version", ':') {
            Some("0") => {}
            other => return Err(format!("version 0 expected, found {other:?}")),
        }
        let topic_id = property(text, "topic_id", ':').ok_or("topic_id is missing")?;
        let topic_id = topic_id.parse().map_err(|_| format!("topic_id {topic_id} is no uuid"))?;
        Ok(Self { topic_id })
    }
}
