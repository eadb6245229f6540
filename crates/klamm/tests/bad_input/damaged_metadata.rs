//! Damaged files that the node itself lives by: what must not be guessed is refused, a torn end is recovered.

use std::fs;
use std::ops::Range;
use std::path::Path;

use crate::broker::{Broker, assert_refused, copy, flip};

const LOG: &str = "__cluster_metadata-0/00000000000000000000.log";
const SNAPSHOT: &str = "__cluster_metadata-0/00000000000000000000-0000000000.checkpoint";

/// A folder with a topic, after a clean stop.
fn stopped(data: &Path) {
    let broker = Broker::start(data);
    broker.out(&["topic", "create", "kept"], b"");
    broker.out(&["produce", "kept"], b"a\nb\n");
    broker.stop();
}

#[test]
fn what_cannot_be_trusted_is_named_and_left_alone() {
    let base = tempfile::tempdir().unwrap();
    stopped(base.path());
    let table: [(&str, &[u8]); 7] = [
        ("meta.properties", b"\xff\x00"),
        ("meta.properties", b""),
        ("meta.properties", b"version=1\nnode.id=1\n"),
        ("meta.properties", b"version=99\nnode.id=1\ncluster.id=x\n"),
        ("__cluster_metadata-0/quorum-state", b"{\"leaderId\":"),
        ("__cluster_metadata-0/quorum-state", b""),
        (SNAPSHOT, b""),
    ];
    for (file, bytes) in table {
        let data = tempfile::tempdir().unwrap();
        copy(base.path(), data.path());
        let path = data.path().join(file);
        fs::write(&path, bytes).unwrap();
        assert_refused(data.path(), &[], &[path.to_str().unwrap()]);
    }
}

#[test]
fn a_changed_byte_of_metadata_is_never_believed() {
    let base = tempfile::tempdir().unwrap();
    stopped(base.path());
    for (file, named) in [(SNAPSHOT, SNAPSHOT), (LOG, "__cluster_metadata-0")] {
        let bytes = fs::read(base.path().join(file)).unwrap();
        for batch in batches(&bytes) {
            // The batch's length, a timestamp, the first record's length, and the end of the last record.
            for at in [batch.start + 10, batch.start + 30, batch.start + 61, batch.end - 1] {
                assert_change_refused(base.path(), file, bytes.len() - at, named);
            }
        }
    }
    // The offset is not covered by the CRC: the last batch claims to be far behind the others.
    let bytes = fs::read(base.path().join(LOG)).unwrap();
    let last = batches(&bytes).pop().unwrap();
    assert_change_refused(base.path(), LOG, bytes.len() - last.start - 5, "__cluster_metadata-0");
}

fn assert_change_refused(base: &Path, file: &str, from_end: usize, named: &str) {
    let data = tempfile::tempdir().unwrap();
    copy(base, data.path());
    flip(&data.path().join(file), from_end);
    assert_refused(data.path(), &[], &[data.path().join(named).to_str().unwrap()]);
}

/// Where the batches of a file lie.
fn batches(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    while let Some(rest) =
        bytes.get(found.last().map_or(0, |last| last.end)..).filter(|rest| !rest.is_empty())
    {
        let start = bytes.len() - rest.len();
        let length = u32::from_be_bytes(*rest[8..].first_chunk().unwrap()) as usize;
        found.push(start..start + 12 + length);
    }
    found
}

/// Cuts the last bytes off the metadata log.
fn tear(data: &Path) {
    let path = data.join(LOG);
    let size = fs::metadata(&path).unwrap().len();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(size - 7).unwrap();
}

#[test]
fn a_torn_end_of_the_metadata_log_is_cut_off_and_said() {
    let data = tempfile::tempdir().unwrap();
    stopped(data.path());
    tear(data.path());
    fs::remove_file(data.path().join(".kafka_cleanshutdown")).unwrap();
    let broker = Broker::start(data.path());
    let warnings = broker.warnings_of_start();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("__cluster_metadata-0 was recovered"), "{warnings:?}");
    assert!(warnings[0].contains("bytes cut off at offset"), "{warnings:?}");
    assert_eq!(broker.consume("kept"), ["0 a", "1 b"]);
}

/// A clean stop leaves nothing torn, so what is missing was lost otherwise, and with it perhaps more.
#[test]
fn an_end_of_the_metadata_log_that_is_missing_after_a_clean_stop_is_refused() {
    let data = tempfile::tempdir().unwrap();
    stopped(data.path());
    tear(data.path());
    assert_refused(data.path(), &[], &[data.path().join(LOG).to_str().unwrap()]);
}

#[test]
fn a_garbled_mark_of_the_clean_stop_still_is_one() {
    let data = tempfile::tempdir().unwrap();
    stopped(data.path());
    fs::write(data.path().join(".kafka_cleanshutdown"), b"\xff\x00").unwrap();
    let broker = Broker::start(data.path());
    assert_eq!(broker.warnings_of_start(), [""; 0]);
    assert_eq!(broker.consume("kept"), ["0 a", "1 b"]);
}
