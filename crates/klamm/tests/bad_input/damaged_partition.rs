//! Damaged files of a partition: the broker starts, says what it did, and serves what is intact.

use std::fs;
use std::path::{Path, PathBuf};

use crate::binary::Run;
use crate::broker::{Broker, copy, flip};

const RECORDS: usize = 6000;

/// What must be readable afterwards.
enum Intact {
    /// Everything.
    All,
    /// Everything before the damage, which is at least this share, and new records go behind it.
    Before(usize),
    /// Everything before the damage; a consumer is told of it, and what is behind can be read as well.
    Around,
}

/// A folder with several segments and index entries, after a clean stop.
fn stopped(data: &Path) {
    let settings = ["log.index.interval.bytes=1000", "log.segment.bytes=1048576"];
    let broker = Broker::start_at(data, "127.0.0.1:0", &settings);
    let lines: String = (0..RECORDS).map(|number| format!("{number} {}\n", "x".repeat(500))).collect();
    broker.out(&["produce", "t", "--property", "batch.size=4000"], lines.as_bytes());
    broker.stop();
}

/// The files of the partition with this ending, in order.
fn files(data: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(data.join("t-0")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    found.sort();
    found
}

fn overwrite(path: &Path) {
    let size = fs::metadata(path).unwrap().len() as usize;
    fs::write(path, (0..size.max(50)).map(|at| (at * 151 + 77) as u8).collect::<Vec<_>>()).unwrap();
}

fn unclean(data: &Path) {
    fs::remove_file(data.join(".kafka_cleanshutdown")).unwrap();
}

/// Nothing of the log counts as flushed.
fn unflushed(data: &Path) {
    unclean(data);
    fs::remove_file(data.join("recovery-point-offset-checkpoint")).unwrap();
}

type Damage = fn(&Path);

const TABLE: [(&str, Damage, Intact, &[&str]); 13] = [
    ("nothing", |_| (), Intact::All, &[]),
    (
        "an index is gone",
        |data| fs::remove_file(&files(data, ".index")[1]).unwrap(),
        Intact::All,
        &["had no index"],
    ),
    (
        "the time indexes are garbage",
        |data| files(data, ".timeindex").iter().for_each(|f| overwrite(f)),
        Intact::All,
        &[],
    ),
    (
        "the last index is garbage",
        |data| overwrite(files(data, ".index").last().unwrap()),
        Intact::All,
        &["t-0 was recovered", ".index", "the segment is verified"],
    ),
    (
        "all indexes are garbage, after a crash",
        |data| {
            files(data, ".index").iter().for_each(|f| overwrite(f));
            unflushed(data);
        },
        Intact::All,
        &[],
    ),
    ("older indexes are garbage", |data| overwrite(&files(data, ".index")[0]), Intact::All, &[]),
    (
        "leader-epoch-checkpoint is garbage",
        |data| overwrite(&data.join("t-0/leader-epoch-checkpoint")),
        Intact::All,
        &["leader-epoch-checkpoint", "taken from the batches"],
    ),
    (
        "recovery-point-offset-checkpoint is garbage",
        |data| overwrite(&data.join("recovery-point-offset-checkpoint")),
        Intact::All,
        &["recovery-point-offset-checkpoint", "not used"],
    ),
    (
        "recovery-point-offset-checkpoint is garbage, after a crash",
        |data| {
            overwrite(&data.join("recovery-point-offset-checkpoint"));
            unclean(data);
        },
        Intact::All,
        &["recovery-point-offset-checkpoint", "not used"],
    ),
    (
        "the producer snapshot is garbage",
        |data| overwrite(files(data, ".snapshot").last().unwrap()),
        Intact::All,
        &["t-0 was recovered", ".snapshot", "taken from the batches"],
    ),
    (
        "the end is damaged, after a crash",
        |data| {
            flip(files(data, ".log").last().unwrap(), 10);
            unclean(data);
        },
        Intact::Before(RECORDS * 9 / 10),
        &["t-0 was recovered", "bytes cut off at offset", "CRC"],
    ),
    (
        "the end is torn, after a crash",
        |data| {
            let last = files(data, ".log").pop().unwrap();
            let size = fs::metadata(&last).unwrap().len();
            fs::OpenOptions::new().write(true).open(last).unwrap().set_len(size - 100).unwrap();
            unclean(data);
        },
        Intact::Before(RECORDS * 9 / 10),
        &["t-0 was recovered", "bytes cut off at offset"],
    ),
    (
        "a byte in the middle is changed, in what was flushed",
        |data| {
            let middle = &files(data, ".log")[1];
            let batch = fs::metadata(middle).unwrap().len() as usize / 2;
            // Records are in the way of most positions: this one is in the middle of a value.
            let bytes = fs::read(middle).unwrap();
            let value = bytes[bytes.len() - batch..].windows(40).position(|w| w == [b'x'; 40]).unwrap();
            flip(middle, batch - value - 20);
        },
        Intact::Around,
        &[],
    ),
];

#[test]
fn what_is_intact_is_served() {
    let base = tempfile::tempdir().unwrap();
    stopped(base.path());
    assert!(files(base.path(), ".log").len() > 2, "several segments");
    for (name, damage, intact, said) in TABLE {
        let data = tempfile::tempdir().unwrap();
        copy(base.path(), data.path());
        damage(data.path());
        let broker = Broker::start(data.path());
        let warnings = broker.warnings_of_start().join("\n");
        assert!(said.iter().all(|part| warnings.contains(part)), "{name}: {warnings}");
        if said.is_empty() {
            assert_eq!(warnings, "", "{name}");
        }
        match intact {
            Intact::All => check(&broker, RECORDS, name),
            Intact::Before(at_least) => {
                let count = broker.consume("t").len();
                assert!((at_least..RECORDS).contains(&count), "{name}: {count}");
                check(&broker, count, name);
            }
            Intact::Around => check_around(&broker),
        }
        broker.stop();
    }
}

/// The records are there and no others; the next one goes behind them.
fn check(broker: &Broker, count: usize, name: &str) {
    let read = broker.consume("t");
    assert_eq!(numbers(&read), (0..count).collect::<Vec<_>>(), "{name}");
    let next = broker.out(&["produce", "t", "--print-offsets"], b"after\n");
    assert_eq!(next, format!("0 {count}\n"), "{name}");
}

fn check_around(broker: &Broker) {
    let consume = ["consume", "t", "--until-end", "--format", "%o %s\\n"];
    let Run { code, out, err } = broker.klamm(&[&consume[..], &["--from-beginning"]].concat(), b"");
    let before: Vec<String> = out.lines().map(str::to_owned).collect();
    assert_eq!((code, numbers(&before)), (1, (0..before.len()).collect()));
    let damaged = err.split("the batch at offset ").nth(1).and_then(|rest| rest.split(' ').next());
    let damaged: usize = damaged.and_then(|offset| offset.parse().ok()).unwrap_or_else(|| panic!("{err}"));
    assert_eq!(before.len(), damaged);
    let behind = (damaged + 20).to_string();
    let out = broker.out(&[&consume[..], &["--from", &behind]].concat(), b"");
    assert_eq!(out.lines().count(), RECORDS - damaged - 20);
}

/// The numbers of the records, whose offsets have to be the same.
fn numbers(lines: &[String]) -> Vec<usize> {
    let numbers = lines.iter().map(|line| {
        let mut words = line.split(' ').map(|word| word.parse().unwrap());
        let (offset, number): (usize, usize) = (words.next().unwrap(), words.next().unwrap());
        assert_eq!(offset, number);
        number
    });
    numbers.collect()
}

#[test]
fn a_batch_without_bounds_is_told_and_not_asked_for_again_and_again() {
    let data = tempfile::tempdir().unwrap();
    stopped(data.path());
    let second = &files(data.path(), ".log")[1];
    let size = fs::metadata(second).unwrap().len() as usize;
    // The first byte of the first batch's length.
    flip(second, size - 8);
    let broker = Broker::start(data.path());
    let consume = ["consume", "t", "--from-beginning", "--until-end", "--format", "%o\\n"];
    let Run { code, out, err } = broker.klamm(&consume, b"");
    let base_offset: usize = second.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    assert_eq!(code, 1, "{err}");
    assert_eq!(out.lines().count(), base_offset);
    assert!(err.contains("CORRUPT_MESSAGE"), "{err}");
    let said = broker.stop();
    assert_eq!(said.matches("t-0 cannot be read").count(), 1, "{said}");
    assert!(said.contains(second.to_str().unwrap()), "{said}");
}
