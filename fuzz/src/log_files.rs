//! Input: a byte that chooses the kind of file, then its bytes: indexes, producer snapshots, checkpoints and the small files
//! of a log directory, each read alone.

use std::path::Path;

use klamm_log::disk::simulated::SimulatedDisk;
use klamm_log::disk::{self, Access, Disk};
use klamm_log::{
    CleanShutdown, MetaProperties, PartitionMetadata, dump, read_offset_index, read_offsets, read_snapshot,
    read_time_index, read_transaction_index,
};

/// Runs one input.
pub fn run(input: &[u8]) {
    let [kind, content @ ..] = input else { return };
    match kind {
        0..=2 => index(*kind, content),
        3 => producer_snapshot(content),
        4 => checkpoint(content),
        5 => meta_properties(content),
        6 => partition_metadata(content),
        7 => clean_shutdown(content),
        _ => {}
    }
}

/// A disk with one file.
fn disk_with(name: &str, content: &[u8]) -> SimulatedDisk {
    let disk = SimulatedDisk::seeded(0);
    disk.create_dir(Path::new("/")).expect("an empty disk takes a folder");
    disk::replace_file(&disk, &Path::new("/").join(name), content, false)
        .expect("an empty disk takes a file");
    disk
}

fn index(kind: u8, content: &[u8]) {
    let disk = disk_with("index", content);
    let file = disk.open(Path::new("/index"), Access::Read).expect("the file is there");
    let _ = match kind {
        0 => read_offset_index(&*file, 1 << 40).map(|entries| entries.len()),
        1 => read_time_index(&*file, 1 << 40).map(|entries| entries.len()),
        _ => read_transaction_index(&*file).map(|entries| entries.len()),
    };
}

/// As it is, and with its CRC repaired.
fn producer_snapshot(content: &[u8]) {
    let _ = read_snapshot(content);
    let mut content = content.to_vec();
    if let Some((head, covered)) = content.split_at_mut_checked(6) {
        head[2..].copy_from_slice(&crc32c::crc32c(covered).to_be_bytes());
        let _ = read_snapshot(&content);
    }
}

fn checkpoint(content: &[u8]) {
    let disk = disk_with("checkpoint", content);
    let _ = read_offsets(&disk, Path::new("/checkpoint"));
    let _ = dump::read_epochs(&disk, Path::new("/checkpoint"));
}

fn meta_properties(content: &[u8]) {
    let disk = disk_with("meta.properties", content);
    let Ok(Some(properties)) = MetaProperties::read(&disk, Path::new("/")) else { return };
    properties.write(&disk, Path::new("/")).expect("what was read can be written");
    let again = MetaProperties::read(&disk, Path::new("/")).expect("what was written can be read");
    assert_eq!(again, Some(properties));
}

fn partition_metadata(content: &[u8]) {
    let disk = disk_with("partition.metadata", content);
    let Ok(Some(metadata)) = PartitionMetadata::read(&disk, Path::new("/")) else { return };
    metadata.write(&disk, Path::new("/")).expect("what was read can be written");
    let again = PartitionMetadata::read(&disk, Path::new("/")).expect("what was written can be read");
    assert_eq!(again, Some(metadata));
}

/// Its presence counts, whatever is in it.
fn clean_shutdown(content: &[u8]) {
    let disk = disk_with(".kafka_cleanshutdown", content);
    assert!(matches!(CleanShutdown::read(&disk, Path::new("/")), Ok(Some(_))));
}
