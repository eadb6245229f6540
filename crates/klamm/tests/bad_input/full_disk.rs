//! A disk that fills up while the broker runs.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::binary::Run;
use crate::broker::Broker;

/// A volume of a few megabytes, unmounted when dropped.
struct SmallVolume {
    folder: tempfile::TempDir,
}

impl SmallVolume {
    /// None where mounting is not permitted.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "klamm-test"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for SmallVolume {
    fn drop(&mut self) {
        // What stays mounted is told by the folder that cannot be removed.
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn a_full_disk_refuses_records_and_takes_them_again_when_there_is_room() {
    let Some(volume) = SmallVolume::mount() else {
        eprintln!("skipped: mounting a small volume is not permitted here");
        return;
    };
    let ballast = volume.path("ballast");
    fs::write(&ballast, vec![1; 3 << 20]).unwrap();
    let broker = Broker::start(&volume.path("data"));
    broker.out(&["topic", "create", "t"], b"");
    let lines: String = (0..8000).map(|number| format!("{number} {}\n", "x".repeat(1000))).collect();
    let give_up = ["--property", "delivery.timeout.ms=2500", "--property", "request.timeout.ms=2000"];
    let produce = [&["produce", "t", "--print-offsets"][..], &give_up].concat();
    let Run { code, out: acknowledged, err } = broker.klamm(&produce, lines.as_bytes());
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("KAFKA_STORAGE_ERROR"), "{err}");
    let count = acknowledged.lines().count();
    assert!(count > 1000 && count < 8000, "{count}");
    check(&broker, count);

    fs::remove_file(&ballast).unwrap();
    assert_eq!(broker.out(&produce, format!("{count} after\n").as_bytes()), format!("0 {count}\n"));
    check(&broker, count + 1);
    let said = broker.stop();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("t-0 cannot be appended to") && said.contains("No space left"), "{said}");

    let broker = Broker::start(&volume.path("data"));
    assert_eq!(broker.warnings_of_start(), [""; 0]);
    check(&broker, count + 1);
}

/// The records with these numbers are there, in order, and no others.
fn check(broker: &Broker, count: usize) {
    let read = broker.consume("t");
    assert_eq!(read.len(), count);
    for (offset, line) in read.iter().enumerate() {
        assert!(line.starts_with(&format!("{offset} {offset} ")), "{offset}: {}", &line[..20]);
    }
}
