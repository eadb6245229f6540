//! Input: a byte of choices, then a metadata log or a snapshot of one.
//!
//! Choices: bit 0 makes it a snapshot; bit 1 repairs the batches' CRCs.

use klamm_metadata::loader::MetadataLoader;
use klamm_metadata::log_batch::{BatchContents, decode_batch};
use klamm_metadata::snapshot::{Snapshot, SnapshotId};
use klamm_metadata::{MetadataImage, Provenance};
use klamm_records::batches;

/// Runs one input.
pub fn run(input: &[u8]) {
    let [choices, bytes @ ..] = input else { return };
    let mut bytes = bytes.to_vec();
    if choices >> 1 & 1 == 1 {
        crate::repair_crcs(&mut bytes);
    }
    if choices & 1 == 1 {
        snapshot(&bytes);
    } else {
        log(&bytes);
    }
}

/// What a snapshot holds makes an image, and an image makes a snapshot that holds the same.
fn snapshot(bytes: &[u8]) {
    let Ok(snapshot) = Snapshot::decode(bytes) else { return };
    let Ok(image) = MetadataImage::from_snapshot(&snapshot.records, Provenance::default()) else { return };
    let records = image.to_records();
    let written = Snapshot { records, ..snapshot };
    let id = SnapshotId { end_offset: 1, epoch: 1 };
    let bytes = written.encode(id, 0, image.metadata_version()).expect("an image can be written");
    let read = Snapshot::decode(&bytes).expect("what was written can be read");
    let again = MetadataImage::from_snapshot(&read.records, Provenance::default());
    let again = again.expect("an image's records can be applied");
    assert_eq!(again.to_records(), written.records);
}

fn log(bytes: &[u8]) {
    let mut loader = MetadataLoader::default();
    for batch in batches(bytes).map_while(Result::ok) {
        let Ok(batch) = decode_batch(&batch) else { return };
        let BatchContents::Metadata(records) = &batch.contents else { continue };
        let provenance = Provenance {
            last_offset: batch.last_offset,
            last_epoch: batch.leader_epoch,
            last_timestamp_ms: batch.timestamp_ms,
        };
        let before = loader.image().clone();
        if loader.apply(records, provenance).is_err() {
            assert_eq!(loader.image(), &before, "a batch that cannot be applied changes nothing");
        }
    }
}
