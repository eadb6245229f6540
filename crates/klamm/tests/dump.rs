//! `klamm log dump` over real files of Kafka 4.4.

mod binary;

use std::fs;
use std::path::PathBuf;

use binary::{Run, klamm};

fn golden(path: &str) -> String {
    format!("{}/../protocol/golden/files/{path}", env!("CARGO_MANIFEST_DIR"))
}

/// The dump of a golden file or folder, which has to be sound.
fn dump(path: &str, options: &[&str]) -> String {
    let Run { code, out, err } = klamm(&[&["log", "dump", &golden(path)], options].concat());
    assert_eq!((code, err.as_str()), (0, ""), "{path}: {out}");
    out
}

#[test]
fn all_of_kafkas_files_are_sound() {
    let out = dump("", &["--verify", "--records"]);
    for end in [
        "codecs-0/00000000000000000000.log",
        "log-dir/meta.properties",
        "txn-0/00000000000000000002.txnindex",
    ] {
        assert!(out.contains(&format!("{end}\n")), "{end}");
    }
}

#[test]
fn batches_are_described_by_what_is_unusual() {
    let out = dump("codecs-0/00000000000000000000.log", &[]);
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        assert!(out.contains(&format!("  {codec}  ")), "{codec}: {out}");
    }
    assert!(out.lines().nth(1).unwrap().starts_with("  offsets 0-"), "{out}");
    let out = dump("append-time-0/00000000000000000000.log", &[]);
    assert!(out.contains("  log append time"), "{out}");
}

#[test]
fn coordinators_records_are_decoded() {
    let out = dump("__consumer_offsets-0", &["--records"]);
    for part in
        ["OffsetCommitKey { group: ", "OffsetCommitValue { offset: ", "=> tombstone", "GroupMetadataKey"]
    {
        assert!(out.contains(part), "{part}");
    }
    let out = dump("__cluster_metadata-0", &["--records"]);
    for part in ["TopicRecord { name: \"golden\"", "SnapshotFooter", "LeaderChange"] {
        assert!(out.contains(part), "{part}");
    }
    assert!(dump("__transaction_state-0", &["--records"]).contains("TransactionLogValue"));
    assert!(dump("__share_group_state-0", &["--records"]).contains("ShareSnapshotValue"));
    assert!(dump("__remote_log_metadata-0", &["--records"]).contains("RemoteLogSegmentMetadataRecord"));
}

#[test]
fn small_files_are_shown_with_names() {
    let table = [
        ("log-dir/recovery-point-offset-checkpoint", "\n  compact-0  offset 36\n"),
        ("log-dir/meta.properties", "\n  cluster.id=qaQUwpWNRjuY0Ipg0pqDoA\n"),
        ("codecs-0/leader-epoch-checkpoint", "\n  epoch 0  from offset 0\n"),
        ("__cluster_metadata-0/quorum-state", "\"leaderEpoch\":1"),
        ("golden-0/00000000000000000045.snapshot", "  producer "),
        ("__consumer_offsets-1/00000000000000000000.txnindex", " aborted  last stable offset "),
        ("txn-0/00000000000000000002.index", "  at byte "),
        ("codecs-0/00000000000000000000.timeindex", "Z  offset "),
    ];
    for (path, part) in table {
        let out = dump(path, &[]);
        assert!(out.contains(part), "{path}: {out}");
    }
}

/// A folder with a copy of a golden file in which one byte is another.
fn damaged(path: &str, at: usize) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = fs::read(golden(path)).unwrap();
    bytes[at] ^= 0x55;
    let copy = folder.path().join(PathBuf::from(path).file_name().unwrap());
    fs::write(&copy, bytes).unwrap();
    (folder, copy)
}

#[test]
fn damage_is_found_and_named() {
    let table = [
        ("codecs-0/00000000000000000000.log", 100, "CRC"),
        ("codecs-0/00000000000000000000.log", 16, "magic"),
        ("golden-0/00000000000000000045.snapshot", 20, "CRC"),
        ("codecs-0/leader-epoch-checkpoint", 2, "entries"),
    ];
    for (path, at, part) in table {
        let (_folder, copy) = damaged(path, at);
        let Run { code, out, err } = klamm(&["log", "dump", "--verify", copy.to_str().unwrap()]);
        assert_eq!(code, 1, "{path}");
        assert!(out.contains("WRONG") && out.contains(part), "{path}: {out}");
        assert!(err.contains("WRONG"), "{path}: {err}");
    }
}

#[test]
fn an_index_that_points_beside_its_batches_is_found() {
    let (folder, _) = damaged("txn-0/00000000000000000002.index", 7);
    fs::copy(golden("txn-0/00000000000000000002.log"), folder.path().join("00000000000000000002.log"))
        .unwrap();
    let Run { code, out, .. } = klamm(&["log", "dump", "--verify", folder.path().to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(out.contains("WRONG") && out.contains("00000000000000000002.index: "), "{out}");
}
