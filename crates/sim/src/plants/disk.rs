//! Bugs of the disk's view.

use std::path::Path;

use super::{Plant, Plants};

/// Bytes of an entry of an offset index: relative offset and position.
const INDEX_ENTRY_BYTES: usize = 8;

impl Plants {
    pub(crate) fn swallows_write(&self, path: &Path) -> bool {
        let is_swallowed = is(path, "topic-", "log") && self.strikes(Plant::AckBeforeWrite, 10);
        is_swallowed || is(path, "__consumer_offsets-", "log") && self.strikes(Plant::OffsetRegress, 20)
    }

    pub(crate) fn swallows_truncation(&self, path: &Path) -> bool {
        is(path, "topic-", "log") && self.strikes(Plant::TailKept, 100)
    }

    pub(crate) fn swallows_sync(&self, path: &Path) -> bool {
        let is_lost = is(path, "topic-", "log") && self.strikes(Plant::LostFsync, 100);
        is_lost || is(path, "__cluster_metadata-", "log") && self.strikes(Plant::MetadataNotFlushed, 100)
    }

    pub(crate) fn swallows_rename(&self, to: &Path) -> bool {
        to.ends_with("quorum-state") && self.strikes(Plant::VoteForgotten, 100)
    }

    pub(crate) fn swallows_folder_sync(&self) -> bool {
        self.strikes(Plant::LostName, 100)
    }

    pub(crate) fn after_read(&self, path: &Path, bytes: &mut [u8]) {
        if is(path, "topic-", "log") && bytes.len() > 100 && self.strikes(Plant::TornBatchServed, 2) {
            let half = bytes.len() / 2;
            bytes[half..].fill(0);
        }
        if is(path, "topic-", "index") && self.plant == Some(Plant::IndexOffByOne) {
            bytes.chunks_exact_mut(INDEX_ENTRY_BYTES).for_each(offset_less_one);
        }
    }
}

fn offset_less_one(entry: &mut [u8]) {
    let offset = entry[..4].iter().fold(0_u32, |offset, byte| offset << 8 | u32::from(*byte));
    entry[..4].copy_from_slice(&offset.saturating_sub(1).to_be_bytes());
}

/// A file of this kind in the folder of a partition of such a topic.
fn is(path: &Path, topic: &str, extension: &str) -> bool {
    let folder = path.parent().and_then(Path::file_name).and_then(|folder| folder.to_str());
    folder.is_some_and(|folder| folder.starts_with(topic))
        && path.extension().is_some_and(|it| it == extension)
}
